//! The certificate that the merged server presents.

use crate::merge::direct_answer::certifies;
use crate::merge::group::{Group, Member};
use crate::merge::refusal::{Obstacle, Reason};
use crate::{Certificates, FilterChain, Outcome};

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
    let required: Vec<&String> = names
        .iter()
        .filter(|name| is_required(group, name, certificates))
        .collect();
    let mut first_missing = None;
    let mut first_unknown = None;
    // The target is the first member, so its certificate stays whenever that is possible.
    for member in group.members() {
        let Some(chain) = chain(group, member) else {
            continue;
        };
        match coverage(chain, &required, certificates) {
            Coverage::Complete => return Ok(member),
            Coverage::Unknown if may_assume => return Ok(member),
            Coverage::Unknown => first_unknown = first_unknown.or(Some(member)),
            Coverage::Missing(name) => first_missing = first_missing.or(Some((member, name))),
        }
    }
    // An unknown certificate may be the one that covers all hosts, so the hint is to add it.
    match (first_unknown, first_missing) {
        (None, Some((member, name))) => Err(insufficient(member, name)),
        (Some(member), _) => Err(unknown(member)),
        (None, None) => Err(unknown(&group.target)),
    }
}

/// Which of the required hosts a certificate covers.
enum Coverage<'n> {
    Complete,
    Missing(&'n str),
    Unknown,
}

fn coverage<'n>(
    chain: &FilterChain,
    required: &[&'n String],
    certificates: &Certificates,
) -> Coverage<'n> {
    let mut is_known = true;
    for name in required {
        match certifies(chain, name, certificates) {
            Some(true) => {}
            Some(false) => return Coverage::Missing(name),
            None => is_known = false,
        }
    }
    if is_known {
        Coverage::Complete
    } else {
        Coverage::Unknown
    }
}

fn insufficient(member: &Member, name: &str) -> Obstacle {
    Obstacle::with_filter_hint(
        Reason::Certificate,
        format!(
            "no certificate covers all hosts of these servers: for example, the certificate of {} does \
             not cover {name}",
            member.id
        ),
        "use a certificate that covers all hosts first",
    )
}

fn unknown(member: &Member) -> Obstacle {
    Obstacle::new(
        Reason::CertificateUnknown,
        format!(
            "the input does not contain the certificate of {}",
            member.id
        ),
        "add the Secrets to the input, or use --assume-same-certificate if the certificate covers all \
         hosts",
    )
}

/// Whether a member serves a host with a certificate that covers it, or may cover it. Clients reject a
/// wrong certificate already, so the merged server need not cover such a host.
fn is_required(group: &Group<'_>, name: &str, certificates: &Certificates) -> bool {
    let answer = group.listener.answer(name.as_bytes(), name.as_bytes());
    answer.chain.is_some_and(|chain| {
        group.has(&chain.server.id)
            && answer.outcome == Outcome::Served
            && certifies(chain, name, certificates) != Some(false)
    })
}
