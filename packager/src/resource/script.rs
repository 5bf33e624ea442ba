//! The rule as a Lua script in a resource of Istio: a `TrafficExtension`, or an `EnvoyFilter` for older releases and
//! long scripts.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use rule::{Config, lua};

use super::attachment::invalid;
use super::request::{DEFAULT_PHASE, DEFAULT_PRIORITY, Placement, repeated_ports};
use super::{Attachment, FilterKind, ManifestKind, Metadata, Phase, Release};
use crate::settings::Settings;

/// The longest script that a `TrafficExtension` takes, in octets (Istio API
/// `extensions/v1alpha1/traffic_extension.proto`, `Lua.inline_code`).
const LONGEST_INLINE_CODE: usize = 65_536;

/// The longest scripts of an `EnvoyFilter` together, in octets. etcd takes requests of 1.5 MiB (its
/// `--max-request-bytes`), and the API server sends it the resource with its managed fields.
const LONGEST_SCRIPTS: usize = 1 << 20;

/// From how many octets of scripts on `kubectl apply` has no room for its copy of the resource: annotations have at most
/// 262,144 octets (Kubernetes `apimachinery/pkg/api/validation/objectmeta.go`, `TotalAnnotationSizeLimitB`), and in the
/// copy each line break takes two.
const LONGEST_APPLIED: usize = 240_000;

/// A kind of resource that runs a Lua script on a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptKind {
    TrafficExtension,
    EnvoyFilter,
}

impl ScriptKind {
    pub(crate) fn name(self) -> &'static str {
        ManifestKind::from(self).name()
    }
}

impl From<ScriptKind> for ManifestKind {
    fn from(kind: ScriptKind) -> Self {
        match kind {
            ScriptKind::TrafficExtension => Self::Filter(FilterKind::TrafficExtension),
            ScriptKind::EnvoyFilter => Self::EnvoyFilter,
        }
    }
}

/// What the user asks for, not validated.
#[derive(Clone, Debug)]
pub(crate) struct ScriptDraft {
    /// `None` for the kind that fits the release and the script.
    pub(crate) kind: Option<ScriptKind>,
    /// The release of Istio to write for.
    pub(crate) release: Release,
    /// The name of the resource, `metadata.name`.
    pub(crate) name: String,
    /// The namespace of the resource and of the gateway.
    pub(crate) namespace: String,
    pub(crate) attachment: Attachment,
    /// The ports that Envoy listens on; none for all of them.
    pub(crate) ports: Vec<u16>,
    /// The position in the filter chain, which only a `TrafficExtension` has.
    pub(crate) phase: Option<Phase>,
    /// The priority in the phase, which only a `TrafficExtension` has.
    pub(crate) priority: Option<i32>,
    /// The configuration, checked.
    pub(crate) settings: Settings,
}

/// A script and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct ScriptRequest {
    pub(crate) kind: ScriptKind,
    pub(crate) placement: Placement,
    /// The script, in Lua.
    pub(crate) script: String,
}

impl ScriptRequest {
    /// Writes the script and validates the fields of the resource.
    ///
    /// # Errors
    /// The API server would refuse a field, or istiod would ignore it.
    pub(crate) fn parse(draft: ScriptDraft) -> Result<Self> {
        let script = write_script(&draft.settings.check()?)?;
        let kind = choose_kind(&draft, script.len())?;
        refuse_unsupported(&draft, kind)?;
        let mut faults = repeated_ports(&draft.ports);
        let metadata = Metadata::parse(&draft.name, &draft.namespace);
        // All faults are reported at once, so that the user fixes them in one pass.
        let metadata = match metadata {
            Ok(metadata) if faults.is_empty() => metadata,
            other => {
                faults.extend(other.err().into_iter().flatten());
                return Err(invalid(kind.into(), faults));
            }
        };
        Ok(Self {
            kind,
            placement: Placement {
                metadata,
                attachment: draft.attachment,
                ports: draft.ports,
                phase: draft.phase.unwrap_or(DEFAULT_PHASE),
                priority: draft.priority.unwrap_or(DEFAULT_PRIORITY),
            },
            script,
        })
    }
}

/// The script of a configuration. A gateway pod that starts with a broken script has no listener, and neither the API
/// server nor istiod parses one, so the script is read back before it is used.
fn write_script(config: &Config) -> Result<String> {
    let script = lua::write(config);
    let is_read_back = lua::read(&script).is_some_and(|read| {
        let config = Config::parse(&read.configuration);
        read.is_current && config.is_ok_and(|config| lua::write(&config) == script)
    });
    if !is_read_back {
        bail!(Advice::new(
            "writing the script failed: it does not read as its configuration",
            "report this as a defect, with the configuration"
        ));
    }
    Ok(script)
}

/// The octets of the scripts of an `EnvoyFilter`, which has one for each port.
fn total_length(length: usize, ports: &[u16]) -> usize {
    length.saturating_mul(ports.len().max(1))
}

fn choose_kind(draft: &ScriptDraft, length: usize) -> Result<ScriptKind> {
    let total = total_length(length, &draft.ports);
    if length > LONGEST_INLINE_CODE && total > LONGEST_SCRIPTS {
        bail!(Advice::new(
            format!(
                "the scripts have {total} octets, and the API server takes about {LONGEST_SCRIPTS}"
            ),
            "use the filter: packager manifest --image IMAGE"
        ));
    }
    let first = Release::TRAFFIC_EXTENSION;
    match draft.kind {
        Some(ScriptKind::EnvoyFilter) => Ok(ScriptKind::EnvoyFilter),
        Some(ScriptKind::TrafficExtension) if draft.release < first => bail!(Advice::new(
            format!(
                "Istio {} has no TrafficExtension, Istio {first} introduced it",
                draft.release
            ),
            "use --kind EnvoyFilter"
        )),
        Some(ScriptKind::TrafficExtension) if length > LONGEST_INLINE_CODE => bail!(Advice::new(
            format!(
                "spec.lua.inlineCode: the script has {length} octets, and a TrafficExtension takes \
                 {LONGEST_INLINE_CODE}"
            ),
            "use --kind EnvoyFilter"
        )),
        None if draft.release < first || length > LONGEST_INLINE_CODE => {
            Ok(ScriptKind::EnvoyFilter)
        }
        Some(ScriptKind::TrafficExtension) | None => Ok(ScriptKind::TrafficExtension),
    }
}

/// Refuses what an `EnvoyFilter` has no field for.
fn refuse_unsupported(draft: &ScriptDraft, kind: ScriptKind) -> Result<()> {
    if kind == ScriptKind::TrafficExtension {
        return Ok(());
    }
    for (flag, is_given) in [
        ("--phase", draft.phase.is_some()),
        ("--priority", draft.priority.is_some()),
    ] {
        if is_given {
            bail!(Advice::new(
                format!(
                    "{flag} has no effect on EnvoyFilter: the script runs before all other filters"
                ),
                format!("remove {flag}")
            ));
        }
    }
    // Older releases ignore spec.targetRefs. All of them read labels, and a pod belongs to one Gateway.
    if let Attachment::Targets(targets) = &draft.attachment
        && targets.len() > 1
    {
        bail!(Advice::new(
            "an EnvoyFilter selects the pods of one Gateway",
            "write one resource for each Gateway, with its own --name"
        ));
    }
    Ok(())
}

/// A comment for the resource about everything in which the script differs from the filter.
pub(crate) fn comments(request: &ScriptRequest) -> Vec<String> {
    let mut comments: Vec<String> = [
        "The rule as a Lua script: it answers 421 to a request for a host of another server than the SNI's.",
        "Compared with the filter (packager manifest --image IMAGE):",
        "- The script cannot see virtual hosts. Names that the table of servers does not list pass, so write the \
         resource again when the servers change; `packager check` reports a table that is out of date (SG401).",
        "- Each change is a new configuration of the listener, and Envoy drains its connections.",
        "- Envoy has a copy of the script for each filter chain and worker.",
        "- There are no log lines. An access log can show the reason: %DYNAMIC_METADATA(sni_guard:reason)%.",
        "- The counters are http.PREFIX.lua.sni_guard.*, and need Envoy 1.38 (Istio 1.30) and the annotation \
         sidecar.istio.io/statsInclusionRegexps: .*sni_guard.* of the gateway's pods.",
    ]
    .map(str::to_owned)
    .into();
    if request.placement.attachment == Attachment::Everything {
        comments.push(everything(request));
    }
    comments
}

/// Warnings about a resource.
pub(crate) fn warnings(request: &ScriptRequest) -> Vec<String> {
    let mut warnings = Vec::new();
    if request.placement.attachment == Attachment::Everything {
        warnings.push(everything(request));
    }
    if total_length(request.script.len(), &request.placement.ports) > LONGEST_APPLIED {
        warnings.push(
            "kubectl apply has no room for its copy of a resource of this size: use kubectl apply --server-side"
                .into(),
        );
    }
    warnings
}

fn everything(request: &ScriptRequest) -> String {
    // An EnvoyFilter is limited to gateways. A TrafficExtension has no such field.
    let proxies = match request.kind {
        ScriptKind::TrafficExtension => "proxy",
        ScriptKind::EnvoyFilter => "gateway",
    };
    format!(
        "spec: every {proxies} of the namespace {} runs the script, and every {proxies} of the mesh if this is its \
         root namespace.",
        request.placement.metadata.namespace
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(settings: &str) -> ScriptDraft {
        ScriptDraft {
            kind: None,
            release: Release::DEFAULT,
            name: "sni-guard".into(),
            namespace: "istio-system".into(),
            attachment: Attachment::Everything,
            ports: vec![],
            phase: None,
            priority: None,
            settings: Settings::parse(settings).unwrap(),
        }
    }

    /// A configuration whose script has so many octets.
    fn of_length(length: usize) -> ScriptDraft {
        let shortest = ScriptRequest::parse(draft("trustedSni: [a]")).unwrap();
        let longer = length - shortest.script.len();
        draft(&format!("trustedSni: [{}]", "a".repeat(longer + 1)))
    }

    #[test]
    fn a_long_script_is_an_envoy_filter() {
        for (length, expected) in [
            (65_535, ScriptKind::TrafficExtension),
            (65_536, ScriptKind::TrafficExtension),
            (65_537, ScriptKind::EnvoyFilter),
        ] {
            let request = ScriptRequest::parse(of_length(length)).unwrap();
            assert_eq!((request.script.len(), request.kind), (length, expected));
        }
    }

    #[test]
    fn a_script_is_not_longer_than_the_api_server_takes() {
        for (length, ports, is_accepted, needs_server_side) in [
            (240_000, vec![], true, false),
            (240_001, vec![], true, true),
            (120_001, vec![443, 8443], true, true),
            (1 << 20, vec![], true, true),
            ((1 << 20) + 1, vec![], false, false),
            (600_000, vec![443, 8443], false, false),
        ] {
            let request = ScriptRequest::parse(ScriptDraft {
                ports,
                attachment: Attachment::Targets(vec![]),
                ..of_length(length)
            });
            assert_eq!(request.is_ok(), is_accepted, "{length}");
            let warnings = request.map_or_else(|_| vec![], |request| warnings(&request));
            assert_eq!(warnings.len(), usize::from(needs_server_side), "{length}");
        }
    }
}
