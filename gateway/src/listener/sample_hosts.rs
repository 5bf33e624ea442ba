//! Sample hosts of patterns, for which requests are simulated or sent.

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;

/// A host for each pattern, each host once. All hosts of a wildcard that no other pattern matches have the
/// same outcome, so one of them is enough. `*` has no sample.
#[must_use]
pub fn sample_hosts(patterns: &[HostPattern]) -> BTreeSet<String> {
    samples(patterns).into_values().collect()
}

/// The sample of each pattern: the host itself, and for a wildcard a host that is not one of the patterns.
/// `*` has no sample.
#[must_use]
pub fn samples(patterns: &[HostPattern]) -> BTreeMap<HostPattern, String> {
    let mut samples: BTreeMap<HostPattern, String> = patterns
        .iter()
        .filter(|pattern| matches!(pattern, HostPattern::Exact(_)))
        .map(|pattern| (pattern.clone(), pattern.to_string()))
        .collect();
    // Exact hosts first: the sample of a wildcard must not be one of them.
    let mut taken: BTreeSet<String> = samples.values().cloned().collect();
    let wildcards: BTreeSet<&HostPattern> = patterns
        .iter()
        .filter(|pattern| matches!(pattern, HostPattern::Suffix(_)))
        .collect();
    for wildcard in wildcards {
        // `*.example.com` without the asterisk.
        let suffix = wildcard.to_string().split_off(1);
        let mut name = format!("x{suffix}");
        let mut number = 0_u32;
        while taken.contains(&name) {
            number += 1;
            name = format!("x{number}{suffix}");
        }
        taken.insert(name.clone());
        samples.insert(wildcard.clone(), name);
    }
    samples
}

#[cfg(test)]
mod tests {
    use rule::HostPattern;

    use super::sample_hosts;

    #[track_caller]
    fn check(patterns: &[&str], expected: &[&str]) {
        let parsed: Vec<HostPattern> = patterns
            .iter()
            .map(|pattern| HostPattern::try_from(*pattern).unwrap())
            .collect();
        let found: Vec<String> = sample_hosts(&parsed).into_iter().collect();
        assert_eq!(found, expected, "{patterns:?}");
    }

    #[test]
    fn the_sample_of_a_wildcard_is_not_another_pattern() {
        check(&["a.com", "a.com"], &["a.com"]);
        check(&["*.a.com"], &["x.a.com"]);
        check(&["*.a.com", "x.a.com"], &["x.a.com", "x1.a.com"]);
        check(&["*"], &[]);
    }
}
