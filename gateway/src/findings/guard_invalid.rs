//! SG403: an installed filter with an invalid configuration.

use rule::{Faults, Policy};

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::installed_filter::InstalledFilter;
use super::{Code, Command, FilterSource, Finding, Remedy};

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
        let hint = Remedy::with_command(
            "correct these fields, and check the resource again",
            Command::ExplainFilter(source(filter, context)),
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

/// The file of the resource, or the cluster.
fn source(filter: &InstalledFilter<'_>, context: &Context<'_>) -> FilterSource {
    let origin = &filter.installation.metadata().origin;
    let in_same_file = context
        .installed_filters
        .iter()
        .filter(|other| other.installation.metadata().origin.file == origin.file)
        .count();
    match &*origin.file {
        // Standard input cannot be read again; it is usually a dump of the cluster.
        "" | "-" => FilterSource::Cluster(filter.resource()),
        // explain reads one resource only.
        file if in_same_file > 1 => FilterSource::SharedFile(file.to_owned()),
        file => FilterSource::File(file.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::documents::read;
    use crate::findings::{Code, Command, FilterSource, Input, check};
    use crate::resources::{Kind, ResourceName};
    use crate::{Certificates, Model, Resources};

    /// The source in the hint for a plugin with an invalid configuration, read from a file.
    fn source(file: &str) -> FilterSource {
        let plugin = "{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, \
             metadata: {name: sni-guard, namespace: istio-system}, \
             spec: {url: 'oci://example.com/sni-guard:1', pluginConfig: {action: maybe}}}";
        let mut resources = Resources::default();
        assert_eq!(read(file, plugin, &mut resources), []);
        let model = Model::new(&resources);
        let certificates = Certificates::new(&resources);
        let report = check(&Input::for_tests(&resources, &model, &certificates));
        let finding = report.findings.into_iter().next().unwrap();
        assert_eq!(finding.code, Code::GuardInvalid);
        let Some(Command::ExplainFilter(source)) = finding.remedies[0].command.clone() else {
            panic!("{:?}", finding.remedies);
        };
        source
    }

    #[test]
    fn the_hint_is_for_the_source() {
        let file = "my plugins/guard.yaml";
        assert_eq!(source(file), FilterSource::File(file.into()));
        let plugin = FilterSource::Cluster(ResourceName {
            kind: Kind::WasmPlugin,
            namespace: "istio-system".into(),
            name: "sni-guard".into(),
        });
        assert_eq!(source(""), plugin);
        assert_eq!(source("-"), plugin);
    }
}
