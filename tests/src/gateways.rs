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

/// A file of `gateways/`.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of the file, without the extension.
    pub name: String,
    /// The resources as YAML, with the expectations in comments.
    pub text: String,
    /// What the model makes of the resources.
    pub model: Model,
}

/// The names of all cases, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("gateways")? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        names.push(stem.context("the name of a case is not UTF-8")?.to_owned());
    }
    names.sort();
    Ok(names)
}

/// All cases, sorted by name.
///
/// # Errors
/// One cannot be read.
pub fn cases() -> Result<Vec<Case>> {
    names()?.iter().map(|name| Case::read(name)).collect()
}

impl Case {
    /// Reads the case of this name.
    ///
    /// # Errors
    /// There is no such file, or a document of it is not valid.
    pub fn read(name: &str) -> Result<Self> {
        let path = format!("gateways/{name}.yaml");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Self::parse(name, text)
    }

    fn parse(name: &str, text: String) -> Result<Self> {
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
        let line = format!("kind: {kind}\n");
        let text: Vec<&str> = self
            .text
            .split("\n---\n")
            .filter(|document| !document.contains(&line))
            .collect();
        Self::parse(&self.name, text.join("\n---\n"))
    }

    /// The listeners that clients begin with TLS on, named for the case and the workload.
    pub fn tls_listeners(&self) -> impl Iterator<Item = (String, &Listener)> {
        self.model.workloads.iter().flat_map(|workload| {
            workload
                .listeners
                .iter()
                .filter(|listener| listener.is_tls())
                .map(|listener| {
                    let workload = workload.full_name();
                    let name = format!("{} {workload} {}", self.name, listener.name());
                    (name, listener)
                })
        })
    }

    /// The hosts that requests name: each host of the text, for a wildcard its suffix, a host one level
    /// below it and one two levels below it, and a host that no Gateway has.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<String> {
        let words = self
            .text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && !".-*".contains(c)))
            .filter(|word| word.contains('.') && word.parse::<IpAddr>().is_err());
        let mut hosts = BTreeSet::from(["nobody.invalid".to_owned()]);
        // A wildcard of Envoy covers hosts of any depth, and not its own suffix.
        for word in words {
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
