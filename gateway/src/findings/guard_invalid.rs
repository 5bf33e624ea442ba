//! SG403: an installed filter with an invalid configuration.

use rule::{Faults, Policy};

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::installed_filter::InstalledFilter;
use super::{Code, Finding};
use crate::shell::{self, word};

pub(super) const INFO: Info = Info {
    id: "SG403",
    name: "guard-invalid",
    severity: Severity::Error,
    what: "The configuration of an installed filter is invalid.",
    why: "The filter passes every request and logs the faults, so the gateways look protected, but they \
          are not. The metric sni_guard_config_invalid is not 0.",
    example: "A WasmPlugin has the pluginConfig action: maybe.",
    fix: "Correct the fields that the message names. packager explain --config FILE reads the resource and \
          checks its configuration before you apply it.",
    coalesced_answer: None,
};

/// The number of faults that the message has, so that one wrong table does not fill the screen.
const MAX_FAULTS: usize = 5;

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for filter in &context.installed_filters {
        let faults = match &filter.policy {
            Policy::Invalid(faults) => faults,
            Policy::Active(_) => continue,
        };
        let name = filter.resource();
        let message = format!(
            "the configuration of {name} is invalid, so it passes every request: {}",
            fault_list(faults)
        );
        let hint = format!(
            "correct these fields, and check the resource again: {}",
            command(filter, context)
        );
        findings.add(Finding::new(Code::GuardInvalid, message, hint).about(name));
    }
}

/// The faults in one line, in the words of the filter's own log.
fn fault_list(faults: &Faults) -> String {
    let mut texts: Vec<String> = faults
        .iter()
        .take(MAX_FAULTS)
        .map(ToString::to_string)
        .collect();
    let others = faults.iter().count() - texts.len();
    if others > 0 {
        texts.push(format!("and {others} more"));
    }
    texts.join("; ")
}

/// A command that prints the faults of the resource: of its file, or of the resource in the cluster.
fn command(filter: &InstalledFilter<'_>, context: &Context<'_>) -> String {
    let origin = &filter.installation.metadata().origin;
    let in_same_file = context
        .installed_filters
        .iter()
        .filter(|other| other.installation.metadata().origin.file == origin.file)
        .count();
    match &*origin.file {
        "" | "-" => {
            let name = filter.resource();
            let kind = format!("{}.{}", name.kind, name.kind.group()).to_lowercase();
            format!(
                "kubectl get {kind} -n {} {} -o yaml | packager explain --config - --servers",
                word(&name.namespace),
                word(&name.name)
            )
        }
        // explain reads one resource only.
        file if in_same_file > 1 => format!("packager check {}", word(&shell::path(file))),
        file => format!(
            "packager explain --config {} --servers",
            word(&shell::path(file))
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::documents::read;
    use crate::findings::{Code, Input, check};
    use crate::{Certificates, Model, Resources};

    /// The hint for a plugin with an invalid configuration, read from a file.
    fn hint(file: &str, name: &str) -> String {
        let plugin = format!(
            "{{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, \
             metadata: {{name: \"{name}\", namespace: istio-system}}, \
             spec: {{url: 'oci://example.com/sni-guard:1', pluginConfig: {{action: maybe}}}}}}"
        );
        let mut resources = Resources::default();
        assert_eq!(read(file, plugin, &mut resources), []);
        let report = check(&Input {
            resources: &resources,
            model: &Model::new(&resources),
            certificates: &Certificates::new(&resources),
            now: chrono::DateTime::UNIX_EPOCH,
            has_all_secrets: false,
            has_all_pods: false,
            has_all_gateways: false,
            expires_within: crate::findings::EXPIRES_WITHIN,
        });
        let finding = report.findings.into_iter().next().unwrap();
        assert_eq!(finding.code, Code::GuardInvalid);
        let (_, command) = finding.advice.hint.split_once("again: ").unwrap();
        command.to_owned()
    }

    #[test]
    fn the_hint_is_a_command_for_the_source() {
        assert_eq!(
            hint("my plugins/guard.yaml", "sni-guard"),
            "packager explain --config 'my plugins/guard.yaml' --servers"
        );
        let of_cluster = "kubectl get wasmplugin.extensions.istio.io -n istio-system sni-guard -o yaml | \
                          packager explain --config - --servers";
        assert_eq!(hint("", "sni-guard"), of_cluster);
        assert_eq!(hint("-", "sni-guard"), of_cluster);
        assert!(hint("", "a; reboot").contains(" 'a; reboot' "));
    }
}
