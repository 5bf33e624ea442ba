//! The kinds of resources that a cluster has, and their versions.

use std::collections::HashMap;

use anyhow::Result;

use super::connection::Server;
use super::kinds::{KINDS, ListedKind};

/// The version in which each kind is served, by group and plural.
#[derive(Debug)]
pub(super) struct Served(HashMap<(String, String), String>);

impl Served {
    /// The version of a kind; `None` if the cluster does not have the kind.
    pub(super) fn version(&self, kind: &ListedKind) -> Option<&str> {
        // The core group is not in the list of groups, and has only one version.
        if kind.group.is_empty() {
            return Some("v1");
        }
        let key = (kind.group.to_owned(), kind.plural.to_owned());
        self.0.get(&key).map(String::as_str)
    }
}

/// Finds the version of each kind that the cluster has. A version of a group may lack some kinds.
pub(super) async fn discover(server: &Server) -> Result<Served> {
    const STEP: &str = "listing the kinds of resources";
    let groups = server
        .bounded(server.client.list_api_groups())
        .await
        .map_err(|failure| server.failed(STEP, failure))?
        .groups;

    let mut versions = HashMap::new();
    for group in groups {
        if !KINDS.iter().any(|kind| kind.group == group.name) {
            continue;
        }
        // The preferred version comes first, so it wins if several versions have a kind.
        for version in group.preferred_version.iter().chain(&group.versions) {
            let version = &version.group_version;
            let found = server
                .bounded(server.client.list_api_group_resources(version))
                .await
                .map_err(|failure| server.failed(STEP, failure))?;
            let number = version.rsplit('/').next().unwrap_or(version);
            for resource in found.resources {
                let key = (group.name.clone(), resource.name);
                versions.entry(key).or_insert_with(|| number.to_owned());
            }
        }
    }
    Ok(Served(versions))
}
