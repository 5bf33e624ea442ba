//! The log of misdirected requests: each at debug level, and at warn level no more than one in a
//! while, since clients decide how many there are.

use std::cell::Cell;
use std::time::Duration;

use log::{debug, warn};
use rule::{Config, Decision, Host, Misdirection};

use crate::abi;

/// Counts what it did not say at warn level since it last did.
pub(crate) struct MismatchLog {
    interval: Duration,
    /// Nanoseconds since 1970.
    next: Cell<u64>,
    suppressed: Cell<u64>,
}

impl MismatchLog {
    /// One warning per interval in this worker.
    pub(crate) fn every(interval: Duration) -> Self {
        Self {
            interval,
            next: Cell::new(0),
            suppressed: Cell::new(0),
        }
    }

    pub(crate) fn add(
        &self,
        config: &Config,
        sni: &[u8],
        authority: &[u8],
        reason: Misdirection,
        decision: Decision,
    ) {
        let line = line(config, sni, authority, reason, decision);
        debug!("{line}");
        let now = abi::now_nanoseconds().unwrap_or_default();
        if now < self.next.get() {
            self.suppressed.set(self.suppressed.get().saturating_add(1));
            return;
        }
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        self.next.set(now.saturating_add(interval));
        warn!("{line}, suppressed {}", self.suppressed.take());
    }
}

/// Both names come from the client and are escaped.
fn line(
    config: &Config,
    sni: &[u8],
    authority: &[u8],
    reason: Misdirection,
    decision: Decision,
) -> String {
    let label = |host| config.server_label(host).unwrap_or("-");
    format!(
        "misdirected request: sni {} of server {}, authority {} of server {}, reason {}, {}",
        sni.escape_ascii(),
        label(Host::from_sni(sni)),
        authority.escape_ascii(),
        label(Host::from_authority(authority)),
        reason.name(),
        if decision.status().is_some() {
            "answered 421"
        } else {
            "reported"
        },
    )
}
