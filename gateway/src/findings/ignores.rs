//! What is not to be told, by annotations of Gateways.

use std::collections::HashMap;
use std::fmt;

use super::Code;
use crate::resources::{ResourceName, Resources};

/// The annotation, with codes and commas between them.
const ANNOTATION: &str = "sni-guard/ignore";

/// What an annotation names that is no code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownCode {
    /// The resource with the annotation.
    pub resource: ResourceName,
    /// What it names.
    pub text: String,
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, text } = self;
        write!(
            f,
            "{ANNOTATION} of {resource} names {text:?}, which is no code"
        )
    }
}

/// The codes that annotations name and that there are not.
#[must_use]
pub fn unknown_codes(resources: &Resources) -> Vec<UnknownCode> {
    let mut unknown = Vec::new();
    for (resource, texts) in annotated(resources) {
        let texts = texts.filter(|text| !text.is_empty() && Code::parse(text).is_none());
        unknown.extend(texts.map(|text| UnknownCode {
            resource: resource.clone(),
            text: text.to_owned(),
        }));
    }
    unknown.sort_unstable();
    unknown
}

/// The codes by Gateway.
#[derive(Debug, Default)]
pub(super) struct Ignores(HashMap<ResourceName, Vec<Code>>);

impl Ignores {
    pub(super) fn of(resources: &Resources) -> Self {
        let mut codes: HashMap<ResourceName, Vec<Code>> = HashMap::new();
        for (resource, texts) in annotated(resources) {
            codes
                .entry(resource)
                .or_default()
                .extend(texts.filter_map(Code::parse));
        }
        Self(codes)
    }

    pub(super) fn has(&self, resource: &ResourceName, code: Code) -> bool {
        self.0
            .get(resource)
            .is_some_and(|codes| codes.contains(&code))
    }
}

/// What the annotations of resources with servers name.
fn annotated(
    resources: &Resources,
) -> impl Iterator<Item = (ResourceName, impl Iterator<Item = &str>)> {
    let all = resources.with_servers();
    all.filter_map(|(kind, metadata)| {
        let texts = metadata
            .annotations
            .get(ANNOTATION)?
            .split(',')
            .map(str::trim);
        Some((metadata.resource(kind), texts))
    })
}
