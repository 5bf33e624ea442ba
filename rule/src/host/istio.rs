//! Hosts as Istio compares them where it attaches routes to servers: letter by letter, case
//! included, and a wildcard as a suffix of the text (Istio `pkg/config/host/name.go`). Only what
//! comes of it, the domains and server names, is compared by Envoy as [`Host`](super::Host) is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::HashMap;

/// A host or a wildcard as it is written in a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IstioHost<'a>(pub &'a str);

impl<'a> IstioHost<'a> {
    /// What follows the `*`; `None` for a single host.
    fn suffix(self) -> Option<&'a str> {
        self.0.strip_prefix('*')
    }

    /// Whether this is a wildcard.
    #[must_use]
    pub fn is_wildcard(self) -> bool {
        self.suffix().is_some()
    }

    /// Whether every name of this one is a name of `other` (Istio `Name.SubsetOf`).
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

    /// The smaller of the two where they overlap (Istio `Names.Intersection`).
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        if self.is_subset_of(other) {
            return Some(self);
        }
        other.is_subset_of(self).then_some(other)
    }

    /// The suffixes of wildcards that cover this one, the longest first: each that begins with a
    /// dot, and the empty one of `*`.
    fn covering(self) -> impl Iterator<Item = &'a str> {
        let text = self.suffix().unwrap_or(self.0);
        let dots = text.match_indices('.').filter_map(|(at, _)| text.get(at..));
        dots.chain(core::iter::once(""))
    }
}

/// Values by hosts, to be found by any host that overlaps. A look-up costs the labels of the host and
/// what it finds, however many hosts there are.
#[derive(Clone, Debug)]
pub struct IstioHosts<V> {
    entries: Vec<(Box<str>, V)>,
    /// The entries that are one text.
    same: HashMap<Box<str>, Vec<usize>>,
    /// The wildcards, by what follows the `*`.
    wildcards: HashMap<Box<str>, Vec<usize>>,
    /// The entries that the wildcard with a suffix covers, itself included.
    below: HashMap<Box<str>, Vec<usize>>,
}

impl<V> Default for IstioHosts<V> {
    fn default() -> Self {
        let (same, wildcards, below) = (HashMap::default(), HashMap::default(), HashMap::default());
        Self {
            entries: Vec::new(),
            same,
            wildcards,
            below,
        }
    }
}

impl<V> IstioHosts<V> {
    /// Adds a host, which may be there already.
    pub fn insert(&mut self, host: &str, value: V) {
        let entry = self.entries.len();
        self.entries.push((host.into(), value));
        self.same.entry_ref(host).or_default().push(entry);
        if let Some(suffix) = IstioHost(host).suffix() {
            self.wildcards.entry_ref(suffix).or_default().push(entry);
        }
        for suffix in IstioHost(host).covering() {
            self.below.entry_ref(suffix).or_default().push(entry);
        }
    }

    /// The entries that overlap with a host, each with the smaller of the two hosts.
    pub fn intersections<'s>(
        &'s self,
        host: IstioHost<'s>,
    ) -> impl Iterator<Item = (&'s str, &'s V)> {
        let own = host.suffix();
        let smaller = match own {
            None => self.same.get(host.0),
            Some(suffix) => self.below.get(suffix),
        };
        let wider = host.covering().filter(move |suffix| Some(*suffix) != own);
        let wider = wider
            .filter_map(|suffix| self.wildcards.get(suffix))
            .flatten();
        let entry = |at: &usize| self.entries.get(*at);
        let smaller = smaller.into_iter().flatten().filter_map(entry);
        let wider = wider.filter_map(entry);
        smaller
            .map(|(text, value)| (&**text, value))
            .chain(wider.map(move |(_, v)| (host.0, v)))
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
