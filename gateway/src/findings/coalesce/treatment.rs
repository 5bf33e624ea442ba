//! What the resources of a gateway do with the requests of broken pairs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::coalescing::{BrokenPair, BrokenPairs, Defect, ServerIndex};
use crate::findings::protection::ListenerGuard;
use crate::findings::{Known, MAX_PAIRS, Protection};
use crate::protected::DenyingPolicies;

/// What happens to the requests of a pair before they get a route, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Treatment {
    pub(super) denial: Denial,
    /// What an installed filter does with the requests before a policy denies them.
    pub(super) filter: Protection,
}

/// Whether policies keep clients without a certificate from the routes of a host that demands one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Denial {
    /// No policy denies the requests, or only some of them. All other defects have this value.
    None,
    /// Policies deny all requests for the host, and clients reach its routes in another way.
    Host,
    /// Policies deny all requests that lead to the routes.
    Routes,
}

/// The treatments of the pairs of a scope.
pub(super) struct Treatments<'p, 'h> {
    guard: &'p ListenerGuard<'p>,
    policies: &'p DenyingPolicies,
    pairs: &'p BrokenPairs<'h>,
    /// The treatment of the first pair with a host of each server.
    by_owner: HashMap<(ServerIndex, Defect), Treatment>,
}

impl<'p, 'h> Treatments<'p, 'h> {
    pub(super) fn new(
        guard: &'p ListenerGuard<'p>,
        policies: &'p DenyingPolicies,
        pairs: &'p BrokenPairs<'h>,
    ) -> Self {
        Self {
            guard,
            policies,
            pairs,
            by_owner: HashMap::new(),
        }
    }

    /// The weakest treatment of a host of one of `count` pairs, and the pair with this host. If there are many pairs,
    /// one stands for all with its owner.
    pub(super) fn of_pair(
        &mut self,
        pair: &BrokenPair<'h>,
        count: usize,
    ) -> (Treatment, BrokenPair<'h>) {
        if count <= MAX_PAIRS {
            return self.weakest(pair);
        }
        let key = (pair.owner(), pair.defect);
        if let Some(treatment) = self.by_owner.get(&key) {
            return (*treatment, *pair);
        }
        let (treatment, weakest) = self.weakest(pair);
        self.by_owner.insert(key, treatment);
        (treatment, weakest)
    }

    /// The owners of pairs that get 404, by the treatment of their hosts.
    pub(super) fn of_owners(
        &mut self,
        owners: &BTreeSet<ServerIndex>,
    ) -> BTreeMap<Treatment, BTreeSet<ServerIndex>> {
        let mut by_treatment: BTreeMap<Treatment, BTreeSet<ServerIndex>> = BTreeMap::new();
        // Only these owners have a pair to ask about.
        for owner in self.pairs.not_found_group(owners).owners {
            if let Some(pair) = self.pairs.not_found_of(owner) {
                let (treatment, _) = self.of_pair(&pair, usize::MAX);
                by_treatment.entry(treatment).or_default().insert(owner);
            }
        }
        by_treatment
    }

    /// A pair stands for all hosts of its owner that break in the same way, and the weakest treatment counts.
    fn weakest(&self, pair: &BrokenPair<'h>) -> (Treatment, BrokenPair<'h>) {
        // Without a filter and a policy all hosts have the same treatment.
        if self.guard.is_empty() && self.policies.is_empty() {
            return (self.compute(pair), *pair);
        }
        self.pairs
            .alike(pair)
            .map(|pair| (self.compute(&pair), pair))
            .min_by_key(|(treatment, _)| *treatment)
            .unwrap_or_else(|| (self.compute(pair), *pair))
    }

    fn compute(&self, pair: &BrokenPair<'h>) -> Treatment {
        let (sni, host) = (pair.connection.sni, pair.host.name.as_str());
        // A presumed defect stands for all kinds, so a policy for one of them does not decide.
        let is_bypass = pair.defect == Defect::TlsPolicy && self.pairs.known == Known::Known;
        let denied = self
            .policies
            .of(host)
            .filter(|denied| is_bypass && denied.are_all);
        let Some(denied) = denied else {
            return Treatment {
                denial: Denial::None,
                filter: self.guard.protection(sni, host),
            };
        };
        Treatment {
            denial: if denied.other_way.is_some() {
                Denial::Host
            } else {
                Denial::Routes
            },
            filter: self.guard.protection_before_policies(sni, host),
        }
    }
}
