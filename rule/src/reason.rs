//! The reasons of a decision, by the names that metrics, access logs and `explain` give them.

/// Why a request passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The configuration is invalid.
    InvalidConfig,
    /// The connection has no SNI to compare with.
    NoSni,
    /// The authority is the SNI. This holds under every configuration: it is why a client that
    /// repeats a request on a new connection is never answered 421 again.
    Equal,
    /// The SNI may carry any authority.
    TrustedSni,
    /// The rule is switched off for the host.
    Off,
    /// A route matched, and nothing else had to be read.
    RouteFound,
    /// A virtual host matched, and the table of servers does not list both names.
    Routed,
    /// SNI and host belong to one server.
    SameServer,
    /// Envoy followed a redirect of an upstream: the client did not ask for this host.
    InternalRedirect,
    /// CONNECT names the far end of a tunnel, not a host of this gateway (RFC 9110 §9.3.6).
    Connect,
    /// The configuration leaves out this version of HTTP.
    Protocol,
    /// gRPC clients do not repeat a call after 421.
    Grpc,
}

/// Why a request is misdirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirection {
    /// The connection has no SNI, and the configuration requires one.
    NoSni,
    /// Rule `exact`: the authority is not the SNI.
    NotEqual,
    /// The gateway has no virtual host for the authority on this connection.
    Unrouted,
    /// The SNI belongs to no server, and the configuration requires one.
    UnlistedSni,
    /// The host belongs to another server than the SNI.
    OtherServer,
}

impl Pass {
    /// The reasons that are counted: those for which both names were read and differ, and the two
    /// that say why nothing was compared. [`Self::Equal`] and [`Self::RouteFound`] are the requests
    /// of a healthy gateway: a call into Envoy for each would cost more than the count is worth.
    pub const COUNTED: [Self; 10] = [
        Self::InvalidConfig,
        Self::NoSni,
        Self::TrustedSni,
        Self::Off,
        Self::Routed,
        Self::SameServer,
        Self::InternalRedirect,
        Self::Connect,
        Self::Protocol,
        Self::Grpc,
    ];

    /// The name of the reason in metrics and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid_config",
            Self::NoSni => "no_sni",
            Self::Equal => "equal",
            Self::TrustedSni => "trusted_sni",
            Self::Off => "off",
            Self::RouteFound | Self::Routed => "routed",
            Self::SameServer => "same_server",
            Self::InternalRedirect => "internal_redirect",
            Self::Connect => "connect",
            Self::Protocol => "protocol",
            Self::Grpc => "grpc",
        }
    }
}

impl Misdirection {
    /// Every reason, in the order of the metrics.
    pub const ALL: [Self; 5] = [
        Self::NoSni,
        Self::NotEqual,
        Self::Unrouted,
        Self::UnlistedSni,
        Self::OtherServer,
    ];

    /// The name of the reason in metrics and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSni => "no_sni",
            Self::NotEqual => "not_equal",
            Self::Unrouted => "unrouted",
            Self::UnlistedSni => "unlisted_sni",
            Self::OtherServer => "other_server",
        }
    }

    /// The value of `%RESPONSE_CODE_DETAILS%` in Envoy's access log: `sni_guard_` and the name.
    #[must_use]
    pub fn response_code_details(self) -> &'static str {
        match self {
            Self::NoSni => "sni_guard_no_sni",
            Self::NotEqual => "sni_guard_not_equal",
            Self::Unrouted => "sni_guard_unrouted",
            Self::UnlistedSni => "sni_guard_unlisted_sni",
            Self::OtherServer => "sni_guard_other_server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn response_code_details_are_the_name_with_a_prefix() {
        for reason in Misdirection::ALL {
            let expected = format!("sni_guard_{}", reason.name());
            assert_eq!(reason.response_code_details(), expected);
        }
    }
}
