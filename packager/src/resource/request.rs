//! What a resource is to say: as it was given, and as it can be written.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use rule::Fault;

use super::attachment::refuse;
use super::{
    Attachment, FailStrategy, ImageReference, Kind, Metadata, Namespace, ObjectName, Phase, Release,
};
use crate::settings::Settings;

/// What somebody asked for.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The kind of the resource.
    pub(crate) kind: Kind,
    /// The release of Istio to write for, where one is named.
    pub(crate) release: Option<String>,
    /// The image.
    pub(crate) image: String,
    /// Whether the image may change under its reference.
    pub(crate) allow_mutable: bool,
    /// The name of the resource.
    pub(crate) name: String,
    /// The gateway's namespace.
    pub(crate) namespace: String,
    /// Labels of the gateway's pods.
    pub(crate) labels: Vec<(String, String)>,
    /// Gateways, `KIND/NAME` each.
    pub(crate) targets: Vec<String>,
    /// Whether it is meant for every proxy.
    pub(crate) mesh_wide: bool,
    /// The ports that Envoy listens on; none for all of them.
    pub(crate) ports: Vec<u16>,
    /// Where in the filter chain it goes.
    pub(crate) phase: Option<Phase>,
    /// Its place among the plugins of its phase; the highest comes first.
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
    /// The kind of the resource.
    pub(crate) kind: Kind,
    /// The release of Istio to write for.
    pub(crate) release: Release,
    /// The image.
    pub(crate) image: ImageReference,
    /// Its name and place.
    pub(crate) metadata: Metadata,
    /// The gateways it is for.
    pub(crate) attachment: Attachment,
    /// The ports that Envoy listens on; none for all of them.
    pub(crate) ports: Vec<u16>,
    /// Where in the filter chain it goes.
    pub(crate) phase: Phase,
    /// Its place among the plugins of its phase; the highest comes first. Without one it is the
    /// last.
    pub(crate) priority: i32,
    /// What a gateway does without the module.
    pub(crate) fail_strategy: FailStrategy,
    /// The Secret to pull the image with.
    pub(crate) image_pull_secret: Option<ObjectName>,
    /// The filter's configuration, checked.
    pub(crate) settings: Settings,
}

impl Request {
    /// Checks what was asked for.
    ///
    /// # Errors
    /// Something of it would be refused or ignored: what, and where it would be in the resource.
    pub(crate) fn parse(draft: Draft) -> Result<Self> {
        let kind = draft.kind;
        refuse_foreign(&draft)?;
        let release = draft.release.as_deref().map(Release::parse).transpose()?;
        let release = release.unwrap_or(Release::DEFAULT);
        refuse_too_new(&draft, release)?;
        let image = ImageReference::parse(&draft.image, draft.allow_mutable)
            .map_err(|error| error.context(kind.url_path()))?;
        let attachment =
            Attachment::parse(kind.into(), &draft.labels, &draft.targets, draft.mesh_wide)?;
        let (metadata, image_pull_secret) = names(&draft)?;
        Ok(Self {
            kind,
            release,
            image,
            metadata,
            attachment,
            ports: draft.ports,
            phase: draft.phase.unwrap_or(Phase::Authn),
            priority: draft.priority.unwrap_or(1000),
            fail_strategy: draft.fail_strategy,
            image_pull_secret,
            settings: draft.settings,
        })
    }
}

/// Refuses what the kind has no field for.
fn refuse_foreign(draft: &Draft) -> Result<()> {
    if draft.kind.is_istio() {
        return Ok(());
    }
    let name = draft.kind.name();
    let foreign = [
        ("--istio", draft.release.is_some(), "it is not Istio's"),
        (
            "--port",
            !draft.ports.is_empty(),
            "it is for all listeners of the Gateway",
        ),
        (
            "--phase",
            draft.phase.is_some(),
            "spec.filterOrder of the EnvoyProxy sets the order",
        ),
        (
            "--priority",
            draft.priority.is_some(),
            "spec.filterOrder of the EnvoyProxy sets the order",
        ),
    ];
    for (flag, given, reason) in foreign {
        if given {
            bail!(Advice::new(
                format!("{flag} means nothing to {name}: {reason}"),
                format!("leave {flag} out")
            ));
        }
    }
    if draft.fail_strategy == FailStrategy::FailReload {
        let path = draft.kind.failure_path();
        bail!(Advice::new(
            format!("{path}: {name} has no FAIL_RELOAD"),
            "say FAIL_OPEN or FAIL_CLOSE"
        ));
    }
    Ok(())
}

/// Refuses what the release does not know.
fn refuse_too_new(draft: &Draft, release: Release) -> Result<()> {
    let first = Release::TRAFFIC_EXTENSION;
    if release >= first {
        return Ok(());
    }
    if draft.kind == Kind::TrafficExtension {
        bail!(Advice::new(
            format!("Istio {release} has no TrafficExtension, which came with {first}"),
            "say --kind WasmPlugin"
        ));
    }
    if draft.fail_strategy == FailStrategy::FailReload {
        let path = draft.kind.failure_path();
        bail!(Advice::new(
            format!("{path}: Istio {release} does not act on FAIL_RELOAD, which came with {first}"),
            "say --fail-strategy FAIL_OPEN"
        ));
    }
    Ok(())
}

/// All names of the resource, or what is wrong with each, and with the ports.
fn names(draft: &Draft) -> Result<(Metadata, Option<ObjectName>)> {
    let mut faults = repeated_ports(&draft.ports);
    let name = noted(&mut faults, "metadata.name", ObjectName::parse(&draft.name));
    let namespace = noted(
        &mut faults,
        "metadata.namespace",
        Namespace::parse(&draft.namespace),
    );
    let secret = draft
        .image_pull_secret
        .as_deref()
        .map(ObjectName::parse)
        .transpose();
    let secret = noted(&mut faults, draft.kind.secret_path(), secret);
    refuse(draft.kind.into(), faults)?;
    match (name, namespace, secret) {
        (Some(name), Some(namespace), Some(secret)) => Ok((Metadata { name, namespace }, secret)),
        _ => bail!("{} has a name that cannot be read", draft.kind.name()),
    }
}

/// What was read, or its fault among the others.
fn noted<T>(faults: &mut Vec<Fault>, path: &str, parsed: Result<T, String>) -> Option<T> {
    match parsed {
        Ok(value) => Some(value),
        Err(problem) => {
            faults.push(Fault {
                path: path.to_owned(),
                problem,
            });
            None
        }
    }
}

/// The API server takes a list of ports for a map, with the numbers as keys.
fn repeated_ports(ports: &[u16]) -> Vec<Fault> {
    let is_repeated = |(index, port): &(usize, &u16)| ports.iter().take(*index).any(|p| p == *port);
    let fault = |(index, port)| Fault {
        path: format!("spec.match[0].ports[{index}]"),
        problem: format!("{port} is given twice"),
    };
    ports
        .iter()
        .enumerate()
        .filter(is_repeated)
        .map(fault)
        .collect()
}
