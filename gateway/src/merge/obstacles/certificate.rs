//! The certificate that the merged server presents.

use std::collections::{BTreeSet, HashSet};

use crate::findings::{Command, Remedy};
use crate::merge::direct_answer::certifies;
use crate::merge::group::{Group, Member};
use crate::merge::refusal::{Obstacle, Reason};
use crate::{Certificates, Credential, FilterChain, Outcome, ServerId};

/// The filter chain of a member.
pub(super) fn chain<'m>(group: &Group<'m>, member: &Member) -> Option<&'m FilterChain> {
    group
        .listener
        .chains
        .iter()
        .find(|chain| chain.server.id == member.id)
}

/// The member whose certificate covers every host that a member serves; the target if its certificate
/// does. `names` has a host for each server name and route.
pub(in crate::merge) fn certificate_presenter<'g>(
    group: &'g Group<'_>,
    names: &[String],
    certificates: &Certificates,
    may_assume: bool,
) -> Result<&'g Member, Obstacle> {
    let required = required_hosts(group, names, certificates);
    let mut best: Option<Insufficient<'_, '_>> = None;
    let mut first_unknown = None;
    let mut asked: HashSet<&[Credential]> = HashSet::new();
    // The target is the first member, so its certificate stays whenever that is possible.
    for member in group.members() {
        let Some(chain) = chain(group, member) else {
            continue;
        };
        // Servers often share a certificate, and there may be a thousand of them.
        if !asked.insert(&chain.credentials) {
            continue;
        }
        match coverage(chain, &required, certificates) {
            Coverage::Complete => return Ok(member),
            Coverage::Unknown if may_assume => return Ok(member),
            Coverage::Unknown => first_unknown = first_unknown.or(Some(member)),
            Coverage::Missing(missing) => {
                let insufficient = Insufficient { member, missing };
                if best
                    .as_ref()
                    .is_none_or(|best| insufficient.owners().len() < best.owners().len())
                {
                    best = Some(insufficient);
                }
            }
        }
    }
    // An unknown certificate may be the one that covers all hosts. Without it, the servers whose hosts a
    // known one covers can still be merged.
    let blocking = best.as_ref().map(Insufficient::owners);
    let obstacle = match (first_unknown, &best) {
        (Some(member), _) => unknown(member),
        (None, Some(best)) => best.obstacle(),
        (None, None) => unknown(&group.target),
    };
    Err(obstacle.blocking(blocking.unwrap_or_default()))
}

/// A host that the merged server must have a certificate for, with the server that serves it.
struct RequiredHost<'n> {
    name: &'n str,
    owner: &'n ServerId,
}

/// The hosts that are served with a certificate that covers them, or may cover them. Clients reject a
/// wrong certificate already, so the merged server need not cover such a host.
fn required_hosts<'n>(
    group: &'n Group<'_>,
    names: &'n [String],
    certificates: &Certificates,
) -> Vec<RequiredHost<'n>> {
    let mut required = Vec::new();
    for name in names {
        let answer = group.listener.answer(name.as_bytes(), name.as_bytes());
        let Some(chain) = answer.chain else {
            continue;
        };
        if group.has(&chain.server.id)
            && answer.outcome == Outcome::Served
            && certifies(chain, name, certificates) != Some(false)
        {
            required.push(RequiredHost {
                name,
                owner: &chain.server.id,
            });
        }
    }
    required
}

/// Which of the required hosts a certificate covers.
enum Coverage<'r, 'n> {
    Complete,
    Missing(Vec<&'r RequiredHost<'n>>),
    Unknown,
}

fn coverage<'r, 'n>(
    chain: &FilterChain,
    required: &'r [RequiredHost<'n>],
    certificates: &Certificates,
) -> Coverage<'r, 'n> {
    let mut is_known = true;
    let mut missing = Vec::new();
    for host in required {
        match certifies(chain, host.name, certificates) {
            Some(true) => {}
            Some(false) => missing.push(host),
            None => is_known = false,
        }
    }
    match (missing.is_empty(), is_known) {
        (false, _) => Coverage::Missing(missing),
        (true, true) => Coverage::Complete,
        (true, false) => Coverage::Unknown,
    }
}

/// A certificate that covers some of the required hosts only.
struct Insufficient<'r, 'n> {
    member: &'r Member,
    missing: Vec<&'r RequiredHost<'n>>,
}

impl<'r> Insufficient<'r, '_> {
    /// The servers with a host that the certificate does not cover.
    fn owners(&self) -> BTreeSet<&'r ServerId> {
        self.missing.iter().map(|host| host.owner).collect()
    }

    fn obstacle(&self) -> Obstacle {
        let example = self.missing.first().map_or("", |host| host.name);
        Obstacle::new(
            Reason::Certificate,
            format!(
                "no certificate covers all hosts of these servers: for example, the certificate of {} \
                 does not cover {example}",
                self.member.id
            ),
        )
        .or(Remedy::new("use a certificate that covers all hosts first"))
    }
}

fn unknown(member: &Member) -> Obstacle {
    Obstacle::new(
        Reason::CertificateUnknown,
        format!(
            "the input does not contain the certificate of {}",
            member.id
        ),
    )
    .or(Remedy::new("add the Secrets to the input"))
    .or(Remedy::with_command(
        "if the certificate covers all hosts, plan with --assume-same-certificate",
        Command::Merge {
            assume_same_certificate: true,
        },
    ))
}
