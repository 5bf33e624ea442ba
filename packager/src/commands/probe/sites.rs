//! The gateways that the resources of `--from` describe.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use gateway::probe::{Choice, ProbeTarget, Site, choose};
use gateway::{Certificates, Model};

use crate::commands::assumptions;
use crate::commands::inputs::Inputs;
use crate::commands::source::{MeshArgs, Source};
use crate::console::{Console, ExitStatus};

/// The model of the resources; empty without `--from`.
#[derive(Default)]
pub(super) struct Sites(Option<Read>);

struct Read {
    inputs: Inputs,
    model: Model,
    certificates: Certificates,
}

impl Sites {
    /// Reads the resources of files or of a cluster.
    pub(super) fn read(
        source: Option<Source<'_>>,
        mesh: &MeshArgs,
        console: &mut Console<'_>,
    ) -> Result<Self> {
        // The resources are optional: without them the report has no servers.
        let Some(source) = source else {
            if mesh.is_given() {
                bail!(Advice::new(
                    "--mesh-config has no effect without the resources of gateways",
                    "give them with --from PATH or --cluster, or remove --mesh-config"
                ));
            }
            return Ok(Self::default());
        };
        let mut inputs = source.read(console)?;
        mesh.apply(&mut inputs)?;
        let model = Model::new(&inputs.resources);
        let certificates = Certificates::new(&inputs.resources);
        Ok(Self(Some(Read {
            inputs,
            model,
            certificates,
        })))
    }

    /// Prints an error for each document that could not be read. The status is that of a command that
    /// succeeded otherwise.
    pub(super) fn finish(&self, console: &mut Console<'_>) -> ExitStatus {
        self.0
            .as_ref()
            .map_or(ExitStatus::Success, |read| read.inputs.finish(console))
    }

    /// The listener of the resources that serves the probed address.
    pub(super) fn choose(&self, target: ProbeTarget<'_>) -> Choice<'_> {
        self.0.as_ref().map_or_else(Choice::default, |read| {
            choose(&read.model, &read.certificates, target)
        })
    }

    /// Notes which listener was chosen if the choice is not obvious.
    pub(super) fn note(&self, choice: &Choice<'_>, sni: &str, console: &mut Console<'_>) {
        // Without --from there is nothing to choose from.
        if self.0.is_none() {
            return;
        }
        let Some(site) = &choice.site else {
            console.note(format_args!(
                "the resources have no TLS server for {sni}, so the report has no servers and no verdict \
                 needless-421"
            ));
            return;
        };
        assumptions::note_pods(site.workload, console);
        // Several Envoys may listen on the same port, and the certificate may be the same.
        if !choice.others.is_empty() {
            let others: Vec<String> = choice.others.iter().map(Site::name).collect();
            console.note(format_args!(
                "the resources have {sni} on several listeners: using {}, not {}",
                site.name(),
                others.join("; ")
            ));
        }
    }
}
