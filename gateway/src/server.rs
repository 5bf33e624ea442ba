//! A server as istiod processes it, for every kind of resource that has servers.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::credential::CredentialText;
use super::resources::istio::{self, TlsMode};
use super::resources::{GatewayName, HostText, Kind, Labels, NamespacedHost, ResourceName};

/// A Gateway as istiod merges it: Istio's own, or one that istiod generates from a listener of the
/// Gateway API or from an Ingress.
#[derive(Clone, Debug)]
pub(crate) struct GatewayConfig {
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) attachment: GatewayPods,
    pub(crate) servers: Vec<Arc<Server>>,
}

impl GatewayConfig {
    /// Reads a Gateway of Istio's own kind.
    pub(crate) fn from_gateway(gateway: &istio::Gateway) -> Self {
        let metadata = &gateway.metadata;
        // All servers of the Gateway share its name: routes are bound to the Gateway.
        let resource = metadata.resource(Kind::Gateway);
        let name = GatewayName::new(&metadata.namespace, &metadata.name);
        Self {
            created: metadata.creation_timestamp,
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            attachment: GatewayPods::Selector(gateway.spec.selector.clone()),
            servers: gateway
                .spec
                .servers
                .iter()
                .enumerate()
                .map(|(index, server)| {
                    let id = ServerId {
                        resource: resource.clone(),
                        entry: Entry::Server {
                            index,
                            port_name: server.port.name.clone(),
                        },
                    };
                    Arc::new(Server::from_gateway(id, name.clone(), server))
                })
                .collect(),
        }
    }

    /// The key by which istiod sorts Gateways, the oldest first (Istio `pilot/pkg/model/config.go`,
    /// `sortConfigByCreationTime`).
    pub(crate) fn age(&self) -> impl Ord + '_ {
        (self.created, &self.name, &self.namespace)
    }
}

/// The workloads that a [`GatewayConfig`] applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GatewayPods {
    /// Pods with these labels in any namespace; without labels, the pods of every gateway.
    Selector(Labels),
    /// Pods that istiod deploys for a Gateway of the Gateway API.
    Managed { namespace: String, gateway: String },
    /// The pods of a Service.
    Service { namespace: String, name: String },
}

/// A server of a Gateway, of whichever API.
#[derive(Clone, Debug)]
pub struct Server {
    /// The resource and entry that the server is written in.
    pub id: ServerId,
    /// The Gateway that routes are bound to. istiod generates one for a listener of the Gateway API and
    /// for an Ingress.
    pub gateway: GatewayName,
    /// The port of the Gateway, which a Service may map to another.
    pub port: u16,
    /// The name of the port, which is in the name of the route table.
    pub port_name: String,
    pub protocol: Protocol,
    /// The address that it listens on, as it is written; empty for all addresses.
    pub bind: String,
    /// Its hosts, in the form in which istiod compares them.
    pub hosts: Vec<NamespacedHost>,
    /// Its TLS mode; `None` for plain text.
    pub tls: Option<TlsMode>,
    /// Whether it redirects all requests to HTTPS, if it is an HTTP server.
    pub(crate) https_redirect: bool,
    /// The sources of its certificates.
    pub(crate) credentials: Vec<CredentialText>,
}

/// The identity of a server: a resource and an entry in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    pub resource: ResourceName,
    pub entry: Entry,
}

/// The position of a server in its resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// An entry of `servers` in Istio's Gateway.
    Server {
        index: usize,
        /// The name of its port.
        port_name: String,
    },
    /// A listener of the Gateway API, by its name.
    Listener(String),
    /// An entry of `tls` in an Ingress, by its index.
    IngressTls(usize),
    /// The rules of an Ingress, which istiod also serves in plain text.
    IngressPlain,
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.resource)?;
        match &self.entry {
            Entry::Server { index, .. } => write!(f, "servers[{index}]"),
            Entry::Listener(name) => write!(f, "listener {name}"),
            Entry::IngressTls(index) => write!(f, "tls[{index}]"),
            Entry::IngressPlain => write!(f, "rules"),
        }
    }
}

impl ServerId {
    /// The label of the server in the filter's configuration and logs: `namespace/gateway/port name`.
    #[must_use]
    pub fn label(&self) -> String {
        let ResourceName {
            namespace, name, ..
        } = &self.resource;
        let server = match &self.entry {
            // The name of a port is optional, but istiod needs distinct names for HTTPS servers.
            Entry::Server { index, port_name } if port_name.is_empty() => format!("{index}"),
            Entry::Server { port_name, .. } => port_name.clone(),
            Entry::Listener(listener) => listener.clone(),
            Entry::IngressTls(index) => format!("tls-{index}"),
            Entry::IngressPlain => "rules".into(),
        };
        format!("{namespace}/{name}/{server}")
    }
}

/// The protocol of a server: the classes that istiod distinguishes (Istio `pkg/config/protocol/instance.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A version of HTTP in plain text, or gRPC.
    Http,
    Https,
    /// TLS with any content.
    Tls,
    Tcp,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Self {
        // istiod treats unknown protocols as TCP.
        match text.to_ascii_lowercase().as_str() {
            "http" | "http2" | "http_proxy" | "grpc" | "grpc-web" => Self::Http,
            "https" => Self::Https,
            "tls" => Self::Tls,
            _ => Self::Tcp,
        }
    }
}

/// How a server handles connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// HTTP in plain text.
    PlainHttp,
    /// HTTP over TLS, which the gateway terminates. The gateway offers HTTP/2.
    Https,
    /// TLS that the gateway terminates, with any protocol in it.
    TerminatedTcp,
    /// Any protocol in plain text.
    PlainTcp,
    /// TLS that the gateway forwards by SNI.
    Passthrough,
    /// TLS that the gateway forwards to the mesh cluster that the SNI names. Browsers do not send such SNIs.
    AutoPassthrough,
}

impl Server {
    fn from_gateway(id: ServerId, gateway: GatewayName, server: &istio::Server) -> Self {
        Self {
            id,
            port: server.port.number,
            port_name: server.port.name.clone(),
            protocol: Protocol::parse(&server.port.protocol),
            bind: server.bind.clone(),
            hosts: NamespacedHost::sanitized(&server.hosts, &gateway.namespace),
            tls: server.tls.as_ref().map(|tls| tls.mode),
            https_redirect: server.tls.as_ref().is_some_and(|tls| tls.https_redirect),
            credentials: server
                .tls
                .as_ref()
                .map(CredentialText::from_tls)
                .unwrap_or_default(),
            gateway,
        }
    }

    /// How the server handles connections (Istio `pkg/config/gateway/gateway.go`).
    #[must_use]
    pub(crate) fn handling(&self) -> Handling {
        match (self.protocol, self.tls) {
            // The protocol takes precedence: istiod ignores the TLS settings of an HTTP server.
            (Protocol::Http, _) => Handling::PlainHttp,
            (_, None) => Handling::PlainTcp,
            (_, Some(TlsMode::Passthrough)) => Handling::Passthrough,
            (_, Some(TlsMode::AutoPassthrough)) => Handling::AutoPassthrough,
            // All other modes terminate TLS.
            (Protocol::Https, Some(_)) => Handling::Https,
            (Protocol::Tls | Protocol::Tcp, Some(_)) => Handling::TerminatedTcp,
        }
    }

    /// Whether clients begin with TLS (Istio `IsTLSServer`).
    #[must_use]
    pub fn is_tls(&self) -> bool {
        !matches!(self.handling(), Handling::PlainHttp | Handling::PlainTcp)
    }

    /// Whether it answers every HTTP request with a redirect to HTTPS.
    #[must_use]
    pub(crate) fn redirects(&self) -> bool {
        self.https_redirect && self.handling() == Handling::PlainHttp
    }

    /// The name of its route table; `None` if it does not handle HTTP (Istio `pilot/pkg/model/gateway.go`,
    /// `gatewayRDSRouteName`). With TLS the name contains the port of the Gateway, in plain text `port`,
    /// the port that Envoy listens on.
    pub(crate) fn route_table(&self, port: u16) -> Option<String> {
        match self.handling() {
            Handling::PlainHttp => Some(format!("http.{port}{}", self.bind_suffix())),
            Handling::Https => Some(self.chain_name("https")),
            Handling::TerminatedTcp
            | Handling::PlainTcp
            | Handling::Passthrough
            | Handling::AutoPassthrough => None,
        }
    }

    /// The name of its filter chain, in the format of the names of route tables.
    pub(crate) fn chain_name(&self, prefix: &str) -> String {
        // The port of the Gateway, not the one that Envoy listens on, is in the name.
        let GatewayName { namespace, name } = &self.gateway;
        let bind = self.bind_suffix();
        format!(
            "{prefix}.{}.{}.{name}.{namespace}{bind}",
            self.port, self.port_name
        )
    }

    fn bind_suffix(&self) -> String {
        if self.bind.is_empty() {
            String::new()
        } else {
            format!(".{}", self.bind)
        }
    }
}

/// The hosts of a server as [`NamespacedHost::sanitized`] parses them, as texts.
pub(crate) fn sanitize(hosts: &[HostText], namespace: &str) -> Vec<String> {
    NamespacedHost::sanitized(hosts, namespace)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
impl Server {
    /// An HTTPS server on port 443 of the Gateway `shop/NAME`, for tests.
    pub(crate) fn example(name: &str, hosts: &[&str]) -> Self {
        Self {
            id: ServerId {
                resource: ResourceName {
                    kind: Kind::Gateway,
                    namespace: "shop".into(),
                    name: name.into(),
                },
                entry: Entry::Server {
                    index: 0,
                    port_name: "https".into(),
                },
            },
            gateway: GatewayName::new("shop", name),
            port: 443,
            port_name: "https".into(),
            protocol: Protocol::Https,
            bind: String::new(),
            hosts: hosts
                .iter()
                .map(|host| NamespacedHost::of_any_namespace(*host))
                .collect(),
            tls: Some(TlsMode::Simple),
            https_redirect: false,
            credentials: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Handling, Protocol, Server};
    use crate::resources::istio::TlsMode;

    #[test]
    fn protocols_are_read_in_any_case() {
        for (text, expected) in [
            ("HTTPS", Protocol::Https),
            ("https", Protocol::Https),
            ("HTTP2", Protocol::Http),
            ("gRPC", Protocol::Http),
            ("TLS", Protocol::Tls),
            ("MONGO", Protocol::Tcp),
            ("", Protocol::Tcp),
        ] {
            assert_eq!(Protocol::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn handling_by_protocol_and_tls_mode() {
        for (protocol, tls, expected) in [
            (Protocol::Http, None, Handling::PlainHttp),
            // istiod ignores the TLS settings of a server whose protocol is plain text.
            (Protocol::Http, Some(TlsMode::Simple), Handling::PlainHttp),
            (Protocol::Https, None, Handling::PlainTcp),
            (Protocol::Https, Some(TlsMode::Simple), Handling::Https),
            (
                Protocol::Https,
                Some(TlsMode::Passthrough),
                Handling::Passthrough,
            ),
            (
                Protocol::Tls,
                Some(TlsMode::Mutual),
                Handling::TerminatedTcp,
            ),
            (
                Protocol::Tls,
                Some(TlsMode::AutoPassthrough),
                Handling::AutoPassthrough,
            ),
            (Protocol::Tcp, None, Handling::PlainTcp),
        ] {
            let server = Server {
                protocol,
                tls,
                ..Server::example("a", &["a.example.com"])
            };
            assert_eq!(server.handling(), expected, "{protocol:?} {tls:?}");
        }
    }

    #[test]
    fn names_of_route_tables_and_chains() {
        let https = Server::example("a", &["a.example.com"]);
        assert_eq!(
            https.route_table(8443).as_deref(),
            Some("https.443.https.a.shop")
        );
        let bound = Server {
            bind: "127.0.0.1".into(),
            ..https.clone()
        };
        assert_eq!(bound.chain_name("tcp"), "tcp.443.https.a.shop.127.0.0.1");
        let plain = Server {
            protocol: Protocol::Http,
            tls: None,
            ..https
        };
        assert_eq!(plain.route_table(8080).as_deref(), Some("http.8080"));
    }
}
