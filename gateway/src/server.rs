//! A server as istiod sees it, whichever resource it comes from.

use std::fmt;

use chrono::{DateTime, Utc};

use super::credential::CredentialText;
use super::resources::istio::{self, TlsMode};
use super::resources::{Kind, Labels, ResourceName};

/// A Gateway as istiod merges it: Istio's own, or one that stands for a listener of the Gateway API
/// or for an Ingress.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) attachment: Attachment,
    pub(crate) servers: Vec<Server>,
}

impl Candidate {
    /// What decides who was first (Istio `pilot/pkg/model/config.go`, `configCompareByCreationTime`).
    pub(crate) fn age(&self) -> impl Ord + '_ {
        (self.created, &self.name, &self.namespace)
    }
}

/// Which workloads a [`Candidate`] applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attachment {
    /// Pods with these labels in any namespace; every gateway, where there are none.
    Selector(Labels),
    /// Pods that istiod made for a Gateway of the Gateway API.
    Managed { namespace: String, gateway: String },
    /// The pods of a Service.
    Service { namespace: String, name: String },
}

/// One server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is written.
    pub id: ServerId,
    /// The Gateway as routes are bound to it: `namespace/name`, generated where there is none.
    pub gateway: String,
    /// The port of the Gateway, which a Service may map to another.
    pub port: u16,
    /// The name of the port, which is in the name of the route table.
    pub port_name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The address it listens on as it is written; empty for all.
    pub bind: String,
    /// Its hosts, `host` or `namespace/host`, in the form in which istiod compares them.
    pub hosts: Vec<String>,
    /// Its TLS mode; `None` for plain text.
    pub tls: Option<TlsMode>,
    /// Where its certificates come from.
    pub(crate) credentials: Vec<CredentialText>,
}

/// Where a server is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    /// The resource.
    pub resource: ResourceName,
    /// The place in it.
    pub entry: Entry,
}

/// The place of a server in its resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// An entry of a Gateway's `servers`.
    Server {
        /// Its place in the list.
        index: usize,
        /// The name of its port.
        port_name: String,
    },
    /// A listener of the Gateway API, by its name.
    Listener(String),
    /// An entry of an Ingress's `tls`.
    IngressTls(usize),
    /// What an Ingress serves in plain text.
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
    /// What the filter's configuration and logs call it: `namespace/gateway/port name`.
    #[must_use]
    pub fn label(&self) -> String {
        let ResourceName {
            namespace, name, ..
        } = &self.resource;
        let server = match &self.entry {
            Entry::Server { index, port_name } if port_name.is_empty() => format!("{index}"),
            Entry::Server { port_name, .. } => port_name.clone(),
            Entry::Listener(listener) => listener.clone(),
            Entry::IngressTls(index) => format!("tls-{index}"),
            Entry::IngressPlain => "rules".into(),
        };
        format!("{namespace}/{name}/{server}")
    }
}

/// What a server speaks, as far as istiod tells servers apart (Istio
/// `pkg/config/protocol/instance.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A version of HTTP in plain text, or gRPC.
    Http,
    /// HTTP over TLS.
    Https,
    /// TLS with anything in it.
    Tls,
    /// Anything else.
    Tcp,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "http" | "http2" | "http_proxy" | "grpc" | "grpc-web" => Self::Http,
            "https" => Self::Https,
            "tls" => Self::Tls,
            _ => Self::Tcp,
        }
    }
}

/// What becomes of connections to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Requests in plain text.
    PlainHttp,
    /// Requests over TLS, which is terminated; HTTP/2 is offered.
    Https,
    /// Connections, after TLS is terminated.
    TerminatedTcp,
    /// Connections in plain text.
    PlainTcp,
    /// TLS connections, by their server names.
    Passthrough,
    /// TLS connections by names of clusters, which no browser asks for.
    AutoPassthrough,
}

impl Server {
    /// What becomes of connections (Istio `pkg/config/gateway/gateway.go`).
    #[must_use]
    pub fn handling(&self) -> Handling {
        match (self.protocol, self.tls) {
            (Protocol::Http, _) => Handling::PlainHttp,
            (_, None) => Handling::PlainTcp,
            (_, Some(TlsMode::Passthrough)) => Handling::Passthrough,
            (_, Some(TlsMode::AutoPassthrough)) => Handling::AutoPassthrough,
            (Protocol::Https, Some(_)) => Handling::Https,
            (Protocol::Tls | Protocol::Tcp, Some(_)) => Handling::TerminatedTcp,
        }
    }

    /// Whether clients begin with TLS (Istio `IsTLSServer`).
    #[must_use]
    pub fn is_tls(&self) -> bool {
        !matches!(self.handling(), Handling::PlainHttp | Handling::PlainTcp)
    }

    /// The name of its route table, by the port of the Gateway where it is over TLS and by `port`,
    /// which Envoy listens on, where it is not; `None` without requests (Istio
    /// `pilot/pkg/model/gateway.go`, `gatewayRDSRouteName`).
    pub(crate) fn route_table(&self, port: u16) -> Option<String> {
        match self.handling() {
            Handling::PlainHttp => Some(format!("http.{port}{}", self.bind_suffix())),
            Handling::Https => Some(self.chain_name("https")),
            _ => None,
        }
    }

    /// The name of its filter chain: that of the route table, and what that would be where there is
    /// none.
    pub(crate) fn chain_name(&self, prefix: &str) -> String {
        let (namespace, name) = self.gateway.split_once('/').unwrap_or_default();
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

/// The Gateways of Istio's own kind.
pub(crate) fn candidate(gateway: &istio::Gateway) -> Candidate {
    let metadata = &gateway.metadata;
    let resource = metadata.resource(Kind::Gateway);
    let servers = gateway
        .spec
        .servers
        .iter()
        .enumerate()
        .map(|(index, server)| Server {
            id: ServerId {
                resource: resource.clone(),
                entry: Entry::Server {
                    index,
                    port_name: server.port.name.clone(),
                },
            },
            gateway: format!("{}/{}", metadata.namespace, metadata.name),
            port: server.port.number,
            port_name: server.port.name.clone(),
            protocol: Protocol::parse(&server.port.protocol),
            bind: server.bind.clone(),
            hosts: sanitize(&server.hosts, &metadata.namespace),
            tls: server.tls.as_ref().map(|tls| tls.mode),
            credentials: server
                .tls
                .as_ref()
                .map(CredentialText::of_server)
                .unwrap_or_default(),
        });
    Candidate {
        created: metadata.creation_timestamp,
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        attachment: Attachment::Selector(gateway.spec.selector.clone()),
        servers: servers.collect(),
    }
}

/// `./h` is in the Gateway's namespace, `*/h` in any, and `*/*` stands for all the hosts (Istio
/// `pilot/pkg/model/gateway.go`, `sanitizeServerHostNamespace`, where 1.31 ends
/// in a panic if `./h` or `*/h` follows that).
pub(crate) fn sanitize(hosts: &[super::resources::HostText], namespace: &str) -> Vec<String> {
    let mut sanitized = Vec::with_capacity(hosts.len());
    for host in hosts {
        match host.as_str().split_once('/') {
            Some((".", host)) => sanitized.push(format!("{namespace}/{host}")),
            Some(("*", "*")) => return vec!["*".into()],
            Some(("*", host)) => sanitized.push(host.to_owned()),
            Some(_) | None => sanitized.push(host.as_str().to_owned()),
        }
    }
    sanitized
}

#[cfg(test)]
mod tests {
    use super::sanitize;
    use crate::resources::HostText;

    #[track_caller]
    fn check(hosts: &[&str], expected: &[&str]) {
        let hosts: Vec<HostText> = hosts
            .iter()
            .map(|host| HostText::try_from((*host).to_owned()).unwrap())
            .collect();
        assert_eq!(sanitize(&hosts, "shop"), expected, "{hosts:?}");
    }

    #[test]
    fn hosts_with_namespaces() {
        check(&["a.example.com"], &["a.example.com"]);
        check(&["./a.example.com"], &["shop/a.example.com"]);
        check(&["*/a.example.com"], &["a.example.com"]);
        check(&["other/a.example.com"], &["other/a.example.com"]);
        check(&["./*", "b.example.com"], &["shop/*", "b.example.com"]);
        check(&["a.example.com", "*/*", "./b.example.com"], &["*"]);
    }
}
