//! What somebody who reads a resource, or writes one, should know and cannot see in it.

use rule::Rule;

use super::{Attachment, FailStrategy, Kind, Release, Request};

/// Comments for the resource, each about one field.
#[must_use]
pub(crate) fn comments(request: &Request) -> Vec<String> {
    let mut comments = warnings(request);
    comments.extend(targets(request));
    if !request.kind.is_istio() {
        comments.push(
            "spec.wasm: filters for authentication run before it, unless spec.filterOrder of the \
             EnvoyProxy says otherwise."
                .into(),
        );
        return comments;
    }
    comments.push(
        "spec.phase: an AuthorizationPolicy with the action CUSTOM (ext_authz) still runs before \
         any plugin."
            .into(),
    );
    comments.push(if request.ports.is_empty() {
        "spec.match is left out: it takes ports that Envoy listens on, the targetPorts of the \
         gateway's Service (by default 8443 for 443), and with a wrong one the filter runs nowhere."
            .into()
    } else {
        "spec.match: ports that Envoy listens on, the targetPorts of the gateway's Service, not the \
         ports of the Gateway."
            .into()
    });
    comments
}

fn targets(request: &Request) -> Option<String> {
    let reach = if request.kind.is_istio() {
        "Gateways of the Gateway API that Istio has pods for, in this namespace alone; not Istio's own \
         kind Gateway."
    } else {
        "Gateways in this namespace alone."
    };
    let targeted = matches!(request.attachment, Attachment::Targets(_));
    targeted.then(|| format!("spec.targetRefs: {reach}"))
}

/// What may hurt: said to whoever writes the resource, too.
#[must_use]
pub(crate) fn warnings(request: &Request) -> Vec<String> {
    let checks = [
        mutable(request),
        everything(request),
        failure(request),
        routes_only(request),
    ];
    checks.into_iter().flatten().collect()
}

fn mutable(request: &Request) -> Option<String> {
    let path = request.kind.url_path();
    let text = "the tag may move, and then pods that start later run another module.";
    request
        .image
        .sha256()
        .is_none()
        .then(|| format!("{path}: {text}"))
}

fn everything(request: &Request) -> Option<String> {
    let namespace = &request.metadata.namespace;
    (request.attachment == Attachment::Everything).then(|| {
        format!(
            "spec: every proxy of the namespace {namespace} runs the filter, sidecars too, and of \
             the whole mesh where that is its root namespace."
        )
    })
}

/// What was seen on Istio and Envoy when a module could not be pulled, and when it failed.
fn failure(request: &Request) -> Option<String> {
    if request.fail_strategy != FailStrategy::FailClose {
        return None;
    }
    let consequence = match request.kind {
        Kind::EnvoyExtensionPolicy => {
            "while the image cannot be pulled every route of the Gateway answers 500, and where the \
             module failed every request 503."
        }
        _ if request.release <= Release::LAST_TO_WAIT => {
            "a pod that cannot pull the image never becomes ready, and one whose module failed \
             answers 503 to every request."
        }
        _ => {
            "a pod that cannot pull the image answers 403 to every request of every host, and one \
             whose module failed 503."
        }
    };
    Some(format!("{}: {consequence}", request.kind.failure_path()))
}

/// Envoy Gateway has Wasm filters disabled but for the routes of a Gateway (Envoy Gateway
/// `internal/xds/translator/wasm.go`).
fn routes_only(request: &Request) -> Option<String> {
    let config = request.settings.check().ok()?;
    let unrouted = matches!(config.rule(), Rule::Servers(servers) if servers.count() == 0);
    (!request.kind.is_istio() && unrouted).then(|| {
        "spec.wasm: Envoy Gateway runs it only for requests that found a route, so without \
         a list of servers it answers nothing; list them."
            .into()
    })
}
