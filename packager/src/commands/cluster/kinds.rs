//! The kinds of resources that are read.

/// A kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its API group; empty for the core's.
    pub(super) group: &'static str,
    /// Its name in paths.
    pub(super) plural: &'static str,
    /// Its name in resources.
    pub(super) name: &'static str,
    /// Whether its resources are in namespaces.
    pub(super) is_namespaced: bool,
    /// Which of them are listed; empty for all.
    pub(super) fields: &'static str,
    /// What becomes of a result without them.
    pub(super) need: Need,
}

/// How much depends on resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing can be told without them.
    Essential,
    /// Something can.
    Useful {
        /// What is missing then.
        without: &'static str,
    },
}

impl Kind {
    /// Its name, with the group where there is one: both APIs have Gateways.
    pub(super) fn full_plural(&self) -> String {
        if self.group.is_empty() {
            return self.plural.to_owned();
        }
        format!("{}.{}", self.plural, self.group)
    }

    const fn essential(group: &'static str, plural: &'static str, name: &'static str) -> Self {
        Self {
            group,
            plural,
            name,
            is_namespaced: true,
            fields: "",
            need: Need::Essential,
        }
    }

    const fn useful(
        group: &'static str,
        plural: &'static str,
        name: &'static str,
        without: &'static str,
    ) -> Self {
        let need = Need::Useful { without };
        Self {
            group,
            plural,
            name,
            is_namespaced: true,
            fields: "",
            need,
        }
    }

    const fn of_cluster(self) -> Self {
        Self {
            is_namespaced: false,
            ..self
        }
    }

    const fn only(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }
}

const ISTIO: &str = "networking.istio.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const GATEWAY_API_EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";
const ISTIO_EXTENSIONS: &str = "extensions.istio.io";
const KUBERNETES: &str = "networking.k8s.io";

const NO_GATEWAY_API: &str = "what the Gateway API adds is left out";
const NO_INGRESSES: &str = "what Ingresses add is left out";
const NO_EXTENSIONS: &str = "whether the filter is installed as it should be is not checked";

/// Those that leave this to others, and Secrets that Istio does not look at either (Istio
/// `pilot/pkg/credentials/kube/secrets.go`, `SecretsFieldSelector`); both are many and large.
const OTHER_SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// Pods that ended serve nothing.
const ENDED_PODS: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// All of them. Pods say themselves which labels they have, so their Deployments are not asked.
pub(super) const KINDS: [Kind; 18] = [
    Kind::essential(ISTIO, "gateways", "Gateway"),
    Kind::essential(ISTIO, "virtualservices", "VirtualService"),
    Kind::useful(GATEWAY_API, "gateways", "Gateway", NO_GATEWAY_API),
    Kind::useful(GATEWAY_API, "listenersets", "ListenerSet", NO_GATEWAY_API),
    Kind::useful(
        GATEWAY_API_EXPERIMENTAL,
        "xlistenersets",
        "XListenerSet",
        NO_GATEWAY_API,
    ),
    Kind::useful(GATEWAY_API, "httproutes", "HTTPRoute", NO_GATEWAY_API),
    Kind::useful(GATEWAY_API, "grpcroutes", "GRPCRoute", NO_GATEWAY_API),
    Kind::useful(GATEWAY_API, "tlsroutes", "TLSRoute", NO_GATEWAY_API),
    Kind::useful(
        GATEWAY_API,
        "referencegrants",
        "ReferenceGrant",
        NO_GATEWAY_API,
    ),
    Kind::useful(
        GATEWAY_API,
        "gatewayclasses",
        "GatewayClass",
        NO_GATEWAY_API,
    )
    .of_cluster(),
    Kind::useful(KUBERNETES, "ingresses", "Ingress", NO_INGRESSES),
    Kind::useful(KUBERNETES, "ingressclasses", "IngressClass", NO_INGRESSES).of_cluster(),
    Kind::useful(
        "",
        "services",
        "Service",
        "ports are taken for those that Envoy listens on",
    ),
    Kind::useful(
        "",
        "pods",
        "Pod",
        "pods are guessed from the selectors of Gateways",
    )
    .only(ENDED_PODS),
    Kind::useful(
        "",
        "secrets",
        "Secret",
        "certificates are guessed from the names of Secrets",
    )
    .only(OTHER_SECRETS),
    Kind::useful(
        "",
        "namespaces",
        "Namespace",
        "selectors of namespaces select none",
    )
    .of_cluster(),
    Kind::useful(ISTIO_EXTENSIONS, "wasmplugins", "WasmPlugin", NO_EXTENSIONS),
    Kind::useful(
        ISTIO_EXTENSIONS,
        "trafficextensions",
        "TrafficExtension",
        NO_EXTENSIONS,
    ),
];

/// What a plan looks at beside those.
pub(super) const FOR_PLANS: [Kind; 1] = [Kind::useful(
    ISTIO,
    "envoyfilters",
    "EnvoyFilter",
    "whether EnvoyFilters name what a plan changes is not checked",
)];
