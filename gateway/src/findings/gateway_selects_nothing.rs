//! SG204: a Gateway whose selector matches no pods.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};
use strsim::osa_distance;

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Remedy, kubectl};
use crate::istio::{DEFAULT_SELECTOR, ROOT_NAMESPACE};
use crate::resources::istio::Gateway;
use crate::resources::kubernetes::Pods;
use crate::resources::{Kind, Labels, ResourceName, Resources};

pub(super) const INFO: Info = Info {
    id: "SG204",
    name: "gateway-selects-nothing",
    severity: Severity::Error,
    what: "The selector of a Gateway matches no pods.",
    why: "istiod configures no gateway with its servers, so no connection reaches them.",
    example: "A Gateway has the selector istio: ingressgateway. The gateway was installed with Helm as the \
              release istio-ingress, so its pods have the label istio: ingress.",
    fix: "Change the selector to labels that the pods of the gateway have.",
    coalesced_answer: None,
};

/// A label with its value.
type Label<'l> = (&'l str, &'l str);

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    let resources = context.input.resources;
    let pods = PodsByLabel::new(&resources.pods);
    // The model knows where the input has the pods: files rarely contain all of them.
    let unselected: HashSet<&ResourceName> = context
        .input
        .model
        .unselected
        .iter()
        .map(|unselected| &unselected.resource)
        .collect();
    let gateways: Vec<&Gateway> = resources
        .gateways
        .iter()
        .filter(|gateway| unselected.contains(&gateway.metadata.resource(Kind::Gateway)))
        .collect();
    for (selector, gateways) in gateways_by_selector(gateways) {
        let nearest = if pods.has_match(selector) {
            Nearest::OutOfReach
        } else {
            let candidates: Vec<&Pods> = if resources.has_all_pods {
                resources.pods.iter().collect()
            } else {
                candidates(selector, &gateways, resources)
            };
            nearest(selector, &candidates).map_or(Nearest::None, Nearest::Labels)
        };
        add(selector, &gateways, nearest, findings);
    }
}

/// The pods that a selector probably means.
#[derive(Clone, Copy)]
enum Nearest<'p> {
    None,
    /// Pods with other labels.
    Labels(&'p Pods),
    /// Pods with the labels, which the istiod of the Gateway does not give it to.
    OutOfReach,
}

/// The Gateways of each selector. A Gateway without a selector applies to every gateway.
fn gateways_by_selector(gateways: Vec<&Gateway>) -> BTreeMap<&Labels, Vec<&Gateway>> {
    let mut by_selector: BTreeMap<&Labels, Vec<&Gateway>> = BTreeMap::new();
    for gateway in gateways {
        if !gateway.spec.selector.is_empty() {
            by_selector
                .entry(&gateway.spec.selector)
                .or_default()
                .push(gateway);
        }
    }
    by_selector
}

/// All pods, arranged by label: a cluster can have thousands of pods, and thousands of selectors.
struct PodsByLabel<'r>(HashMap<Label<'r>, Vec<&'r Pods>>);

impl<'r> PodsByLabel<'r> {
    fn new(pods: &'r [Pods]) -> Self {
        let mut by_label: HashMap<Label<'_>, Vec<&Pods>> = HashMap::new();
        for pods in pods {
            for (key, value) in &pods.labels {
                by_label.entry((key, value)).or_default().push(pods);
            }
        }
        Self(by_label)
    }

    /// Whether some pods have all labels of a selector, in whichever namespace (Istio
    /// `pilot/pkg/model/push_context.go`, `mergeGateways`).
    fn has_match(&self, selector: &Labels) -> bool {
        // The pods with the rarest label are few, and a label without pods settles it.
        let rarest = selector
            .iter()
            .map(|(key, value)| {
                self.0
                    .get(&(key.as_str(), value.as_str()))
                    .map_or(&[][..], Vec::as_slice)
            })
            .min_by_key(|pods| pods.len());
        rarest.is_some_and(|pods| {
            pods.iter()
                .any(|pods| matching(selector, pods) == selector.len())
        })
    }
}

/// How many labels of a selector pods have.
fn matching(selector: &Labels, pods: &Pods) -> usize {
    selector
        .iter()
        .filter(|(key, value)| pods.labels.get(*key) == Some(value))
        .count()
}

/// The pods of the input that were probably meant, where the input may not contain all pods: those in the
/// namespace of the gateway's pods.
fn candidates<'r>(
    selector: &Labels,
    gateways: &[&Gateway],
    resources: &'r Resources,
) -> Vec<&'r Pods> {
    let namespace = expected_namespace(selector, gateways, resources);
    resources
        .pods
        .iter()
        .filter(|pods| pods.metadata.namespace == namespace && !is_control_plane(pods))
        .collect()
}

/// The namespace in which pods with the labels are expected, as the model assumes it: where a Service selects
/// such pods, else where the default installation has its ingress gateway, else where the Gateway is.
fn expected_namespace<'r>(
    selector: &Labels,
    gateways: &[&'r Gateway],
    resources: &'r Resources,
) -> &'r str {
    let of_service = resources
        .services
        .iter()
        .filter(|service| !service.spec.selector.is_empty())
        .filter(|service| {
            service
                .spec
                .selector
                .iter()
                .all(|(key, value)| selector.get(key) == Some(value))
        })
        .map(|service| service.metadata.namespace.as_str())
        .min();
    let (key, value) = DEFAULT_SELECTOR;
    let is_default = selector.get(key).is_some_and(|found| found == value);
    match (of_service, is_default) {
        (Some(namespace), _) => namespace,
        (None, true) => ROOT_NAMESPACE,
        (None, false) => gateways
            .iter()
            .min_by_key(|gateway| (gateway.metadata.creation_timestamp, &gateway.metadata.name))
            .map_or("", |gateway| &gateway.metadata.namespace),
    }
}

/// Whether these are pods of istiod, which have the label `istio` too and are often in the same folder of files.
fn is_control_plane(pods: &Pods) -> bool {
    pods.labels.get("app").is_some_and(|app| app == "istiod")
        || pods
            .labels
            .get("istio")
            .is_some_and(|name| name == "pilot" || name == "istiod")
}

/// The pods with the most labels of a selector, and then with the most similar values for its keys; `None` if no
/// pods have one of its keys.
fn nearest<'p>(selector: &Labels, candidates: &[&'p Pods]) -> Option<&'p Pods> {
    candidates
        .iter()
        .copied()
        .filter(|pods| selector.keys().any(|key| pods.labels.contains_key(key)))
        .filter(|pods| !is_control_plane(pods))
        .min_by_key(|pods| {
            let distance: usize = selector
                .iter()
                .map(|(key, value)| {
                    let found = pods.labels.get(key).map_or("", String::as_str);
                    osa_distance(found, value)
                })
                .sum();
            // The name last, so that equal inputs have equal output.
            (
                selector.len() - matching(selector, pods),
                distance,
                &pods.metadata.namespace,
                &pods.metadata.name,
            )
        })
}

fn add(
    selector: &Labels,
    gateways: &[&Gateway],
    nearest: Nearest<'_>,
    findings: &mut Findings<'_>,
) {
    // One selector is one cause, whatever the number of Gateways that have it.
    let resources: Vec<ResourceName> = gateways
        .iter()
        .map(|gateway| gateway.metadata.resource(Kind::Gateway))
        .filter(|resource| !findings.ignores_resource(resource, Code::GatewaySelectsNothing))
        .collect();
    if resources.len() < gateways.len() {
        findings.suppress(1);
    }
    let Some(first) = resources.first() else {
        return;
    };

    // The labels side by side show the difference.
    let wanted = written(selector);
    let others = match resources.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let verb = if resources.len() == 1 {
        "selects"
    } else {
        "select"
    };
    let message = format!("no pods have the labels that {first}{others} {verb}: {wanted}");
    let (message, hint) = match nearest {
        Nearest::OutOfReach => (
            format!(
                "the pods with the labels that {first}{others} {verb} ({wanted}) have another revision, or \
                 another namespace where istiod limits Gateways to their own"
            ),
            Remedy::with_command(
                "look at the revisions and namespaces of the pods",
                kubectl::pods_with_labels(),
            ),
        ),
        Nearest::Labels(pods) => (
            format!(
                "{message}; the nearest are {} {}/{} with {}",
                pods.kind,
                pods.metadata.namespace,
                pods.metadata.name,
                written(&labels_of(selector, pods))
            ),
            Remedy::with_command(
                "select the labels of the pods",
                kubectl::merge_patch(first, &selector_patch(selector, pods)),
            ),
        ),
        Nearest::None => (
            message,
            Remedy::with_command(
                "set spec.selector to labels of the gateway's pods; look them up",
                kubectl::pods_with_labels(),
            ),
        ),
    };
    // Every Gateway has its file and line in the report.
    let mut finding = Finding::new(Code::GatewaySelectsNothing, message, hint);
    for resource in resources {
        finding = finding.about(resource);
    }
    findings.add(finding);
}

/// Labels as a selector has them on the command line.
fn written(labels: &Labels) -> String {
    labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// The labels of pods for the keys of a selector.
fn labels_of(selector: &Labels, pods: &Pods) -> Labels {
    pods.labels
        .iter()
        .filter(|(key, _)| selector.contains_key(*key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The patch that makes a selector match pods. A key that the pods do not have is removed.
fn selector_patch(selector: &Labels, pods: &Pods) -> Value {
    let labels: Map<String, Value> = selector
        .keys()
        .map(|key| (key.clone(), json!(pods.labels.get(key))))
        .collect();
    json!({"spec": {"selector": labels}})
}

#[cfg(test)]
mod tests {
    use crate::findings::tests::{messages, resources};
    use crate::findings::{Code, Input};
    use crate::{Certificates, Model};

    const GATEWAY: &str = "\
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: public, namespace: shop},
 spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}]}}
---
";

    fn deployment(namespace: &str, labels: &str) -> String {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: pods, namespace: {namespace}}},\n \
             spec: {{template: {{metadata: {{labels: {labels}}}, spec: {{}}}}}}}}\n---\n"
        )
    }

    /// The message for a Gateway with the selector `istio: ingressgateway` and some pods.
    fn message(pods: &str, has_all_pods: bool) -> Option<String> {
        let mut resources = resources(&format!("{GATEWAY}{pods}"));
        resources.has_all_pods = has_all_pods;
        let model = Model::new(&resources);
        let certificates = Certificates::new(&resources);
        let input = Input::for_tests(&resources, &model, &certificates);
        messages(&input, Code::GatewaySelectsNothing).pop()
    }

    #[test]
    fn pods_of_the_expected_namespace_have_another_label() {
        let pods = deployment("istio-system", "{istio: ingress}");
        for has_all_pods in [false, true] {
            assert_eq!(
                message(&pods, has_all_pods).as_deref(),
                Some(
                    "no pods have the labels that Gateway shop/public selects: istio=ingressgateway; \
                     the nearest are Deployment istio-system/pods with istio=ingress"
                )
            );
        }
    }

    #[test]
    fn pods_that_fit_or_that_say_nothing() {
        // The pods can be in any namespace.
        let fitting = deployment("edge", "{istio: ingressgateway, app: edge}");
        assert_eq!(message(&fitting, false), None);
        assert_eq!(message(&fitting, true), None);
        // Files without the pods of the gateway.
        for pods in [
            String::new(),
            deployment("istio-system", "{istio: pilot, app: istiod}"),
            deployment("istio-system", "{app: kiali}"),
            deployment("shop", "{app: cart}"),
        ] {
            assert_eq!(message(&pods, false), None, "{pods}");
            assert!(message(&pods, true).is_some(), "{pods}");
        }
    }
}
