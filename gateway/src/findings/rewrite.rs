//! The commands that write the resource of an installed filter again.

use rule::{Config, Policy};
use serde_json::Value;

use super::installation::Installation;
use super::installed_filter::InstalledFilter;
use super::{Command, FilterCode, KeptSettings, PluginReach, ReachedPods, Remedy};
use crate::istio::{Reach, reaches};
use crate::tables::{Listing, Tables};
use crate::{Model, Workload};

/// How many gateways a hint has a command for.
const MAX_WORKLOADS: usize = 3;

/// The keys of a configuration that `packager manifest` writes from its flags and from the resources.
const WRITTEN_KEYS: [&str; 3] = ["action", "hosts", "servers"];

/// Writes the table of an installed filter again, for the pods that it has, or for those of one workload.
/// `None` if the input does not determine the table.
pub(super) fn same_pods(
    filter: &InstalledFilter<'_>,
    workload: &Workload,
    model: &Model,
) -> Option<Remedy> {
    // The same pods, so that applying the resource replaces the installed one.
    let listing = code(filter).listing();
    let own = own_reach(filter.installation).filter(|own| can_write(own, listing, model));
    let (attachment, name) = if let Some(own) = own {
        (own, name_without_port(filter, workload))
    } else {
        // Its workloads have different tables, so each needs a resource with a name of its own.
        let other = PluginReach::new(workload, model);
        let name = name_of_workload(filter, workload);
        (can_write(&other, listing, model).then_some(other)?, name)
    };
    Some(Remedy::with_command(
        format!(
            "write the resource again, and apply it{}",
            other_keys(filter)
        ),
        command(filter, attachment, name),
    ))
}

/// Writes an installed filter again, for gateways that it can run on. Empty if there is no such gateway.
pub(super) fn other_pods(filter: &InstalledFilter<'_>, model: &Model) -> Vec<Remedy> {
    let metadata = filter.installation.metadata();
    let listing = code(filter).listing();
    // The pods are right if only the mode, the type or the ports are wrong.
    let reaches = match own_reach(filter.installation) {
        Some(own) if can_write(&own, listing, model) => vec![own],
        Some(_) | None => possible_reaches(&metadata.namespace, listing, model),
    };
    reaches
        .into_iter()
        .map(|reach| {
            // A resource cannot move to another namespace.
            let apply = if reach.namespace == metadata.namespace {
                "and apply it".to_owned()
            } else {
                format!("apply it, and delete {}", filter.resource())
            };
            let text = format!(
                "write the resource for the gateway's pods in namespace {}, {apply}{}",
                reach.namespace,
                other_keys(filter)
            );
            Remedy::with_command(text, command(filter, reach, metadata.name.clone()))
        })
        .collect()
}

/// The gateways that a filter can be written for. One in its own namespace is more likely meant than others.
fn possible_reaches(namespace: &str, listing: Listing, model: &Model) -> Vec<PluginReach> {
    let (own, others): (Vec<&Workload>, Vec<&Workload>) = model
        .workloads
        .iter()
        .partition(|workload| workload.namespace == namespace);
    let mut reaches: Vec<PluginReach> = Vec::new();
    for workload in own.into_iter().chain(others) {
        if reaches.len() == MAX_WORKLOADS {
            break;
        }
        let reach = PluginReach::new(workload, model);
        if !reaches.contains(&reach) && can_write(&reach, listing, model) {
            reaches.push(reach);
        }
    }
    reaches
}

fn code(filter: &InstalledFilter<'_>) -> FilterCode {
    match filter.installation {
        Installation::Extension(extension) if extension.script().is_none() => FilterCode::Image {
            installed: Some(extension.url().to_owned()),
        },
        Installation::Extension(_) | Installation::Patch(..) => FilterCode::Script,
    }
}

fn command(filter: &InstalledFilter<'_>, attachment: PluginReach, name: String) -> Command {
    Command::Filter {
        attachment,
        code: code(filter),
        kept: kept(filter, name),
    }
}

/// The pods that the resource has now; `None` if they are the pods of several Gateways.
fn own_reach(installation: Installation<'_>) -> Option<PluginReach> {
    let target = match (installation.targets(), installation.selector()) {
        ([], Some(labels)) if !labels.is_empty() => ReachedPods::Labels(labels.clone()),
        ([], _) => ReachedPods::All,
        ([target], _) => ReachedPods::Gateway(target.name.clone()),
        (_, _) => return None,
    };
    Some(PluginReach {
        namespace: installation.metadata().namespace.clone(),
        target,
    })
}

/// Whether a command of `packager manifest` succeeds.
pub(super) fn succeeds(command: &Command, model: &Model) -> bool {
    match command {
        Command::Filter {
            attachment, code, ..
        } => can_write(attachment, code.listing(), model),
        Command::Merge { .. }
        | Command::AuthorizationPolicy(_)
        | Command::Check
        | Command::ExplainFilter(_)
        | Command::Kubectl(_) => true,
    }
}

/// Whether `packager manifest` can write the tables of the pods. It refuses pods without TLS listeners, pods
/// with different tables, and a table for each port if the ports are not certain.
fn can_write(reach: &PluginReach, listing: Listing, model: &Model) -> bool {
    let target = reach.target.to_plugin_target();
    let reached: Vec<&Workload> = model
        .workloads
        .iter()
        .filter(|workload| reaches(&reach.namespace, &target, workload) == Reach::Yes)
        .collect();
    match Tables::new(reached, listing) {
        Ok(Tables {
            tables,
            ports_are_certain,
        }) => match tables.len() {
            0 => false,
            1 => true,
            _ => ports_are_certain,
        },
        Err(_) => false,
    }
}

/// The name for `packager manifest`, which appends the port if the servers differ by port.
fn name_without_port(filter: &InstalledFilter<'_>, workload: &Workload) -> String {
    let name = &filter.installation.metadata().name;
    // Without a second listener there is one table, and no port in the name.
    if workload
        .listeners
        .iter()
        .filter(|listener| listener.is_tls())
        .count()
        < 2
    {
        return name.clone();
    }
    ports(filter.installation)
        .into_iter()
        .find_map(|port| name.strip_suffix(&format!("-{port}")))
        .unwrap_or(name)
        .to_owned()
}

/// The ports that the resource is limited to.
fn ports(installation: Installation<'_>) -> Vec<u32> {
    match installation {
        Installation::Extension(extension) => extension
            .spec
            .matches
            .iter()
            .flat_map(|found| &found.ports)
            .map(|port| u32::from(port.number))
            .collect(),
        Installation::Patch(_, patch) => vec![patch.matched.listener.port_number],
    }
}

/// A name for the resource of one of several workloads.
fn name_of_workload(filter: &InstalledFilter<'_>, workload: &Workload) -> String {
    // The names of assumed pods are labels, such as `istio=ingressgateway`. Names of resources have lower case.
    let suffix: String = workload
        .name
        .rsplit('=')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || *letter == '-')
        .collect();
    format!("{}-{suffix}", filter.installation.metadata().name)
        .trim_end_matches('-')
        .to_owned()
}

fn kept(filter: &InstalledFilter<'_>, name: String) -> KeptSettings {
    // An invalid configuration has no action that could be kept.
    let action = match &filter.policy {
        Policy::Active(config) => Some(config.action().name().to_owned()),
        Policy::Invalid(_) => None,
    };
    let pull_secret = match filter.installation {
        Installation::Extension(extension) => extension.pull_secret().map(str::to_owned),
        Installation::Patch(..) => None,
    };
    let has_action = filter.configuration().get("action").is_some();
    KeptSettings {
        kind: Some(filter.resource().kind),
        name: Some(name),
        action: action.filter(|_| has_action),
        hosts: host_actions(filter),
        pull_secret,
    }
}

/// The actions of single hosts, of a valid configuration.
fn host_actions(filter: &InstalledFilter<'_>) -> Vec<(String, String)> {
    let hosts = match (&filter.policy, filter.configuration().get("hosts")) {
        (Policy::Active(_), Some(Value::Object(hosts))) => hosts,
        (Policy::Active(_) | Policy::Invalid(_), _) => return Vec::new(),
    };
    hosts
        .iter()
        .filter_map(|(host, action)| Some((host.clone(), action.as_str()?.to_owned())))
        .collect()
}

/// The settings of the configuration that the command does not write, as the end of a sentence.
fn other_keys(filter: &InstalledFilter<'_>) -> String {
    let keys: Vec<&str> = Config::KEYS
        .into_iter()
        .filter(|key| !WRITTEN_KEYS.contains(key))
        .filter(|key| filter.configuration().get(key).is_some())
        .collect();
    if keys.is_empty() {
        String::new()
    } else {
        format!(" with the keys {} of the old one", keys.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use crate::findings::tests::resources;
    use crate::findings::{Code, Command, Finding, Input, KeptSettings, ReachedPods, check};
    use crate::{Certificates, Model};

    const GATEWAYS: &str = "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: all, namespace: \
         istio-system}, spec: {selector: {istio: a}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, \
         hosts: ['*.example.com'], tls: {mode: SIMPLE, credentialName: w}}, {port: {number: 443, name: i, \
         protocol: HTTPS}, hosts: [b.example.com], tls: {mode: SIMPLE, credentialName: w}}]}}\n---\n\
         {apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: one, namespace: istio-system}, \
         spec: {selector: {istio: b}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, \
         hosts: ['*.example.com'], tls: {mode: SIMPLE, credentialName: w}}, {port: {number: 443, name: i, \
         protocol: HTTPS}, hosts: [c.example.com], tls: {mode: SIMPLE, credentialName: w}}]}}\n---\n\
         {apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: istio-system}, \
         spec: {hosts: ['*.example.com', b.example.com, c.example.com], gateways: [all, one], \
         http: [{route: []}]}}\n---\n";

    /// The findings about a plugin in a namespace with this specification.
    fn findings(namespace: &str, spec: &str, code: Code) -> Vec<Finding> {
        let resources = resources(&format!(
            "{GATEWAYS}{{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, metadata: {{name: guard, \
             namespace: {namespace}}}, spec: {{url: 'oci://example.com/sni-guard:1', {spec}}}}}"
        ));
        let model = Model::new(&resources);
        let certificates = Certificates::new(&resources);
        check(&Input::for_tests(&resources, &model, &certificates))
            .findings
            .into_iter()
            .filter(|finding| finding.code == code)
            .collect()
    }

    /// The namespace, the labels and the settings of a command that writes the filter.
    #[track_caller]
    fn filter(command: Option<&Command>) -> (String, String, KeptSettings) {
        let Some(Command::Filter {
            attachment, kept, ..
        }) = command
        else {
            panic!("{command:?}");
        };
        let labels = match &attachment.target {
            ReachedPods::Labels(labels) => format!("{labels:?}"),
            other => format!("{other:?}"),
        };
        (attachment.namespace.clone(), labels, kept.clone())
    }

    #[test]
    fn a_stale_table_is_written_for_the_same_pods() {
        let found = findings(
            "istio-system",
            "selector: {matchLabels: {istio: a}}, imagePullSecret: pull, pluginConfig: {action: report, \
             hosts: {x.example.com: 'off'}, grpc: reject, servers: {old: [gone.example.com]}}",
            Code::GuardStale,
        );
        let [finding] = found.as_slice() else {
            panic!("{found:#?}");
        };
        let remedy = &finding.remedies[0];
        assert_eq!(
            remedy.text,
            "write the resource again, and apply it with the keys grpc of the old one"
        );
        let (namespace, labels, kept) = filter(remedy.command.as_ref());
        assert_eq!(
            (&*namespace, &*labels),
            ("istio-system", r#"{"istio": "a"}"#)
        );
        assert_eq!(kept.name.as_deref(), Some("guard"));
        assert_eq!(kept.action.as_deref(), Some("report"));
        assert_eq!(kept.hosts, [("x.example.com".into(), "off".into())]);
        assert_eq!(kept.pull_secret.as_deref(), Some("pull"));
    }

    #[test]
    fn workloads_with_different_tables_need_a_resource_each() {
        let config = "pluginConfig: {servers: {old: [gone.example.com]}}";
        let found = findings("istio-system", config, Code::GuardStale);
        let commands: Vec<_> = found
            .iter()
            .map(|finding| filter(finding.remedies[0].command.as_ref()))
            .collect();
        let labels: Vec<&str> = commands.iter().map(|(_, labels, _)| &**labels).collect();
        assert_eq!(labels, [r#"{"istio": "a"}"#, r#"{"istio": "b"}"#]);
        // One name for both would replace the first by the second.
        let names: Vec<Option<&str>> = commands
            .iter()
            .map(|(_, _, kept)| kept.name.as_deref())
            .collect();
        assert_eq!(names, [Some("guard-a"), Some("guard-b")]);
    }

    #[test]
    fn a_detached_filter_has_a_command_for_each_gateway() {
        let selector = "selector: {matchLabels: {istio: x}}";
        let found = findings("shop", selector, Code::GuardDetached);
        let [finding] = found.as_slice() else {
            panic!("{found:#?}");
        };
        assert_eq!(finding.remedies.len(), 2, "{finding:#?}");
        for (remedy, expected) in finding.remedies.iter().zip(["a", "b"]) {
            let (namespace, labels, _) = filter(remedy.command.as_ref());
            assert_eq!(namespace, "istio-system");
            assert!(labels.contains(expected), "{labels}");
            assert!(remedy.text.ends_with("and delete WasmPlugin shop/guard"));
        }
    }
}
