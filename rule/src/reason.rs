//! The reasons of a decision, by the names that metrics, access logs and `explain` give them.

/// Why a request passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// There is no valid configuration.
    InvalidConfig,
    /// The connection has no SNI to compare with.
    NoSni,
    /// The authority is none.
    Unparsable,
    /// The authority is the SNI. Under every configuration: this is what makes it impossible for a
    /// client that repeats a request on a new connection to be sent round in a circle.
    Equal,
    /// The SNI may carry any authority.
    TrustedSni,
    /// The rule is switched off for the host.
    Off,
    /// The gateway has routes for the host here.
    Routed,
    /// The host belongs to no server: a new connection would be answered no better.
    UnlistedHost,
    /// The SNI belongs to no server.
    UnlistedSni,
    /// SNI and host belong to one server.
    SameServer,
    /// CONNECT names a tunnel's far end, not a host of this gateway (RFC 9110 §9.3.6).
    Connect,
    /// The rule does not look at this version of HTTP.
    Protocol,
    /// gRPC clients do not repeat a call after 421.
    Grpc,
}

/// Why a request is misdirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirection {
    /// The connection has no SNI, and the configuration asks for one.
    NoSni,
    /// Rule `exact`: the authority is not the SNI.
    NotEqual,
    /// Rule `unrouted`: the gateway has no routes for the host here.
    Unrouted,
    /// Rule `servers`: the SNI belongs to no server, and the configuration asks for one.
    UnlistedSni,
    /// Rule `servers`: the host belongs to another server than the SNI.
    OtherServer,
}

impl Pass {
    /// The name of the reason in metrics and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid_config",
            Self::NoSni => "no_sni",
            Self::Unparsable => "unparsable",
            Self::Equal => "equal",
            Self::TrustedSni => "trusted_sni",
            Self::Off => "off",
            Self::Routed => "routed",
            Self::UnlistedHost => "unlisted_host",
            Self::UnlistedSni => "unlisted_sni",
            Self::SameServer => "same_server",
            Self::Connect => "connect",
            Self::Protocol => "protocol",
            Self::Grpc => "grpc",
        }
    }
}

impl Misdirection {
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
}
