//! Istio's `AuthorizationPolicy` (Istio API `security/v1beta1/authorization_policy.proto`): the fields that decide
//! which requests a gateway denies by their host and by the SNI of their connection.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::extensions::{ExtensionSelector, TargetRef};
use super::{Metadata, nullable};
use crate::policy_attachment::PolicyAttachment;

/// The annotation of a policy that only counts the requests that it would deny.
const DRY_RUN: &str = "istio.io/dry-run";

/// The texts that istiod reads as true (`strconv.ParseBool` of Go).
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

/// An `AuthorizationPolicy`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AuthorizationPolicy {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    spec: PolicySpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicySpec {
    #[serde(default)]
    selector: Option<ExtensionSelector>,
    #[serde(default, deserialize_with = "nullable")]
    target_refs: Vec<TargetRef>,
    /// The old form of `target_refs`. Istio reads it only if `target_refs` is empty.
    #[serde(default)]
    target_ref: Option<TargetRef>,
    /// `ALLOW`, which is the default, `DENY`, `AUDIT` or `CUSTOM`.
    #[serde(default, deserialize_with = "nullable")]
    action: String,
    #[serde(default, deserialize_with = "nullable")]
    rules: Vec<Option<PolicyRule>>,
    /// Fields that the model does not know.
    #[serde(flatten)]
    others: Others,
}

/// Fields that the model cannot decide about. Most are not set.
type Others = BTreeMap<String, Value>;

/// A rule: a request matches it if one of `to` and all of `when` match.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct PolicyRule {
    /// The requests; without any, all of them.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) to: Vec<PolicyTo>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) when: Vec<PolicyCondition>,
    /// Conditions that the model cannot decide, such as `from`.
    #[serde(flatten)]
    others: Others,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct PolicyTo {
    #[serde(default, deserialize_with = "nullable")]
    operation: PolicyOperation,
    #[serde(flatten)]
    others: Others,
}

/// Requests: each list that is not empty has to match.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyOperation {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) hosts: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) not_hosts: Vec<String>,
    /// The ports that Envoy listens on.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) ports: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) not_ports: Vec<String>,
    /// Conditions that the model cannot decide, such as `methods` and `paths`.
    #[serde(flatten)]
    others: Others,
}

/// A condition on an attribute of the request or of its connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyCondition {
    /// The attribute, such as `connection.sni`.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) key: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) values: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) not_values: Vec<String>,
    #[serde(flatten)]
    pub(crate) others: Others,
}

impl PolicyRule {
    /// Whether the rule has conditions that the model cannot decide.
    pub(crate) fn has_others(&self) -> bool {
        are_set(&self.others)
    }
}

impl PolicyTo {
    /// The operation; `None` if it has conditions that the model cannot decide.
    pub(crate) fn known_operation(&self) -> Option<&PolicyOperation> {
        let has_others = are_set(&self.others) || are_set(&self.operation.others);
        (!has_others).then_some(&self.operation)
    }
}

/// Whether one of some fields has a value. istiod reads null and an empty list as a field that is not set.
fn are_set(fields: &Others) -> bool {
    fields.values().any(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
    })
}

impl AuthorizationPolicy {
    /// The rules of the requests that the policy denies; none if it has another action, or only counts them (Istio
    /// `pilot/pkg/security/authz/builder/builder.go`, `isDryRun`).
    pub(crate) fn denials(&self) -> impl Iterator<Item = &PolicyRule> {
        let is_dry_run = self
            .metadata
            .annotations
            .get(DRY_RUN)
            .is_some_and(|value| TRUE.contains(&value.as_str()));
        let denies = self.spec.action == "DENY" && !is_dry_run && !are_set(&self.spec.others);
        self.spec
            .rules
            .iter()
            .filter(move |_| denies)
            // istiod skips a rule that is null.
            .flatten()
    }

    /// How the policy selects the pods that it applies to.
    pub(crate) fn attachment(&self) -> PolicyAttachment<'_> {
        let spec = &self.spec;
        PolicyAttachment {
            metadata: &self.metadata,
            selector: spec
                .selector
                .as_ref()
                .map(|selector| &selector.match_labels),
            targets: if spec.target_refs.is_empty() {
                spec.target_ref.as_slice()
            } else {
                &spec.target_refs
            },
        }
    }
}
