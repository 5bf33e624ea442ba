//! Revision tags: other names of revisions, such as `prod` for `1-28`.

use std::collections::{BTreeMap, BTreeSet};

use super::mesh::REVISION_LABEL;
use super::resources::{Labels, Resources};

/// The label with the name of a tag, on the webhook or the Service of the tag. Its label `istio.io/rev` has the
/// revision.
const TAG_LABEL: &str = "istio.io/tag";

/// The tags of an input.
#[derive(Debug, Default)]
pub(crate) struct RevisionTags<'r>(BTreeMap<&'r str, BTreeSet<&'r str>>);

impl<'r> RevisionTags<'r> {
    /// The tags that webhooks and Services define (Istio `pkg/revisions/tag_watcher.go`, `GetMyTags`).
    pub(crate) fn new(resources: &'r Resources) -> Self {
        let mut tags: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for webhook in &resources.tag_webhooks {
            if let Some((tag, revision)) = definition(&webhook.metadata.labels) {
                tags.entry(tag).or_default().insert(revision);
            }
        }
        for service in &resources.services {
            if let Some((tag, revision)) = definition(&service.metadata.labels) {
                tags.entry(tag).or_default().insert(revision);
            }
        }
        Self(tags)
    }

    /// The revision of the pods that a Deployment or a namespace with a label creates. A tag is not theirs: the
    /// injector writes the name of the revision. A name that is no tag is a revision.
    pub(crate) fn revision<'p>(&self, label: &'p str) -> &'p str
    where
        'r: 'p,
    {
        self.0
            .get(label)
            .and_then(|revisions| revisions.first())
            .copied()
            .unwrap_or(label)
    }

    /// Whether a label names a revision, or one of its tags.
    pub(crate) fn is_of(&self, label: &str, revision: &str) -> bool {
        label == revision
            || self
                .0
                .get(label)
                .is_some_and(|revisions| revisions.contains(revision))
    }

    /// Whether a name is a tag.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a revision has a tag.
    pub(crate) fn has_revision(&self, revision: &str) -> bool {
        self.0
            .values()
            .any(|revisions| revisions.contains(revision))
    }
}

/// The tag and the revision of a resource that defines a tag.
fn definition(labels: &Labels) -> Option<(&str, &str)> {
    let tag = labels.get(TAG_LABEL)?;
    let revision = labels.get(REVISION_LABEL)?;
    (!tag.is_empty() && !revision.is_empty()).then_some((tag, revision))
}

/// Whether a webhook defines a tag. A cluster has webhooks of other programs.
pub(crate) fn is_tag(labels: &Labels) -> bool {
    definition(labels).is_some()
}
