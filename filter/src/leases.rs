//! The invalid configurations of an Envoy, for the gauge that counts them.
//!
//! A configuration runs once in each worker, and once more while Envoy tries it. Several plugins may
//! share the gauge, and Envoy does not say when a configuration ends unless the filter pays for a call
//! at the end of every request. So the workers share one list: each invalid configuration renews its
//! lease in it every second, and a lease that nobody renewed ends. The gauge is the number of leases.

/// A lease that is older than this ends, in nanoseconds: three renewals.
const DURATION: u64 = 3_000_000_000;
const NUMBER: usize = size_of::<u64>();

/// The list that all workers share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// How many leases the gauge counts already. The worker that writes a new number is the one that
    /// adds the difference to the gauge.
    counted: u64,
    leases: Vec<Lease>,
}

/// An invalid configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    /// Tells configurations apart.
    id: u64,
    /// When a worker last ran it, in nanoseconds since 1970.
    renewed: u64,
}

impl Leases {
    /// Reads what [`Self::encode`] wrote. Anything else is an empty list.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut numbers = bytes
            .chunks_exact(NUMBER)
            .filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
        let Some(counted) = numbers.next() else {
            return Self::default();
        };
        let mut leases = Vec::new();
        while let (Some(id), Some(renewed)) = (numbers.next(), numbers.next()) {
            leases.push(Lease { id, renewed });
        }
        Self { counted, leases }
    }

    /// The list as octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let leases = self
            .leases
            .iter()
            .flat_map(|lease| [lease.id, lease.renewed]);
        std::iter::once(self.counted)
            .chain(leases)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    /// Ends old leases and renews one: that of an invalid configuration that runs now.
    pub fn update(&mut self, now: u64, invalid: Option<u64>) {
        // A clock that was set back leaves leases of the future behind, which nobody renews either.
        self.leases
            .retain(|lease| now.abs_diff(lease.renewed) <= DURATION);
        let Some(id) = invalid else {
            return;
        };
        match self.leases.iter_mut().find(|lease| lease.id == id) {
            Some(lease) => lease.renewed = now,
            None => self.leases.push(Lease { id, renewed: now }),
        }
    }

    /// What the gauge has to be changed by; it counts as changed then.
    pub fn take_difference(&mut self) -> i64 {
        let count = u64::try_from(self.leases.len()).unwrap_or(u64::MAX);
        let difference = count.wrapping_sub(self.counted).cast_signed();
        self.counted = count;
        difference
    }

    /// The gauge is a new one and counts nothing yet.
    pub fn forget_count(&mut self) {
        self.counted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Updates at a time in seconds, each by a worker of a configuration, with the value of the gauge
    /// afterwards.
    #[track_caller]
    fn check(updates: &[(u64, Option<u64>, i64)]) {
        let mut gauge = 0;
        let mut shared = Vec::new();
        for (seconds, invalid, expected) in updates {
            let mut leases = Leases::decode(&shared);
            leases.update(seconds * SECOND, *invalid);
            gauge += leases.take_difference();
            shared = leases.encode();
            assert_eq!(gauge, *expected, "{seconds} {invalid:?}");
        }
    }

    #[test]
    fn the_gauge_counts_configurations_and_not_workers() {
        check(&[(1, Some(7), 1), (1, Some(7), 1), (1, Some(7), 1)]);
        check(&[(1, Some(7), 1), (1, Some(8), 2), (1, Some(7), 2)]);
    }

    #[test]
    fn a_valid_configuration_hides_no_invalid_one() {
        check(&[(1, Some(7), 1), (1, None, 1), (2, Some(7), 1), (2, None, 1)]);
    }

    #[test]
    fn a_lease_ends_when_nobody_renews_it() {
        check(&[
            (1, Some(7), 1),
            (1, Some(8), 2),
            (4, Some(8), 2),
            (5, Some(8), 1),
            (8, None, 1),
            (9, None, 0),
        ]);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_nothing_behind() {
        check(&[
            (100, Some(7), 1),
            (99, None, 1),
            (10, None, 0),
            (10, Some(7), 1),
        ]);
        check(&[(100, Some(7), 1), (10, Some(7), 1), (10, Some(8), 2)]);
    }

    #[test]
    fn a_new_gauge_is_filled_again() {
        let mut leases = Leases::default();
        leases.update(SECOND, Some(7));
        leases.update(SECOND, Some(8));
        assert_eq!(leases.take_difference(), 2);
        assert_eq!(leases.take_difference(), 0);
        leases.forget_count();
        assert_eq!(leases.take_difference(), 2);
    }

    #[test]
    fn octets_that_are_no_list_are_an_empty_one() {
        for bytes in [[].as_slice(), &[1, 2, 3]] {
            assert_eq!(Leases::decode(bytes), Leases::default());
        }
        let mut leases = Leases::default();
        leases.update(SECOND, Some(7));
        let mut bytes = leases.encode();
        assert_eq!(Leases::decode(&bytes), leases);
        bytes.extend([0; 9]);
        assert_eq!(Leases::decode(&bytes), leases);
    }
}
