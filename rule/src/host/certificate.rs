//! Hosts as the names of a certificate cover them (RFC 9525 §6.3). Here a wildcard covers exactly one label. In
//! every other use of [`HostPattern`] it covers any number of labels.

use alloc::vec::Vec;

use super::{HashMap, Host, HostPattern, Name};

impl Host<'_> {
    /// The name after the first label; `None` without a dot.
    fn parent(self) -> Option<Self> {
        let dot = self.0.iter().position(|byte| *byte == b'.')?;
        self.0.get(dot + 1..).map(Self)
    }
}

impl HostPattern {
    /// Whether a certificate with this name is valid for a host. No client accepts the name `*`.
    #[must_use]
    pub fn certifies(&self, host: Host<'_>) -> bool {
        match self {
            Self::Exact(name) => name.host() == host.without_trailing_dot(),
            Self::Suffix(name) => host.without_trailing_dot().parent() == Some(name.host()),
            Self::Any => false,
        }
    }

    /// Whether a certificate with a name is valid for some host of this pattern.
    #[must_use]
    pub fn is_certified_by(&self, name: &Self) -> bool {
        match (self, name) {
            (_, Self::Any) => false,
            (Self::Any, _) => true,
            (Self::Exact(own), _) => name.certifies(own.host()),
            (Self::Suffix(_), Self::Exact(name)) => self.covers(name.host()),
            // Both wildcards cover a host if the hosts of the name are hosts of the pattern.
            (Self::Suffix(suffix), Self::Suffix(parent)) => {
                suffix == parent || self.covers(parent.host())
            }
        }
    }
}

/// Values by hosts, found by a name of a certificate.
#[derive(Clone, Debug)]
pub struct CertifiedHosts<V> {
    exact: HashMap<Name, Vec<V>>,
    by_parent: HashMap<Name, Vec<V>>,
}

impl<V> Default for CertifiedHosts<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::default(),
            by_parent: HashMap::default(),
        }
    }
}

impl<V: Copy> CertifiedHosts<V> {
    /// Adds a host. Wildcards are ignored.
    pub fn insert(&mut self, host: &HostPattern, value: V) {
        let HostPattern::Exact(name) = host else {
            return;
        };
        // A wildcard name of a certificate finds all hosts with its parent.
        if let Some(parent) = name.host().parent() {
            self.by_parent.entry(parent.into()).or_default().push(value);
        }
        self.exact.entry(name.clone()).or_default().push(value);
    }

    /// The values of the hosts that a name of a certificate is valid for.
    #[must_use]
    pub fn certified_by(&self, name: &HostPattern) -> &[V] {
        let found = match name {
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::Suffix(parent) => self.by_parent.get(parent),
            HostPattern::Any => None,
        };
        found.map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_host_of_a_pattern() {
        for (pattern, name, expected) in [
            ("a.example.com", "*.example.com", true),
            ("a.example.com", "b.example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "*.a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.a.example.com", "*.example.com", false),
            ("*", "example.com", true),
            ("*", "*", false),
        ] {
            let [pattern, name] = [pattern, name].map(|text| HostPattern::try_from(text).unwrap());
            assert_eq!(pattern.is_certified_by(&name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (name, host, expected) in [
            ("a.example.com", "A.example.com.", true),
            ("a.example.com", "b.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "x.a.example.com", false),
            ("*.example.com", "a.example.net", false),
            ("*.com", "com", false),
            ("*", "com", false),
            ("*", "a.example.com", false),
        ] {
            let pattern = HostPattern::try_from(name).unwrap();
            let found = Host::from_authority(host.as_bytes());
            assert_eq!(pattern.certifies(found), expected, "{name} {host}");
            let mut hosts = CertifiedHosts::default();
            hosts.insert(&HostPattern::try_from(host).unwrap(), ());
            assert_eq!(
                !hosts.certified_by(&pattern).is_empty(),
                expected,
                "{name} {host}"
            );
        }
    }
}
