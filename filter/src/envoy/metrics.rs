//! Counters by outcome and reason, and the gauge of invalid configurations.
//!
//! No metric holds a host name: clients choose those, and a metric lives as long as Envoy.

use log::warn;
use rule::{Misdirection, Pass};

use super::abi::{self, MetricKind, Status};

/// The identifiers of the metrics. One that Envoy would not define stays `None` and is not counted.
pub(crate) struct Metrics {
    enforced: [Option<u32>; Misdirection::ALL.len()],
    reported: [Option<u32>; Misdirection::ALL.len()],
    passed: [Option<u32>; Pass::COUNTED.len()],
    /// The gauge of invalid configurations.
    pub(crate) config_invalid: Option<u32>,
}

impl Metrics {
    /// Defines every metric, so that each shows as 0 before it first counts.
    pub(crate) fn define() -> Self {
        Self {
            enforced: Misdirection::ALL.map(|reason| counter("enforced", reason.name())),
            reported: Misdirection::ALL.map(|reason| counter("reported", reason.name())),
            passed: Pass::COUNTED.map(|reason| counter("passed", reason.name())),
            config_invalid: define(MetricKind::Gauge, "sni_guard.config_invalid"),
        }
    }

    pub(crate) fn count_enforced(&self, reason: Misdirection) {
        increment(&self.enforced, &Misdirection::ALL, reason);
    }

    pub(crate) fn count_reported(&self, reason: Misdirection) {
        increment(&self.reported, &Misdirection::ALL, reason);
    }

    pub(crate) fn count_passed(&self, reason: Pass) {
        increment(&self.passed, &Pass::COUNTED, reason);
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
        .map_err(|Status(status)| warn!("metric {name} is not defined, status {status}"))
        .ok()
}

fn increment<R: Copy + PartialEq>(ids: &[Option<u32>], reasons: &[R], reason: R) {
    let index = reasons.iter().position(|counted| *counted == reason);
    if let Some(id) = index.and_then(|index| ids.get(index).copied().flatten()) {
        // A count that Envoy refuses changes nothing else.
        let _ = abi::increment_metric(id, 1);
    }
}
