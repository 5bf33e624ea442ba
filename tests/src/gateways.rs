//! The cases of the model of gateways, `gateways/*.yaml`, on a real Envoy.

mod cluster;
mod config;
mod random;

pub use cluster::Applied;
pub use config::{Listening, body, bootstrap, free_backends, label};
pub use random::{NAMESPACES, RandomInput};

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use gateway::documents::read;
use gateway::{Listener, Model, Resources};

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its file, without the extension.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What the model makes of it.
    pub model: Model,
}

/// All cases, by name.
///
/// # Errors
/// One cannot be read.
pub fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir("gateways")? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let name = stem.context("the name of a case is not UTF-8")?.to_owned();
        cases.push(Case::of(&name, fs::read_to_string(&path)?)?);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    fn of(name: &str, text: String) -> Result<Self> {
        let mut resources = Resources::default();
        let faults = read(name, &text, &mut resources);
        ensure!(faults.is_empty(), "{name}: {faults:?}");
        Ok(Self {
            name: name.into(),
            text,
            model: Model::new(&resources),
        })
    }

    /// The case without the resources of a kind.
    ///
    /// # Errors
    /// None for a case that was read.
    pub fn without(&self, kind: &str) -> Result<Self> {
        let other = |document: &&str| !document.contains(&format!("kind: {kind}\n"));
        let text: Vec<&str> = self.text.split("\n---\n").filter(other).collect();
        Self::of(&self.name, text.join("\n---\n"))
    }

    /// The listeners that clients begin with TLS on, named for the case and the workload.
    pub fn tls_listeners(&self) -> impl Iterator<Item = (String, &Listener)> {
        self.model.workloads.iter().flat_map(|workload| {
            let listeners = workload
                .listeners
                .iter()
                .filter(|listener| listener.is_tls());
            listeners.map(|listener| {
                (
                    format!("{} {} {}", self.name, workload.full_name(), listener.name()),
                    listener,
                )
            })
        })
    }

    /// The hosts that requests name: every host of the text, of a wildcard one host below it, one
    /// two below, and its suffix, and a host of nobody.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<String> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let is_part = |c: char| c.is_ascii_alphanumeric() || ".-*".contains(c);
        let words = lines.flat_map(|line| line.split(|c| !is_part(c)));
        let mut hosts = BTreeSet::from(["nobody.invalid".to_owned()]);
        for word in words.filter(|word| word.contains('.') && word.parse::<IpAddr>().is_err()) {
            let suffix = word.trim_start_matches("*.");
            hosts.insert(suffix.to_ascii_lowercase());
            if suffix != word {
                hosts.insert(format!("fresh.{suffix}"));
                hosts.insert(format!("deep.fresh.{suffix}"));
            }
        }
        hosts
    }
}
