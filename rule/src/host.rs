//! Host names and patterns: the one place where they are read and compared.
//!
//! DNS names are case-insensitive (RFC 4343) and are compared as A-labels (RFC 5890 §2.3.2.1). A
//! trailing dot names the same host (RFC 1034 §3.1), and so does a port, which istiod's gateways
//! ignore when they match hosts.

pub mod certificate;
pub mod istio;

use alloc::boxed::Box;
use core::fmt;
use core::hash::{Hash, Hasher};

use fnv::FnvBuildHasher;
use hashbrown::Equivalent;

/// The names are those of the configuration, so nobody can choose them to collide.
type HashMap<K, V> = hashbrown::HashMap<K, V, FnvBuildHasher>;

/// A host as a request or a TLS handshake names it, without port, trailing dot and case.
///
/// It borrows the bytes it was read from; equality, hash and [`Display`](fmt::Display) see them in
/// lower case, so that no comparison allocates.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a>(&'a [u8]);

impl<'a> Host<'a> {
    /// Reads an authority (RFC 9110 §7.2, RFC 3986 §3.2): `host`, `host:port` or `[literal]:port`.
    ///
    /// `None` for what no gateway could route by: nothing, characters that no host has, user
    /// information, unbalanced brackets, a second colon outside brackets, an empty label.
    #[must_use]
    pub fn from_authority(authority: &'a [u8]) -> Option<Self> {
        let (host, port) = split_port(authority)?;
        is_port(port).then_some(Self(host))
    }

    /// Reads a server name as TLS carries it (RFC 6066 §3). `None` when there was none.
    #[must_use]
    pub fn from_sni(sni: &'a [u8]) -> Option<Self> {
        let name = without_trailing_dot(sni);
        (!name.is_empty()).then_some(Self(name))
    }

    /// The dotted suffixes of the name no longer than `longest` octets, the longest first and never
    /// the whole name. A longer name thus costs no more than the patterns it is looked up in.
    fn suffixes(self, longest: usize) -> impl Iterator<Item = Self> {
        let start = self.0.len().saturating_sub(longest.saturating_add(1));
        let tail = self.0.get(start..).unwrap_or_default();
        let dots = tail.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        dots.filter_map(|(at, _)| tail.get(at + 1..).map(Self))
    }
}

/// What an octet means in an authority.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Octet {
    Name,
    Dot,
    Colon,
    /// User information, list separators, path separators, escapes, brackets and what is not
    /// printable ASCII.
    Refused,
}

/// A table, since this is asked of every octet of every request.
static OCTETS: [Octet; 256] = octets();

#[expect(
    clippy::indexing_slicing,
    reason = "an index out of bounds would not compile"
)]
const fn octets() -> [Octet; 256] {
    let mut octets = [Octet::Refused; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        octets[byte as usize] = match byte {
            b'.' => Octet::Dot,
            b':' => Octet::Colon,
            b'@' | b',' | b'/' | b'\\' | b'%' | b'[' | b']' => Octet::Refused,
            _ => Octet::Name,
        };
        byte += 1;
    }
    octets
}

impl From<u8> for Octet {
    fn from(byte: u8) -> Self {
        OCTETS
            .get(usize::from(byte))
            .copied()
            .unwrap_or(Self::Refused)
    }
}

/// The host of an authority and what follows it. This runs for every request, so it looks at each
/// octet once.
fn split_port(authority: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(bracketed) = authority.strip_prefix(b"[") {
        return split_literal(bracketed);
    }
    let mut end = authority.len();
    let mut label_is_empty = true;
    for (at, byte) in authority.iter().enumerate() {
        match Octet::from(*byte) {
            Octet::Name => label_is_empty = false,
            Octet::Dot if label_is_empty => return None,
            Octet::Dot => label_is_empty = true,
            Octet::Colon => {
                end = at;
                break;
            }
            Octet::Refused => return None,
        }
    }
    let (name, port) = authority.split_at_checked(end)?;
    // Only the last label may be empty: what is before it is the name with a trailing dot.
    let host = without_trailing_dot(name);
    (!host.is_empty()).then_some((host, port))
}

/// The same for what follows an opening bracket.
fn split_literal(bracketed: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bracketed.iter().position(|byte| *byte == b']')?;
    let (literal, rest) = bracketed.split_at_checked(end)?;
    let is_literal = literal
        .iter()
        .all(|byte| Octet::from(*byte) != Octet::Refused);
    let is_literal = is_literal && !literal.is_empty();
    is_literal.then_some((literal, rest.get(1..)?))
}

fn without_trailing_dot(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// Nothing, or a colon and any number of digits, none included (RFC 3986 §3.2.3).
fn is_port(rest: &[u8]) -> bool {
    match rest.split_first() {
        None => true,
        Some((colon, digits)) => *colon == b':' && digits.iter().all(u8::is_ascii_digit),
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Host<'_> {}

impl Hash for Host<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0 {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for Host<'_> {
    /// In lower case, with everything but printable ASCII escaped: the name comes from a client and
    /// goes to a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_ascii_lowercase().escape_ascii())
    }
}

/// A host name of a configuration, owned and in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Box<str>);

impl From<Host<'_>> for Name {
    fn from(host: Host<'_>) -> Self {
        Self(
            host.0
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase()))
                .collect(),
        )
    }
}

impl Name {
    fn host(&self) -> Host<'_> {
        Host(self.0.as_bytes())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host().hash(state);
    }
}

impl Equivalent<Name> for Host<'_> {
    fn equivalent(&self, key: &Name) -> bool {
        *self == key.host()
    }
}

/// The hosts that one entry of a configuration stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One host.
    Exact(Name),
    /// `*.suffix`: any number of labels in front of the suffix, never the suffix itself.
    Suffix(Name),
    /// `*`: every host.
    Any,
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It is empty.
    Empty,
    /// It has a `*` elsewhere than as its whole first label.
    PartialWildcard,
    /// It names a port.
    Port,
    /// It has letters outside ASCII.
    NotAscii,
    /// It is no host for any other reason.
    NotAHost,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::PartialWildcard => r#"a wildcard is "*" or "*.suffix""#,
            Self::Port => "leave out the port, the rule looks at names alone",
            Self::NotAscii => "write an internationalised name as its A-label, xn--…",
            Self::NotAHost => "expected a name such as a.example.com",
        })
    }
}

impl TryFrom<&str> for HostPattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        match text.strip_prefix("*.") {
            _ if text == "*" => Ok(Self::Any),
            Some(suffix) => name(suffix).map(Self::Suffix).map_err(|error| match error {
                PatternError::Empty => PatternError::PartialWildcard,
                other => other,
            }),
            None => name(text).map(Self::Exact),
        }
    }
}

fn name(text: &str) -> Result<Name, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if !text.is_ascii() {
        return Err(PatternError::NotAscii);
    }
    if text.contains('*') {
        return Err(PatternError::PartialWildcard);
    }
    let host = Host::from_authority(text.as_bytes()).ok_or(PatternError::NotAHost)?;
    let (_, rest) = split_port(text.as_bytes()).ok_or(PatternError::NotAHost)?;
    if !rest.is_empty() {
        return Err(PatternError::Port);
    }
    Ok(Name::from(host))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(&name.0),
            Self::Suffix(name) => write!(f, "*.{}", name.0),
            Self::Any => f.write_str("*"),
        }
    }
}

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
                self.longest_suffix = self.longest_suffix.max(name.0.len());
                self.suffix.insert(name, value)
            }
            HostPattern::Any => self.any.replace(value),
        }
    }

    /// The value of just this pattern.
    #[must_use]
    pub fn get(&self, pattern: &HostPattern) -> Option<&V> {
        match pattern {
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::Suffix(name) => self.suffix.get(name),
            HostPattern::Any => self.any.as_ref(),
        }
    }

    /// How many patterns are covered by a wildcard that has another value.
    #[must_use]
    pub fn overlaps(&self) -> usize
    where
        V: PartialEq,
    {
        let named = self.exact.iter().chain(&self.suffix);
        named
            .filter(|(name, value)| {
                let wider = name.host().suffixes(self.longest_suffix);
                let mut wider = wider
                    .filter_map(|name| self.suffix.get(&name))
                    .chain(&self.any);
                wider.any(|other| other != *value)
            })
            .count()
    }

    /// The value of the most specific pattern that covers the host: the exact name, else the
    /// longest suffix, else `*`.
    #[must_use]
    pub fn best(&self, host: Host<'_>) -> Option<&V> {
        let exact = self.exact.get(&host);
        let suffix = || {
            host.suffixes(self.longest_suffix)
                .find_map(|name| self.suffix.get(&name))
        };
        exact.or_else(suffix).or(self.any.as_ref())
    }
}

/// Reads a host as Istio writes it in `Gateway.spec.servers[].hosts`: `host` or `namespace/host`.
/// The namespace says who may attach routes, not which names the server answers to.
///
/// # Errors
/// What follows the namespace is no pattern.
pub fn istio_pattern(text: &str) -> Result<HostPattern, PatternError> {
    let host = match text.split_once('/') {
        Some(("", _)) => return Err(PatternError::NotAHost),
        Some((_namespace, host)) => host,
        None => text,
    };
    HostPattern::try_from(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[track_caller]
    fn check_authority(authority: &str, expected: Option<&str>) {
        let host = Host::from_authority(authority.as_bytes());
        assert_eq!(
            host.map(|host| host.to_string()).as_deref(),
            expected,
            "{authority:?}"
        );
    }

    #[test]
    fn authorities() {
        for (authority, expected) in [
            ("a.example.com", Some("a.example.com")),
            ("A.Example.COM", Some("a.example.com")),
            ("a.example.com:443", Some("a.example.com")),
            ("a.example.com:", Some("a.example.com")),
            ("a.example.com.:443", Some("a.example.com")),
            ("a.example.com:99999999999999999999", Some("a.example.com")),
            ("localhost", Some("localhost")),
            ("a_b.example.com", Some("a_b.example.com")),
            ("[2001:DB8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[::1]:", Some("::1")),
            ("", None),
            (".", None),
            (":443", None),
            ("a.example.com..", None),
            (".example.com", None),
            ("a..b", None),
            ("a:b", None),
            ("a:443:443", None),
            ("2001:db8::1", None),
            ("user@a.example.com", None),
            ("a.example.com,b.example.com", None),
            ("a.example.com/path", None),
            ("a\\b", None),
            ("a%2eb", None),
            ("a b", None),
            ("a\tb", None),
            ("a\u{7f}", None),
            ("bücher.example", None),
            ("[::1", None),
            ("::1]", None),
            ("[]", None),
            ("[[::1]]", None),
            ("[::1]443", None),
            ("[::1].", None),
            ("a[b]", None),
        ] {
            check_authority(authority, expected);
        }
    }

    #[test]
    fn server_names() {
        assert_eq!(Host::from_sni(b""), None);
        assert_eq!(Host::from_sni(b"."), None);
        assert_eq!(Host::from_sni(b"A.b."), Host::from_authority(b"a.B:443"));
        assert_eq!(
            Host::from_sni(b"\xff\n")
                .map(|host| host.to_string())
                .unwrap(),
            "\\xff\\n"
        );
    }

    #[track_caller]
    fn check_pattern(text: &str, expected: Result<&str, PatternError>) {
        let pattern = istio_pattern(text).map(|pattern| pattern.to_string());
        assert_eq!(
            pattern.as_deref().map_err(|error| *error),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn patterns() {
        for (text, expected) in [
            ("A.example.com.", Ok("a.example.com")),
            ("*.Example.com", Ok("*.example.com")),
            ("*", Ok("*")),
            ("team/a.example.com", Ok("a.example.com")),
            ("./*.example.com", Ok("*.example.com")),
            ("*/*", Ok("*")),
            ("", Err(PatternError::Empty)),
            ("team/", Err(PatternError::Empty)),
            ("/a.example.com", Err(PatternError::NotAHost)),
            ("a/b/c", Err(PatternError::NotAHost)),
            ("*foo.com", Err(PatternError::PartialWildcard)),
            ("*.", Err(PatternError::PartialWildcard)),
            ("*.*.com", Err(PatternError::PartialWildcard)),
            ("a.*.com", Err(PatternError::PartialWildcard)),
            ("**", Err(PatternError::PartialWildcard)),
            ("a.example.com:443", Err(PatternError::Port)),
            ("*.example.com:443", Err(PatternError::Port)),
            ("a..b", Err(PatternError::NotAHost)),
            ("bücher.example", Err(PatternError::NotAscii)),
        ] {
            check_pattern(text, expected);
        }
    }

    #[test]
    fn best_is_exact_then_longest_suffix_then_any() {
        let mut table = HostTable::default();
        for pattern in ["*", "*.example.com", "*.b.example.com", "a.b.example.com"] {
            table.insert(HostPattern::try_from(pattern).unwrap(), pattern);
        }
        for (host, expected) in [
            ("a.b.example.com", "a.b.example.com"),
            ("A.B.EXAMPLE.com", "a.b.example.com"),
            ("x.b.example.com", "*.b.example.com"),
            ("x.a.b.example.com", "*.b.example.com"),
            ("b.example.com", "*.example.com"),
            ("example.com", "*"),
            ("notexample.com", "*"),
        ] {
            let found = table.best(Host::from_authority(host.as_bytes()).unwrap());
            assert_eq!(found, Some(&expected), "{host}");
        }
    }

    #[test]
    fn a_name_beyond_every_pattern_costs_no_more_than_the_patterns() {
        let mut table = HostTable::default();
        table.insert(HostPattern::try_from("*.example.com").unwrap(), ());
        let long = "a.".repeat(100_000) + "example.com";
        let host = Host::from_authority(long.as_bytes()).unwrap();
        assert_eq!(host.suffixes(table.longest_suffix).count(), 2);
        assert!(table.best(host).is_some());
    }
}
