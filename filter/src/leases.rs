//! The invalid configurations of an Envoy, for the gauge that counts them.
//!
//! A configuration runs once in each worker, and once more while Envoy tries it. Several plugins may
//! share the gauge, and Envoy does not report the end of a configuration unless the filter pays for a call
//! at the end of every request. So the workers share one list: each invalid configuration renews its
//! lease in it every second, and a lease that was not renewed ends. The gauge is the number of leases.

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

/// The identity of a configuration among all configurations of an Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigIdentity {
    /// The hash of the name of the plugin.
    pub plugin: u64,
    /// The hash of the text of the configuration.
    pub text: u64,
}

/// The lease of an invalid configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    id: ConfigIdentity,
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
        while let (Some(plugin), Some(text), Some(renewed)) =
            (numbers.next(), numbers.next(), numbers.next())
        {
            let id = ConfigIdentity { plugin, text };
            leases.push(Lease { id, renewed });
        }
        Self { counted, leases }
    }

    /// The list in octets, for Envoy's shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        std::iter::once(self.counted)
            .chain(
                self.leases
                    .iter()
                    .flat_map(|lease| [lease.id.plugin, lease.id.text, lease.renewed]),
            )
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    /// Ends the leases that are too old.
    pub fn expire(&mut self, now: u64) {
        // A clock that was set back leaves leases of the future behind, which nothing renews either.
        self.leases
            .retain(|lease| now.abs_diff(lease.renewed) <= DURATION);
    }

    /// Renews the lease of an invalid configuration, or begins it.
    pub fn renew(&mut self, id: ConfigIdentity, now: u64) {
        match self.leases.iter_mut().find(|lease| lease.id == id) {
            Some(lease) => lease.renewed = now,
            None => self.leases.push(Lease { id, renewed: now }),
        }
    }

    /// Ends the leases of a plugin that has a valid configuration now. If another configuration of the
    /// same name is still there, it renews its lease within a second.
    pub fn end(&mut self, plugin: u64) {
        self.leases.retain(|lease| lease.id.plugin != plugin);
    }

    /// What the gauge has to be changed by; it counts as changed then.
    pub fn take_difference(&mut self) -> i64 {
        let count = u64::try_from(self.leases.len()).unwrap_or(u64::MAX);
        let difference = count.wrapping_sub(self.counted).cast_signed();
        self.counted = count;
        difference
    }

    /// How many leases the gauge counts, once the worker that wrote the list has changed it.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
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

    /// What a configuration does to the list.
    enum Step {
        /// An invalid configuration of a plugin, with a text.
        Invalid(u64, u64),
        /// The tick of a valid one.
        Valid,
        /// A plugin gets a valid one.
        Mended(u64),
    }

    use Step::{Invalid, Mended, Valid};

    /// Steps at a time in seconds, each with the value of the gauge afterwards.
    #[track_caller]
    fn check(steps: &[(u64, Step, i64)]) {
        let mut gauge = 0;
        let mut shared = Vec::new();
        for (index, (seconds, step, expected)) in steps.iter().enumerate() {
            let mut leases = Leases::decode(&shared);
            let now = seconds * SECOND;
            leases.expire(now);
            match *step {
                Invalid(plugin, text) => leases.renew(ConfigIdentity { plugin, text }, now),
                Valid => {}
                Mended(plugin) => leases.end(plugin),
            }
            gauge += leases.take_difference();
            shared = leases.encode();
            assert_eq!(gauge, *expected, "step {index}");
        }
    }

    #[test]
    fn the_gauge_counts_configurations_and_not_workers() {
        check(&[
            (1, Invalid(7, 1), 1),
            (1, Invalid(7, 1), 1),
            (2, Invalid(7, 1), 1),
        ]);
        check(&[
            (1, Invalid(7, 1), 1),
            (1, Invalid(8, 1), 2),
            (1, Invalid(7, 1), 2),
        ]);
        check(&[(1, Invalid(7, 1), 1), (1, Invalid(7, 2), 2)]);
    }

    #[test]
    fn a_valid_configuration_hides_no_invalid_one() {
        check(&[
            (1, Invalid(7, 1), 1),
            (1, Valid, 1),
            (2, Invalid(7, 1), 1),
            (2, Mended(8), 1),
        ]);
    }

    #[test]
    fn a_plugin_that_is_mended_counts_no_more_at_once() {
        check(&[
            (1, Invalid(7, 1), 1),
            (1, Invalid(8, 1), 2),
            (1, Mended(7), 1),
            (2, Mended(8), 0),
        ]);
    }

    #[test]
    fn a_lease_ends_when_nothing_renews_it() {
        check(&[
            (1, Invalid(7, 1), 1),
            (1, Invalid(8, 1), 2),
            (4, Invalid(8, 1), 2),
            (5, Invalid(8, 1), 1),
            (8, Valid, 1),
            (9, Valid, 0),
        ]);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_nothing_behind() {
        check(&[
            (100, Invalid(7, 1), 1),
            (99, Valid, 1),
            (10, Valid, 0),
            (10, Invalid(7, 1), 1),
        ]);
        check(&[
            (100, Invalid(7, 1), 1),
            (10, Invalid(7, 1), 1),
            (10, Invalid(8, 1), 2),
        ]);
    }

    #[test]
    fn a_new_gauge_is_filled_again() {
        let mut leases = Leases::default();
        for plugin in [7, 8] {
            leases.renew(ConfigIdentity { plugin, text: 1 }, SECOND);
        }
        assert_eq!((leases.take_difference(), leases.counted()), (2, 2));
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
        leases.renew(ConfigIdentity { plugin: 7, text: 1 }, SECOND);
        let mut bytes = leases.encode();
        assert_eq!(Leases::decode(&bytes), leases);
        bytes.extend([0; 17]);
        assert_eq!(Leases::decode(&bytes), leases);
    }
}
