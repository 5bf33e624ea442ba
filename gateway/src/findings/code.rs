//! The list of the kinds of findings. Each kind has a module, whose constant `INFO` describes it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::info::{Info, Severity};

/// Makes the enum and everything that lists its variants, so that no list can miss one.
macro_rules! codes {
    ($($variant:ident: $module:ident,)+) => {
        /// The kind of a finding, in the order of the codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!("`", stringify!($module), "`")] $variant,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The texts and the severity of this kind of finding.
            #[must_use]
            pub fn info(self) -> &'static Info {
                match self {
                    $(Self::$variant => &super::$module::INFO,)+
                }
            }
        }
    };
}

codes! {
    CoalesceNotFound: coalesce_not_found,
    CoalesceWrongRoute: coalesce_wrong_route,
    CoalesceTlsPolicy: coalesce_tls_policy,
    CoalescePresumed: coalesce_presumed,
    ServerDropped: server_dropped,
    ListenerRejected: listener_rejected,
    HostUnattached: host_unattached,
    GatewaySelectsNothing: gateway_selects_nothing,
    RouteUnattached: route_unattached,
    HostRoutedTwice: host_routed_twice,
    PortUnexposed: port_unexposed,
    CertificateExpired: certificate_expired,
    CertificateMismatch: certificate_mismatch,
    SecretMissing: secret_missing,
    CertificateShared: certificate_shared,
    CertificateExpiresSoon: certificate_expires_soon,
    CertificateIncomplete: certificate_incomplete,
    GuardStale: guard_stale,
    GuardDetached: guard_detached,
    GuardInvalid: guard_invalid,
    GuardForeign: guard_foreign,
}

/// The codes by their effect on clients. Codes that are not listed come after them, in the order of the codes.
const EFFECTS: &[Code] = &[
    // No connection, or no request of a server, succeeds.
    Code::ListenerRejected,
    Code::ServerDropped,
    Code::GatewaySelectsNothing,
    Code::CertificateExpired,
    Code::CertificateMismatch,
    Code::SecretMissing,
    Code::PortUnexposed,
    // Requests for a host get 404.
    Code::HostUnattached,
    Code::RouteUnattached,
    // Requests succeed that must not.
    Code::CoalesceTlsPolicy,
    // Requests get a wrong answer on some connections, which is worse than none.
    Code::CoalesceWrongRoute,
    Code::CoalesceNotFound,
    Code::CoalescePresumed,
];

impl Code {
    /// The code as it is written, such as `SG101`.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.info().id
    }

    /// The code in words, such as `coalesce-not-found`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    #[must_use]
    pub fn severity(self) -> Severity {
        self.info().severity
    }

    /// The position in a report among findings of the same severity: what stops most requests is first.
    #[must_use]
    pub(super) fn effect_rank(self) -> usize {
        EFFECTS
            .iter()
            .position(|code| *code == self)
            .unwrap_or(EFFECTS.len())
    }

    /// Whether the finding is about a connection to one server and a request for another.
    #[must_use]
    pub fn is_between_servers(self) -> bool {
        self.info().coalesced_answer.is_some()
    }

    /// Reads a code such as `SG101`, or its name such as `coalesce-not-found`, in upper or lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| {
            code.id().eq_ignore_ascii_case(text) || code.name().eq_ignore_ascii_case(text)
        })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    #[test]
    fn ids_and_names_are_unique_and_in_order() {
        let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        let unique: BTreeSet<&str> = Code::ALL
            .iter()
            .flat_map(|code| [code.id(), code.name()])
            .collect();
        assert_eq!(unique.len(), 2 * Code::ALL.len());
    }

    #[test]
    fn outages_are_before_wrong_answers() {
        let mut codes = Code::ALL.to_vec();
        codes.sort_by_key(|code| code.effect_rank());
        assert_eq!(codes.first(), Some(&Code::ListenerRejected));
        let rank = |code: Code| code.effect_rank();
        assert!(rank(Code::CertificateExpired) < rank(Code::CoalesceTlsPolicy));
        assert!(rank(Code::CoalesceTlsPolicy) < rank(Code::CoalesceWrongRoute));
        assert!(rank(Code::CoalesceWrongRoute) < rank(Code::CoalesceNotFound));
        assert!(rank(Code::CoalesceNotFound) < rank(Code::GuardDetached));
    }

    #[test]
    fn codes_and_names_are_read_in_any_case() {
        assert_eq!(Code::parse("SG101"), Some(Code::CoalesceNotFound));
        assert_eq!(Code::parse("sg101"), Some(Code::CoalesceNotFound));
        assert_eq!(Code::parse("SG10"), None);
        assert_eq!(
            Code::parse("Coalesce-Not-Found"),
            Some(Code::CoalesceNotFound)
        );
        assert_eq!(Code::parse("coalesce"), None);
    }
}
