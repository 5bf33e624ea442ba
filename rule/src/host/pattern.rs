//! The hosts that one entry of a configuration stands for.

use alloc::boxed::Box;
use core::fmt;
use core::hash::{Hash, Hasher};

use hashbrown::Equivalent;

use super::Host;

/// A host name of a configuration, owned and in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Box<str>);

/// The hosts that one entry of a configuration stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// A single host.
    Exact(Name),
    /// `*.suffix`: any number of labels in front of the suffix, never the suffix itself.
    Suffix(Name),
    /// `*`: every host.
    Any,
}

/// Why a text is not a [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The text is empty.
    Empty,
    /// The text has a `*` that is not its whole first label.
    PartialWildcard,
    /// The text has a port.
    Port,
    /// The text has letters outside ASCII.
    NotAscii,
    /// The text is not a host for another reason.
    NotAHost,
}

impl Name {
    pub(super) fn host(&self) -> Host<'_> {
        Host(self.0.as_bytes())
    }

    /// The length in octets.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads a name: labels of letters, digits, hyphens and underscores (RFC 1123 §2.1; underscores
    /// occur in the names of services), as A-labels (RFC 5890 §2.3.2.1). One trailing dot is
    /// removed.
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if !text.is_ascii() {
            return Err(PatternError::NotAscii);
        }
        if text.contains('*') {
            return Err(PatternError::PartialWildcard);
        }
        // A port is a frequent mistake and gets a message of its own.
        if let Some((name, port)) = text.split_once(':') {
            let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
            let is_name = Self::parse(name).is_ok();
            return Err(if is_port && is_name {
                PatternError::Port
            } else {
                PatternError::NotAHost
            });
        }
        // A trailing dot marks an absolute name (RFC 1034 §3.1) and is not part of the comparison.
        let name = text.strip_suffix('.').unwrap_or(text);
        if !name.split('.').all(is_label) {
            return Err(PatternError::NotAHost);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl From<Host<'_>> for Name {
    fn from(host: Host<'_>) -> Self {
        Self(
            host.0
                .iter()
                .map(u8::to_ascii_lowercase)
                .map(char::from)
                .collect(),
        )
    }
}

impl Hash for Name {
    /// The hash of the [`Host`], so that a table with names finds the host of a request.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host().hash(state);
    }
}

impl Equivalent<Name> for Host<'_> {
    fn equivalent(&self, key: &Name) -> bool {
        *self == key.host()
    }
}

impl HostPattern {
    /// Whether the host is one of those that the pattern stands for.
    #[must_use]
    pub fn covers(&self, host: Host<'_>) -> bool {
        match self {
            Self::Exact(name) => name.host() == host,
            Self::Suffix(suffix) => host
                .suffixes(suffix.len())
                .any(|found| found == suffix.host()),
            Self::Any => true,
        }
    }
}

impl TryFrom<&str> for HostPattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        // A wildcard elsewhere than at the beginning is an error of `Name::parse`.
        match text.strip_prefix("*.") {
            Some("") => Err(PatternError::PartialWildcard),
            Some(suffix) => Name::parse(suffix).map(Self::Suffix),
            None => Name::parse(text).map(Self::Exact),
        }
    }
}

/// Reads a host as Istio writes it in `Gateway.spec.servers[].hosts`: `host` or `namespace/host`.
/// The namespace limits which routes may attach. It does not limit the names of the server.
///
/// # Errors
/// The text after the namespace is not a pattern.
pub fn istio_pattern(text: &str) -> Result<HostPattern, PatternError> {
    // Istio rejects an empty namespace.
    let host = match text.split_once('/') {
        Some(("", _)) => return Err(PatternError::NotAHost),
        Some((_namespace, host)) => host,
        None => text,
    };
    HostPattern::try_from(host)
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

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::PartialWildcard => r#"a wildcard is "*" or "*.suffix""#,
            Self::Port => "leave out the port, the rule compares names only",
            Self::NotAscii => "write an internationalised name as its A-label, xn--…",
            Self::NotAHost => "expected a name such as a.example.com",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

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
            ("a_b-c.example.com", Ok("a_b-c.example.com")),
            ("192.0.2.1", Ok("192.0.2.1")),
            ("*.Example.com", Ok("*.example.com")),
            ("*.example.com.", Ok("*.example.com")),
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
            ("a.example.com:", Err(PatternError::Port)),
            ("a.example.com:x", Err(PatternError::NotAHost)),
            ("a..b:443", Err(PatternError::NotAHost)),
            ("2001:db8::1", Err(PatternError::NotAHost)),
            ("[::1]", Err(PatternError::NotAHost)),
            ("a..b", Err(PatternError::NotAHost)),
            (".a.b", Err(PatternError::NotAHost)),
            ("a.b..", Err(PatternError::NotAHost)),
            (".", Err(PatternError::NotAHost)),
            ("a b", Err(PatternError::NotAHost)),
            ("a,b", Err(PatternError::NotAHost)),
            ("u@a.b", Err(PatternError::NotAHost)),
            ("bücher.example", Err(PatternError::NotAscii)),
        ] {
            check_pattern(text, expected);
        }
    }

    #[test]
    fn a_wildcard_covers_any_depth_and_never_its_suffix() {
        for (pattern, host, expected) in [
            ("a.com", "A.com", true),
            ("a.com", "a.com.", false),
            ("a.com", "b.a.com", false),
            ("*.a.com", "b.a.com", true),
            ("*.a.com", "c.b.A.com", true),
            ("*.a.com", "a.com", false),
            ("*.a.com", ".a.com", false),
            ("*.a.com", "ba.com", false),
            ("*", "", true),
        ] {
            let host = Host(host.as_bytes());
            let covers = HostPattern::try_from(pattern).unwrap().covers(host);
            assert_eq!(covers, expected, "{pattern} {host}");
        }
    }

    #[test]
    fn every_error_says_what_was_expected() {
        for (error, expected) in [
            (PatternError::Empty, "empty"),
            (PatternError::PartialWildcard, "*.suffix"),
            (PatternError::Port, "port"),
            (PatternError::NotAscii, "A-label"),
            (PatternError::NotAHost, "a.example.com"),
        ] {
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
