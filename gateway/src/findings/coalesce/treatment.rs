//! What the resources of a gateway do with the requests of broken pairs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::coalescing::{BrokenPair, BrokenPairs, Defect, ServerIndex};
use crate::findings::protection::ListenerGuard;
use crate::findings::{Known, MAX_PAIRS, Protection};
use crate::protected::DenyingPolicies;

/// What happens to the requests of a pair before they get a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Treatment {
    /// What an installed filter does with them.
    pub(super) filter: Protection,
    /// Whether an AuthorizationPolicy denies them, and all other requests that bypass the client certificate of
    /// their host.
    pub(super) is_denied: bool,
}

/// The treatments of the pairs of a scope.
pub(super) struct Treatments<'p> {
    guard: &'p ListenerGuard<'p>,
    policies: &'p DenyingPolicies,
    known: Known,
    /// The treatment of the first pair with a host of each server.
    by_owner: HashMap<(ServerIndex, Defect), Treatment>,
}

impl<'p> Treatments<'p> {
    pub(super) fn new(
        guard: &'p ListenerGuard<'p>,
        policies: &'p DenyingPolicies,
        known: Known,
    ) -> Self {
        Self {
            guard,
            policies,
            known,
            by_owner: HashMap::new(),
        }
    }

    /// The treatment of one of `count` pairs. If there are many, one pair stands for all with its owner.
    pub(super) fn of_pair(&mut self, pair: &BrokenPair<'_>, count: usize) -> Treatment {
        if count <= MAX_PAIRS {
            return self.compute(pair);
        }
        let key = (pair.owner(), pair.defect);
        if let Some(known) = self.by_owner.get(&key) {
            return *known;
        }
        let treatment = self.compute(pair);
        self.by_owner.insert(key, treatment);
        treatment
    }

    /// The owners of pairs that get 404, by the treatment of their hosts.
    pub(super) fn of_owners(
        &mut self,
        pairs: &BrokenPairs<'_>,
        owners: &BTreeSet<ServerIndex>,
    ) -> BTreeMap<Treatment, BTreeSet<ServerIndex>> {
        let mut by_treatment: BTreeMap<Treatment, BTreeSet<ServerIndex>> = BTreeMap::new();
        // Only these owners have a pair to ask about.
        for owner in pairs.not_found_group(owners).owners {
            if let Some(pair) = pairs.not_found_of(owner) {
                by_treatment
                    .entry(self.of_pair(&pair, usize::MAX))
                    .or_default()
                    .insert(owner);
            }
        }
        by_treatment
    }

    fn compute(&self, pair: &BrokenPair<'_>) -> Treatment {
        let host = &pair.host.name;
        // A presumed defect stands for all kinds, so a policy for one of them does not decide.
        let is_bypass = pair.defect == Defect::TlsPolicy && self.known == Known::Known;
        Treatment {
            filter: self.guard.protection(pair.connection.sni, host),
            is_denied: is_bypass && self.policies.of(host).is_some_and(|denied| denied.are_all),
        }
    }
}
