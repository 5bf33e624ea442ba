//! Envoy's configuration, in the shape that istiod gives a gateway.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON object with a text adds the key"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::access_log;
use super::discovery::deliver;
use crate::certificate::Certificate;

/// A listener on a port of its own.
#[derive(Clone, Debug)]
pub struct Listener {
    pub name: String,
    pub transport: Transport,
    /// Its filter chains. One whose `server_names` hold `*` takes every SNI that no other has.
    pub chains: Vec<Chain>,
    /// The filters before the router, in order.
    pub filters: Vec<Filter>,
}

#[derive(Clone, Debug)]
pub enum Filter {
    Guard(Guard),
    Lua(String),
    /// Any, as Envoy reads it: what an EnvoyFilter inserts.
    Inserted(Value),
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plaintext,
    /// The same with TLS.
    Tls,
    Quic,
}

/// A filter chain: what istiod makes of one TLS server.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The SNIs it is for.
    pub server_names: Vec<String>,
    pub virtual_hosts: Vec<VirtualHost>,
}

/// A virtual host, which answers 200 with its name, or has a backend answer.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    pub name: String,
    /// The authorities it is for.
    pub domains: Vec<String>,
    /// The prefix of the paths that it has a route for; `None` for no route at all.
    pub prefix: Option<String>,
    /// The name of its route, which VirtualServices rarely have and HTTPRoutes always.
    pub route_name: Option<String>,
    /// Where its requests go, over HTTP/2 without TLS; `None` for an answer by Envoy itself.
    pub backend: Option<SocketAddr>,
    /// Whether Envoy follows a redirect of the backend itself.
    pub follows_redirects: bool,
}

#[derive(Clone, Debug)]
pub struct Guard {
    /// The file of the module.
    pub module: PathBuf,
    /// Where its configuration comes from.
    pub config: GuardConfig,
}

/// Where a filter's configuration comes from.
#[derive(Clone, Debug)]
pub enum GuardConfig {
    /// The listener itself: the `pluginConfig`, or none. All such filters of an Envoy share a VM.
    Inline(Option<Value>),
    /// The listener itself, with a VM of this name: the filters of a gateway with one plugin have a VM
    /// for themselves.
    InVm(String, Value),
    /// A file, watched by Envoy, as [`Guard::deliver`] writes it. Like Istio's agent, Envoy gets
    /// no default to use in the meantime.
    Discovered(PathBuf),
}

/// The name of the filter and of its discovery resource.
const FILTER: &str = "sni-guard";
const TYPE: &str = "type.googleapis.com/envoy.extensions";

impl Listener {
    /// A listener with one TLS server for each host.
    #[must_use]
    pub fn with_servers(name: &str, hosts: &[&str], filter: Option<Filter>) -> Self {
        let chains = hosts
            .iter()
            .map(|host| Chain {
                server_names: vec![(*host).into()],
                virtual_hosts: vec![VirtualHost::of(host)],
            })
            .collect();
        Self {
            name: name.into(),
            transport: Transport::Tls,
            chains,
            filters: filter.into_iter().collect(),
        }
    }
}

impl Filter {
    pub(crate) fn config(&self) -> Value {
        match self {
            Self::Guard(guard) => guard.http_filter(),
            Self::Lua(script) => json!({
                "name": "lua",
                "typed_config": {
                    "@type": format!("{TYPE}.filters.http.lua.v3.Lua"),
                    "default_source_code": { "inline_string": script },
                },
            }),
            Self::Inserted(filter) => filter.clone(),
        }
    }
}

impl Guard {
    /// Writes a discovery file with this text as `pluginConfig`. Envoy looks at it when it is moved
    /// into its place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn deliver(&self, file: &Path, plugin_config: &str) -> Result<()> {
        self.deliver_as(FILTER, file, plugin_config)
    }

    /// The same for a plugin with a name of its own, as istiod gives each WasmPlugin one.
    ///
    /// # Errors
    /// As [`Self::deliver`].
    pub fn deliver_as(&self, plugin: &str, file: &Path, plugin_config: &str) -> Result<()> {
        let content = json!({
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": FILTER,
                "typed_config": self.wasm(plugin, Some(plugin_config)),
            }],
        });
        deliver(file, &content)
    }

    fn http_filter(&self) -> Value {
        match &self.config {
            GuardConfig::Inline(plugin_config) => {
                let plugin_config = plugin_config.as_ref().map(Value::to_string);
                json!({ "name": FILTER, "typed_config": self.wasm(FILTER, plugin_config.as_deref()) })
            }
            GuardConfig::InVm(vm, plugin_config) => {
                let mut wasm = self.wasm(FILTER, Some(&plugin_config.to_string()));
                wasm["config"]["vm_config"]["vm_id"] = json!(vm);
                json!({ "name": FILTER, "typed_config": wasm })
            }
            GuardConfig::Discovered(path) => json!({
                "name": FILTER,
                "config_discovery": {
                    "config_source": {
                        "path_config_source": { "path": path },
                        "resource_api_version": "V3",
                        "initial_fetch_timeout": "20s",
                    },
                    "type_urls": [format!("{TYPE}.filters.http.wasm.v3.Wasm")],
                },
            }),
        }
    }

    fn wasm(&self, plugin: &str, plugin_config: Option<&str>) -> Value {
        let mut config = json!({
            "name": plugin,
            "failure_policy": "FAIL_CLOSED",
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": self.module } },
            },
        });
        if let (Some(plugin_config), Some(config)) = (plugin_config, config.as_object_mut()) {
            let value = json!({
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": plugin_config,
            });
            config.insert("configuration".into(), value);
        }
        json!({ "@type": format!("{TYPE}.filters.http.wasm.v3.Wasm"), "config": config })
    }
}

impl VirtualHost {
    /// A virtual host for one domain, under its name.
    #[must_use]
    pub fn of(domain: &str) -> Self {
        Self {
            name: domain.into(),
            domains: vec![domain.into()],
            prefix: Some("/".into()),
            route_name: None,
            backend: None,
            follows_redirects: false,
        }
    }

    /// What istiod gives a chain without routes.
    #[must_use]
    pub fn blackhole() -> Self {
        Self {
            name: "blackhole:443".into(),
            domains: vec!["*".into()],
            prefix: None,
            ..Self::of("blackhole:443")
        }
    }

    fn config(&self) -> Value {
        let routes: Vec<Value> = self
            .prefix
            .iter()
            .map(|prefix| self.route(prefix))
            .collect();
        json!({ "name": self.name, "domains": self.domains, "routes": routes })
    }

    fn route(&self, prefix: &str) -> Value {
        let mut route = json!({
            "name": self.route_name.as_deref().unwrap_or_default(),
            "match": { "prefix": prefix },
        });
        match self.backend {
            None => {
                let body = json!({ "inline_string": self.name });
                route["direct_response"] = json!({ "status": 200, "body": body });
            }
            Some(address) => {
                route["route"] = json!({ "cluster": address.to_string() });
                if self.follows_redirects {
                    route["route"]["internal_redirect_policy"] = json!({});
                }
            }
        }
        route
    }
}

/// The backends of listeners, as Envoy reads them: clusters under the names of their addresses.
pub(super) fn clusters(listeners: &[Listener]) -> Vec<Value> {
    let backends: BTreeSet<SocketAddr> = listeners
        .iter()
        .flat_map(|listener| &listener.chains)
        .flat_map(|chain| &chain.virtual_hosts)
        .filter_map(|virtual_host| virtual_host.backend)
        .collect();
    backends.into_iter().map(cluster).collect()
}

fn cluster(backend: SocketAddr) -> Value {
    let address = json!({ "socket_address": {
        "address": backend.ip().to_string(), "port_value": backend.port(),
    } });
    json!({
        "name": backend.to_string(),
        "load_assignment": {
            "cluster_name": backend.to_string(),
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": format!("{TYPE}.upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        },
    })
}

impl Listener {
    /// As Envoy reads it.
    pub(super) fn config(&self, certificate: &Certificate, access_log: &Path) -> Value {
        let (rest, named): (Vec<_>, Vec<_>) = self
            .chains
            .iter()
            .partition(|chain| chain.server_names.iter().any(|name| name == "*"));
        let inspector = json!({
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": format!("{TYPE}.filters.listener.tls_inspector.v3.TlsInspector"),
            },
        });
        let quic = self.transport == Transport::Quic;
        let protocol = if quic { "UDP" } else { "TCP" };
        let mut config = json!({
            "name": self.name,
            "address": { "socket_address": {
                "address": "127.0.0.1", "port_value": 0, "protocol": protocol,
            } },
            "listener_filters": if quic { vec![] } else { vec![inspector] },
            "filter_chains": named.iter().map(|named| {
                let mut config = self.chain(named, certificate, access_log);
                config["filter_chain_match"] = json!({ "server_names": named.server_names });
                config
            }).collect::<Vec<_>>(),
        });
        if quic {
            config["udp_listener_config"] = json!({ "quic_options": {} });
            // Linux gives UDP sockets with SO_REUSEPORT the same free port: a listener would receive the
            // packets of another one. The Envoys with QUIC listeners have one worker, which needs no option.
            config["enable_reuse_port"] = json!(false);
        }
        if let Some(rest) = rest.first() {
            config["default_filter_chain"] = self.chain(rest, certificate, access_log);
        }
        config
    }

    fn chain(&self, chain: &Chain, certificate: &Certificate, access_log: &Path) -> Value {
        let manager = self.connection_manager(chain, access_log);
        let mut config = json!({
            "filters": [{ "name": "http", "typed_config": manager }],
        });
        let common = |protocols: &[&str]| {
            json!({
                "alpn_protocols": protocols,
                "tls_certificates": [{
                    "certificate_chain": { "filename": certificate.certificate },
                    "private_key": { "filename": certificate.key },
                }],
            })
        };
        let socket = match self.transport {
            Transport::Plaintext => return config,
            Transport::Tls => json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": format!("{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext"),
                    "common_tls_context": common(&["h2", "http/1.1"]),
                },
            }),
            Transport::Quic => json!({
                "name": "envoy.transport_sockets.quic",
                "typed_config": {
                    "@type": format!("{TYPE}.transport_sockets.quic.v3.QuicDownstreamTransport"),
                    "downstream_tls_context": { "common_tls_context": common(&["h3"]) },
                },
            }),
        };
        config["transport_socket"] = socket;
        config
    }

    fn connection_manager(&self, chain: &Chain, access_log: &Path) -> Value {
        let mut filters: Vec<Value> = self.filters.iter().map(Filter::config).collect();
        filters.push(json!({
            "name": "router",
            "typed_config": { "@type": format!("{TYPE}.filters.http.router.v3.Router") },
        }));
        let virtual_hosts: Vec<Value> = chain
            .virtual_hosts
            .iter()
            .map(VirtualHost::config)
            .collect();
        json!({
            "@type": format!(
                "{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
            ),
            "stat_prefix": self.name,
            "codec_type": if self.transport == Transport::Quic { "HTTP3" } else { "AUTO" },
            "http_filters": filters,
            "upgrade_configs": [{ "upgrade_type": "websocket" }],
            // Without it Envoy does not announce WebSockets over HTTP/2 to clients (RFC 8441 §3).
            "http2_protocol_options": { "allow_connect": true },
            "route_config": {
                "virtual_hosts": virtual_hosts,
                // As istiod sets it for gateways.
                "ignore_port_in_host_matching": true,
            },
            "access_log": [{
                "name": "file",
                "typed_config": {
                    "@type": format!("{TYPE}.access_loggers.file.v3.FileAccessLog"),
                    "path": access_log,
                    "log_format": { "text_format_source": {
                        "inline_string": access_log::FORMAT,
                    } },
                },
            }],
        })
    }
}
