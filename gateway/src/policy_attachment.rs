//! The pods that istiod applies a plugin or a policy to.

use crate::Workload;
use crate::istio::{PluginTarget, Reach, reaches};
use crate::mesh::REVISION_LABEL;
use crate::resources::extensions::TargetRef;
use crate::resources::kind::GATEWAY_API;
use crate::resources::{Labels, Metadata};

/// How a resource selects the pods that it applies to: by labels or by target references.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyAttachment<'r> {
    pub(crate) metadata: &'r Metadata,
    /// The labels of the pods; `None` for all pods of the namespace.
    pub(crate) selector: Option<&'r Labels>,
    /// The references that replace the selector.
    pub(crate) targets: &'r [TargetRef],
}

impl<'r> PolicyAttachment<'r> {
    /// Whether istiod applies the resource to the pods of a workload (Istio
    /// `pilot/pkg/model/policyattachment.go`, `ShouldAttachPolicy`).
    pub(crate) fn reach(self, workload: &Workload) -> Reach {
        match (
            self.reach_of_any_revision(workload),
            self.revision_reach(workload),
        ) {
            (Reach::No, _) | (_, Reach::No) => Reach::No,
            (Reach::Yes, Reach::Yes) => Reach::Yes,
            (Reach::Unknown, _) | (_, Reach::Unknown) => Reach::Unknown,
        }
    }

    /// The same for an istiod of any revision.
    pub(crate) fn reach_of_any_revision(self, workload: &Workload) -> Reach {
        // With targetRefs Istio ignores the selector, also if no reference is valid.
        let target = if self.targets.is_empty() {
            PluginTarget::Selector(self.selector.cloned().unwrap_or_default())
        } else {
            PluginTarget::Gateways(self.target_gateways())
        };
        reaches(&self.metadata.namespace, &target, workload)
    }

    /// The revision whose istiod alone sees the resource.
    pub(crate) fn revision(self) -> Option<&'r str> {
        self.metadata.labels.get(REVISION_LABEL).map(String::as_str)
    }

    /// Whether the istiod of the pods sees the resource: one with the label of a revision is for this revision only
    /// (Istio `pilot/pkg/config/kube/crdclient/client.go`, `inRevision`, and `pkg/config/model.go`, `LabelsInRevision`).
    fn revision_reach(self, workload: &Workload) -> Reach {
        let Some(own) = self.revision() else {
            return Reach::Yes;
        };
        // The injector labels pods with their revision; other pods do not show it.
        match workload.revision.as_deref() {
            Some(revision) if revision == own => Reach::Yes,
            Some(_) => Reach::No,
            None => Reach::Unknown,
        }
    }

    /// The names of the Gateways of the Gateway API that the references name.
    fn target_gateways(self) -> Vec<String> {
        let namespace = &self.metadata.namespace;
        self.targets
            .iter()
            // Istio compares the group too: both APIs have a kind Gateway. A reference to another namespace
            // never matches.
            .filter(|target| target.group == GATEWAY_API && target.kind == "Gateway")
            .filter(|target| target.namespace.is_empty() || target.namespace == *namespace)
            .map(|target| target.name.clone())
            .collect()
    }
}
