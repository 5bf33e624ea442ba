//! Counters by outcome and reason, and the gauge of an invalid configuration.
//!
//! No metric holds a host name: clients choose those, and a metric lives as long as Envoy.

use log::warn;
use rule::{Misdirection, Pass};

use crate::abi::{self, MetricKind, Refused};

/// The identifiers of the metrics. One that Envoy would not define stays `None` and is not counted.
pub(crate) struct Metrics {
    enforced: Vec<Option<u32>>,
    reported: Vec<Option<u32>>,
    passed: Vec<Option<u32>>,
    config_invalid: Option<u32>,
}

/// The passes that are counted: those where SNI and host were found to differ. A pass that ended
/// earlier is every request of a healthy gateway, and a count of it would cost more than it tells.
const COUNTED_PASSES: [Pass; 10] = [
    Pass::Unparsable,
    Pass::TrustedSni,
    Pass::Off,
    Pass::Routed,
    Pass::UnlistedHost,
    Pass::UnlistedSni,
    Pass::SameServer,
    Pass::Connect,
    Pass::Protocol,
    Pass::Grpc,
];

const MISDIRECTIONS: [Misdirection; 5] = [
    Misdirection::NoSni,
    Misdirection::NotEqual,
    Misdirection::Unrouted,
    Misdirection::UnlistedSni,
    Misdirection::OtherServer,
];

impl Metrics {
    /// Defines every metric, so that each shows as 0 before it first counts.
    pub(crate) fn define() -> Self {
        let misdirections = |outcome| {
            MISDIRECTIONS
                .iter()
                .map(|reason| counter(outcome, reason.name()))
                .collect()
        };
        Self {
            enforced: misdirections("enforced"),
            reported: misdirections("reported"),
            passed: COUNTED_PASSES
                .iter()
                .map(|reason| counter("passed", reason.name()))
                .collect(),
            config_invalid: define(MetricKind::Gauge, "sni_guard.config_invalid"),
        }
    }

    pub(crate) fn count_enforced(&self, reason: Misdirection) {
        increment(&self.enforced, &MISDIRECTIONS, reason);
    }

    pub(crate) fn count_reported(&self, reason: Misdirection) {
        increment(&self.reported, &MISDIRECTIONS, reason);
    }

    pub(crate) fn count_passed(&self, reason: Pass) {
        increment(&self.passed, &COUNTED_PASSES, reason);
    }

    pub(crate) fn set_config_invalid(&self, invalid: bool) {
        if let Some(id) = self.config_invalid {
            // A metric that cannot be written is no reason to do anything else differently.
            let _ = abi::record_metric(id, u64::from(invalid));
        }
    }
}

fn counter(outcome: &str, reason: &str) -> Option<u32> {
    define(
        MetricKind::Counter,
        &format!("sni_guard.{outcome}.{reason}"),
    )
}

fn define(kind: MetricKind, name: &str) -> Option<u32> {
    abi::define_metric(kind, name)
        .map_err(|Refused(status)| warn!("metric {name} is not defined, status {status}"))
        .ok()
}

fn increment<R: Copy + PartialEq>(ids: &[Option<u32>], reasons: &[R], reason: R) {
    let found = reasons.iter().position(|counted| *counted == reason);
    if let Some(id) = found.and_then(|index| ids.get(index).copied().flatten()) {
        // As above.
        let _ = abi::increment_metric(id, 1);
    }
}
