//! How often a worker warns about misdirected requests: clients decide how many there are.

use std::cell::Cell;

/// The time between two warnings, in nanoseconds.
const INTERVAL: u64 = 1_000_000_000;

/// Lets one event per second through and counts the others.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// When the last event went through, in nanoseconds since 1970.
    last: Cell<Option<u64>>,
    suppressed: Cell<u64>,
}

impl LogLimit {
    /// A limit before its first event.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            last: Cell::new(None),
            suppressed: Cell::new(0),
        }
    }

    /// Whether an event goes through: then how many did not since the last that did.
    ///
    /// `now` is in nanoseconds since 1970, by a clock that an operator may set back. An event before
    /// the last one goes through, so that no clock silences the log.
    pub fn admit(&self, now: u64) -> Option<u64> {
        let elapsed = self.last.get().and_then(|last| now.checked_sub(last));
        if elapsed.is_some_and(|elapsed| elapsed < INTERVAL) {
            self.suppressed.set(self.suppressed.get().saturating_add(1));
            return None;
        }
        self.last.set(Some(now));
        Some(self.suppressed.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_per_second_goes_through_and_the_others_are_counted() {
        let limit = LogLimit::new();
        for (now, expected) in [
            (5, Some(0)),
            (5, None),
            (INTERVAL + 4, None),
            (INTERVAL + 5, Some(2)),
            (INTERVAL + 6, None),
            (3 * INTERVAL, Some(1)),
            (4 * INTERVAL, Some(0)),
        ] {
            assert_eq!(limit.admit(now), expected, "{now}");
        }
    }

    #[test]
    fn the_first_event_goes_through_at_any_time() {
        assert_eq!(LogLimit::new().admit(0), Some(0));
        assert_eq!(LogLimit::default().admit(u64::MAX), Some(0));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_the_log() {
        let limit = LogLimit::new();
        assert_eq!(limit.admit(10 * INTERVAL), Some(0));
        assert_eq!(limit.admit(10 * INTERVAL + 1), None);
        assert_eq!(limit.admit(2 * INTERVAL), Some(1));
        assert_eq!(limit.admit(2 * INTERVAL + 1), None);
        assert_eq!(limit.admit(3 * INTERVAL), Some(1));
    }
}
