//! The servers that a workload keeps, by address and port. istiod adds servers one by one, the oldest
//! first, and drops each that conflicts with one that it added before (Istio `pilot/pkg/model/gateway.go`,
//! `mergeGateways`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rule::host::istio::IstioHost;

use super::resources::NamespacedHost;
use super::server::{Handling, Protocol, Server, ServerId};

/// The address of a listener whose servers do not name one.
const ANY_ADDRESS: &str = "0.0.0.0";

/// A server that istiod drops from a workload.
#[derive(Clone, Debug)]
pub struct Dropped {
    pub server: Arc<Server>,
    /// The port that Envoy would listen on.
    pub port: u16,
    pub reason: DropReason,
    /// Whether the gateway serves the hosts as it would with this server: a server in plain text only
    /// repeats the redirect of an older one.
    pub changes_nothing: bool,
}

/// The reason why istiod drops a server, with the server that it conflicts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// An older server on the address and port has the same host.
    SameHost {
        /// The host, with the namespace if both have one.
        host: String,
        winner: ServerId,
    },
    /// An older server on the address and port handles plain text.
    PlainText { winner: ServerId },
    /// Another server of the Gateway has the same port name, so both would have one route table.
    SamePortName { winner: ServerId },
}

/// An address and a port that Envoy listens on. Sorted by port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ListenerAddress {
    pub(crate) port: u16,
    pub(crate) bind: String,
}

/// The servers of a workload after the merge.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) servers: BTreeMap<ListenerAddress, Vec<Arc<Server>>>,
    pub(crate) dropped: Vec<Dropped>,
}

/// Merges servers, each with the port that Envoy listens on, the oldest first.
pub(crate) fn merge(servers: impl IntoIterator<Item = (Arc<Server>, u16)>) -> Merged {
    let mut admitted = Admitted::default();
    let mut merged = Merged::default();
    for (server, port) in servers {
        if let Err(reason) = admitted.admit(&server, port) {
            merged.dropped.push(Dropped {
                changes_nothing: admitted.has_redirects_of(&server, port),
                server,
                port,
                reason,
            });
            continue;
        }
        let bind = match server.bind.as_str() {
            "" => ANY_ADDRESS.to_owned(),
            address => address.to_owned(),
        };
        merged
            .servers
            .entry(ListenerAddress { port, bind })
            .or_default()
            .push(server);
    }
    merged
}

/// The servers that the merge has kept so far. Addresses are compared as they are written, so `0.0.0.0`
/// differs from the empty address.
#[derive(Default)]
struct Admitted {
    /// The last server with a host on a port, for the hosts as they are written.
    hosts: HashMap<(u16, NamespacedHost), HostOwner>,
    ports: HashSet<u16>,
    /// The server in plain text on a port that later servers are compared with.
    plain: HashMap<u16, Arc<Server>>,
    /// The servers on a port that only redirect.
    redirects: HashMap<u16, Vec<Arc<Server>>>,
    /// The combinations of port, protocol and address that have a server.
    addresses: HashSet<(u16, Protocol, String)>,
    route_tables: HashMap<String, ServerId>,
}

struct HostOwner {
    bind: String,
    server: ServerId,
}

impl Admitted {
    /// Adds a server, unless it conflicts with an older one.
    fn admit(&mut self, server: &Arc<Server>, port: u16) -> Result<(), DropReason> {
        // istiod checks the hosts first, and only for servers with TLS settings. A server that is
        // dropped for another reason keeps its hosts.
        if server.tls.is_some() {
            self.claim_hosts(server, port)?;
        }
        let route_table = server.route_table(port);
        match self.plain.get(&port) {
            // Servers for HTTP in plain text share one route table. Anything else beside a server in
            // plain text is dropped.
            Some(plain) if plain.bind == server.bind => {
                let are_http = [plain.protocol, server.protocol] == [Protocol::Http; 2];
                if !are_http {
                    return Err(DropReason::PlainText {
                        winner: plain.id.clone(),
                    });
                }
                self.note_redirect(server, port);
                return Ok(());
            }
            // On a port with servers, istiod drops an HTTPS server whose route table has the name of an
            // existing one.
            None if self.ports.contains(&port) && server.handling() == Handling::Https => {
                self.check_port_name(route_table.as_deref())?;
            }
            Some(_) | None => {}
        }
        self.add(server, port, route_table);
        Ok(())
    }

    /// Reserves the hosts of a server. Hosts conflict only on one address (Istio `CheckDuplicates`).
    fn claim_hosts(&mut self, server: &Server, port: u16) -> Result<(), DropReason> {
        // First compare all hosts: a server that is dropped here reserves none.
        for host in &server.hosts {
            if let Some(owner) = self.hosts.get(&(port, host.clone()))
                && owner.bind == server.bind
            {
                return Err(DropReason::SameHost {
                    host: host.to_string(),
                    winner: owner.server.clone(),
                });
            }
        }
        for host in &server.hosts {
            let owner = HostOwner {
                bind: server.bind.clone(),
                server: server.id.clone(),
            };
            self.hosts.insert((port, host.clone()), owner);
        }
        Ok(())
    }

    /// Whether older servers redirect every request that a server would redirect. The route table of a port
    /// in plain text is shared, and each host of a server that redirects has a virtual host in it (Istio
    /// `buildGatewayHTTPRouteConfig`).
    fn has_redirects_of(&self, server: &Server, port: u16) -> bool {
        server.redirects()
            && server.hosts.iter().all(|host| {
                self.redirects
                    .get(&port)
                    .into_iter()
                    .flatten()
                    .filter(|older| older.bind == server.bind)
                    .flat_map(|older| &older.hosts)
                    .any(|older| IstioHost(&host.host).is_subset_of(IstioHost(&older.host)))
            })
    }

    fn check_port_name(&self, route_table: Option<&str>) -> Result<(), DropReason> {
        match route_table.and_then(|table| self.route_tables.get(table)) {
            Some(winner) => Err(DropReason::SamePortName {
                winner: winner.clone(),
            }),
            None => Ok(()),
        }
    }

    fn note_redirect(&mut self, server: &Arc<Server>, port: u16) {
        if server.redirects() {
            self.redirects
                .entry(port)
                .or_default()
                .push(Arc::clone(server));
        }
    }

    fn add(&mut self, server: &Arc<Server>, port: u16, route_table: Option<String>) {
        self.ports.insert(port);
        let address = (port, server.protocol, server.bind.clone());
        // A server in plain text with a new protocol or address replaces the one that istiod compares later
        // servers with.
        if self.addresses.insert(address) && !server.is_tls() {
            self.plain.insert(port, Arc::clone(server));
        }
        self.note_redirect(server, port);
        if let Some(table) = route_table {
            self.route_tables
                .entry(table)
                .or_insert_with(|| server.id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{DropReason, merge};
    use crate::resources::NamespacedHost;
    use crate::resources::istio::TlsMode;
    use crate::server::{Protocol, Server};

    fn plain(name: &str, protocol: Protocol) -> Server {
        Server {
            protocol,
            tls: None,
            ..Server::example(name, &["*"])
        }
    }

    /// Merges servers on one port and compares the reasons why some are dropped: the name of the reason
    /// and the winner.
    #[track_caller]
    fn check(servers: Vec<Server>, expected: &[(&str, &str)]) {
        let merged = merge(servers.into_iter().map(|server| (Arc::new(server), 8443)));
        let found: Vec<(&str, &str)> = merged
            .dropped
            .iter()
            .map(|dropped| match &dropped.reason {
                DropReason::SameHost { winner, .. } => ("host", winner.resource.name.as_str()),
                DropReason::PlainText { winner } => ("plain", winner.resource.name.as_str()),
                DropReason::SamePortName { winner } => ("port", winner.resource.name.as_str()),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn hosts_conflict_on_one_address() {
        let a = || Server::example("a", &["a.example.com"]);
        check(vec![a(), Server::example("b", &["b.example.com"])], &[]);
        check(
            vec![
                a(),
                Server::example("b", &["b.example.com", "a.example.com"]),
            ],
            &[("host", "a")],
        );
        let elsewhere = Server {
            bind: "127.0.0.1".into(),
            ..Server::example("b", &["a.example.com"])
        };
        check(vec![a(), elsewhere], &[]);
        let for_one_namespace = Server {
            hosts: vec![NamespacedHost::of_namespace("shop", "a.example.com")],
            ..Server::example("b", &[])
        };
        check(vec![a(), for_one_namespace], &[]);
    }

    #[test]
    fn plain_text_admits_only_http_beside_it() {
        let http = |name| plain(name, Protocol::Http);
        check(vec![http("a"), http("b")], &[]);
        check(
            vec![http("a"), plain("b", Protocol::Tcp)],
            &[("plain", "a")],
        );
        check(
            vec![http("a"), Server::example("b", &["b.example.com"])],
            &[("plain", "a")],
        );
    }

    #[test]
    fn a_repeated_redirect_changes_nothing() {
        let redirect = |name, host: &str| Server {
            tls: Some(TlsMode::Passthrough),
            https_redirect: true,
            protocol: Protocol::Http,
            ..Server::example(name, &[host])
        };
        let without = Server {
            https_redirect: false,
            ..redirect("b", "*")
        };
        for (older, younger, expected) in [
            (redirect("a", "*"), redirect("b", "*"), true),
            (
                redirect("a", "*"),
                Server {
                    hosts: redirect("b", "*")
                        .hosts
                        .into_iter()
                        .chain(redirect("b", "a.example.com").hosts)
                        .collect(),
                    ..redirect("b", "*")
                },
                true,
            ),
            // One of the two serves the host in plain text.
            (redirect("a", "*"), without.clone(), false),
            (without, redirect("c", "*"), false),
            // The younger one has a host that the older one does not redirect.
            (
                redirect("a", "a.example.com"),
                Server {
                    hosts: redirect("b", "a.example.com")
                        .hosts
                        .into_iter()
                        .chain(redirect("b", "b.example.com").hosts)
                        .collect(),
                    ..redirect("b", "*")
                },
                false,
            ),
            // TLS servers do not redirect.
            (
                Server::example("a", &["a.example.com"]),
                Server {
                    https_redirect: true,
                    ..Server::example("b", &["a.example.com"])
                },
                false,
            ),
        ] {
            let servers = [older, younger].map(|server| (Arc::new(server), 8080));
            let found: Vec<bool> = merge(servers)
                .dropped
                .iter()
                .map(|dropped| dropped.changes_nothing)
                .collect();
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn servers_of_a_gateway_need_distinct_port_names() {
        check(
            vec![
                Server::example("a", &["a.example.com"]),
                Server::example("a", &["b.example.com"]),
            ],
            &[("port", "a")],
        );
    }
}
