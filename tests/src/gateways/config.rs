//! Envoy's configuration for listeners of the model.

use anyhow::{Context, Result};
use gateway::listener::ChainKind;
use gateway::resources::NamespacedHost;
use gateway::resources::istio::TlsMode;
use gateway::{FilterChain, Listener, VirtualHost};
use serde_json::{Value, json};

use crate::certificate::Certificate;
use crate::envoy::{Filter, add_istio_metadata};
use crate::process::free_ports;

const TYPE: &str = "type.googleapis.com/envoy.extensions";

/// A listener of the model, to be run.
#[derive(Debug)]
pub struct Listening<'m> {
    pub name: String,
    pub listener: &'m Listener,
    /// The filter before the router, where it has one.
    pub filter: Option<Filter>,
    /// The port of the backend of each filter chain, where it needs one.
    pub backends: Vec<Option<u16>>,
}

/// Who answers: the header `server` of every answer, so that answers without a virtual host have it
/// too.
#[must_use]
pub fn label(chain: &FilterChain) -> String {
    let names: Vec<String> = chain.server_names.iter().map(ToString::to_string).collect();
    format!("{} = {}", chain.name, names.join(" "))
}

/// The body of a virtual host's answer: which routes it has.
#[must_use]
pub fn body(virtual_host: &VirtualHost) -> String {
    format!("{:?}", virtual_host.routes)
}

/// Ports for the backends of a listener's chains: those that forward connections have one.
///
/// # Errors
/// Too few ports are free.
pub fn free_backends(listener: &Listener) -> Result<Vec<Option<u16>>> {
    let ports = free_ports(listener.chains.len())?;
    Ok(listener
        .chains
        .iter()
        .zip(ports)
        .map(|(chain, port)| match chain.kind {
            ChainKind::Tcp | ChainKind::Passthrough => Some(port),
            ChainKind::Https(_) | ChainKind::Plain => None,
        })
        .collect())
}

/// Envoy's bootstrap for listeners and the backends of their chains.
///
/// # Errors
/// A chain that needs a backend has none.
pub fn bootstrap(listening: &[Listening<'_>], certificate: &Certificate) -> Result<Value> {
    let mut listeners = Vec::new();
    let mut clusters = Vec::new();
    for Listening {
        name,
        listener,
        filter,
        backends,
    } in listening
    {
        let mut chains = Vec::new();
        for (chain, backend) in listener.chains.iter().zip(backends) {
            let forwards = backend.map(|port| (cluster_name(port), port));
            if let Some((cluster, port)) = &forwards {
                clusters.push(cluster_config(cluster, *port));
                listeners.push(backend_config(chain, *port, certificate));
            }
            let filters = match &chain.kind {
                ChainKind::Https(table) => {
                    let hosts: Vec<Value> = table.virtual_hosts.iter().map(virtual_host).collect();
                    manager(chain, filter.as_ref(), &hosts)
                }
                ChainKind::Plain => manager(chain, None, &[]),
                ChainKind::Tcp | ChainKind::Passthrough => {
                    proxy(&forwards.context("a chain without a backend")?.0)
                }
            };
            chains.push(chain_config(chain, &filters, certificate));
        }
        listeners.push(listener_config(name, 0, &chains));
    }
    let mut bootstrap = json!({
        "node": { "id": "test", "cluster": "test" },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    });
    add_istio_metadata(&mut bootstrap);
    Ok(bootstrap)
}

fn listener_config(name: &str, port: u16, chains: &[Value]) -> Value {
    json!({
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        "listener_filters": [{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": format!("{TYPE}.filters.listener.tls_inspector.v3.TlsInspector"),
            },
        }],
        "filter_chains": chains,
    })
}

/// A server name in the case in which the server of the chain has it, as istiod copies it.
fn as_written(chain: &FilterChain, name: &str) -> String {
    chain
        .server
        .hosts
        .iter()
        .map(NamespacedHost::host)
        .find(|host| host.eq_ignore_ascii_case(name))
        .unwrap_or(name)
        .to_owned()
}

/// A filter chain as istiod writes it: the chain for `*` has no condition.
fn chain_config(chain: &FilterChain, filter: &Value, certificate: &Certificate) -> Value {
    let names: Vec<String> = chain
        .server_names
        .iter()
        .map(|name| as_written(chain, &name.to_string()))
        .collect();
    let condition = if names == ["*"] {
        json!({})
    } else {
        json!({ "server_names": names })
    };
    let mut config = json!({ "filter_chain_match": condition, "filters": [filter] });
    let terminates = matches!(chain.kind, ChainKind::Https(_) | ChainKind::Tcp);
    if let (true, Some(config)) = (terminates, config.as_object_mut()) {
        let is_https = matches!(chain.kind, ChainKind::Https(_));
        let socket = tls(
            certificate,
            chain.tls,
            if is_https { &["h2", "http/1.1"] } else { &[] },
        );
        config.insert("transport_socket".into(), socket);
    }
    config
}

fn tls(certificate: &Certificate, mode: Option<TlsMode>, protocols: &[&str]) -> Value {
    let demands = matches!(mode, Some(TlsMode::Mutual | TlsMode::IstioMutual));
    let mut common = json!({
        "alpn_protocols": protocols,
        "tls_certificates": [{
            "certificate_chain": { "filename": certificate.certificate },
            "private_key": { "filename": certificate.key },
        }],
    });
    let asks = demands || mode == Some(TlsMode::OptionalMutual);
    if let (true, Some(common)) = (asks, common.as_object_mut()) {
        let trusted = json!({ "trusted_ca": { "filename": certificate.certificate } });
        common.insert("validation_context".into(), trusted);
    }
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": common,
            "require_client_certificate": demands,
        },
    })
}

fn manager(chain: &FilterChain, filter: Option<&Filter>, virtual_hosts: &[Value]) -> Value {
    let mut filters: Vec<Value> = filter.map(Filter::config).into_iter().collect();
    filters.push(json!({
        "name": "router",
        "typed_config": { "@type": format!("{TYPE}.filters.http.router.v3.Router") },
    }));
    let name = "filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({ "name": "http", "typed_config": {
        "@type": format!("{TYPE}.{name}"),
        "stat_prefix": "http",
        "server_name": label(chain),
        "http_filters": filters,
        "route_config": {
            "virtual_hosts": virtual_hosts,
            // As istiod sets it for gateways.
            "ignore_port_in_host_matching": true,
        },
    }})
}

fn virtual_host(host: &VirtualHost) -> Value {
    let domains: Vec<String> = host.domains.iter().map(ToString::to_string).collect();
    let routes = if host.routes.is_empty() {
        vec![]
    } else {
        vec![route(&body(host))]
    };
    json!({ "name": host.name, "domains": domains, "routes": routes })
}

fn route(body: &str) -> Value {
    json!({
        "match": { "prefix": "/" },
        "direct_response": { "status": 200, "body": { "inline_string": body } },
    })
}

fn proxy(cluster: &str) -> Value {
    json!({ "name": "tcp", "typed_config": {
        "@type": format!("{TYPE}.filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": "tcp",
        "cluster": cluster,
    }})
}

fn cluster_name(port: u16) -> String {
    format!("backend {port}")
}

fn cluster_config(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{
            "endpoint": { "address": { "socket_address": {
                "address": "127.0.0.1", "port_value": port,
            }}},
        }]}]},
    })
}

/// A backend, which terminates TLS where the gateway does not, and answers everything.
fn backend_config(chain: &FilterChain, port: u16, certificate: &Certificate) -> Value {
    let everything =
        json!({ "name": "backend", "domains": ["*"], "routes": [route(chain.name.as_str())] });
    let mut config = json!({ "filters": [manager(chain, None, &[everything])] });
    let passed = matches!(chain.kind, ChainKind::Passthrough);
    if let (true, Some(config)) = (passed, config.as_object_mut()) {
        config.insert("transport_socket".into(), tls(certificate, None, &["h2"]));
    }
    listener_config(&cluster_name(port), port, &[config])
}
