//! SG403: an installed filter with an invalid configuration.

use rule::Policy;

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding};

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
        // The words are those of the filter's own log.
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let shown: Vec<&str> = all.iter().take(MAX_FAULTS).map(String::as_str).collect();
        let mut list = shown.join("; ");
        if all.len() > shown.len() {
            list += &format!("; and {} more", all.len() - shown.len());
        }
        let name = filter.resource();
        let message =
            format!("the configuration of {name} is invalid, so it passes every request: {list}");
        let hint =
            "correct these fields; packager explain --config FILE --servers checks the resource";
        findings.add(Finding::new(Code::GuardInvalid, message, hint).about(name));
    }
}
