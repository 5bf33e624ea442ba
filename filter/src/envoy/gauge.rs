//! The gauge `sni_guard.config_invalid`: how many configurations of this Envoy are invalid now. The
//! module [`leases`](crate::leases) says how the workers count together.

use super::abi::{self, Status};
use crate::leases::Leases;

/// The key of the list that all workers share.
const KEY: &str = "sni_guard.invalid_configurations";
/// How often a configuration renews its lease, in milliseconds.
const PERIOD: u32 = 1_000;
/// How often an update is repeated because another worker was faster. The next one comes soon.
const ATTEMPTS: usize = 100;

/// A configuration begins: `invalid` tells it from others if it is an invalid one.
///
/// Whatever Envoy refuses here, the gauge is less current and nothing else changes.
pub(crate) fn start(gauge: Option<u32>, invalid: Option<u64>) {
    // Ticks go to every configuration: the last one that is left has to end the leases of others.
    let _ = abi::set_tick_period(PERIOD);
    let is_new = gauge.and_then(|id| abi::metric(id).ok()) == Some(0);
    let _ = try_update(gauge, invalid, is_new);
}

/// A configuration is still there.
pub(crate) fn update(gauge: Option<u32>, invalid: Option<u64>) {
    let _ = try_update(gauge, invalid, false);
}

fn try_update(gauge: Option<u32>, invalid: Option<u64>, is_new: bool) -> Result<(), Status> {
    let now = abi::now_nanoseconds()?;
    for _ in 0..ATTEMPTS {
        let (bytes, version) = match abi::shared_data(KEY) {
            Ok(found) => found,
            // A healthy Envoy has no list.
            Err(Status::NOT_FOUND) if invalid.is_none() => return Ok(()),
            Err(Status::NOT_FOUND) => {
                abi::set_shared_data(KEY, &Leases::default().encode(), 0)?;
                abi::shared_data(KEY)?
            }
            Err(status) => return Err(status),
        };
        let before = Leases::decode(&bytes);
        let mut leases = before.clone();
        if is_new {
            leases.forget_count();
        }
        leases.update(now, invalid);
        let difference = leases.take_difference();
        if leases == before {
            return Ok(());
        }
        match abi::set_shared_data(KEY, &leases.encode(), version) {
            Ok(()) => return change(gauge, difference),
            Err(Status::CAS_MISMATCH) => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

fn change(gauge: Option<u32>, difference: i64) -> Result<(), Status> {
    match gauge {
        Some(id) if difference != 0 => abi::increment_metric(id, difference),
        Some(_) | None => Ok(()),
    }
}
