//! Istio's `AuthorizationPolicy` (`security.istio.io/v1`, Istio API
//! `security/v1beta1/authorization_policy.proto`) with the action `DENY`: Envoy answers 403 to the requests
//! that a [`Boundary`] denies, before it uses a route.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use gateway::protected::{Boundary, Denial, OtherListeners};
use rule::HostPattern;
use serde::Serialize;

use super::fields::{Metadata, WorkloadSelector, selection};
use super::{Attachment, ManifestKind, PolicyTarget};

/// The resource with a rule for each denial of a boundary.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthorizationPolicy {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

/// The largest number of rules that the API server accepts.
const MOST_RULES: usize = 512;

/// The listeners that the rules apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// The ports of the denials.
    Listed,
    /// All listeners of the workload.
    All,
}

impl Ports {
    /// The ports that the rules need so that they do not affect other listeners.
    ///
    /// # Errors
    /// The rules would close connections of other listeners, and the input lacks the ports.
    pub(crate) fn needed(boundary: &Boundary, attachment: &Attachment) -> Result<Self> {
        let others = boundary.other_listeners;
        // With certain ports, rules for these ports are always safe.
        if boundary.ports_are_certain {
            let is_limited =
                others != OtherListeners::None || *attachment == Attachment::Everything;
            return Ok(if is_limited { Self::Listed } else { Self::All });
        }
        if boundary.needs_unknown_ports() {
            bail!(Advice::new(
                "the rules have to be limited to the ports of some listeners, and a Service that is not \
                 in the input decides which port Envoy listens on for each",
                "give the gateway's Service and its pods or Deployment too"
            ));
        }
        // Rules for all ports affect nothing else, or only requests without TLS, which get a warning.
        Ok(Self::All)
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<WorkloadSelector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_refs: Vec<PolicyTarget>,
    action: &'static str,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Serialize)]
struct Rule {
    to: [To; 1],
    when: [Condition; 1],
}

#[derive(Clone, Debug, Serialize)]
struct To {
    operation: Operation,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    key: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_values: Vec<String>,
}

impl AuthorizationPolicy {
    /// The resource for the denials of a boundary.
    ///
    /// # Errors
    /// It has more rules than the API server accepts.
    pub(crate) fn new(
        metadata: Metadata,
        attachment: Attachment,
        boundary: &Boundary,
        ports: Ports,
    ) -> Result<Self> {
        // The custom resource definition limits the number of rules.
        let count = boundary.denials.len();
        if count > MOST_RULES {
            bail!(Advice::new(
                format!("spec.rules: expected at most {MOST_RULES}, found {count}"),
                "bind the routes only to the Gateways with mutual TLS"
            ));
        }
        let (selector, target_refs) = selection(attachment);
        Ok(Self {
            api_version: "security.istio.io/v1",
            kind: ManifestKind::AuthorizationPolicy.name(),
            metadata,
            spec: Spec {
                selector,
                target_refs,
                action: "DENY",
                rules: boundary
                    .denials
                    .iter()
                    .map(|denial| rule(denial, ports))
                    .collect(),
            },
        })
    }
}

fn rule(denial: &Denial, ports: Ports) -> Rule {
    // An empty list of ports means all ports.
    let ports = match ports {
        Ports::Listed => denial.ports.iter().map(ToString::to_string).collect(),
        Ports::All => Vec::new(),
    };
    Rule {
        to: [To {
            operation: Operation {
                hosts: denial.hosts.iter().flat_map(authorities).collect(),
                not_hosts: texts(&denial.except),
                ports,
            },
        }],
        when: [Condition {
            key: "connection.sni",
            values: texts(&denial.connections.among),
            not_values: texts(&denial.connections.but),
        }],
    }
}

/// The values that match every authority that Envoy routes to a host. Istio compares them without regard to
/// case, exactly or with a `*` at one end (Istio `pilot/pkg/security/authz/matcher/header.go`, `HostMatcher`).
///
/// Envoy cuts the authority at its last colon, whatever follows, so any port has to match. Envoy keeps a trailing
/// dot, and a host with a trailing dot may match the virtual host of a wildcard.
fn authorities(host: &HostPattern) -> Vec<String> {
    match host {
        // With and without port, with and without trailing dot.
        HostPattern::Exact(_) => vec![
            host.to_string(),
            format!("{host}:*"),
            format!("{host}."),
            format!("{host}.:*"),
        ],
        // Istio allows one wildcard in a value, so a pattern cannot have a port too.
        HostPattern::Suffix(_) | HostPattern::Any => vec![host.to_string()],
    }
}

fn texts<'p>(patterns: impl IntoIterator<Item = &'p HostPattern>) -> Vec<String> {
    patterns.into_iter().map(ToString::to_string).collect()
}
