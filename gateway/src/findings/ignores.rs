//! The annotation `sni-guard/ignore`, which hides findings about its resource.

use std::collections::HashMap;
use std::fmt;

use super::Code;
use super::context::resources_of_findings;
use crate::resources::{LabelQuery, ResourceName, Resources};

/// The value of this annotation is a list of codes, with commas between them.
const ANNOTATION: &str = "sni-guard/ignore";

/// The codes of the findings about connection coalescing.
const ALL_COALESCING: &str = "SG101,SG102,SG103,SG104";

/// A text in an annotation that is not a code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownCode {
    /// The resource with the annotation.
    pub resource: ResourceName,
    pub text: String,
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, text } = self;
        write!(
            f,
            "annotation {ANNOTATION} of {resource} lists {text:?}, which is not a code"
        )
    }
}

/// The texts in annotations that are not codes, by resource.
#[must_use]
pub fn unknown_codes(resources: &Resources) -> Vec<UnknownCode> {
    let mut unknown = Vec::new();
    for (resource, texts) in annotations(resources) {
        for text in texts {
            // A comma at the end is not an error.
            if !text.is_empty() && Code::parse(text).is_none() {
                unknown.push(UnknownCode {
                    resource: resource.clone(),
                    text: text.to_owned(),
                });
            }
        }
    }
    unknown.sort_unstable();
    unknown
}

/// Hides the findings about connection coalescing of all Gateways whose labels do not match, as the annotation does.
/// [`merge`](crate::merge) then leaves their servers alone.
pub fn leave_others_alone(resources: &mut Resources, query: &LabelQuery) {
    for metadata in resources.with_servers_mut() {
        if !query.matches(&metadata.labels) {
            metadata
                .annotations
                .insert(ANNOTATION.to_owned(), ALL_COALESCING.to_owned());
        }
    }
}

/// The codes that each resource hides.
#[derive(Debug, Default)]
pub(super) struct Ignores(HashMap<ResourceName, Vec<Code>>);

impl Ignores {
    pub(super) fn new(resources: &Resources) -> Self {
        let mut codes: HashMap<ResourceName, Vec<Code>> = HashMap::new();
        for (resource, texts) in annotations(resources) {
            // The input may contain the same resource twice, for example from two files.
            codes
                .entry(resource)
                .or_default()
                .extend(texts.into_iter().filter_map(Code::parse));
        }
        Self(codes)
    }

    pub(super) fn has(&self, resource: &ResourceName, code: Code) -> bool {
        self.0
            .get(resource)
            .is_some_and(|codes| codes.contains(&code))
    }
}

/// The resources with the annotation, each with the texts between the commas.
fn annotations(resources: &Resources) -> impl Iterator<Item = (ResourceName, Vec<&str>)> {
    resources_of_findings(resources).filter_map(|(kind, metadata)| {
        let value = metadata.annotations.get(ANNOTATION)?;
        let texts = value.split(',').map(str::trim).collect();
        Some((metadata.resource(kind), texts))
    })
}
