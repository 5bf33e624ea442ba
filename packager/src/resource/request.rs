//! The content of a resource: a [`Draft`] as the user gives it, and a [`Request`] that is valid.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use gateway::advice::Advice;
use rule::Fault;

use super::attachment::invalid;
use super::{
    Attachment, FailStrategy, FilterKind, ImageReference, Metadata, ObjectName, Phase, Release,
};
use crate::settings::Settings;

/// What the user asks for, not validated.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: FilterKind,
    /// The release of Istio to write for; `None` for the default.
    pub(crate) release: Option<Release>,
    pub(crate) image: String,
    /// Whether the reference may have no digest, so that it can name another image later.
    pub(crate) allow_mutable: bool,
    /// The name of the resource, `metadata.name`.
    pub(crate) name: String,
    /// The namespace of the resource and of the gateway.
    pub(crate) namespace: String,
    /// Labels of the gateway's pods.
    pub(crate) labels: Vec<(String, String)>,
    /// Gateways of the Gateway API, each in the form `KIND/NAME`.
    pub(crate) targets: Vec<String>,
    /// Whether the user wants the resource for every proxy.
    pub(crate) mesh_wide: bool,
    /// The ports that Envoy listens on; none for all of them.
    pub(crate) ports: Vec<u16>,
    /// The position in the filter chain.
    pub(crate) phase: Option<Phase>,
    /// The priority among the plugins of the phase; the highest runs first.
    pub(crate) priority: Option<i32>,
    /// What a gateway does without the module.
    pub(crate) fail_strategy: FailStrategy,
    /// The name of the Secret to pull the image with.
    pub(crate) image_pull_secret: Option<String>,
    /// The filter's configuration, checked.
    pub(crate) settings: Settings,
}

/// A resource that the API server takes and the control plane acts on.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: FilterKind,
    /// The release of Istio to write for.
    pub(crate) release: Release,
    pub(crate) image: ImageReference,
    pub(crate) placement: Placement,
    /// What a gateway does without the module.
    pub(crate) fail_strategy: FailStrategy,
    /// The Secret to pull the image with.
    pub(crate) image_pull_secret: Option<ObjectName>,
    /// The filter's configuration, checked.
    pub(crate) settings: Settings,
}

/// The name of a resource, and where its code runs.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) metadata: Metadata,
    pub(crate) attachment: Attachment,
    /// The ports that Envoy listens on; none for all of them.
    pub(crate) ports: Vec<u16>,
    /// The position in the filter chain.
    pub(crate) phase: Phase,
    /// The priority among the plugins of the phase; the highest runs first. The field is always
    /// written: without it the code would run last.
    pub(crate) priority: i32,
}

/// The position if the user names none: the rule has to run before other filters act on a misdirected request.
pub(super) const DEFAULT_PHASE: Phase = Phase::Authn;

/// The priority if the user names none.
pub(super) const DEFAULT_PRIORITY: i32 = 1000;

impl Request {
    /// Validates a draft and applies defaults.
    ///
    /// # Errors
    /// The API server would refuse a field, or the control plane would ignore it. The error has the
    /// path of the field.
    pub(crate) fn parse(draft: Draft) -> Result<Self> {
        let kind = draft.kind;
        // The default release has every kind, so users of older releases get an error only for new
        // fields.
        let release = draft.release.unwrap_or(Release::DEFAULT);
        refuse_unsupported(&draft, release)?;
        let image = ImageReference::parse(&draft.image, draft.allow_mutable)
            .map_err(|error| error.context(kind.url_path()))?;
        let attachment =
            Attachment::parse(kind.into(), &draft.labels, &draft.targets, draft.mesh_wide)?;
        let (metadata, image_pull_secret) = names(&draft)?;
        Ok(Self {
            kind,
            release,
            image,
            placement: Placement {
                metadata,
                attachment,
                ports: draft.ports,
                phase: draft.phase.unwrap_or(DEFAULT_PHASE),
                priority: draft.priority.unwrap_or(DEFAULT_PRIORITY),
            },
            fail_strategy: draft.fail_strategy,
            image_pull_secret,
            settings: draft.settings,
        })
    }
}

/// Refuses what the kind or the release of Istio does not support.
fn refuse_unsupported(draft: &Draft, release: Release) -> Result<()> {
    let first = Release::TRAFFIC_EXTENSION;
    let is_too_old = release < first;
    if draft.kind == FilterKind::TrafficExtension && is_too_old {
        bail!(Advice::new(
            format!("Istio {release} has no TrafficExtension, Istio {first} introduced it"),
            "use --kind WasmPlugin"
        ));
    }
    if draft.fail_strategy != FailStrategy::FailReload {
        return Ok(());
    }

    // FAIL_RELOAD is a field of Istio's kinds only, and older releases ignore it.
    let path = draft.kind.failure_path();
    if !draft.kind.is_istio() {
        bail!(Advice::new(
            format!("{path}: {} has no FAIL_RELOAD", draft.kind.name()),
            "use FAIL_OPEN or FAIL_CLOSE"
        ));
    }
    if is_too_old {
        bail!(Advice::new(
            format!("{path}: Istio {release} ignores FAIL_RELOAD, Istio {first} introduced it"),
            "use --fail-strategy FAIL_OPEN"
        ));
    }
    Ok(())
}

/// The names of the resource and of its Secret. The error has every fault of them and of the ports.
fn names(draft: &Draft) -> Result<(Metadata, Option<ObjectName>)> {
    let mut faults = repeated_ports(&draft.ports);
    let metadata = Metadata::parse(&draft.name, &draft.namespace);
    let secret = secret(draft.kind, draft.image_pull_secret.as_deref());
    // All faults are reported at once, so that the user fixes them in one pass.
    match (metadata, secret) {
        (Ok(metadata), Ok(secret)) if faults.is_empty() => Ok((metadata, secret)),
        (metadata, secret) => {
            faults.extend(metadata.err().into_iter().flatten());
            faults.extend(secret.err());
            Err(invalid(draft.kind.into(), faults))
        }
    }
}

fn secret(kind: FilterKind, name: Option<&str>) -> Result<Option<ObjectName>, Fault> {
    name.map(ObjectName::parse)
        .transpose()
        .map_err(|problem| Fault {
            path: kind.secret_path().to_owned(),
            problem,
        })
}

/// A fault for each port that occurs earlier in the list: the API server reads the list as a map with
/// the ports as keys.
pub(super) fn repeated_ports(ports: &[u16]) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        if !seen.insert(port) {
            faults.push(Fault {
                path: format!("spec.match[0].ports[{index}]"),
                problem: format!("{port} is given twice"),
            });
        }
    }
    faults
}
