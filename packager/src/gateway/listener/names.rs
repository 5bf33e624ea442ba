//! Hosts to ask for.

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;

/// The hosts of patterns, each once: of a wildcard one that nothing else names, since all such hosts
/// fare alike. `*` alone has none.
#[must_use]
pub fn names(patterns: &[HostPattern]) -> BTreeSet<String> {
    samples(patterns).into_values().collect()
}

/// A host of each pattern: the host itself, and of a wildcard one that no other pattern names. `*` has
/// none.
#[must_use]
pub fn samples(patterns: &[HostPattern]) -> BTreeMap<HostPattern, String> {
    let mut samples: BTreeMap<HostPattern, String> = patterns
        .iter()
        .filter(|pattern| matches!(pattern, HostPattern::Exact(_)))
        .map(|pattern| (pattern.clone(), pattern.to_string()))
        .collect();
    let mut taken: BTreeSet<String> = samples.values().cloned().collect();
    let wildcards: BTreeSet<&HostPattern> = patterns
        .iter()
        .filter(|pattern| matches!(pattern, HostPattern::Suffix(_)))
        .collect();
    for wildcard in wildcards {
        let suffix = wildcard.to_string().split_off(1);
        let numbered = (1..).map(|number: usize| format!("x{number}{suffix}"));
        let free = std::iter::once(format!("x{suffix}"))
            .chain(numbered)
            .find(|name| !taken.contains(name));
        if let Some(name) = free {
            taken.insert(name.clone());
            samples.insert(wildcard.clone(), name);
        }
    }
    samples
}
