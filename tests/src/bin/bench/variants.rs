//! What is compared.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rule::Gateway;
use serde_json::{Value, json};
use tests::envoy::{self, Chain, Filter, Guard, GuardConfig, Listener, VirtualHost};
use tests::script::script;

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

impl Variant {
    /// Whether other variants are compared with it.
    pub(crate) fn is_reference(&self) -> bool {
        self.name == self.baseline || self.name == LUA
    }
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
pub(crate) const SCRIPT_OWN: &str = "script, own host, 5 servers";
pub(crate) const SCRIPT_OWN_MANY: &str = "script, own host, 3,000 servers";
pub(crate) const SCRIPT_REUSE: &str = "script, legitimate reuse under the wildcard, 5 servers";
pub(crate) const SCRIPT_REUSE_MANY: &str =
    "script, legitimate reuse under the wildcard, 3,000 servers";

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

pub(crate) fn variants(module: &Path) -> Result<Vec<Variant>> {
    let bench = Bench { module };
    // The host of the connection itself is under the wildcard of another server.
    let twice = json!({ "servers": servers(5, Some(SNI)) });
    let rejecting = json!({ "servers": servers(5, Some(REUSED)) });
    let named = "no servers, named routes";
    Ok(vec![
        variant(NONE, None, None),
        other(variant(NONE_OTHER, None, None)),
        not_found(reused(variant(NONE_NOT_FOUND, None, None))),
        variant(LUA, Some(Filter::Lua(SCRIPT.into())), None),
        bench.guarded("no servers", json!({}), Some(0.62)),
        bench.guarded(FAST, disjoint(5), Some(0.62)),
        bench.guarded(FAST_MANY, disjoint(5_000), Some(0.62)),
        with_named_routes(bench.guarded(named, json!({}), Some(1.05))),
        bench.guarded(ONCE, overlapping(5), Some(1.20)),
        bench.guarded(ONCE_MANY, overlapping(5_000), Some(1.20)),
        reused(bench.guarded(
            "overlap, legitimate reuse under the wildcard",
            overlapping(5),
            Some(1.20),
        )),
        bench.guarded("overlap, host covered twice", twice.clone(), Some(1.65)),
        other(bench.guarded("plain Envoy with servers", twice, Some(1.85))),
        not_found(reused(bench.guarded(
            "report on a mismatch",
            json!({ "action": "report" }),
            None,
        ))),
        Variant {
            status: 421,
            ..not_found(reused(bench.guarded("421", json!({}), None)))
        },
        scripted(SCRIPT_OWN, 5, Some(1.10))?,
        scripted(SCRIPT_OWN_MANY, 3_000, Some(1.10))?,
        reused(scripted(SCRIPT_REUSE, 5, Some(1.25))?),
        reused(scripted(SCRIPT_REUSE_MANY, 3_000, None)?),
        Variant {
            status: 421,
            ..not_found(reused(variant(
                "script, 421",
                Some(Filter::Lua(script(&rejecting)?)),
                None,
            )))
        },
    ])
}

/// A variant with the generated script for so many servers, one of them with the wildcard.
fn scripted(name: &'static str, servers: usize, target: Option<f64>) -> Result<Variant> {
    let filter = Filter::Lua(script(&disjoint(servers))?);
    Ok(variant(name, Some(filter), target))
}

/// Makes variants with the filter.
struct Bench<'m> {
    module: &'m Path,
}

impl Bench<'_> {
    /// The configuration has a VM for itself, as the one of a gateway with one plugin.
    fn guarded(&self, name: &'static str, config: Value, target: Option<f64>) -> Variant {
        let guard = Guard {
            module: self.module.into(),
            config: GuardConfig::InVm(name.into(), config),
        };
        variant(name, Some(Filter::Guard(guard)), target)
    }
}

fn variant(name: &'static str, filter: Option<Filter>, target: Option<f64>) -> Variant {
    Variant {
        name,
        gateway: Gateway::Istio,
        listener: listener(name, filter),
        authority: None,
        status: 200,
        baseline: NONE,
        target,
    }
}

/// The request is for another host than the connection.
fn reused(variant: Variant) -> Variant {
    Variant {
        authority: Some(REUSED),
        ..variant
    }
}

/// In an Envoy that is no gateway of Istio.
fn other(variant: Variant) -> Variant {
    Variant {
        gateway: Gateway::Other,
        baseline: NONE_OTHER,
        ..variant
    }
}

/// Takes the route for the reused connection away.
fn not_found(mut variant: Variant) -> Variant {
    for chain in &mut variant.listener.chains {
        chain.virtual_hosts = vec![VirtualHost::of(SNI)];
    }
    Variant {
        status: 404,
        baseline: NONE_NOT_FOUND,
        ..variant
    }
}

fn with_named_routes(mut variant: Variant) -> Variant {
    for chain in &mut variant.listener.chains {
        for virtual_host in &mut chain.virtual_hosts {
            virtual_host.route_name = Some("shop.public.0".into());
        }
    }
    variant
}

fn disjoint(count: usize) -> Value {
    json!({ "servers": servers(count, None) })
}

fn overlapping(count: usize) -> Value {
    json!({ "servers": servers(count, Some("z.example.com")) })
}

/// A listener with a configuration of so many servers, or without the filter for none.
pub(crate) fn with_servers(module: &Path, count: usize) -> Listener {
    let guard = Guard {
        module: module.into(),
        config: GuardConfig::Inline(Some(disjoint(count))),
    };
    listener("one", (count > 0).then_some(Filter::Guard(guard)))
}

fn listener(name: &str, filter: Option<Filter>) -> Listener {
    let chain = Chain {
        server_names: vec!["*.example.com".into()],
        virtual_hosts: vec![VirtualHost::of("*.example.com")],
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
