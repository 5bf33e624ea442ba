//! A table of values by host patterns.

use super::{HashMap, Host, HostPattern, Name};

/// Values by [`HostPattern`]. A look-up costs one hash probe per label of the host, however many
/// patterns there are.
#[derive(Clone, Debug)]
pub struct HostTable<V> {
    exact: HashMap<Name, V>,
    suffix: HashMap<Name, V>,
    any: Option<V>,
    /// The length in octets of the longest suffix.
    longest_suffix: usize,
}

impl<V> Default for HostTable<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::default(),
            suffix: HashMap::default(),
            any: None,
            longest_suffix: 0,
        }
    }
}

impl<V> HostTable<V> {
    /// Sets the value of a pattern and returns the one it had.
    pub fn insert(&mut self, pattern: HostPattern, value: V) -> Option<V> {
        match pattern {
            HostPattern::Exact(name) => self.exact.insert(name, value),
            HostPattern::Suffix(name) => {
                // A look-up never hashes a suffix that is longer than every pattern.
                self.longest_suffix = self.longest_suffix.max(name.len());
                self.suffix.insert(name, value)
            }
            HostPattern::Any => self.any.replace(value),
        }
    }

    /// The value of exactly this pattern.
    #[must_use]
    pub fn get(&self, pattern: &HostPattern) -> Option<&V> {
        match pattern {
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::Suffix(name) => self.suffix.get(name),
            HostPattern::Any => self.any.as_ref(),
        }
    }

    /// The value of the most specific pattern that covers the host: the exact name, else the longest
    /// suffix, else `*`.
    #[must_use]
    pub fn best(&self, host: Host<'_>) -> Option<&V> {
        // Envoy prefers an exact name to every wildcard, for filter chains and virtual hosts.
        self.exact
            .get(&host)
            .or_else(|| self.wildcards(host).next())
    }

    /// The values of the wildcards that cover the host, the most specific first.
    fn wildcards(&self, host: Host<'_>) -> impl Iterator<Item = &V> {
        host.suffixes(self.longest_suffix)
            .filter_map(|suffix| self.suffix.get(&suffix))
            .chain(&self.any)
    }

    /// The values of the wildcards that cover every host of a pattern, without its own: for
    /// `a.b.com`, the values of `*.b.com`, `*.com` and `*`.
    pub fn covering(&self, pattern: &HostPattern) -> impl Iterator<Item = &V> {
        let name = match pattern {
            HostPattern::Exact(name) | HostPattern::Suffix(name) => Some(name),
            HostPattern::Any => None,
        };
        name.into_iter()
            .flat_map(|name| self.wildcards(name.host()))
    }

    /// The patterns with their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (HostPattern, &V)> {
        self.exact
            .iter()
            .map(|(name, value)| (HostPattern::Exact(name.clone()), value))
            .chain(
                self.suffix
                    .iter()
                    .map(|(name, value)| (HostPattern::Suffix(name.clone()), value)),
            )
            .chain(self.any.iter().map(|value| (HostPattern::Any, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text).unwrap()
    }

    fn table<'p>(patterns: &[&'p str]) -> HostTable<&'p str> {
        let mut table = HostTable::default();
        for text in patterns {
            assert_eq!(table.insert(pattern(text), *text), None);
        }
        table
    }

    #[test]
    fn best_is_exact_then_longest_suffix_then_any() {
        let table = table(&["*", "*.example.com", "*.b.example.com", "a.b.example.com"]);
        for (host, expected) in [
            ("a.b.example.com", "a.b.example.com"),
            ("A.B.EXAMPLE.com", "a.b.example.com"),
            ("x.b.example.com", "*.b.example.com"),
            ("x.a.b.example.com", "*.b.example.com"),
            ("x,b.example.com", "*.example.com"),
            ("b.example.com", "*.example.com"),
            (".b.example.com", "*.example.com"),
            ("b.example.com.", "*"),
            ("example.com", "*"),
            (".example.com", "*"),
            ("notexample.com", "*"),
            ("", "*"),
        ] {
            let found = table.best(Host(host.as_bytes()));
            assert_eq!(found, Some(&expected), "{host}");
        }
    }

    #[test]
    fn covering_patterns_are_wider() {
        let table = table(&["*", "*.com", "*.b.com", "a.b.com", "b.com"]);
        for (text, expected) in [
            ("a.b.com", ["*.b.com", "*.com", "*"].as_slice()),
            ("*.b.com", &["*.com", "*"]),
            ("b.com", &["*.com", "*"]),
            ("*.com", &["*"]),
            ("*", &[]),
        ] {
            let found: Vec<_> = table.covering(&pattern(text)).copied().collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_pattern_keeps_its_last_value() {
        let mut table = table(&["*", "*.a", "a"]);
        for text in ["*", "*.a", "a"] {
            assert_eq!(table.insert(pattern(text), "new"), Some(text));
            assert_eq!(table.get(&pattern(text)), Some(&"new"));
        }
        assert_eq!(table.get(&pattern("b")), None);
    }

    #[test]
    fn every_pattern_is_listed() {
        let table = table(&["*", "*.a", "a", "b.a"]);
        let mut found: Vec<String> = table
            .iter()
            .map(|(pattern, _)| pattern.to_string())
            .collect();
        found.sort_unstable();
        assert_eq!(found, ["*", "*.a", "a", "b.a"]);
        assert!(
            table
                .iter()
                .all(|(pattern, value)| pattern.to_string() == **value)
        );
    }

    #[test]
    fn a_name_longer_than_every_pattern_costs_no_more_than_the_patterns() {
        let table = table(&["*.example.com"]);
        let long = "a.".repeat(100_000) + "example.com";
        let host = Host(long.as_bytes());
        assert_eq!(host.suffixes(table.longest_suffix).count(), 2);
        assert!(table.best(host).is_some());
    }
}
