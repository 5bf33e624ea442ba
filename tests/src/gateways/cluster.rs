//! A case in a cluster: its resources, and what a cluster has beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::Workload;
use serde_json::json;
use tempfile::TempDir;

use super::Case;
use crate::certificate::Certificate;
use crate::istio::Kubectl;

/// The label of the pods of a managed Gateway.
const MANAGED: &str = "gateway.networking.k8s.io/gateway-name";

/// The resources of a case as the API server gets them, by age.
#[derive(Debug)]
pub struct Applied(BTreeMap<String, Vec<String>>);

impl Applied {
    /// Applies a case, with the Services of its managed Gateways and the certificates that it names.
    /// Pods are left to the caller.
    ///
    /// # Errors
    /// The API server refuses a resource.
    pub fn apply(case: &Case, kubectl: &Kubectl) -> Result<Self> {
        let mut by_age: BTreeMap<String, Vec<String>> = BTreeMap::new();
        by_age.insert(String::new(), surroundings(case)?);
        for document in case
            .text
            .split("\n---\n")
            .filter(|document| is_applied(document))
        {
            let age = between(document, "creationTimestamp: \"", "\"").unwrap_or_default();
            by_age
                .entry(age.to_owned())
                .or_default()
                .push(with_port_names(document));
        }
        for (place, (age, documents)) in by_age.iter_mut().enumerate() {
            if !age.is_empty() {
                // A second may end between two of one age; the order is then that of their names,
                // by which istiod settles a tie.
                documents.sort_by_cached_key(|document| name(document).to_owned());
            }
            if place > 1 {
                // The API server's clock has seconds.
                sleep(Duration::from_millis(1050));
            }
            kubectl.apply(&documents.join("\n---\n"))?;
        }
        Ok(Self(by_age))
    }

    /// Deletes everything but the namespaces: without a controller they would stay in deletion for ever.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn delete(self, kubectl: &Kubectl) -> Result<()> {
        let all: Vec<String> = self
            .0
            .into_values()
            .flatten()
            .filter(|document| !document.contains("kind: Namespace"))
            .collect();
        let folder = TempDir::new()?;
        let file = folder.path().join("resources.yaml");
        fs::write(&file, all.join("\n---\n"))?;
        let file = file.to_str().context("a path is not UTF-8")?;
        kubectl.run(&["delete", "--ignore-not-found", "--wait=false", "-f", file])?;
        Ok(())
    }
}

/// Secrets of cases hold no certificates; they are replaced.
fn is_applied(document: &str) -> bool {
    let left_out = ["kind: Pod\n", "kind: Deployment\n", "kind: Secret\n"];
    document.contains("kind: ") && !left_out.iter().any(|kind| document.contains(kind))
}

/// The name and the namespace, as they are written.
fn name(document: &str) -> &str {
    between(document, "metadata: {name: ", "creationTimestamp").unwrap_or_default()
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split(after).next()
}

/// A Service of several ports names them, which the cases do not; the pods here name none.
fn with_port_names(document: &str) -> String {
    if !document.contains("kind: Service\n") {
        return document.to_owned();
    }
    let document = document.replace("targetPort: tls", "targetPort: 9443");
    let mut parts = document.split("{port: ").enumerate();
    let first = parts.next().map_or("", |(_, first)| first).to_owned();
    parts.fold(first, |text, (n, part)| {
        format!("{text}{{name: p{n}, port: {part}")
    })
}

fn surroundings(case: &Case) -> Result<Vec<String>> {
    let folder = TempDir::new()?;
    let files = Certificate::generate(folder.path(), &["*.example.com"])?;
    let (certificate, key) = (
        fs::read_to_string(files.certificate)?,
        fs::read_to_string(files.key)?,
    );
    let namespaces = namespaces(case);
    let mut all: Vec<String> = Vec::new();
    all.extend(namespaces.iter().map(|namespace| {
        format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}")
    }));
    let class = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": { "name": "istio" },
        "spec": { "controller": "istio.io/ingress-controller" },
    });
    all.push(class.to_string());
    for (namespace, name) in secrets(case, &namespaces) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": namespace },
            "stringData": { "tls.crt": certificate, "tls.key": key, "ca.crt": certificate },
        });
        all.push(secret.to_string());
    }
    for namespace in &namespaces {
        let authority = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "ca", "namespace": namespace },
            "data": { "ca.crt": certificate },
        });
        all.push(authority.to_string());
    }
    for workload in &case.model.workloads {
        if let Some(gateway) = workload.labels.get(MANAGED) {
            all.push(service(case, workload, gateway)?);
        }
    }
    Ok(all)
}

fn namespaces(case: &Case) -> BTreeSet<&str> {
    let mut namespaces: BTreeSet<&str> = case
        .text
        .split("namespace: ")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
                .next()
        })
        .collect();
    for workload in &case.model.workloads {
        namespaces.insert(&workload.namespace);
    }
    namespaces.remove("");
    namespaces
}

/// The Secrets of the case, by namespace and name; one in every namespace when it has none.
fn secrets<'c>(case: &'c Case, namespaces: &BTreeSet<&'c str>) -> Vec<(&'c str, &'c str)> {
    let secrets: Vec<_> = case
        .text
        .split("kind: Secret\nmetadata: ")
        .skip(1)
        .filter_map(|text| {
            Some((
                between(text, "namespace: ", "}")?,
                between(text, "name: ", ",")?,
            ))
        })
        .collect();
    if secrets.is_empty() {
        return namespaces
            .iter()
            .map(|namespace| (*namespace, "w"))
            .collect();
    }
    secrets
}

/// The Service that istiod would make for a managed Gateway, named for it and its class.
fn service(case: &Case, workload: &Workload, gateway: &str) -> Result<String> {
    let (_, written) = case
        .text
        .split_once(&format!("kind: Gateway\nmetadata: {{name: {gateway},"))
        .with_context(|| format!("{}: no Gateway {gateway}", case.name))?;
    let class =
        between(written, "gatewayClassName: ", "\n").context("a Gateway without a class")?;
    let ports: BTreeSet<u16> = workload
        .listeners
        .iter()
        .map(|listener| listener.port)
        .collect();
    let port = |port: &u16| json!({ "name": format!("p{port}"), "port": port });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": format!("{gateway}-{class}"), "namespace": workload.namespace },
        "spec": {
            "selector": { MANAGED: gateway },
            "ports": ports.iter().map(port).collect::<Vec<_>>(),
        },
    });
    Ok(service.to_string())
}
