//! SG104: SG101, SG102 or SG103, if an unknown certificate covers the hosts of both servers. The module
//! `coalesce` finds it.

use super::info::{Info, Severity};

pub(super) const INFO: Info = Info {
    id: "SG104",
    name: "coalesce-presumed",
    severity: Severity::Warning,
    what: "Servers use the same credential, and check could not read its certificate. If the \
           certificate covers their hosts, clients reuse connections, and requests fail or reach the \
           wrong backend.",
    why: "The consequences are the same as for SG101, SG102 and SG103.",
    example: "Two Gateways use the Secret wildcard-example-com, which is not in the checked files.",
    fix: "Check again with the Secrets in the input, to be certain. Their private keys are not needed. \
          Then apply the fix of SG101.",
    coalesced_answer: Some("presumably broken"),
};
