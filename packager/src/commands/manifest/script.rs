//! `--lua`: the rule as a Lua script, for gateways that load no image.

use anyhow::{Result, bail};
use gateway::Model;
use gateway::advice::Advice;
use rule::Rule;

use super::output::Document;
use super::servers::{self, Reached};
use super::{Args, configuration, flags, output};
use crate::commands::source::Source;
use crate::console::{Console, ExitStatus};
use crate::resource::script::{comments, warnings};
use crate::resource::{
    Attachment, FilterKind, ManifestKind, Metadata, Release, Resource, ScriptDraft, ScriptKind,
    ScriptRequest, invalid, script_warnings,
};

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let draft = draft(args, kind(args)?, console)?;
    let requests = match args.source() {
        None => {
            refuse_empty_table(&draft)?;
            vec![ScriptRequest::parse(draft.clone())?]
        }
        Some(source) => match for_gateways(&draft, source, args, console)? {
            Some(requests) => requests,
            None => return Ok(ExitStatus::Error),
        },
    };

    if let Some(path) = &args.check {
        return output::check(requests.into_iter().map(Resource::from), path, console);
    }
    for request in &requests {
        note_kind(&draft, request, console);
    }
    // The resources differ in name, ports and servers only, so the warnings about one cover all.
    if let Some(request) = requests.first() {
        for warning in warnings(request) {
            console.message(format_args!("warning: {warning}"));
        }
    }
    let documents: Vec<Document> = requests
        .into_iter()
        .map(|request| Document {
            comments: comments(&request),
            resource: request.into(),
        })
        .collect();
    output::write(&documents, args.output, console)
}

/// The kind that the user names; `None` for the one that fits.
fn kind(args: &Args) -> Result<Option<ScriptKind>> {
    match args.kind {
        None => Ok(None),
        Some(ManifestKind::Filter(FilterKind::TrafficExtension)) => {
            Ok(Some(ScriptKind::TrafficExtension))
        }
        Some(ManifestKind::EnvoyFilter) => Ok(Some(ScriptKind::EnvoyFilter)),
        Some(
            kind @ (ManifestKind::Filter(FilterKind::WasmPlugin | FilterKind::EnvoyExtensionPolicy)
            | ManifestKind::AuthorizationPolicy),
        ) => bail!(Advice::new(
            format!("{} runs no Lua script", kind.name()),
            "use --kind TrafficExtension or --kind EnvoyFilter, or remove --lua"
        )),
    }
}

fn draft(args: &Args, kind: Option<ScriptKind>, console: &mut Console<'_>) -> Result<ScriptDraft> {
    // The messages about an attachment name a kind. Both kinds of scripts select the same pods.
    let named = kind.unwrap_or(ScriptKind::TrafficExtension).into();
    let labels = flags::labels(args)?;
    Ok(ScriptDraft {
        kind,
        release: args.release()?.unwrap_or(Release::DEFAULT),
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        attachment: Attachment::parse(named, &labels, &args.target_ref, args.mesh_wide)?,
        ports: args.port.clone(),
        phase: args.phase,
        priority: args.priority,
        settings: configuration::settings(args, console)?,
    })
}

/// Refuses a script that answers 421 to no request. The filter has the virtual host to go by; a script has only the
/// servers.
fn refuse_empty_table(draft: &ScriptDraft) -> Result<()> {
    match draft.settings.check()?.rule() {
        Rule::Servers(servers) if servers.count() == 0 => bail!(Advice::new(
            "the script has no list of servers, so it would answer 421 to no request",
            "list them with --cluster, --from PATH or --config FILE, or compare only the two names with --rule exact"
        )),
        Rule::Servers(_) | Rule::Exact => Ok(()),
    }
}

/// One request for each table of the gateways that the resource reaches. `None` if the input cannot be read, which
/// is already reported.
fn for_gateways(
    draft: &ScriptDraft,
    source: Source<'_>,
    args: &Args,
    console: &mut Console<'_>,
) -> Result<Option<Vec<ScriptRequest>>> {
    let metadata = Metadata::parse(&draft.name, &draft.namespace)
        .map_err(|faults| invalid(ManifestKind::EnvoyFilter, faults))?;
    let Some(inputs) = servers::read(source, args, console)? else {
        return Ok(None);
    };
    let model = Model::new(&inputs.resources);
    let namespace = metadata.namespace.to_string();
    let reached = Reached::new(&model, &namespace, &draft.attachment, source, args, console)?;
    let mut requests = Vec::new();
    for part in reached.parts(&draft.name, &draft.settings)? {
        let request = ScriptRequest::parse(ScriptDraft {
            name: part.name,
            ports: part.ports,
            settings: part.settings,
            ..draft.clone()
        })?;
        for warning in script_warnings(request.script.len(), &reached.workloads) {
            console.message(format_args!("warning: {warning}"));
        }
        requests.push(request);
    }
    Ok(Some(requests))
}

/// Notes that a script is too long for the usual kind.
fn note_kind(draft: &ScriptDraft, request: &ScriptRequest, console: &mut Console<'_>) {
    let is_usual = draft.kind.is_some() || draft.release < Release::TRAFFIC_EXTENSION;
    if !is_usual && request.kind == ScriptKind::EnvoyFilter {
        console.note(format_args!(
            "the script has {} octets, which is too long for a TrafficExtension, so it is in an EnvoyFilter",
            request.script.len()
        ));
    }
}
