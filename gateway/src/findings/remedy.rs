//! What a user can do about a finding, with the command that does it.
//!
//! A [`Command`] is data: only a renderer knows how this run was given its resources, and writes them into the
//! command line.

use super::WorkloadName;
use super::installed_filter::installed_filters;
use crate::istio::{GATEWAY_NAME_LABEL, PluginTarget, Reach};
use crate::model::Model;
use crate::resources::extensions::Extension;
use crate::resources::{Kind, Labels, ResourceName};
use crate::tables::Listing;
use crate::{Resources, Workload};

/// Something that a user can do about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What to do and what it costs, as a part of a sentence.
    pub text: String,
    /// The command that does it, or that writes what to apply.
    pub command: Option<Command>,
    /// Whether the text only says what does not help.
    pub is_note: bool,
}

/// A command of `packager` about the same resources, or one of kubectl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Plans how servers become one server.
    Merge {
        /// Whether the plan has to assume that certificates outside the input cover all hosts.
        assume_same_certificate: bool,
    },
    /// Writes the resource that installs the filter.
    Filter {
        attachment: PluginReach,
        code: FilterCode,
        /// The settings of the resource that the new one replaces.
        kept: KeptSettings,
    },
    /// Writes the policy that denies requests which bypass mutual TLS.
    AuthorizationPolicy(PluginReach),
    /// Reports what is wrong with the resources.
    Check,
    /// Prints the faults in the configuration of an installed filter.
    ExplainFilter(FilterSource),
    /// A command of kubectl: the words after `kubectl`, not quoted.
    Kubectl(Vec<String>),
}

/// The code that a resource runs on a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterCode {
    /// The filter, from an image.
    Image {
        /// The image of the filter that is installed already.
        installed: Option<String>,
    },
    /// The rule as a Lua script.
    Script,
}

impl FilterCode {
    /// The servers that `packager manifest` lists for the code.
    pub(super) fn listing(&self) -> Listing {
        match self {
            Self::Image { .. } => Listing::Overlapping,
            // A script cannot see which hosts have routes on a server.
            Self::Script => Listing::All,
        }
    }
}

/// The settings that a rewritten resource takes over from the installed one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptSettings {
    /// WasmPlugin, TrafficExtension or EnvoyFilter; `None` for the default.
    pub kind: Option<Kind>,
    /// The name of the resource; `None` for the default.
    pub name: Option<String>,
    /// The action for hosts without their own; `None` for the default.
    pub action: Option<String>,
    /// The actions of single hosts.
    pub hosts: Vec<(String, String)>,
    /// The Secret to pull the image with.
    pub pull_secret: Option<String>,
}

/// Where the resource of an installed filter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterSource {
    /// A file in which it is the only filter.
    File(String),
    /// A file with several filters.
    SharedFile(String),
    Cluster(ResourceName),
}

/// The pods that a resource applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginReach {
    pub namespace: String,
    pub target: ReachedPods,
}

/// How a resource selects pods of its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReachedPods {
    /// The pods of a Gateway of the Gateway API, by its name.
    Gateway(String),
    /// Pods with all of these labels.
    Labels(Labels),
    /// All pods of the namespace, or of the mesh in its root namespace.
    All,
}

/// The label by which most gateways are selected.
const ISTIO_LABEL: &str = "istio";

/// The prefixes of labels that differ between pods of one workload, or change with each release.
const UNSTABLE_LABELS: [&str; 4] = [
    "controller-revision-hash",
    "istio.io/rev",
    "pod-template-hash",
    "service.istio.io/",
];

/// A part of the name of our images.
const OUR_IMAGE: &str = "sni-guard";

impl Command {
    /// The command that writes the Lua script of a resource again.
    pub(super) fn script(attachment: PluginReach, resource: ResourceName) -> Self {
        Self::Filter {
            attachment,
            code: FilterCode::Script,
            kept: KeptSettings {
                kind: Some(resource.kind),
                name: Some(resource.name),
                ..KeptSettings::default()
            },
        }
    }

    /// The command that writes the filter for the pods of a workload.
    pub(crate) fn filter(workload: &Workload, model: &Model, resources: &Resources) -> Self {
        let attachment = PluginReach::new(workload, model);
        // A script is written again as a script: its users may have no registry.
        let script = installed_filters(resources)
            .into_iter()
            .find(|filter| filter.is_script() && filter.installation.reach(workload) == Reach::Yes);
        if let Some(script) = script {
            return Self::script(attachment, script.resource());
        }
        // The next resource loads the same image as the one that it replaces. Only the last part of a
        // reference counts: a registry or a folder may have any name.
        let installed = resources
            .extensions
            .iter()
            .map(Extension::url)
            .find(|url| {
                url.rsplit('/')
                    .next()
                    .is_some_and(|image| image.contains(OUR_IMAGE))
            })
            .map(str::to_owned);
        Self::Filter {
            attachment,
            code: FilterCode::Image { installed },
            kept: KeptSettings::default(),
        }
    }
}

impl Remedy {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            command: None,
            is_note: false,
        }
    }

    pub(crate) fn note(text: impl Into<String>) -> Self {
        Self {
            is_note: true,
            ..Self::new(text)
        }
    }

    pub(crate) fn with_command(text: impl Into<String>, command: Command) -> Self {
        Self {
            text: text.into(),
            command: Some(command),
            is_note: false,
        }
    }
}

impl Remedy {
    /// Remedies in one sentence, each as a text: one of the actions, and then the notes.
    #[must_use]
    pub fn sentence(remedies: &[Self], text: impl Fn(&Self) -> String) -> String {
        let (notes, actions): (Vec<&Self>, Vec<&Self>) =
            remedies.iter().partition(|remedy| remedy.is_note);
        let mut sentence = String::new();
        for action in actions {
            let action = text(action);
            if !sentence.is_empty() {
                // The second of two steps is no alternative.
                let is_next_step = action.starts_with("then ");
                sentence.push_str(if is_next_step { "; " } else { "; or " });
            }
            sentence.push_str(&action);
        }
        for note in notes {
            sentence.push_str("; ");
            sentence.push_str(&text(note));
        }
        sentence
    }
}

impl From<&str> for Remedy {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Remedy {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl ReachedPods {
    /// The pods as a plugin selects them.
    pub(super) fn to_plugin_target(&self) -> PluginTarget {
        match self {
            Self::Gateway(name) => PluginTarget::Gateways(vec![name.clone()]),
            Self::Labels(labels) => PluginTarget::Selector(labels.clone()),
            Self::All => PluginTarget::Selector(Labels::new()),
        }
    }
}

impl PluginReach {
    /// The attachment to the pods of a workload, and to no others if labels can do that.
    pub(crate) fn new(workload: &Workload, model: &Model) -> Self {
        Self {
            namespace: workload.namespace.clone(),
            target: target(workload, model),
        }
    }
}

fn target(workload: &Workload, model: &Model) -> ReachedPods {
    // istiod labels the pods of a Gateway of the Gateway API with its name, and attaches by targetRefs.
    if let Some(name) = workload.labels.get(GATEWAY_NAME_LABEL) {
        return ReachedPods::Gateway(name.clone());
    }
    // Most gateways are selected by this label alone. Where several workloads have it, one filter would
    // need the servers of all of them.
    if let Some(value) = workload.labels.get(ISTIO_LABEL)
        && !is_shared(workload, value, model)
    {
        return ReachedPods::Labels(Labels::from([(ISTIO_LABEL.into(), value.clone())]));
    }
    let labels: Labels = workload
        .labels
        .iter()
        .filter(|(key, _)| {
            !UNSTABLE_LABELS
                .iter()
                .any(|unstable| key.starts_with(unstable))
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if labels.is_empty() {
        ReachedPods::All
    } else {
        ReachedPods::Labels(labels)
    }
}

/// Whether another workload of the namespace has the same value of the label `istio`.
fn is_shared(workload: &Workload, value: &String, model: &Model) -> bool {
    let own = WorkloadName::from(workload);
    model.workloads.iter().any(|other| {
        other.namespace == workload.namespace
            && other.labels.get(ISTIO_LABEL) == Some(value)
            && WorkloadName::from(other) != own
    })
}

#[cfg(test)]
mod tests {
    use super::{Labels, Model, PluginReach, ReachedPods};
    use crate::Workload;

    fn workload(name: &str, labels: &[(&str, &str)]) -> Workload {
        Workload {
            namespace: "istio-system".into(),
            name: name.into(),
            labels: to_labels(labels),
            is_assumed: false,
            listeners: Vec::new(),
            dropped: Vec::new(),
            revision: None,
            root_namespace: "istio-system".into(),
            services: Vec::new(),
            without_chains: Vec::new(),
        }
    }

    fn to_labels(labels: &[(&str, &str)]) -> Labels {
        labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The target of the first of some workloads.
    fn target(workloads: &[Workload]) -> ReachedPods {
        let mut model = Model::new(&crate::Resources::default());
        model.workloads = workloads.to_vec();
        PluginReach::new(&workloads[0], &model).target
    }

    #[test]
    fn one_label_is_enough_where_no_other_workload_has_it() {
        let labels = [("app", "x"), ("istio", "ingressgateway")];
        let own = workload("x", &labels);
        let expected = to_labels(&[("istio", "ingressgateway")]);
        assert_eq!(
            target(std::slice::from_ref(&own)),
            ReachedPods::Labels(expected.clone())
        );
        let mut elsewhere = workload("y", &labels);
        elsewhere.namespace = "other".into();
        assert_eq!(
            target(&[own.clone(), elsewhere]),
            ReachedPods::Labels(expected)
        );
        let beside = workload("y", &[("app", "y"), ("istio", "ingressgateway")]);
        assert_eq!(
            target(&[own, beside]),
            ReachedPods::Labels(to_labels(&labels))
        );
    }

    #[test]
    fn labels_of_one_revision_are_left_out() {
        let own = workload(
            "x",
            &[
                ("app", "x"),
                ("istio.io/rev", "canary"),
                ("pod-template-hash", "1"),
                ("service.istio.io/canonical-name", "x"),
            ],
        );
        assert_eq!(
            target(&[own]),
            ReachedPods::Labels(to_labels(&[("app", "x")]))
        );
        let bare = workload("x", &[("pod-template-hash", "1")]);
        assert_eq!(target(&[bare]), ReachedPods::All);
    }

    #[test]
    fn pods_of_the_gateway_api_are_attached_by_the_gateway() {
        let own = workload(
            "x",
            &[
                ("gateway.networking.k8s.io/gateway-name", "public"),
                ("istio", "ingressgateway"),
            ],
        );
        assert_eq!(target(&[own]), ReachedPods::Gateway("public".into()));
    }
}
