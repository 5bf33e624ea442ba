//! Constants of Istio and of the Gateway API, and the workloads that a plugin applies to.

use super::Workload;
use super::resources::Labels;

/// The root namespace of a default installation (Istio `meshConfig.rootNamespace`): a plugin there applies
/// to all namespaces. It is also the namespace of the default ingress gateway.
pub(crate) const ROOT_NAMESPACE: &str = "istio-system";

/// The label of pods that istiod deploys for a Gateway of the Gateway API; its value is the name of the
/// Gateway.
pub const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// The label by which Gateways select the default ingress gateway.
pub(crate) const DEFAULT_SELECTOR: (&str, &str) = ("istio", "ingressgateway");

/// The name that istiod's own GatewayClass and `IngressClass` have in a default installation.
pub(crate) const DEFAULT_CLASS: &str = "istio";

/// The pods of its scope that a plugin (a WasmPlugin, TrafficExtension or AuthorizationPolicy) applies to.
#[derive(Clone, Debug)]
pub enum PluginTarget {
    /// All pods with these labels; without labels, all pods of the scope.
    Selector(Labels),
    /// The pods of Gateways of the Gateway API, by the names of the Gateways.
    Gateways(Vec<String>),
}

/// Whether a plugin applies to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Yes,
    No,
    /// The input does not contain the pods of the workload, which can have more labels than are known.
    Unknown,
}

/// Whether a plugin in a namespace applies to a workload (Istio `pilot/pkg/model/extensions.go`).
#[must_use]
pub fn reaches(namespace: &str, target: &PluginTarget, workload: &Workload) -> Reach {
    let is_same_namespace = namespace == workload.namespace;
    match target {
        // Target references are local: a plugin in the root namespace does not reach other namespaces.
        PluginTarget::Gateways(names) => match workload.labels.get(GATEWAY_NAME_LABEL) {
            Some(gateway) if is_same_namespace && names.contains(gateway) => Reach::Yes,
            Some(_) | None => Reach::No,
        },
        PluginTarget::Selector(_) if !is_same_namespace && namespace != workload.root_namespace => {
            Reach::No
        }
        PluginTarget::Selector(labels) => selects(labels, workload),
    }
}

/// Whether a selector matches the pods of a workload.
fn selects(selector: &Labels, workload: &Workload) -> Reach {
    let mut reach = Reach::Yes;
    for (key, value) in selector {
        match workload.labels.get(key) {
            Some(found) if found == value => {}
            // Assumed pods have the labels that a Gateway selects, and maybe others.
            None if workload.is_assumed => reach = Reach::Unknown,
            Some(_) | None => return Reach::No,
        }
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::{GATEWAY_NAME_LABEL, PluginTarget, Reach, reaches};
    use crate::Workload;
    use crate::resources::Labels;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn workload(is_assumed: bool) -> Workload {
        Workload {
            namespace: "shop".into(),
            name: "gateway".into(),
            labels: labels(&[("app", "gateway"), (GATEWAY_NAME_LABEL, "public")]),
            revision: None,
            root_namespace: super::ROOT_NAMESPACE.into(),
            is_assumed,
            listeners: Vec::new(),
            dropped: Vec::new(),
            without_chains: Vec::new(),
            services: Vec::new(),
        }
    }

    #[track_caller]
    fn check(namespace: &str, target: &PluginTarget, expected: Reach, expected_if_assumed: Reach) {
        for (is_assumed, expected) in [(false, expected), (true, expected_if_assumed)] {
            let found = reaches(namespace, target, &workload(is_assumed));
            assert_eq!(found, expected, "{namespace} {target:?} {is_assumed}");
        }
    }

    #[test]
    fn selectors() {
        let selector = |pairs| PluginTarget::Selector(labels(pairs));
        for namespace in ["shop", "istio-system"] {
            check(namespace, &selector(&[]), Reach::Yes, Reach::Yes);
            let own = selector(&[("app", "gateway")]);
            check(namespace, &own, Reach::Yes, Reach::Yes);
            let different = selector(&[("app", "other")]);
            check(namespace, &different, Reach::No, Reach::No);
            let more = selector(&[("app", "gateway"), ("team", "a")]);
            check(namespace, &more, Reach::No, Reach::Unknown);
        }
        check("other", &selector(&[]), Reach::No, Reach::No);
    }

    #[test]
    fn target_references() {
        let gateways = |name: &str| PluginTarget::Gateways(vec![name.to_owned()]);
        check("shop", &gateways("public"), Reach::Yes, Reach::Yes);
        check("shop", &gateways("internal"), Reach::No, Reach::No);
        check("istio-system", &gateways("public"), Reach::No, Reach::No);
    }
}
