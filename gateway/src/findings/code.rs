//! The kinds of findings.

use std::fmt;

use serde::{Serialize, Serializer};

/// What kind of thing was found. A code that is retired is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// SG101: 404 on a reused connection.
    CoalesceNotFound,
    /// SG102: another server's routes on a reused connection.
    CoalesceWrongRoute,
    /// SG103: no client certificate asked for on a reused connection.
    CoalesceTlsPolicy,
    /// SG104: one of those, if the certificate is what its name suggests.
    CoalescePresumed,
    /// SG201: istiod leaves a server out.
    ServerDropped,
    /// SG202: Envoy refuses a listener.
    ListenerRejected,
    /// SG203: no routes for a host.
    HostUnattached,
    /// SG301: a certificate that is not valid now.
    CertificateExpired,
    /// SG302: a certificate that no client takes.
    CertificateMismatch,
    /// SG303: a Secret that is not there.
    SecretMissing,
    /// SG304: one certificate in several Secrets.
    CertificateShared,
    /// SG401: an installed filter whose servers are not the gateway's.
    GuardStale,
    /// SG402: an installed filter that runs nowhere.
    GuardDetached,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Requests fail, or go where they should not.
    Error,
    /// They may.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CoalesceNotFound,
        Self::CoalesceWrongRoute,
        Self::CoalesceTlsPolicy,
        Self::CoalescePresumed,
        Self::ServerDropped,
        Self::ListenerRejected,
        Self::HostUnattached,
        Self::CertificateExpired,
        Self::CertificateMismatch,
        Self::SecretMissing,
        Self::CertificateShared,
        Self::GuardStale,
        Self::GuardDetached,
    ];

    /// The code itself.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::CoalesceNotFound => "SG101",
            Self::CoalesceWrongRoute => "SG102",
            Self::CoalesceTlsPolicy => "SG103",
            Self::CoalescePresumed => "SG104",
            Self::ServerDropped => "SG201",
            Self::ListenerRejected => "SG202",
            Self::HostUnattached => "SG203",
            Self::CertificateExpired => "SG301",
            Self::CertificateMismatch => "SG302",
            Self::SecretMissing => "SG303",
            Self::CertificateShared => "SG304",
            Self::GuardStale => "SG401",
            Self::GuardDetached => "SG402",
        }
    }

    /// Its name in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CoalesceNotFound => "coalesce-not-found",
            Self::CoalesceWrongRoute => "coalesce-wrong-route",
            Self::CoalesceTlsPolicy => "coalesce-tls-policy",
            Self::CoalescePresumed => "coalesce-presumed",
            Self::ServerDropped => "server-dropped",
            Self::ListenerRejected => "listener-rejected",
            Self::HostUnattached => "host-unattached",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateMismatch => "certificate-mismatch",
            Self::SecretMissing => "secret-missing",
            Self::CertificateShared => "certificate-shared",
            Self::GuardStale => "guard-stale",
            Self::GuardDetached => "guard-detached",
        }
    }

    /// How bad such a finding is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::CoalescePresumed
            | Self::HostUnattached
            | Self::SecretMissing
            | Self::GuardStale => Severity::Warning,
            Self::CertificateShared => Severity::Info,
            _ => Severity::Error,
        }
    }

    /// Whether it is about a connection to one server and a request for another.
    #[must_use]
    pub fn is_between_servers(self) -> bool {
        matches!(
            self,
            Self::CoalesceNotFound
                | Self::CoalesceWrongRoute
                | Self::CoalesceTlsPolicy
                | Self::CoalescePresumed
        )
    }

    /// Reads a code, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| code.id().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
