//! The kinds of resources that are read.

/// A kind of resource, and how to list it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedKind {
    /// The API group; empty for the core group.
    pub(super) group: &'static str,
    /// The name in paths of the API, such as `gateways`.
    pub(super) plural: &'static str,
    /// The name in resources, such as `Gateway`.
    pub(super) name: &'static str,
    /// Whether resources of the kind are in namespaces.
    pub(super) is_namespaced: bool,
    /// The field selector for the list; empty for all resources.
    pub(super) fields: &'static str,
    /// The label selector for the list; empty for all resources.
    pub(super) labels: &'static str,
    /// What a missing permission to list the kind means.
    pub(super) need: Need,
}

/// Whether a command can do without a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Without the kind there is no result.
    Essential,
    /// The result is less complete without the kind.
    Useful {
        /// How the result is less complete, for a note.
        without: &'static str,
    },
}

impl ListedKind {
    /// The name with the group, such as `gateways.networking.istio.io`: two groups have Gateways.
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
            labels: "",
            need: Need::Essential,
        }
    }

    const fn useful(
        group: &'static str,
        plural: &'static str,
        name: &'static str,
        without: &'static str,
    ) -> Self {
        Self {
            need: Need::Useful { without },
            ..Self::essential(group, plural, name)
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

    const fn labelled(self, labels: &'static str) -> Self {
        Self { labels, ..self }
    }
}

const ISTIO: &str = "networking.istio.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const GATEWAY_API_EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";
const ISTIO_EXTENSIONS: &str = "extensions.istio.io";
const ISTIO_SECURITY: &str = "security.istio.io";
const CERT_MANAGER: &str = "cert-manager.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const KUBERNETES: &str = "networking.k8s.io";

const NO_GATEWAY_API: &str = "resources of the Gateway API are ignored";
const NO_INGRESSES: &str = "Ingresses are ignored";
const NO_EXTENSIONS: &str = "the installation of the filter is not checked";

/// Excludes Secrets that Istio ignores too: they are many and large (Istio
/// `pilot/pkg/credentials/kube/secrets.go`, `SecretsFieldSelector`).
const OTHER_SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// Excludes pods that have ended: they serve no requests.
const ENDED_PODS: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// The kinds that every command reads. Deployments are not among them: Pods have the same labels.
pub(super) const KINDS: [ListedKind; 24] = [
    // Without Istio's own kinds a result would be wrong, not only incomplete.
    ListedKind::essential(ISTIO, "gateways", "Gateway"),
    ListedKind::essential(ISTIO, "virtualservices", "VirtualService"),
    ListedKind::useful(GATEWAY_API, "gateways", "Gateway", NO_GATEWAY_API),
    ListedKind::useful(GATEWAY_API, "listenersets", "ListenerSet", NO_GATEWAY_API),
    ListedKind::useful(
        GATEWAY_API_EXPERIMENTAL,
        "xlistenersets",
        "XListenerSet",
        NO_GATEWAY_API,
    ),
    ListedKind::useful(GATEWAY_API, "httproutes", "HTTPRoute", NO_GATEWAY_API),
    ListedKind::useful(GATEWAY_API, "grpcroutes", "GRPCRoute", NO_GATEWAY_API),
    ListedKind::useful(GATEWAY_API, "tcproutes", "TCPRoute", NO_GATEWAY_API),
    ListedKind::useful(GATEWAY_API, "tlsroutes", "TLSRoute", NO_GATEWAY_API),
    ListedKind::useful(
        GATEWAY_API,
        "referencegrants",
        "ReferenceGrant",
        NO_GATEWAY_API,
    ),
    ListedKind::useful(
        GATEWAY_API,
        "gatewayclasses",
        "GatewayClass",
        NO_GATEWAY_API,
    )
    .of_cluster(),
    // istiod converts an Ingress to a Gateway and a VirtualService.
    ListedKind::useful(KUBERNETES, "ingresses", "Ingress", NO_INGRESSES),
    ListedKind::useful(KUBERNETES, "ingressclasses", "IngressClass", NO_INGRESSES).of_cluster(),
    ListedKind::useful(
        "",
        // Services map the ports of Gateways to the target ports that Envoy listens on.
        "services",
        "Service",
        "the ports of Gateways are assumed to be the ports that Envoy listens on",
    ),
    ListedKind::useful(
        "",
        // The labels of pods decide which Gateways share an Envoy.
        "pods",
        "Pod",
        "pods are assumed from the selectors of Gateways",
    )
    .only(ENDED_PODS),
    ListedKind::useful(
        "",
        // Certificates decide for which hosts clients reuse a connection.
        "secrets",
        "Secret",
        "certificates are assumed from the names of Secrets",
    )
    .only(OTHER_SECRETS),
    ListedKind::useful(
        "",
        "namespaces",
        "Namespace",
        "selectors of namespaces match no namespace",
    )
    .of_cluster(),
    // A tag is another name of a revision (Istio `pkg/revisions/tag_watcher.go`).
    ListedKind::useful(
        ADMISSION,
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        "revision tags are assumed to be revisions",
    )
    .of_cluster()
    .labelled("istio.io/tag"),
    // The chart of istiod labels its ConfigMap with the revision; a cluster can have many other ConfigMaps
    // (Istio `manifests/charts/istio-control/istio-discovery/templates/configmap.yaml`).
    ListedKind::useful(
        "",
        "configmaps",
        "ConfigMap",
        "the mesh configuration of istiod is assumed to be the default",
    )
    .labelled("istio.io/rev"),
    // A Certificate has the names of a Secret that the user may not read.
    ListedKind::useful(
        CERT_MANAGER,
        "certificates",
        "Certificate",
        "certificates are assumed from the names of Secrets",
    ),
    // The kinds that install the filter.
    ListedKind::useful(ISTIO_EXTENSIONS, "wasmplugins", "WasmPlugin", NO_EXTENSIONS),
    ListedKind::useful(
        ISTIO_EXTENSIONS,
        "trafficextensions",
        "TrafficExtension",
        NO_EXTENSIONS,
    ),
    // Lua scripts can answer 421 too, and plans of `merge` search EnvoyFilters for names that they change.
    ListedKind::useful(
        ISTIO,
        "envoyfilters",
        "EnvoyFilter",
        "EnvoyFilters are not checked for Lua scripts and for names that a plan changes",
    ),
    // A policy can deny the requests that bypass a client certificate.
    ListedKind::useful(
        ISTIO_SECURITY,
        "authorizationpolicies",
        "AuthorizationPolicy",
        "requests that an AuthorizationPolicy denies are reported all the same",
    ),
];
