//! The servers that an operator selects by name.

use std::collections::BTreeSet;

use crate::{Model, ServerId};

/// The servers that a plan may change, as a command line names them: by the resource, such as
/// `Gateway shop/gw-a` or `shop/gw-a`, or by the entry, such as `shop/gw-a servers[0]`.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these servers; empty for all.
    pub only: Vec<String>,
    /// All servers but these.
    pub exclude: Vec<String>,
}

/// A name that no server of the input has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownServer {
    pub name: String,
    /// The names that servers have.
    pub known: Vec<String>,
}

impl Selection {
    /// The servers of a model that are not selected.
    ///
    /// # Errors
    /// A name matches no server.
    pub fn left_out(&self, model: &Model) -> Result<Vec<ServerId>, UnknownServer> {
        let servers = servers(model);
        if let Some(name) = self
            .only
            .iter()
            .chain(&self.exclude)
            .find(|name| !servers.iter().any(|server| has_name(server, name)))
        {
            return Err(UnknownServer {
                name: name.clone(),
                known: known_names(&servers),
            });
        }
        Ok(servers
            .into_iter()
            .filter(|server| !self.includes(server))
            .cloned()
            .collect())
    }

    fn includes(&self, server: &ServerId) -> bool {
        (self.only.is_empty() || is_named(server, &self.only)) && !is_named(server, &self.exclude)
    }
}

fn servers(model: &Model) -> BTreeSet<&ServerId> {
    model
        .workloads
        .iter()
        .flat_map(|workload| {
            workload
                .listeners
                .iter()
                .flat_map(|listener| &listener.chains)
                .map(|chain| &chain.server.id)
                .chain(workload.dropped.iter().map(|dropped| &dropped.server.id))
        })
        .collect()
}

fn is_named(server: &ServerId, names: &[String]) -> bool {
    names.iter().any(|name| has_name(server, name))
}

/// Whether a name is the one of a server or of its resource, with or without the kind.
fn has_name(server: &ServerId, name: &str) -> bool {
    let kind = format!("{} ", server.resource.kind.name());
    let name = name.strip_prefix(&kind).unwrap_or(name);
    [server.to_string(), server.resource.to_string()]
        .iter()
        .any(|full| full.strip_prefix(&kind) == Some(name))
}

/// The names of the resources and of their servers, without kinds.
fn known_names(servers: &BTreeSet<&ServerId>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for server in servers {
        let kind = format!("{} ", server.resource.kind.name());
        for name in [server.resource.to_string(), server.to_string()] {
            names.insert(name.strip_prefix(&kind).unwrap_or(&name).to_owned());
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::has_name;
    use crate::ServerId;
    use crate::resources::{Kind, ResourceName};
    use crate::server::Entry;

    #[test]
    fn a_server_has_the_names_of_its_resource_and_entry() {
        let server = ServerId {
            resource: ResourceName {
                kind: Kind::Gateway,
                namespace: "shop".to_owned(),
                name: "gw-a".to_owned(),
            },
            entry: Entry::Server {
                index: 1,
                port_name: "https".to_owned(),
            },
        };
        for (name, expected) in [
            ("Gateway shop/gw-a", true),
            ("shop/gw-a", true),
            ("Gateway shop/gw-a servers[1]", true),
            ("shop/gw-a servers[1]", true),
            ("shop/gw-a servers[0]", false),
            ("shop/gw", false),
            ("gw-a", false),
            ("Ingress shop/gw-a", false),
            ("", false),
        ] {
            assert_eq!(has_name(&server, name), expected, "{name}");
        }
    }
}
