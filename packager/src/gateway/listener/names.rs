//! Hosts to ask for.

use std::collections::BTreeSet;

use rule::HostPattern;

/// The hosts of patterns, each once: of a wildcard one that nothing else names, since all such hosts
/// fare alike. `*` alone has none.
#[must_use]
pub fn names(patterns: &[HostPattern]) -> BTreeSet<String> {
    let exact = patterns
        .iter()
        .filter(|pattern| matches!(pattern, HostPattern::Exact(_)));
    let mut names: BTreeSet<String> = exact.map(ToString::to_string).collect();
    let suffixes: BTreeSet<String> = patterns
        .iter()
        .filter(|pattern| matches!(pattern, HostPattern::Suffix(_)))
        .map(|pattern| pattern.to_string().split_off(1))
        .collect();
    for suffix in suffixes {
        let numbered = (1..).map(|number: usize| format!("x{number}{suffix}"));
        let mut free = std::iter::once(format!("x{suffix}")).chain(numbered);
        names.extend(free.find(|name| !names.contains(name)));
    }
    names
}
