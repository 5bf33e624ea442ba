//! What is compared.

use std::collections::BTreeMap;
use std::path::Path;

use rule::Gateway;
use serde_json::{Value, json};
use tests::envoy::{self, Chain, Filter, Guard, GuardConfig, Listener, VirtualHost};

/// One listener and the request that is sent to it.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// The Envoy that it runs in.
    pub(crate) gateway: Gateway,
    pub(crate) listener: Listener,
    /// The authority, where it is not the SNI.
    pub(crate) authority: Option<&'static str>,
    /// The status of the answer.
    pub(crate) status: u16,
    /// The variant without the filter that answers the same request, in the same Envoy.
    pub(crate) baseline: &'static str,
    /// The most that it may add, as a multiple of what the Lua script adds.
    pub(crate) target: Option<f64>,
}

/// The SNI of every connection.
pub(crate) const SNI: &str = "a.example.com";
const REUSED: &str = "b.example.com";
pub(crate) const NONE: &str = "no filter";
pub(crate) const NONE_OTHER: &str = "no filter, plain Envoy";
const NONE_NOT_FOUND: &str = "no filter, 404";
pub(crate) const LUA: &str = "Lua";
pub(crate) const ONCE: &str = "overlap, host covered once, 5 servers";
pub(crate) const ONCE_MANY: &str = "overlap, host covered once, 5,000 servers";
pub(crate) const FAST: &str = "no overlap, 5 servers";
pub(crate) const FAST_MANY: &str = "no overlap, 5,000 servers";

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
        gateway: Gateway::Istio,
        listener: listener(name, filter, None),
        authority: None,
        status: 200,
        baseline: NONE,
        target,
    };
    let reused = |name, filter, status, target| Variant {
        authority: Some(REUSED),
        status,
        baseline: if status == 200 { NONE } else { NONE_NOT_FOUND },
        ..variant(name, filter, target)
    };
    let other = |variant: Variant| Variant {
        gateway: Gateway::Other,
        baseline: NONE_OTHER,
        ..variant
    };
    let disjoint = |count| json!({ "servers": servers(count, None) });
    let overlapping = |count| json!({ "servers": servers(count, Some("z.example.com")) });
    // The host of the connection itself is under the wildcard of another server.
    let twice = json!({ "servers": servers(5, Some(SNI)) });
    let named = "no servers, named routes";
    vec![
        variant(NONE, None, None),
        other(variant(NONE_OTHER, None, None)),
        not_found(reused(NONE_NOT_FOUND, None, 404, None)),
        variant(LUA, Some(Filter::Lua(SCRIPT.into())), None),
        variant("no servers", guard(json!({})), Some(0.62)),
        variant(FAST, guard(disjoint(5)), Some(0.62)),
        variant(FAST_MANY, guard(disjoint(5_000)), Some(0.62)),
        Variant {
            listener: listener(named, guard(json!({})), Some("shop.public.0")),
            ..variant(named, None, Some(1.05))
        },
        variant(ONCE, guard(overlapping(5)), Some(1.20)),
        variant(ONCE_MANY, guard(overlapping(5_000)), Some(1.20)),
        reused(
            "overlap, legitimate reuse under the wildcard",
            guard(overlapping(5)),
            200,
            Some(1.20),
        ),
        variant(
            "overlap, host covered twice",
            guard(twice.clone()),
            Some(1.65),
        ),
        other(variant(
            "plain Envoy with servers",
            guard(twice),
            Some(1.85),
        )),
        not_found(reused(
            "report on a mismatch",
            guard(json!({ "action": "report" })),
            404,
            None,
        )),
        not_found(reused("421", guard(json!({})), 421, None)),
    ]
}

/// A listener with a configuration of so many servers, or without the filter for none.
pub(crate) fn with_servers(module: &Path, count: usize) -> Listener {
    let filter =
        (count > 0).then(|| guard(module, Some(json!({ "servers": servers(count, None) }))));
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
        filters: filter.into_iter().collect(),
    }
}

/// So many servers, one of them with the wildcard. Another may have a host under it.
fn servers(count: usize, under_wildcard: Option<&str>) -> BTreeMap<String, Vec<String>> {
    let mut servers: BTreeMap<String, Vec<String>> = (1..count)
        .map(|n| (format!("server-{n}"), vec![format!("host-{n}.example.net")]))
        .collect();
    servers.insert("wildcard".into(), vec!["*.example.com".into()]);
    if let Some(host) = under_wildcard {
        servers.insert("server-1".into(), vec![host.into()]);
    }
    servers
}
