//! Hosts as Istio compares them when it attaches routes to servers: case counts, and a wildcard is a suffix of
//! the text (Istio `pkg/config/host/name.go`). Envoy compares the resulting domains and server names like
//! [`Host`](super::Host).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::HashMap;

/// A host or a wildcard as a resource has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IstioHost<'a>(pub &'a str);

impl<'a> IstioHost<'a> {
    /// The text after the `*`; `None` for a single host.
    fn suffix(self) -> Option<&'a str> {
        self.0.strip_prefix('*')
    }

    /// Whether this is a wildcard.
    #[must_use]
    pub fn is_wildcard(self) -> bool {
        self.suffix().is_some()
    }

    /// Whether `other` covers every name of this host (Istio `Name.SubsetOf`).
    #[must_use]
    pub fn is_subset_of(self, other: Self) -> bool {
        match (self.suffix(), other.suffix()) {
            (Some(own), Some(suffix)) => own.ends_with(suffix),
            (None, Some(suffix)) => self.0.ends_with(suffix),
            (Some(_), None) => false,
            (None, None) => self == other,
        }
    }

    /// Whether one of the two is a subset of the other (Istio `Name.Matches`).
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.is_subset_of(other) || other.is_subset_of(self)
    }

    /// The smaller of the two hosts if they overlap (Istio `Names.Intersection`).
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        if self.is_subset_of(other) {
            return Some(self);
        }
        other.is_subset_of(self).then_some(other)
    }

    /// The suffixes of the wildcards that cover this host, the longest first: each begins with a dot. The
    /// last one is empty, for `*`.
    fn covering_suffixes(self) -> impl Iterator<Item = &'a str> {
        let text = self.suffix().unwrap_or(self.0);
        text.match_indices('.')
            .filter_map(|(dot, _)| text.get(dot..))
            .chain(core::iter::once(""))
    }
}

/// Values by hosts, found by any host that overlaps. The cost of a look-up depends on the labels of the host
/// and on the number of results, not on the number of hosts.
#[derive(Clone, Debug)]
pub struct IstioHosts<V> {
    entries: Vec<(Box<str>, V)>,
    /// The entries with the same text.
    same: HashMap<Box<str>, Vec<EntryIndex>>,
    /// The wildcards, by the text after the `*`.
    wildcards: HashMap<Box<str>, Vec<EntryIndex>>,
    /// The entries that the wildcard with a suffix covers, including itself.
    below: HashMap<Box<str>, Vec<EntryIndex>>,
}

/// The index of an entry of [`IstioHosts`].
#[derive(Clone, Copy, Debug)]
struct EntryIndex(usize);

impl<V> Default for IstioHosts<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            same: HashMap::default(),
            wildcards: HashMap::default(),
            below: HashMap::default(),
        }
    }
}

impl<V> IstioHosts<V> {
    /// Adds a host. A host may have several values.
    pub fn insert(&mut self, host: &str, value: V) {
        let entry = EntryIndex(self.entries.len());
        self.entries.push((host.into(), value));
        self.same.entry_ref(host).or_default().push(entry);
        if let Some(suffix) = IstioHost(host).suffix() {
            self.wildcards.entry_ref(suffix).or_default().push(entry);
        }
        // A look-up by a wildcard then finds all hosts below it at once.
        for suffix in IstioHost(host).covering_suffixes() {
            self.below.entry_ref(suffix).or_default().push(entry);
        }
    }

    /// The entries that overlap with a host, each with the smaller of the two hosts: the entry itself if the
    /// host covers it, else the host.
    pub fn intersections<'s>(
        &'s self,
        host: IstioHost<'s>,
    ) -> impl Iterator<Item = (&'s str, &'s V)> {
        self.entries_within(host)
            .map(|(text, value)| (&**text, value))
            .chain(
                self.wider_entries(host)
                    .map(move |(_, value)| (host.0, value)),
            )
    }

    /// The entries that the host covers, or that are the same.
    fn entries_within(&self, host: IstioHost<'_>) -> impl Iterator<Item = &(Box<str>, V)> {
        match host.suffix() {
            None => self.same.get(host.0),
            Some(suffix) => self.below.get(suffix),
        }
        .into_iter()
        .flatten()
        .filter_map(|index| self.entries.get(index.0))
    }

    /// The wildcards that cover the host and are not the same.
    fn wider_entries<'s>(&'s self, host: IstioHost<'s>) -> impl Iterator<Item = &'s (Box<str>, V)> {
        let own = host.suffix();
        host.covering_suffixes()
            .filter(move |suffix| Some(*suffix) != own)
            .filter_map(|suffix| self.wildcards.get(suffix))
            .flatten()
            .filter_map(|index| self.entries.get(index.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: [&str; 10] = [
        "*",
        "*.com",
        "*.example.com",
        "*.b.example.com",
        "example.com",
        "a.example.com",
        "A.example.com",
        "x.b.example.com",
        "notexample.com",
        "a.test",
    ];

    #[test]
    fn wildcards_are_suffixes_of_any_depth() {
        for (host, other, expected) in [
            ("a.example.com", "a.example.com", Some("a.example.com")),
            ("A.example.com", "a.example.com", None),
            ("a.example.com", "*.example.com", Some("a.example.com")),
            ("*.example.com", "x.b.example.com", Some("x.b.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "notexample.com", None),
            ("*.example.com", "*.b.example.com", Some("*.b.example.com")),
            ("*", "*.com", Some("*.com")),
            ("*", "*", Some("*")),
            ("a.test", "*", Some("a.test")),
            ("*.test", "*.com", None),
        ] {
            let found = IstioHost(host).intersection(IstioHost(other));
            assert_eq!(found.map(|host| host.0), expected, "{host} {other}");
            let overlaps = IstioHost(host).overlaps(IstioHost(other));
            assert_eq!(overlaps, expected.is_some(), "{host} {other}");
        }
    }

    #[test]
    fn a_wildcard_begins_with_an_asterisk() {
        for (host, expected) in [("*", true), ("*.com", true), ("a.*", false), ("a", false)] {
            assert_eq!(IstioHost(host).is_wildcard(), expected, "{host}");
        }
    }

    #[test]
    fn the_table_finds_what_a_comparison_of_all_pairs_finds() {
        let mut table = IstioHosts::default();
        for host in HOSTS {
            table.insert(host, host);
        }
        for host in HOSTS {
            let mut found: Vec<_> = table.intersections(IstioHost(host)).collect();
            let mut expected: Vec<_> = HOSTS
                .iter()
                .filter_map(|entry| {
                    Some((IstioHost(entry).intersection(IstioHost(host))?.0, entry))
                })
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{host}");
        }
    }
}
