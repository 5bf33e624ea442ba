//! What to do about a cause, the best first.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use rule::{Host, HostPattern};

use super::cause::Cause;
use super::enforce::enforce;
use super::merge_advice::CauseAdvice;
use super::treatment::Denial;
use crate::certificates::Contents;
use crate::findings::credential_remedy::issuer_of;
use crate::findings::{Code, Command, Input, Known, PluginReach, Protection, Remedy, rewrite};
use crate::protected::{Boundary, DeniedRequests, DenyingPolicies, OtherWay};
use crate::resources::secret::IssuedCertificate;
use crate::{Credential, ServerId, Workload};

/// How many servers that are not merged are named.
const MAX_LEFT_OUT: usize = 2;

/// What the remedies depend on.
pub(super) struct Situation<'s, 'h> {
    pub(super) cause: &'s Cause<'h>,
    pub(super) advice: Option<CauseAdvice<'s>>,
    pub(super) workload: &'s Workload,
    pub(super) input: &'s Input<'s>,
    pub(super) policies: &'s DenyingPolicies,
    /// Whether a policy for the workload needs ports that the input does not determine. It is computed for the first
    /// finding that needs it.
    pub(super) needs_unknown_ports: &'s OnceCell<bool>,
}

pub(super) fn remedies(situation: &Situation<'_, '_>) -> Vec<Remedy> {
    let treatment = situation.cause.treatment;
    if situation.cause.code() == Code::CoalesceTlsPolicy {
        return match treatment.denial {
            Denial::None => boundary(situation),
            Denial::Host | Denial::Routes => behind_policy(situation),
        };
    }
    match treatment.filter {
        Protection::Enforced => {
            return vec![Remedy::new(
                "no change is needed: the installed filter answers 421, and clients repeat the request \
                 on a new connection",
            )];
        }
        // The resource exists, so one change of it is the shortest way.
        Protection::Reported | Protection::Off => return enforce(situation).into_iter().collect(),
        Protection::None => {}
    }
    let mut remedies = Vec::new();
    // Other sources of certificates cannot be in the input.
    if situation.cause.known != Known::Known && has_secret(situation) {
        remedies.push(Remedy::new(if has_unreadable_secret(situation) {
            "check again with the certificate in the Secret, to be certain: the input has it without a readable \
             tls.crt (the private key is not needed)"
        } else {
            "check again with the Secret in the input, to be certain (its private key is not needed)"
        }));
    }
    remedies.extend(merge(situation));
    remedies.extend(other_answers(situation));
    remedies.extend(merge_refusal(situation));
    remedies
}

/// The remedies for a client certificate that clients bypass.
fn boundary(situation: &Situation<'_, '_>) -> Vec<Remedy> {
    // A client can bypass mutual TLS on purpose, so the policy goes first; the filter only lets browsers retry.
    let mut remedies = deny(situation);
    // The filter helps browsers only, and the policy is needed with it too.
    match situation.cause.treatment.filter {
        Protection::Enforced | Protection::Reported | Protection::Off => {
            remedies.extend(enforce(situation));
        }
        Protection::None => remedies.push(write_filter(
            situation,
            "then install the filter, so that browsers repeat them with their client certificate"
                .to_owned(),
        )),
    }
    remedies
}

/// The remedies that deny the requests, or the rest of them.
fn deny(situation: &Situation<'_, '_>) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let denied: Vec<(&str, Option<&DeniedRequests>)> = situation
        .cause
        .pairs
        .iter()
        .map(|pair| pair.host.name.as_str())
        .map(|host| (host, situation.policies.of(host)))
        .collect();
    // A policy that denies a wildcard host without a port is as good as it can be.
    let (complete, incomplete): (Vec<_>, Vec<_>) = denied
        .into_iter()
        .partition(|(_, denied)| denied.is_some_and(|denied| denied.has_wildcard));
    let policy = |denied: Option<&DeniedRequests>| denied?.policies.first().cloned();
    if !incomplete.is_empty() {
        let text = match incomplete.iter().find_map(|(_, denied)| policy(*denied)) {
            None => "deny these requests on the gateway with an AuthorizationPolicy".to_owned(),
            Some(policy) => format!(
                "deny the rest of these requests on the gateway too: {policy} denies only some of them"
            ),
        };
        remedies.push(write_policy(situation, text));
    }
    if let Some((host, policy)) = complete
        .iter()
        .find_map(|(host, denied)| Some((host, policy(*denied)?)))
    {
        remedies.push(Remedy::new(format!(
            "bind the routes only to the server with mutual TLS: {policy} does not deny requests for a wildcard \
             host with a port, such as {host}:443, and no rule for the host can"
        )));
    }
    remedies
}

/// A remedy that writes the policy, with the command if it succeeds.
fn write_policy(situation: &Situation<'_, '_>, text: String) -> Remedy {
    let needs_unknown_ports = situation
        .needs_unknown_ports
        .get_or_init(|| Boundary::new(&[situation.workload]).needs_unknown_ports());
    if *needs_unknown_ports {
        return Remedy::new(format!(
            "{text}; packager manifest writes it if the input has the gateway's Service and pods"
        ));
    }
    Remedy::with_command(text, Command::AuthorizationPolicy(attachment(situation)))
}

/// The remedies where policies deny the requests.
fn behind_policy(situation: &Situation<'_, '_>) -> Vec<Remedy> {
    let mut remedies: Vec<Remedy> = other_way(situation).into_iter().collect();
    match situation.cause.treatment.filter {
        Protection::Enforced if remedies.is_empty() => remedies.push(Remedy::new(
            "no change is needed: the installed filter answers 421 before the policy, and browsers repeat the \
             request with their client certificate",
        )),
        Protection::Enforced => {}
        Protection::Reported | Protection::Off => remedies.extend(enforce(situation)),
        Protection::None => remedies.push(write_filter(
            situation,
            "install the filter, which answers 421 before the policy answers 403 (phase AUTHN): browsers then repeat \
             the request with their client certificate"
                .to_owned(),
        )),
    }
    remedies
}

/// What to do about another way to the routes.
fn other_way(situation: &Situation<'_, '_>) -> Option<Remedy> {
    let (host, way) = situation.cause.pairs.iter().find_map(|pair| {
        let host = &pair.host.name;
        Some((host, situation.policies.of(host)?.other_way.as_ref()?))
    })?;
    let way = match way {
        OtherWay::Hosts(server) => format!(
            "{server} has the routes of {host} for a wider wildcard, so clients without a certificate reach them by \
             other hosts"
        ),
        OtherWay::Port(port, server) => {
            format!("on port {port}, {server} serves {host} without a client certificate")
        }
    };
    Some(Remedy::new(format!(
        "bind the routes only to the server with mutual TLS: {way}"
    )))
}

fn attachment(situation: &Situation<'_, '_>) -> PluginReach {
    PluginReach::new(situation.workload, situation.input.model)
}

/// A remedy that writes the filter, with the command if it succeeds.
pub(super) fn write_filter(situation: &Situation<'_, '_>, text: String) -> Remedy {
    let model = situation.input.model;
    let command = Command::filter(situation.workload, model, situation.input.resources);
    if rewrite::succeeds(&command, model) {
        return Remedy::with_command(text, command);
    }
    // Its ports need tables of their own, and a Service that is not in the input decides which ports Envoy has.
    Remedy::new(format!(
        "{text}; packager manifest writes it if the input has the gateway's Service and pods"
    ))
}

fn install(situation: &Situation<'_, '_>) -> Remedy {
    let text = "install the filter (or its Lua form, with --lua in place of the image): it answers 421, and clients \
                repeat the request on a new connection";
    write_filter(situation, text.to_owned())
}

/// The merge, if there is a plan for it, or the edit that does the same.
fn merge(situation: &Situation<'_, '_>) -> Option<Remedy> {
    const EFFECT: &str =
        "one connection then carries requests for all of them, and they share its TLS settings";
    let (text, assume_same_certificate) = match situation.advice? {
        CauseAdvice::Merge {
            assume_same_certificate,
            merged,
            of,
        } => {
            let hosts = match (merged.len() < of.len(), assume_same_certificate) {
                (true, _) => some_hosts(merged, of),
                (false, true) => "them".to_owned(),
                (false, false) => "the hosts".to_owned(),
            };
            let condition = if assume_same_certificate {
                "if the certificate covers all hosts, "
            } else {
                ""
            };
            let text = format!("{condition}serve {hosts} from one server: {EFFECT}");
            (text, assume_same_certificate)
        }
        CauseAdvice::Unproved => (
            format!("serve the hosts from one server, if there is a plan for it: {EFFECT}"),
            false,
        ),
        CauseAdvice::Refused { edit, .. } => return edit.cloned(),
    };
    Some(Remedy::with_command(
        text,
        Command::Merge {
            assume_same_certificate,
        },
    ))
}

/// The hosts of some servers, with the other servers if these are few.
fn some_hosts(merged: &BTreeSet<ServerId>, of: &[ServerId]) -> String {
    let hosts = format!(
        "the hosts of {} of these {} servers",
        merged.len(),
        of.len()
    );
    let others: Vec<String> = of
        .iter()
        .filter(|server| !merged.contains(server))
        .map(ToString::to_string)
        .collect();
    if others.len() > MAX_LEFT_OUT {
        return hosts;
    }
    format!("{hosts} (without {})", others.join(" and "))
}

/// Why a merge is not among the remedies.
fn merge_refusal(situation: &Situation<'_, '_>) -> Option<Remedy> {
    match situation.advice? {
        CauseAdvice::Refused { reason, .. } => {
            Some(Remedy::note(format!("no plan by packager merge: {reason}")))
        }
        CauseAdvice::Merge { .. } | CauseAdvice::Unproved => None,
    }
}

/// The remedies other than a merge, the best first.
fn other_answers(situation: &Situation<'_, '_>) -> Vec<Remedy> {
    let certificates = own_certificates(situation);
    let wide = wide_servers(situation);
    // A server with a wildcard needs a certificate for it, which covers the hosts of the others.
    match wide.first() {
        None => vec![Remedy::new(certificates), install(situation)],
        Some(first) => {
            let others = match wide.len() {
                1 => String::new(),
                count => format!(" and of {} more", count - 1),
            };
            let listed = format!(
                "list hosts in place of the wildcard of {first}{others}, and {certificates}"
            );
            vec![install(situation), Remedy::new(listed)]
        }
    }
}

/// The servers of connections whose own hosts include the hosts of other servers.
fn wide_servers<'s>(situation: &Situation<'s, '_>) -> BTreeSet<&'s ServerId> {
    situation
        .cause
        .pairs
        .iter()
        .filter(|pair| {
            let host = Host::from_authority(pair.host.name.as_bytes());
            pair.connection
                .chain
                .chain
                .server_names
                .iter()
                .any(|name| *name == HostPattern::Any || name.certifies(host))
        })
        .map(|pair| &pair.connection.chain.chain.server.id)
        .collect()
}

fn own_certificates(situation: &Situation<'_, '_>) -> String {
    // With cert-manager, users change the `Certificate`, which writes the Secret.
    if let Some(issuer) = issuer(situation) {
        return format!(
            "use a certificate for the hosts of each server only: replace the cert-manager Certificate \
             {}/{} by one for each server, with its own secretName, and set the credentialName of the \
             server to it; clients then open a connection for each server",
            issuer.metadata.namespace, issuer.metadata.name
        );
    }
    // A Secret is what users have to replace; other sources of certificates have other fields.
    let field = if has_secret(situation) {
        ", with a Secret for each"
    } else {
        ""
    };
    format!(
        "use a certificate for the hosts of each server only{field}: clients then open a connection for \
         each server"
    )
}

/// The `Certificate` of cert-manager that writes a Secret of the cause.
fn issuer<'s>(situation: &Situation<'s, '_>) -> Option<&'s IssuedCertificate> {
    situation
        .cause
        .credentials
        .iter()
        .find_map(|credential| issuer_of(credential, situation.input.resources))
}

/// Whether the input has a Secret of the cause, and a tool removed or encrypted its certificate.
fn has_unreadable_secret(situation: &Situation<'_, '_>) -> bool {
    situation.cause.credentials.iter().any(|credential| {
        let contents = situation.input.certificates.get(credential);
        matches!(contents, Some(Contents::Unreadable))
    })
}

/// Whether the certificate of the cause is in a Secret.
fn has_secret(situation: &Situation<'_, '_>) -> bool {
    situation
        .cause
        .credentials
        .iter()
        .any(|credential| matches!(credential, Credential::Secret { .. }))
}
