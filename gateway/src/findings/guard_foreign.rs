//! SG404: a Lua script of another author that answers 421.

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::installation::Installation;
use super::script::{self, Comparison};
use super::{Code, Command, FilterCode, Finding, KeptSettings, PluginReach, Remedy, rewrite};
use crate::istio::Reach;
use crate::listener::ChainKind;
use crate::{FilterChain, Listener, Workload, coalescing};

pub(super) const INFO: Info = Info {
    id: "SG404",
    name: "guard-foreign",
    severity: Severity::Info,
    what: "An EnvoyFilter or TrafficExtension runs a Lua script of another author that compares the SNI with \
           the authority and answers 421, or an edited script of ours. check does not count it as protection.",
    why: "Such a script usually compares two names, not two servers. Then it also answers 421 to requests \
          that the gateway can serve: for another host of the same server, for gRPC calls, whose clients do \
          not repeat them, or for authorities with a port, for which a new connection does not help.",
    example: "An EnvoyFilter inserts a script that answers 421 if requestedServerName() is not the header \
              :authority, and a Gateway has the host *.example.com.",
    fix: "Replace the script by the filter or by its Lua form (packager manifest writes their resources), which \
          pass these requests. Do not apply both.",
    coalesced_answer: None,
};

/// The number of hosts of a server that a message has.
const MAX_HOSTS: usize = 3;

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for installation in Installation::all(context.input.resources) {
        let Some(comparison) = installation.script().and_then(script::comparison) else {
            continue;
        };
        // A script of ours decides as the filter does, and counts as protection.
        let resource = installation.resource();
        let is_ours = context
            .installed_filters
            .iter()
            .any(|filter| filter.resource() == resource);
        if is_ours {
            continue;
        }
        // A script that runs nowhere has no effect.
        let listeners = affected_listeners(installation, context);
        let Some((workload, listener)) = listeners.first() else {
            continue;
        };
        let broken = broken_servers(&listeners, context);
        let attachment = PluginReach::new(workload, context.input.model);
        if installation.script().is_some_and(script::is_edited) {
            findings.add(edited(installation, attachment, context).on(workload));
            continue;
        }
        let message = format!(
            "{resource} has a Lua script that compares the SNI with the authority and answers 421, on {}. {}. \
             {}",
            listener_names(installation, &listeners),
            effect_on_pairs(broken),
            needless_answers(installation, comparison, &listeners)
        );
        let hint =
            format!("install the filter, which passes legitimate requests, and delete {resource}");
        let command = filter_command(attachment);
        let hint = if rewrite::succeeds(&command, context.input.model) {
            Remedy::with_command(hint, command)
        } else {
            Remedy::new(hint)
        };
        let mut finding = Finding::new(Code::GuardForeign, message, hint).about(resource);
        if listeners.len() == 1 {
            finding = finding.at(workload, listener);
        }
        findings.add(finding);
    }
}

/// A script of ours that was edited, or that another version wrote.
fn edited(
    installation: Installation<'_>,
    attachment: PluginReach,
    context: &Context<'_>,
) -> Finding {
    let resource = installation.resource();
    let message = format!(
        "the Lua script of {resource} is not the one that this version of packager manifest --lua writes: it was \
         edited, or another version wrote it, so check does not know what it does"
    );
    let hint = "write the resource again, and apply it; a change of a setting belongs in the first lines of the \
                script only";
    let command = Command::script(attachment, resource.clone());
    let hint = if rewrite::succeeds(&command, context.input.model) {
        Remedy::with_command(hint, command)
    } else {
        Remedy::new(hint)
    };
    Finding::new(Code::GuardForeign, message, hint).about(resource)
}

fn filter_command(attachment: PluginReach) -> Command {
    Command::Filter {
        attachment,
        code: FilterCode::Image { installed: None },
        kept: KeptSettings::default(),
    }
}

/// The TLS listeners that a filter runs on, also where its conditions cannot be compared with the input.
fn affected_listeners<'i>(
    installation: Installation<'_>,
    context: &Context<'i>,
) -> Vec<(&'i Workload, &'i Listener)> {
    context
        .accepted_tls_listeners()
        .filter(|(workload, listener)| {
            installation.reach(workload) == Reach::Yes
                && installation.runs_on(listener) != Reach::No
        })
        .collect()
}

fn listener_names(installation: Installation<'_>, listeners: &[(&Workload, &Listener)]) -> String {
    let names = match listeners {
        [(workload, listener)] => format!("{} of {}", listener.name(), workload.full_name()),
        several => format!("{} listeners", several.len()),
    };
    let is_certain = listeners
        .iter()
        .all(|(_, listener)| installation.runs_on(listener) == Reach::Yes);
    if is_certain {
        names
    } else {
        // For example, the versions of the proxies.
        format!("{names} if the other conditions of its match hold")
    }
}

/// The number of servers that break each other on coalesced connections.
fn broken_servers(listeners: &[(&Workload, &Listener)], context: &Context<'_>) -> usize {
    let certificates = context.input.certificates;
    listeners
        .iter()
        .flat_map(|(workload, listener)| {
            // An annotation hides findings, but the script answers the requests nevertheless.
            coalescing::components(certificates, workload, listener, &|_, _| false)
        })
        .map(|servers| servers.len())
        .sum()
}

fn effect_on_pairs(broken: usize) -> String {
    if broken == 0 {
        return "No servers break each other there, so it prevents no wrong answer".into();
    }
    format!(
        "{broken} servers break each other there, and clients that follow 421 repeat these requests on a new \
         connection"
    )
}

/// The requests that the script answers 421 although the gateway can serve them.
fn needless_answers(
    installation: Installation<'_>,
    comparison: Comparison,
    listeners: &[(&Workload, &Listener)],
) -> String {
    let Comparison {
        lists_hosts,
        exempts_grpc,
        reads_ports,
    } = comparison;
    let mut answers = Vec::new();
    // Without a list of hosts the script cannot know that two names are on one server.
    let reused = listeners
        .iter()
        .find_map(|(_, listener)| reused_chain(installation, listener));
    if let Some(chain) = reused.filter(|_| !lists_hosts) {
        answers.push(format!(
            "to requests for one host of {} on a connection for another of its hosts ({})",
            chain.server.id,
            host_names(chain)
        ));
    }
    if !exempts_grpc {
        answers.push("to gRPC calls, whose clients do not repeat them".into());
    }
    if !reads_ports {
        answers.push(
            "to requests whose authority has a port, also on a connection of their own".into(),
        );
    }
    let mut text = if answers.is_empty() {
        "check knows no requests that it answers 421 without need".to_owned()
    } else {
        format!("It also answers 421 without need: {}", answers.join("; "))
    };
    if lists_hosts {
        text += ". It names hosts of its own, which check does not compare with the servers";
    }
    text
}

/// A filter chain with several hosts that a client can reuse a connection for.
fn reused_chain<'l>(
    installation: Installation<'_>,
    listener: &'l Listener,
) -> Option<&'l FilterChain> {
    listener.chains.iter().find(|chain| {
        let has_requests = match chain.kind {
            ChainKind::Https(_) => true,
            // Envoy reads no requests there.
            ChainKind::Tcp | ChainKind::Passthrough | ChainKind::Plain => false,
        };
        // A wildcard is several hosts.
        let has_several = chain.server_names.len() > 1
            || chain
                .server_names
                .iter()
                .any(|name| !matches!(name, rule::HostPattern::Exact(_)));
        has_requests && has_several && installation.runs_in(listener, chain) != Reach::No
    })
}

fn host_names(chain: &FilterChain) -> String {
    let names: Vec<String> = chain
        .server_names
        .iter()
        .take(MAX_HOSTS)
        .map(ToString::to_string)
        .collect();
    let others = chain.server_names.len() - names.len();
    if others == 0 {
        names.join(", ")
    } else {
        format!("{} and {others} more", names.join(", "))
    }
}
