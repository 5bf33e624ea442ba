//! Which gateways a resource applies to.

use anyhow::{Error, Result, anyhow, bail};
use gateway::advice::Advice;
use rule::{Fault, Faults};
use serde::Serialize;

use super::{Labels, ManifestKind, ObjectName};

/// The gateways that a resource applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// Pods that have all of these labels.
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
    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }
}

/// The largest number of targets that the API server accepts in resources of Istio.
const MOST_TARGETS: usize = 16;

impl Attachment {
    /// Reads labels of pods, or targets in the form `KIND/NAME`. Labels exclude targets.
    ///
    /// # Errors
    /// There are no labels and no targets, and `mesh_wide` is not set; the kind of resource has no
    /// such attachment; or the control plane would ignore it.
    pub(crate) fn parse(
        kind: ManifestKind,
        labels: &[(String, String)],
        targets: &[String],
        mesh_wide: bool,
    ) -> Result<Self> {
        if !kind.is_istio() && (mesh_wide || !labels.is_empty()) {
            bail!(Advice::new(
                format!("{} cannot select pods, it targets Gateways", kind.name()),
                "name the gateway with --target-ref Gateway/NAME"
            ));
        }
        if !labels.is_empty() {
            // clap refuses --selector together with --target-ref, so the order does not matter.
            let (labels, faults) = Labels::parse(labels, "spec.selector.matchLabels");
            if !faults.is_empty() {
                return Err(invalid(kind, faults));
            }
            return Ok(Self::Selector(labels));
        }
        if !targets.is_empty() {
            return Ok(Self::Targets(parse_targets(kind, targets)?));
        }
        // Without a selector and targets a resource applies to every proxy, which is rarely intended.
        if mesh_wide {
            return Ok(Self::Everything);
        }
        Err(no_gateway(kind).into())
    }
}

fn no_gateway(kind: ManifestKind) -> Advice {
    if kind.is_istio() {
        return Advice::new(
            "the resource names no gateway, so it would apply to every proxy of the namespace",
            "name the gateway with --selector istio=ingressgateway or --target-ref Gateway/NAME, \
             or use --mesh-wide",
        );
    }
    Advice::new(
        "the resource names no gateway",
        "name the gateway with --target-ref Gateway/NAME",
    )
}

fn parse_targets(kind: ManifestKind, texts: &[String]) -> Result<Vec<PolicyTarget>> {
    let (mut targets, mut faults) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        let path = format!("spec.targetRefs[{index}]");
        let name = match ObjectName::parse(gateway_name(kind, &path, text)?) {
            Ok(name) => name,
            Err(problem) => {
                faults.push(Fault {
                    path: format!("{path}.name"),
                    problem,
                });
                continue;
            }
        };
        let target = PolicyTarget {
            group: "gateway.networking.k8s.io",
            kind: "Gateway",
            name,
        };
        // A repeated target is probably a typing error.
        if targets.contains(&target) {
            faults.push(Fault {
                path,
                problem: format!("{text} is given twice"),
            });
        }
        targets.push(target);
    }
    // The custom resource definition has this limit.
    if kind.is_istio() && targets.len() > MOST_TARGETS {
        faults.push(Fault {
            path: "spec.targetRefs".into(),
            problem: format!("expected at most {MOST_TARGETS}, found {}", targets.len()),
        });
    }
    if !faults.is_empty() {
        return Err(invalid(kind, faults));
    }
    Ok(targets)
}

/// The name in `Gateway/NAME`. The error explains why another kind of target has no effect (Istio
/// `pilot/pkg/model/policyattachment.go`; Envoy Gateway `internal/xds/translator/wasm.go`).
fn gateway_name<'t>(kind: ManifestKind, path: &str, text: &'t str) -> Result<&'t str> {
    let target = text.split_once('/').filter(|(_, name)| !name.is_empty());
    let reason = match (target, kind.is_istio()) {
        (Some(("Gateway", name)), _) => return Ok(name),
        (Some(("GatewayClass", _)), true) => {
            "istiod attaches resources for a GatewayClass to waypoints only".into()
        }
        (Some(("Service" | "ServiceEntry", _)), true) => {
            "istiod attaches resources for services to waypoints only".into()
        }
        (Some((other, _)), true) => format!("istiod does not attach resources to {other:?}"),
        (Some(("HTTPRoute" | "GRPCRoute", _)), false) => {
            "a misdirected request usually does not match the route that it was meant for".into()
        }
        (Some((other, _)), false) => format!("expected a Gateway, found {other:?}"),
        (None, _) => "expected the form Gateway/NAME".into(),
    };
    let hint = if kind.is_istio() {
        "name a Gateway of the Gateway API, or select the gateway's pods with --selector"
    } else {
        "name a Gateway of the Gateway API"
    };
    bail!(Advice::new(
        format!("{path}: target {text}: {reason}"),
        hint
    ))
}

/// An error with the faults of a resource. The console prints each fault in a line of its own.
pub(crate) fn invalid(kind: ManifestKind, faults: Vec<Fault>) -> Error {
    match Faults::collect(faults) {
        None => anyhow!("{} is invalid", kind.name()),
        Some(faults) => Error::new(faults).context(kind.name()),
    }
}
