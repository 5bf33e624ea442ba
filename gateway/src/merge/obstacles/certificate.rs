//! Which certificate is good for all hosts.

use crate::merge::group::{Group, Member};
use crate::merge::proof::certifies;
use crate::merge::refusal::{GUARD, Obstacle, Reason};
use crate::{Certificates, FilterChain, Outcome};

/// The filter chain of a member.
pub(super) fn chain<'m>(group: &Group<'m>, member: &Member) -> Option<&'m FilterChain> {
    group
        .listener
        .chains
        .iter()
        .find(|chain| chain.server.id == member.id)
}

/// The member whose certificate is good for every host that a member serves, the growing one if it
/// is. `names` are the hosts to ask for.
pub(in crate::merge) fn presenter<'g>(
    group: &'g Group<'_>,
    names: &[String],
    certificates: &Certificates,
    may_assume: bool,
) -> Result<&'g Member, Obstacle> {
    let needed: Vec<&String> = names
        .iter()
        .filter(|name| is_needed(group, name, certificates))
        .collect();
    let mut missing: Option<&String> = None;
    let mut unknown: Option<&Member> = None;
    for member in group.members() {
        let Some(chain) = chain(group, member) else {
            continue;
        };
        let lost = needed
            .iter()
            .find(|name| certifies(chain, name, certificates) == Some(false));
        let is_known = needed
            .iter()
            .all(|name| certifies(chain, name, certificates).is_some());
        match lost {
            Some(name) => drop(missing.get_or_insert(name)),
            None if is_known || may_assume => return Ok(member),
            None => drop(unknown.get_or_insert(member)),
        }
    }
    Err(match (unknown, missing) {
        (None, Some(name)) => Obstacle::new(
            Reason::Certificate,
            format!("no certificate of theirs is good for all of their hosts, such as {name}"),
            format!("use one that is, or {GUARD}"),
        ),
        (member, _) => Obstacle::new(
            Reason::CertificateUnknown,
            format!(
                "the input does not have the certificate of {}",
                member.unwrap_or(&group.target).id
            ),
            "give the Secrets too, or say --assume-same-certificate if it is good for all hosts",
        ),
    })
}

/// Whether a member serves a host with a certificate that is good for it, as far as one knows.
fn is_needed(group: &Group<'_>, name: &str, certificates: &Certificates) -> bool {
    let answer = group.listener.answer(name.as_bytes(), name.as_bytes());
    let Some(chain) = answer.chain else {
        return false;
    };
    let is_member = group.members().any(|member| member.id == chain.server.id);
    is_member
        && answer.outcome == Outcome::Served
        && certifies(chain, name, certificates) != Some(false)
}
