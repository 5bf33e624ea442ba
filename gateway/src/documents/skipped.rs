//! Documents that are not resources to check. A repository with the configuration of a cluster
//! has many of them, and they are not errors.

use std::path::Path;

use serde_json::Value;

use crate::resources::Origin;

/// A document that was not read, because it is not a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub origin: Origin,
    pub reason: SkipReason,
}

/// Why a document was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// It has no apiVersion and no kind, such as `values.yaml`, `Chart.yaml` and `package.json`.
    NotResource,
    /// It is a template that has to be rendered first.
    Template,
    /// It has variables such as `${domain}`, which Flux replaces.
    Variables,
    /// It changes a resource that is elsewhere.
    Patch,
    /// It is JSON with comments or another text with the name of a JSON file.
    NotJson,
    /// It is a Secret with a release of Helm.
    HelmRelease,
}

/// The kinds whose fields have no use for braces, except in templates. Others have them in scripts and messages.
const WITHOUT_BRACES: [&str; 10] = [
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "Ingress",
    "ListenerSet",
    "Service",
    "TCPRoute",
    "TLSRoute",
    "VirtualService",
    "XListenerSet",
];

/// Why a document is skipped; `None` for a resource, and for a document that is broken.
pub(super) fn reason(value: &Value) -> Option<SkipReason> {
    if is_json_patch(value) {
        return Some(SkipReason::Patch);
    }
    let Some((api_version, kind)) = text(value, "/apiVersion").zip(text(value, "/kind")) else {
        // With metadata and one of the fields it is a resource that lacks the other.
        let has_field = value.get("apiVersion").is_some() || value.get("kind").is_some();
        let is_broken = has_field && value.get("metadata").is_some_and(Value::is_object);
        return (!is_broken).then_some(SkipReason::NotResource);
    };
    // The files of kustomize itself have both fields.
    if api_version.starts_with("kustomize.config.k8s.io/") {
        return Some(SkipReason::NotResource);
    }
    if kind == "Secret" && text(value, "/type") == Some("helm.sh/release.v1") {
        return Some(SkipReason::HelmRelease);
    }
    // A directive of a strategic merge patch (kubectl `$patch: delete`).
    if value.get("$patch").is_some() {
        return Some(SkipReason::Patch);
    }
    if is_template(kind, value, has_braces) {
        return Some(SkipReason::Template);
    }
    is_template(kind, value, |text| text.contains("${")).then_some(SkipReason::Variables)
}

/// Why a text that cannot be parsed is skipped; `None` if it is a fault.
pub(super) fn reason_of_text(file: &str, text: &str) -> Option<SkipReason> {
    if has_braces(text) {
        return Some(SkipReason::Template);
    }
    let is_json = Path::new(file)
        .extension()
        .is_some_and(|extension| extension == "json");
    (is_json && !text.contains("apiVersion")).then_some(SkipReason::NotJson)
}

/// Whether a document is a JSON Patch (RFC 6902): a list of operations.
fn is_json_patch(value: &Value) -> bool {
    value.as_array().is_some_and(|operations| {
        !operations.is_empty()
            && operations
                .iter()
                .all(|operation| operation.get("op").is_some() && operation.get("path").is_some())
    })
}

/// Whether a resource has expressions of a template in its names, or in fields that cannot have braces.
fn is_template(kind: &str, value: &Value, has_expression: fn(&str) -> bool) -> bool {
    let is_name = ["/metadata/name", "/metadata/namespace"]
        .into_iter()
        .any(|pointer| text(value, pointer).is_some_and(has_expression));
    let spec = value.get("spec").filter(|_| WITHOUT_BRACES.contains(&kind));
    is_name || spec.is_some_and(|spec| any_text(spec, has_expression))
}

/// Whether a text in a value has a property.
fn any_text(value: &Value, has: fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => has(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, has)),
        Value::Object(fields) => fields.values().any(|field| any_text(field, has)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text has an expression of Helm (`{{`) or of Jinja (`{%`).
fn has_braces(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::{SkipReason, reason, reason_of_text};

    #[track_caller]
    fn check(text: &str, expected: Option<SkipReason>) {
        let value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(reason(&value), expected, "{text}");
    }

    #[test]
    fn resources_and_broken_resources_are_not_skipped() {
        for text in [
            "{apiVersion: v1, kind: Service, metadata: {name: a}}",
            "{apiVersion: v1, metadata: {name: a}}",
            "{kind: Gateway, metadata: {name: a}}",
            // Scripts and annotations have braces of their own.
            "{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: a}, \
             spec: {inlineCode: 'x = {{1}}'}}",
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {x: '{{ secret }}'}}",
            "{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: a}}",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn other_documents_are_skipped() {
        for text in [
            "{replicas: 2}",
            "{replicas: 2, metadata: {labels: {}}}",
            "{apiVersion: v2, name: chart, version: 1.0.0}",
            "{apiVersion: 1, datasources: []}",
            "{apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization}",
            "[1, 2]",
            "[]",
            "42",
        ] {
            check(text, Some(SkipReason::NotResource));
        }
        for text in [
            "[{op: remove, path: /spec}]",
            "{apiVersion: v1, kind: Service, metadata: {name: a}, $patch: delete}",
        ] {
            check(text, Some(SkipReason::Patch));
        }
        for text in [
            "{apiVersion: v1, kind: Secret, metadata: {name: '{{ .Release.Name }}'}}",
            "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: a}, \
             spec: {servers: [{hosts: ['{{ .Values.host }}']}]}}",
        ] {
            check(text, Some(SkipReason::Template));
        }
        let variables = "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: a}, \
                         spec: {servers: [{hosts: ['a.${domain}']}]}}";
        check(variables, Some(SkipReason::Variables));
        let release =
            "{apiVersion: v1, kind: Secret, type: helm.sh/release.v1, metadata: {name: a}}";
        check(release, Some(SkipReason::HelmRelease));
    }

    #[test]
    fn a_text_that_is_not_yaml_is_a_fault_unless_it_is_no_manifest() {
        let template = Some(SkipReason::Template);
        assert_eq!(
            reason_of_text("a.yaml", "{{- if .Values.on }}\na: 1"),
            template
        );
        assert_eq!(reason_of_text("a.yaml", "{% if on %}\na: 1"), template);
        assert_eq!(reason_of_text("a.yaml", "a: ["), None);
        let comments = "{ // comment\n}";
        assert_eq!(
            reason_of_text("a.json", comments),
            Some(SkipReason::NotJson)
        );
        assert_eq!(
            reason_of_text("a.json", "{\"apiVersion\": \"v1\", }}"),
            None
        );
    }
}
