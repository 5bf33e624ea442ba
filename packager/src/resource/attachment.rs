//! Which gateways run the filter.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use rule::{Fault, Faults};
use serde::Serialize;

use super::{Labels, ManifestKind, ObjectName};

/// Which gateways run the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// The pods with these labels.
    Selector(Labels),
    /// Managed gateways of the Gateway API, by name.
    Targets(Vec<PolicyTarget>),
    /// Every proxy of the namespace; of the mesh, when that is its root namespace.
    Everything,
}

/// A gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PolicyTarget {
    group: &'static str,
    kind: &'static str,
    name: ObjectName,
}

impl PolicyTarget {
    /// The gateway's name.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }
}

/// The most targets that Istio's resources hold.
const MOST_TARGETS: usize = 16;

impl Attachment {
    /// Reads labels, `KEY=VALUE` each, or targets, `KIND/NAME` each; at most one of the two.
    ///
    /// # Errors
    /// Nothing is named and `mesh_wide` does not say so; the kind cannot be attached in that way;
    /// or the control plane would attach nothing there.
    pub(crate) fn parse(
        kind: ManifestKind,
        labels: &[(String, String)],
        targets: &[String],
        mesh_wide: bool,
    ) -> Result<Self> {
        if !kind.is_istio() && (mesh_wide || !labels.is_empty()) {
            bail!(Advice::new(
                format!("{} selects no pods, it targets Gateways", kind.name()),
                "name the gateway with --target-ref Gateway/NAME"
            ));
        }
        match (labels.is_empty(), targets.is_empty()) {
            (false, _) => {
                let (labels, faults) = Labels::parse(labels, "spec.selector.matchLabels");
                refuse(kind, faults)?;
                Ok(Self::Selector(labels))
            }
            (true, false) => Ok(Self::Targets(parse_targets(kind, targets)?)),
            (true, true) if mesh_wide => Ok(Self::Everything),
            (true, true) => bail!(nothing_named(kind)),
        }
    }
}

fn nothing_named(kind: ManifestKind) -> Advice {
    if kind.is_istio() {
        return Advice::new(
            "the resource names no gateway, and without one it is for every proxy of the namespace",
            "name the gateway with --selector istio=ingressgateway or --target-ref Gateway/NAME, \
             or say --mesh-wide",
        );
    }
    Advice::new(
        "the resource names no gateway",
        "name it with --target-ref Gateway/NAME",
    )
}

fn parse_targets(kind: ManifestKind, texts: &[String]) -> Result<Vec<PolicyTarget>> {
    let (mut targets, mut faults) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        let path = format!("spec.targetRefs[{index}]");
        match ObjectName::parse(gateway_name(kind, &path, text)?) {
            Err(problem) => faults.push(Fault {
                path: format!("{path}.name"),
                problem,
            }),
            Ok(name) => {
                let target = PolicyTarget {
                    group: "gateway.networking.k8s.io",
                    kind: "Gateway",
                    name,
                };
                if targets.contains(&target) {
                    faults.push(Fault {
                        path,
                        problem: format!("{text} is given twice"),
                    });
                }
                targets.push(target);
            }
        }
    }
    if kind.is_istio() && targets.len() > MOST_TARGETS {
        let problem = format!("expected at most {MOST_TARGETS}, found {}", targets.len());
        faults.push(Fault {
            path: "spec.targetRefs".into(),
            problem,
        });
    }
    refuse(kind, faults)?;
    Ok(targets)
}

/// The name in `Gateway/NAME`; why other kinds are of no use, otherwise (Istio
/// `pilot/pkg/model/policyattachment.go`; Envoy Gateway `internal/xds/translator/wasm.go`).
fn gateway_name<'t>(kind: ManifestKind, path: &str, text: &'t str) -> Result<&'t str> {
    let target = text.split_once('/').filter(|(_, name)| !name.is_empty());
    let reason = match (target, kind.is_istio()) {
        (Some(("Gateway", name)), _) => return Ok(name),
        (Some(("GatewayClass", _)), true) => {
            "of a GatewayClass, istiod attaches to waypoints alone".into()
        }
        (Some(("Service" | "ServiceEntry", _)), true) => {
            "for services, istiod attaches to waypoints alone".into()
        }
        (Some((other, _)), true) => format!("istiod attaches to no {other:?}"),
        (Some(("HTTPRoute" | "GRPCRoute", _)), false) => {
            "a misdirected request seldom finds the route that it was meant for".into()
        }
        (Some((other, _)), false) => format!("expected a Gateway, found a {other:?}"),
        (None, _) => "it is not of the form Gateway/NAME".into(),
    };
    let remedy = if kind.is_istio() {
        "name a Gateway of the Gateway API, or select a gateway's pods with --selector"
    } else {
        "name a Gateway of the Gateway API"
    };
    bail!(Advice::new(
        format!("{path}: target {text}: {reason}"),
        remedy
    ))
}

/// Nothing, or the faults of a resource as the console prints them.
pub(super) fn refuse(kind: ManifestKind, faults: Vec<Fault>) -> Result<()> {
    match Faults::collect(faults) {
        None => Ok(()),
        Some(faults) => Err(anyhow::Error::new(faults).context(kind.name())),
    }
}
