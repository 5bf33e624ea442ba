//! The gauge `sni_guard.config_invalid`: how many configurations of this Envoy are invalid now. The
//! module [`leases`](crate::leases) explains how the workers count together.

use std::cell::Cell;

use super::abi::{self, Status};
use crate::leases::{ConfigIdentity, Leases};

/// The key of the list that all workers share.
const KEY: &str = "sni_guard.invalid_configurations";
/// How often an invalid configuration renews its lease, in milliseconds.
const RENEWAL: u32 = 1_000;
/// How often a valid configuration ends the leases of others, in milliseconds.
const REVISION: u32 = 10_000;
/// How often an update is repeated because another worker was faster. The next one comes soon.
const ATTEMPTS: usize = 100;

/// A configuration, for the gauge.
pub(crate) struct Gauged {
    id: ConfigIdentity,
    is_invalid: bool,
    /// The gauge, if Envoy defined it.
    gauge: Option<u32>,
    /// Whether the gauge was lower than the number of leases in the list at the last tick.
    lags: Cell<bool>,
}

impl Gauged {
    pub(crate) fn new(id: ConfigIdentity, is_invalid: bool, gauge: Option<u32>) -> Self {
        Self {
            id,
            is_invalid,
            gauge,
            lags: Cell::new(false),
        }
    }

    /// Registers the configuration when it starts.
    ///
    /// Whatever Envoy refuses here, the gauge is less current and nothing else changes.
    pub(crate) fn start(&self) {
        // Valid configurations get ticks too: they end the leases of those that are gone.
        let period = if self.is_invalid { RENEWAL } else { REVISION };
        let _ = abi::set_tick_period(period);
        let _ = self.update(&|leases| {
            if !self.is_invalid {
                leases.end(self.id.plugin);
            }
        });
    }

    /// Renews the lease of the configuration, or removes old ones.
    pub(crate) fn tick(&self) {
        // The change below runs again if another worker was faster. That is not another tick.
        let lagged = self.lags.get();
        let _ = self.update(&|leases| {
            // A worker that changed the list is about to change the gauge. A gauge that is still lower
            // at the next tick is a new one: Envoy had none of our VMs for a while.
            let value = self.gauge.and_then(|id| abi::metric(id).ok());
            let lags = value.is_some_and(|value| value < leases.counted());
            self.lags.set(lags);
            if lagged && lags {
                leases.forget_count();
            }
        });
    }

    fn update(&self, change: &dyn Fn(&mut Leases)) -> Result<(), Status> {
        let now = abi::now_nanoseconds()?;
        for _ in 0..ATTEMPTS {
            let (bytes, version) = match abi::shared_data(KEY) {
                Ok(found) => found,
                // A healthy Envoy has no list.
                Err(Status::NOT_FOUND) if !self.is_invalid => return Ok(()),
                Err(Status::NOT_FOUND) => {
                    abi::set_shared_data(KEY, &Leases::default().encode(), 0)?;
                    abi::shared_data(KEY)?
                }
                Err(status) => return Err(status),
            };
            let before = Leases::decode(&bytes);
            let mut leases = before.clone();
            change(&mut leases);
            leases.expire(now);
            if self.is_invalid {
                leases.renew(self.id, now);
            }
            let difference = leases.take_difference();
            if leases == before {
                return Ok(());
            }
            match abi::set_shared_data(KEY, &leases.encode(), version) {
                Ok(()) => return self.add(difference),
                Err(Status::CAS_MISMATCH) => {}
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    fn add(&self, difference: i64) -> Result<(), Status> {
        match self.gauge {
            Some(id) if difference != 0 => abi::increment_metric(id, difference),
            Some(_) | None => Ok(()),
        }
    }
}
