//! Host names and patterns: the one place where they are read and compared.
//!
//! The rule is safe only if it reads a name exactly as Envoy does. Envoy compares names as octets in
//! lower case (DNS names are case-insensitive, RFC 4343) and checks nothing else about them. A
//! request with the authority `b.example.com:x` reaches the virtual host `b.example.com`, and one
//! with `a,b.example.com` reaches `*.example.com`. So [`Host`] accepts every text. Only the patterns
//! of a configuration are validated, by [`HostPattern`].

pub mod certificate;
pub mod istio;
mod pattern;
mod table;

use core::fmt;
use core::hash::{Hash, Hasher};

use rustc_hash::FxBuildHasher;

pub use pattern::{HostPattern, Name, PatternError, istio_pattern};
pub use table::HostTable;

/// The keys are names of a configuration, so no client can choose them to collide.
type HashMap<K, V> = hashbrown::HashMap<K, V, FxBuildHasher>;

/// A name from a request or a TLS handshake.
///
/// It borrows the bytes it was read from. Equality, hash and [`Display`](fmt::Display) see them in
/// lower case, so no comparison allocates.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a>(&'a [u8]);

impl<'a> Host<'a> {
    /// The text that Envoy looks up in its route table for an authority: everything after the last
    /// colon is cut off, unless a closing bracket comes after that colon (Envoy
    /// `source/common/http/header_utility.cc`, `getPortStart`, which
    /// `ignore_port_in_host_matching` applies). What follows the colon need not be a port, and a
    /// trailing dot stays.
    #[must_use]
    pub fn from_authority(authority: &'a [u8]) -> Self {
        // Most authorities have no colon, and to know that costs less than to look for the last one.
        if !Self(authority).has_octet(b':') {
            return Self(authority);
        }
        match authority.iter().rposition(|byte| *byte == b':') {
            None => Self(authority),
            Some(colon) => Self::cut(authority, colon),
        }
    }

    /// The authority without what follows a colon. Envoy does not check that digits follow it.
    fn cut(authority: &'a [u8], colon: usize) -> Self {
        let (host, port) = authority
            .split_at_checked(colon)
            .unwrap_or((authority, &[]));
        // An IPv6 address in brackets has colons of its own.
        Self(if port.contains(&b']') {
            authority
        } else {
            host
        })
    }

    /// The server name of a TLS handshake (RFC 6066 §3), with its trailing dot: Envoy finds the
    /// filter chain of `b.example.com` for that text only. `None` when there was no server name.
    #[must_use]
    pub fn from_sni(sni: &'a [u8]) -> Option<Self> {
        (!sni.is_empty()).then_some(Self(sni))
    }

    /// The same name without its trailing dot (RFC 1034 §3.1), if it has one.
    #[must_use]
    pub fn without_trailing_dot(self) -> Self {
        Self(self.0.strip_suffix(b".").unwrap_or(self.0))
    }

    /// The octets, eight at a time, and the last eight once more, so that none are left. The octets of a
    /// name that is shorter are the last word alone.
    fn words(self) -> (&'a [[u8; 8]], u64) {
        let (words, rest) = self.0.as_chunks();
        let last = match self.0.last_chunk() {
            Some(last) => u64::from_le_bytes(*last),
            None => rest
                .iter()
                .fold(0, |word, octet| (word << 8) + u64::from(*octet)),
        };
        (words, last)
    }

    fn has_octet(self, octet: u8) -> bool {
        let (words, last) = self.words();
        has_octet(last, octet)
            || words
                .iter()
                .any(|word| has_octet(u64::from_le_bytes(*word), octet))
    }

    fn is_same_octets(self, other: Self) -> bool {
        let ((words, last), (other_words, other_last)) = (self.words(), other.words());
        self.0.len() == other.0.len()
            && last == other_last
            && words.iter().zip(other_words).all(|(a, b)| a == b)
    }

    /// The part of the name after each of its dots, the longest first, but none longer than
    /// `longest` octets. A long name costs no more than the patterns it is looked up in.
    ///
    /// A wildcard needs something in front of its dot, so a leading dot does not count (Envoy
    /// `source/common/router/config_impl.cc`, `findWildcardVirtualHost`).
    fn suffixes(self, longest: usize) -> impl Iterator<Item = Self> {
        // Skip what cannot be a suffix: longer than every pattern, or with nothing in front of its dot.
        let start = self
            .0
            .len()
            .saturating_sub(longest.saturating_add(1))
            .max(1);
        let tail = self.0.get(start..).unwrap_or_default();
        tail.iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'.')
            .filter_map(move |(dot, _)| tail.get(dot + 1..).map(Self))
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        // Names that are equal are nearly always the same octets, which costs less to see.
        self.is_same_octets(*other) || self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Host<'_> {}

impl Hash for Host<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Bit 5 is the case of a letter: to set it everywhere makes some other octets equal too, which a
        // hash may do.
        let lower = 0x2020_2020_2020_2020;
        let (words, last) = self.words();
        for word in words {
            state.write_u64(u64::from_le_bytes(*word) | lower);
        }
        state.write_u64(last | lower);
    }
}

/// Whether one of the eight octets of a word is this one. To subtract 1 from each octet sets the highest
/// bit of those that are 0, and of those that have it set, which the mask excludes.
fn has_octet(word: u64, octet: u8) -> bool {
    let ones = u64::from_le_bytes([1; 8]);
    let zero_where_equal = word ^ (ones * u64::from(octet));
    zero_where_equal.wrapping_sub(ones) & !zero_where_equal & (ones << 7) != 0
}

impl fmt::Display for Host<'_> {
    /// In lower case, with everything but printable ASCII escaped: the name comes from a client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_ascii_lowercase().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use core::hash::BuildHasher as _;

    #[track_caller]
    fn check_authority(authority: &str, expected: &str) {
        let host = Host::from_authority(authority.as_bytes());
        assert_eq!(host.to_string(), expected, "{authority:?}");
    }

    #[test]
    fn an_authority_is_cut_where_envoy_cuts_it() {
        for (authority, expected) in [
            ("a.example.com", "a.example.com"),
            ("A.Example.COM", "a.example.com"),
            ("a.example.com:443", "a.example.com"),
            ("a.example.com:", "a.example.com"),
            ("a.example.com:x", "a.example.com"),
            ("a.example.com:443x", "a.example.com"),
            ("a.example.com:-1", "a.example.com"),
            ("a.example.com:%", "a.example.com"),
            ("a.example.com:1:2", "a.example.com:1"),
            ("a.example.com.:443", "a.example.com."),
            ("a.example.com..", "a.example.com.."),
            (".a.example.com", ".a.example.com"),
            ("user@a.example.com", "user@a.example.com"),
            ("a,b.example.com", "a,b.example.com"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]:]", "[2001:db8::1]:]"),
            ("2001:db8::1", "2001:db8:"),
            ("a]:443", "a]"),
            ("[::1", "[:"),
            (":443", ""),
            (":", ""),
            ("", ""),
        ] {
            check_authority(authority, expected);
        }
    }

    #[test]
    fn a_colon_is_found_wherever_it_is() {
        // The octets next to a colon, with its highest bit, and those that a subtraction borrows from.
        for filler in [b'a', b'9', b';', b':' | 0x80, 0, 1, 0x7f, 0x80, 0xff] {
            for length in 0..=26 {
                let name = vec![filler; length];
                assert!(!Host(&name).has_octet(b':'), "{filler} {length}");
                for colon in 0..length {
                    let mut name = name.clone();
                    name[colon] = b':';
                    assert!(Host(&name).has_octet(b':'), "{filler} {length} {colon}");
                    assert_eq!(Host::from_authority(&name).0, &name[..colon]);
                }
            }
        }
    }

    #[test]
    fn names_that_differ_in_one_octet_differ() {
        let hash = |name: &[u8]| FxBuildHasher.hash_one(Host(name));
        for length in 0..=26 {
            let name = vec![b'a'; length];
            assert_ne!(Host(&name), Host(&vec![b'a'; length + 1]));
            for place in 0..length {
                let (mut upper, mut other) = (name.clone(), name.clone());
                upper[place] = b'A';
                other[place] = b'b';
                assert_eq!(Host(&name), Host(&upper), "{length} {place}");
                assert_eq!(hash(&name), hash(&upper), "{length} {place}");
                assert_ne!(Host(&name), Host(&other), "{length} {place}");
                assert_ne!(hash(&name), hash(&other), "{length} {place}");
            }
        }
    }

    #[test]
    fn a_server_name_keeps_its_trailing_dot() {
        let dotted = Host::from_sni(b"A.b.").unwrap();
        assert_ne!(dotted, Host::from_authority(b"a.b"));
        assert_eq!(dotted, Host::from_authority(b"a.B.:443"));
        assert_eq!(dotted.without_trailing_dot(), Host::from_authority(b"a.b"));
        assert_eq!(Host::from_sni(b""), None);
    }

    #[test]
    fn one_trailing_dot_is_removed() {
        for (host, expected) in [("a.", "a"), ("a..", "a."), ("a", "a"), (".", ""), ("", "")] {
            let host = Host::from_authority(host.as_bytes());
            assert_eq!(host.without_trailing_dot().to_string(), expected);
        }
    }

    #[test]
    fn what_a_client_sent_is_escaped() {
        let host = Host::from_sni(b"A\xff\n\x1b[1m").unwrap();
        assert_eq!(host.to_string(), "a\\xff\\n\\x1b[1m");
    }

    #[test]
    fn a_hash_is_of_the_name_and_not_of_its_case() {
        let hash = |name| FxBuildHasher.hash_one(Host(name));
        assert_eq!(hash(b"A.com".as_slice()), hash(b"a.COM"));
        assert_ne!(hash(b"a.com"), hash(b"b.com"));
    }

    #[test]
    fn suffixes_need_something_in_front() {
        for (host, longest, expected) in [
            ("a.b.c", 9, ["b.c", "c"].as_slice()),
            ("a.b.c", 3, &["b.c", "c"]),
            ("a.b.c", 2, &["c"]),
            ("a.b.c", 1, &["c"]),
            ("a.b.c", 0, &[]),
            (".b.c", 9, &["c"]),
            ("..b", 9, &["b"]),
            ("a..", 9, &[".", ""]),
            ("a", 9, &[]),
            ("", 9, &[]),
        ] {
            let suffixes = Host(host.as_bytes()).suffixes(longest);
            let found: alloc::vec::Vec<_> = suffixes.map(|host| host.to_string()).collect();
            assert_eq!(found, expected, "{host} {longest}");
        }
    }
}
