//! What is compared.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tests::envoy::{self, Chain, Filter, Guard, GuardConfig, Listener, VirtualHost};

/// One listener and the request that is sent to it.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) listener: Listener,
    /// The authority, where it is not the SNI.
    pub(crate) authority: Option<&'static str>,
    /// The status of the answer.
    pub(crate) status: u16,
    /// The variant without the filter that answers the same request.
    pub(crate) baseline: &'static str,
    /// The most that it may add, as a multiple of what the Lua script adds.
    pub(crate) target: Option<f64>,
}

/// The SNI of every connection.
pub(crate) const SNI: &str = "a.example.com";
const REUSED: &str = "b.example.com";
pub(crate) const NONE: &str = "no filter";
const NONE_NOT_FOUND: &str = "no filter, 404";
pub(crate) const LUA: &str = "Lua";
pub(crate) const FULL: &str = "full path, 5 servers, SNI = authority";
pub(crate) const FULL_MANY: &str = "full path, 5,000 servers, SNI = authority";
pub(crate) const FAST: &str = "fast path, 5 servers";
pub(crate) const FAST_MANY: &str = "fast path, 5,000 servers";
pub(crate) const WILDCARD: &str = "full path, legitimate reuse under a wildcard";

/// The recipe that is passed around, with its method call put right.
const SCRIPT: &str = r#"
function envoy_on_request(handle)
  local sni = handle:streamInfo():requestedServerName()
  local authority = handle:headers():get(":authority")
  if sni ~= "" and sni ~= authority then
    handle:respond({[":status"] = "421"}, "Misdirected Request")
  end
end
"#;

pub(crate) fn variants(module: &Path) -> Vec<Variant> {
    let guard = |config: Value| Some(guard(module, Some(config)));
    let variant = |name, filter, target| Variant {
        name,
        listener: listener(name, filter, None),
        authority: None,
        status: 200,
        baseline: NONE,
        target,
    };
    let reused = |name, filter, status| Variant {
        authority: Some(REUSED),
        status,
        baseline: if status == 200 { NONE } else { NONE_NOT_FOUND },
        ..variant(name, filter, None)
    };
    let overlapping = json!({ "servers": servers(5, true) });
    let named = "fast path, named routes";
    vec![
        variant(NONE, None, None),
        not_found(reused(NONE_NOT_FOUND, None, 404)),
        variant(LUA, Some(Filter::Lua(SCRIPT.into())), None),
        variant("fast path, rule unrouted", guard(json!({})), Some(0.75)),
        variant(
            FAST,
            guard(json!({ "servers": servers(5, false) })),
            Some(0.75),
        ),
        variant(
            FAST_MANY,
            guard(json!({ "servers": servers(5_000, false) })),
            Some(0.75),
        ),
        Variant {
            listener: listener(named, guard(json!({})), Some("shop.public.0")),
            ..variant(named, None, Some(1.3))
        },
        variant(FULL, guard(overlapping.clone()), Some(1.85)),
        variant(
            FULL_MANY,
            guard(json!({ "servers": servers(5_000, true) })),
            Some(1.85),
        ),
        reused(WILDCARD, guard(overlapping), 200),
        not_found(reused(
            "report on a mismatch",
            guard(json!({ "action": "report" })),
            404,
        )),
        not_found(reused("421", guard(json!({})), 421)),
    ]
}

/// A listener with a configuration of so many servers, or without the filter for none.
pub(crate) fn with_servers(module: &Path, count: usize) -> Listener {
    let filter =
        (count > 0).then(|| guard(module, Some(json!({ "servers": servers(count, false) }))));
    listener("one", filter, None)
}

/// Takes the route for the reused connection away.
fn not_found(mut variant: Variant) -> Variant {
    for chain in &mut variant.listener.chains {
        chain.virtual_hosts = vec![VirtualHost::of(SNI)];
    }
    variant
}

fn guard(module: &Path, config: Option<Value>) -> Filter {
    Filter::Guard(Guard {
        module: module.into(),
        config: GuardConfig::Inline(config),
    })
}

fn listener(name: &str, filter: Option<Filter>, route_name: Option<&str>) -> Listener {
    let virtual_host = VirtualHost {
        route_name: route_name.map(str::to_owned),
        ..VirtualHost::of("*.example.com")
    };
    let chain = Chain {
        server_names: vec!["*.example.com".into()],
        virtual_hosts: vec![virtual_host],
    };
    Listener {
        name: name.into(),
        transport: envoy::Transport::Tls,
        chains: vec![chain],
        filter,
    }
}

/// So many servers, one of them with the wildcard; with an overlap, another has a host under it.
fn servers(count: usize, overlap: bool) -> BTreeMap<String, Vec<String>> {
    let mut servers: BTreeMap<String, Vec<String>> = (1..count)
        .map(|n| (format!("server-{n}"), vec![format!("host-{n}.example.net")]))
        .collect();
    servers.insert("wildcard".into(), vec!["*.example.com".into()]);
    if overlap {
        servers.insert("server-1".into(), vec!["z.example.com".into()]);
    }
    servers
}
