//! Hosts as resources have them, parsed once.

use std::fmt;

use rule::HostPattern;
use rule::host::PatternError;
use serde::Deserialize;

/// A host as a resource has it: `host` or `namespace/host`. The part `host` is a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct HostText {
    text: String,
    /// The octet at which the host begins, after the namespace and the slash.
    host_start: usize,
}

impl HostText {
    /// The text as it is written, with the namespace.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without the namespace.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.get(self.host_start..).unwrap_or_default()
    }

    /// The namespace, if the text has one.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.text.get(..self.host_start)?.strip_suffix('/')
    }
}

impl TryFrom<String> for HostText {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, InvalidHost> {
        // The pattern after the namespace must be one that Envoy can match.
        if let Err(error) = rule::host::istio_pattern(&text) {
            return Err(InvalidHost { text, error });
        }
        let host_start = text.find('/').map_or(0, |slash| slash + 1);
        Ok(Self { text, host_start })
    }
}

impl fmt::Display for HostText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is not a [`HostText`], with the reason.
#[derive(Debug)]
pub struct InvalidHost {
    text: String,
    error: PatternError,
}

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a host: {}", self.text, self.error)
    }
}

impl std::error::Error for InvalidHost {}

/// A host of a server as istiod compares it: letter by letter, with the namespaces whose routes may
/// use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamespacedHost {
    pub(crate) namespace: RouteNamespace,
    pub(crate) host: String,
}

/// The namespaces whose routes may use a host of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RouteNamespace {
    /// Every namespace: the host is written without one, or with `*`.
    Any,
    /// One namespace, by its name.
    Only(String),
    /// No namespace. istiod writes `~`.
    None,
}

impl NamespacedHost {
    /// A host for the routes of every namespace.
    pub(crate) fn of_any_namespace(host: impl Into<String>) -> Self {
        Self {
            namespace: RouteNamespace::Any,
            host: host.into(),
        }
    }

    /// A host for the routes of one namespace.
    pub(crate) fn of_namespace(namespace: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            namespace: RouteNamespace::Only(namespace.into()),
            host: host.into(),
        }
    }

    /// A host that no route may use.
    pub(crate) fn without_routes(host: impl Into<String>) -> Self {
        Self {
            namespace: RouteNamespace::None,
            host: host.into(),
        }
    }

    /// The hosts of a server of a Gateway: `./h` is for the Gateway's own namespace, `*/h` for any, and
    /// `*/*` replaces all hosts (Istio `pilot/pkg/model/gateway.go`, `sanitizeServerHostNamespace`; istiod
    /// 1.31 panics where `./h` or `*/h` follows `*/*`).
    pub(crate) fn sanitized(hosts: &[HostText], gateway_namespace: &str) -> Vec<Self> {
        let mut sanitized = Vec::with_capacity(hosts.len());
        for text in hosts {
            let host = text.host();
            // `*/*` allows every host for every namespace, so the other hosts add nothing.
            sanitized.push(match text.namespace() {
                Some("*") if host == "*" => return vec![Self::of_any_namespace("*")],
                None | Some("*") => Self::of_any_namespace(host),
                Some(".") => Self::of_namespace(gateway_namespace, host),
                Some("~") => Self::without_routes(host),
                Some(namespace) => Self::of_namespace(namespace, host),
            });
        }
        sanitized
    }

    /// The host without the namespace.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether routes of a namespace may use the host.
    pub(crate) fn admits(&self, namespace: &str) -> bool {
        match &self.namespace {
            RouteNamespace::Any => true,
            RouteNamespace::Only(name) => name == namespace,
            RouteNamespace::None => false,
        }
    }
}

impl fmt::Display for NamespacedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            RouteNamespace::Any => f.write_str(&self.host),
            RouteNamespace::Only(namespace) => write!(f, "{namespace}/{}", self.host),
            RouteNamespace::None => write!(f, "~/{}", self.host),
        }
    }
}

/// The pattern that Envoy matches for a host of a resource. Every [`HostText`] has one; a host that the
/// model derives, such as the full name of a Service, may have none and then matches nothing.
pub(crate) fn pattern(host: &str) -> Option<HostPattern> {
    HostPattern::try_from(host).ok()
}

#[cfg(test)]
mod tests {
    use super::{HostText, NamespacedHost};

    fn host_text(text: &str) -> HostText {
        HostText::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn the_namespace_is_before_the_slash() {
        for (text, namespace, host) in [
            ("a.example.com", None, "a.example.com"),
            ("shop/a.example.com", Some("shop"), "a.example.com"),
            ("./*.example.com", Some("."), "*.example.com"),
            ("*/*", Some("*"), "*"),
        ] {
            let parsed = host_text(text);
            assert_eq!((parsed.namespace(), parsed.host()), (namespace, host));
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn invalid_hosts() {
        for text in ["", "/a.example.com", "shop/", "*a.example.com", "a/b/c"] {
            assert!(HostText::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check_sanitized(hosts: &[&str], expected: &[&str]) {
        let parsed: Vec<HostText> = hosts.iter().map(|host| host_text(host)).collect();
        let sanitized: Vec<String> = NamespacedHost::sanitized(&parsed, "shop")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(sanitized, expected, "{hosts:?}");
    }

    #[test]
    fn hosts_of_a_server() {
        check_sanitized(&["a.example.com"], &["a.example.com"]);
        check_sanitized(&["./a.example.com"], &["shop/a.example.com"]);
        check_sanitized(&["*/a.example.com"], &["a.example.com"]);
        check_sanitized(&["other/a.example.com"], &["other/a.example.com"]);
        check_sanitized(&["./*", "b.example.com"], &["shop/*", "b.example.com"]);
        check_sanitized(&["a.example.com", "*/*", "./b.example.com"], &["*"]);
        check_sanitized(&["~/a.example.com"], &["~/a.example.com"]);
    }

    #[test]
    fn namespaces_that_a_host_admits() {
        for (text, admits_shop, admits_other) in [
            ("a.example.com", true, true),
            ("./a.example.com", true, false),
            ("other/a.example.com", false, true),
            ("~/a.example.com", false, false),
        ] {
            let hosts = NamespacedHost::sanitized(&[host_text(text)], "shop");
            assert!(
                hosts.iter().all(|host| host.admits("shop") == admits_shop
                    && host.admits("other") == admits_other),
                "{text}"
            );
        }
    }
}
