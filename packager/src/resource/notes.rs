//! Comments and warnings for a resource that runs the filter.

use rule::Rule;

use super::{Attachment, FailStrategy, FilterKind, Release, Request};

/// Comments for the resource, each about one field. They include the [`warnings`].
#[must_use]
pub(crate) fn comments(request: &Request) -> Vec<String> {
    // Readers of the resource do not see what the command printed.
    let mut comments = warnings(request);
    comments.extend(targets(request));
    if !request.kind.is_istio() {
        comments.push(
            "spec.wasm: filters for authentication run before it, unless spec.filterOrder of the \
             EnvoyProxy changes the order."
                .into(),
        );
        return comments;
    }
    comments.push(
        "spec.phase: an AuthorizationPolicy with the action CUSTOM (ext_authz) still runs before \
         any plugin."
            .into(),
    );
    comments.push(if request.placement.ports.is_empty() {
        "spec.match is not set: it has ports that Envoy listens on, the targetPorts of the gateway's \
         Service (by default 8443 for 443), and with a wrong port the filter does not run."
            .into()
    } else {
        "spec.match: ports that Envoy listens on, the targetPorts of the gateway's Service, not the \
         ports of the Gateway."
            .into()
    });
    comments
}

fn targets(request: &Request) -> Option<String> {
    // Users confuse the two kinds named Gateway.
    let reach = if request.kind.is_istio() {
        "only Gateways of the Gateway API in this namespace whose pods Istio creates; not Istio's own kind \
         Gateway."
    } else {
        "only Gateways in this namespace."
    };
    match request.placement.attachment {
        Attachment::Targets(_) => Some(format!("spec.targetRefs: {reach}")),
        Attachment::Selector(_) | Attachment::Everything => None,
    }
}

/// Settings of the resource that may cause harm.
#[must_use]
pub(crate) fn warnings(request: &Request) -> Vec<String> {
    [
        mutable(request),
        everything(request),
        failure(request),
        routes_only(request),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn mutable(request: &Request) -> Option<String> {
    if request.image.sha256().is_some() {
        return None;
    }
    Some(format!(
        "{}: the tag may move, and then pods that start later run another module.",
        request.kind.url_path()
    ))
}

fn everything(request: &Request) -> Option<String> {
    if request.placement.attachment != Attachment::Everything {
        return None;
    }
    Some(format!(
        "spec: every proxy of the namespace {} runs the filter, including sidecars, and every proxy of the \
         mesh if this is its root namespace.",
        request.placement.metadata.namespace
    ))
}

/// The behaviour of Istio and Envoy if a module cannot be pulled, and if it failed. Each was observed.
fn failure(request: &Request) -> Option<String> {
    // With the other strategies requests pass while there is no module.
    if request.fail_strategy != FailStrategy::FailClose {
        return None;
    }
    let consequence = match request.kind {
        FilterKind::EnvoyExtensionPolicy => {
            "while the image cannot be pulled, every route of the Gateway answers 500; after the module \
             failed, every request gets 503."
        }
        FilterKind::WasmPlugin | FilterKind::TrafficExtension
            if request.release <= Release::LAST_TO_WAIT =>
        {
            "a pod that cannot pull the image never becomes ready; a pod whose module failed answers 503 \
             to every request."
        }
        FilterKind::WasmPlugin | FilterKind::TrafficExtension => {
            "a pod that cannot pull the image answers 403 to every request of every host; a pod whose \
             module failed answers 503."
        }
    };
    Some(format!("{}: {consequence}", request.kind.failure_path()))
}

/// Envoy Gateway disables Wasm filters, and enables them on the routes of a Gateway only (Envoy Gateway
/// `internal/xds/translator/wasm.go`).
fn routes_only(request: &Request) -> Option<String> {
    if request.kind.is_istio() {
        return None;
    }
    // Invalid settings are an error elsewhere.
    let config = request.settings.check().ok()?;
    match config.rule() {
        Rule::Servers(servers) if servers.count() == 0 => Some(
            "spec.wasm: Envoy Gateway runs the filter only for requests that match a route, so without a \
             list of servers the filter rejects nothing; list the servers."
                .into(),
        ),
        Rule::Servers(_) | Rule::Exact => None,
    }
}
