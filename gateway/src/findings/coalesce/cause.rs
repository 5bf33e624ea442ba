//! The pairs of one cause.

use std::collections::{BTreeMap, BTreeSet};

use super::treatment::{Denial, Treatment};
use crate::Credential;
use crate::coalescing::{
    BrokenPair, BrokenPairs, Defect, NotFoundGroup, ReportedDefect, ServerIndex,
};
use crate::findings::{Code, Known, MAX_PAIRS, Protection, Severity};

/// All pairs of a listener with one defect, one certificate and one treatment.
pub(super) struct Cause<'h> {
    pub(super) defect: ReportedDefect,
    pub(super) treatment: Treatment,
    pub(super) known: Known,
    /// The credentials with the certificate.
    pub(super) credentials: BTreeSet<&'h Credential>,
    /// The servers of the connections.
    pub(super) connections: BTreeSet<ServerIndex>,
    /// The servers of the hosts.
    pub(super) owners: BTreeSet<ServerIndex>,
    pub(super) pair_count: usize,
    /// The first pairs.
    pub(super) pairs: Vec<BrokenPair<'h>>,
}

impl Cause<'_> {
    pub(super) fn code(&self) -> Code {
        self.defect.into()
    }

    /// The severity, which an installed filter and a policy reduce.
    pub(super) fn severity(&self) -> Severity {
        severity(self.code(), self.treatment)
    }
}

fn severity(code: Code, treatment: Treatment) -> Severity {
    if code == Code::CoalesceTlsPolicy {
        return match (treatment.denial, treatment.filter) {
            // The filter is not a boundary: a client that bypasses mutual TLS on purpose avoids its 421.
            (Denial::None, _) => code.severity(),
            // Browsers repeat a request after 421, and not after the 403 of the policy.
            (Denial::Routes, Protection::Enforced) => Severity::Info,
            (Denial::Host | Denial::Routes, _) => Severity::Warning,
        };
    }
    match treatment.filter {
        Protection::None => code.severity(),
        // The filter is there, and the operator decided that it does not act.
        Protection::Reported | Protection::Off => Severity::Warning,
        Protection::Enforced => Severity::Info,
    }
}

/// The causes in a certificate scope.
pub(super) struct Causes<'h> {
    known: Known,
    credentials: BTreeSet<&'h Credential>,
    found: BTreeMap<(ReportedDefect, Treatment), Cause<'h>>,
}

impl<'h> Causes<'h> {
    pub(super) fn new(pairs: &BrokenPairs<'h>) -> Self {
        Self {
            known: pairs.known,
            credentials: pairs.credentials.clone(),
            found: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, pair: &BrokenPair<'h>, treatment: Treatment) {
        let cause = self.cause(pair.defect, treatment);
        cause.connections.insert(pair.connection.chain.server);
        cause.owners.insert(pair.owner());
        cause.pair_count += 1;
        if cause.pairs.len() < MAX_PAIRS {
            cause.pairs.push(*pair);
        }
    }

    /// Adds the pairs that get 404 and have a host of some servers.
    pub(super) fn add_group(
        &mut self,
        pairs: &BrokenPairs<'h>,
        owners: &BTreeSet<ServerIndex>,
        treatment: Treatment,
    ) {
        let NotFoundGroup {
            connections,
            owners,
            pairs: count,
        } = pairs.not_found_group(owners);
        let cause = self.cause(Defect::NotFound, treatment);
        let missing = MAX_PAIRS - cause.pairs.len();
        cause.pairs.extend(pairs.not_found_pairs(&owners, missing));
        cause.connections.extend(connections);
        cause.owners.extend(owners);
        cause.pair_count += count;
    }

    pub(super) fn into_causes(self) -> Vec<Cause<'h>> {
        self.found.into_values().collect()
    }

    fn cause(&mut self, defect: Defect, treatment: Treatment) -> &mut Cause<'h> {
        let defect = ReportedDefect::new(self.known, defect);
        let (known, credentials) = (self.known, &self.credentials);
        self.found
            .entry((defect, treatment))
            .or_insert_with(|| Cause {
                defect,
                treatment,
                known,
                credentials: credentials.clone(),
                connections: BTreeSet::new(),
                owners: BTreeSet::new(),
                pair_count: 0,
                pairs: Vec::new(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{Denial, Treatment, severity};
    use crate::findings::{Code, Protection, Severity};

    #[test]
    fn a_filter_and_a_policy_reduce_the_severity() {
        use Protection::{Enforced, None, Off, Reported};
        use Severity::{Error, Info, Warning};
        let [no, host, routes] = [Denial::None, Denial::Host, Denial::Routes];
        for (code, filter, denial, expected) in [
            (Code::CoalesceNotFound, None, no, Error),
            (Code::CoalesceNotFound, Reported, no, Warning),
            (Code::CoalesceNotFound, Off, no, Warning),
            (Code::CoalesceNotFound, Enforced, no, Info),
            (Code::CoalesceWrongRoute, Enforced, no, Info),
            (Code::CoalescePresumed, None, no, Warning),
            (Code::CoalescePresumed, Enforced, no, Info),
            // The filter is not a boundary.
            (Code::CoalesceTlsPolicy, None, no, Error),
            (Code::CoalesceTlsPolicy, Enforced, no, Error),
            // The policy is one, and browsers need the filter too.
            (Code::CoalesceTlsPolicy, None, routes, Warning),
            (Code::CoalesceTlsPolicy, Reported, routes, Warning),
            (Code::CoalesceTlsPolicy, Off, routes, Warning),
            (Code::CoalesceTlsPolicy, Enforced, routes, Info),
            (Code::CoalesceTlsPolicy, Enforced, host, Warning),
        ] {
            let treatment = Treatment { denial, filter };
            assert_eq!(severity(code, treatment), expected, "{code} {treatment:?}");
        }
    }
}
