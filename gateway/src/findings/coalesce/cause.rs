//! The pairs of one cause.

use std::collections::{BTreeMap, BTreeSet};

use crate::Credential;
use crate::coalescing::{
    BrokenPair, BrokenPairs, Defect, NotFoundGroup, ReportedDefect, ServerIndex,
};
use crate::findings::{Code, Known, MAX_PAIRS, Protection, Severity};

/// All pairs of a listener with one defect, one certificate and one protection.
pub(super) struct Cause<'h> {
    pub(super) defect: ReportedDefect,
    pub(super) protection: Protection,
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

    /// The severity, which an installed filter reduces.
    pub(super) fn severity(&self) -> Severity {
        severity(self.code(), self.protection)
    }
}

fn severity(code: Code, protection: Protection) -> Severity {
    // A client that bypasses mutual TLS on purpose does not need the filter's 421 to try again.
    if code == Code::CoalesceTlsPolicy {
        return code.severity();
    }
    match protection {
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
    found: BTreeMap<(ReportedDefect, Protection), Cause<'h>>,
}

impl<'h> Causes<'h> {
    pub(super) fn new(pairs: &BrokenPairs<'h>) -> Self {
        Self {
            known: pairs.known,
            credentials: pairs.credentials.clone(),
            found: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, pair: &BrokenPair<'h>, protection: Protection) {
        let cause = self.cause(pair.defect, protection);
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
        protection: Protection,
    ) {
        let NotFoundGroup {
            connections,
            owners,
            pairs: count,
        } = pairs.not_found_group(owners);
        let cause = self.cause(Defect::NotFound, protection);
        let missing = MAX_PAIRS - cause.pairs.len();
        cause.pairs.extend(pairs.not_found_pairs(&owners, missing));
        cause.connections.extend(connections);
        cause.owners.extend(owners);
        cause.pair_count += count;
    }

    pub(super) fn into_causes(self) -> Vec<Cause<'h>> {
        self.found.into_values().collect()
    }

    fn cause(&mut self, defect: Defect, protection: Protection) -> &mut Cause<'h> {
        let defect = ReportedDefect::new(self.known, defect);
        let (known, credentials) = (self.known, &self.credentials);
        self.found
            .entry((defect, protection))
            .or_insert_with(|| Cause {
                defect,
                protection,
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
    use super::severity;
    use crate::findings::{Code, Protection, Severity};

    #[test]
    fn an_installed_filter_reduces_the_severity() {
        use Protection::{Enforced, None, Off, Reported};
        use Severity::{Error, Info, Warning};
        for (code, protection, expected) in [
            (Code::CoalesceNotFound, None, Error),
            (Code::CoalesceNotFound, Reported, Warning),
            (Code::CoalesceNotFound, Off, Warning),
            (Code::CoalesceNotFound, Enforced, Info),
            (Code::CoalesceWrongRoute, Enforced, Info),
            (Code::CoalescePresumed, None, Warning),
            (Code::CoalescePresumed, Enforced, Info),
            // The filter is not a boundary.
            (Code::CoalesceTlsPolicy, None, Error),
            (Code::CoalesceTlsPolicy, Enforced, Error),
        ] {
            assert_eq!(
                severity(code, protection),
                expected,
                "{code} {protection:?}"
            );
        }
    }
}
