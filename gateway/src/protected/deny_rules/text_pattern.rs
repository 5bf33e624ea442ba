//! The texts in conditions of policies.

use rule::HostPattern;

/// Texts as Istio's policies describe them: a `*` at one end stands for any text (Istio
/// `pilot/pkg/security/authz/matcher/header.go`, `HostMatcher`, and `string.go`, `StringMatcher`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextPattern {
    Any,
    Exact(String),
    /// The texts that begin with this one.
    Prefix(String),
    /// The texts that end with this one.
    Suffix(String),
}

impl TextPattern {
    pub(super) fn new(text: &str) -> Self {
        if text == "*" {
            Self::Any
        } else if let Some(suffix) = text.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else if let Some(prefix) = text.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else {
            Self::Exact(text.to_owned())
        }
    }

    /// The host or wildcard that the pattern is; `None` for any other.
    pub(super) fn to_host(&self) -> Option<HostPattern> {
        let text = match self {
            Self::Any => "*".to_owned(),
            Self::Exact(text) => text.clone(),
            Self::Suffix(suffix) => format!("*{suffix}"),
            Self::Prefix(_) => return None,
        };
        // Another spelling of a host is another name to Envoy.
        HostPattern::try_from(text.as_str())
            .ok()
            .filter(|host| host.to_string() == text)
    }

    /// Whether the pattern matches every text of another one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(own), Self::Exact(text)) => own == text,
            (Self::Prefix(own), Self::Exact(text) | Self::Prefix(text)) => text.starts_with(own),
            (Self::Suffix(own), Self::Exact(text) | Self::Suffix(text)) => text.ends_with(own),
            (Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_), _) => false,
        }
    }

    /// Whether a text may match both patterns.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(_), _) => other.covers(self),
            (_, Self::Exact(_)) => self.covers(other),
            (Self::Prefix(_), Self::Prefix(_)) | (Self::Suffix(_), Self::Suffix(_)) => {
                self.covers(other) || other.covers(self)
            }
            // A text can have any beginning and any end.
            (Self::Any | Self::Prefix(_) | Self::Suffix(_), _) => true,
        }
    }
}

impl From<&HostPattern> for TextPattern {
    fn from(pattern: &HostPattern) -> Self {
        Self::new(&pattern.to_string())
    }
}
