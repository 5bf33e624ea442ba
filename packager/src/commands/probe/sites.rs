//! The resources of `--from`.

use std::path::PathBuf;

use anyhow::Result;
use gateway::probe::{Choice, ProbeTarget, Site, choose};
use gateway::{Certificates, Model};

use crate::commands::inputs::{self, Inputs};
use crate::console::{Console, ExitStatus};

/// What the resources say of gateways; nothing without `--from`.
#[derive(Default)]
pub(super) struct Sites(Option<Read>);

struct Read {
    inputs: Inputs,
    model: Model,
    certificates: Certificates,
}

impl Sites {
    /// Reads the resources of files, folders and standard input.
    pub(super) fn read(paths: &[PathBuf], console: &mut Console<'_>) -> Result<Self> {
        if paths.is_empty() {
            return Ok(Self::default());
        }
        let inputs = inputs::read(paths, console)?;
        let model = Model::new(&inputs.resources);
        let certificates = Certificates::new(&inputs.resources);
        Ok(Self(Some(Read {
            inputs,
            model,
            certificates,
        })))
    }

    /// Says what could not be read, and how a command ends that did well otherwise.
    pub(super) fn finish(&self, console: &mut Console<'_>) -> ExitStatus {
        self.0
            .as_ref()
            .map_or(ExitStatus::Yes, |read| read.inputs.finish(console))
    }

    /// The listener that is probed.
    pub(super) fn choose(&self, target: ProbeTarget<'_>) -> Choice<'_> {
        self.0.as_ref().map_or_else(Choice::default, |read| {
            choose(&read.model, &read.certificates, target)
        })
    }

    /// Says which listener was taken, where that is not plain.
    pub(super) fn tell(&self, choice: &Choice<'_>, sni: &str, console: &mut Console<'_>) {
        if self.0.is_none() {
            return;
        }
        let Some(site) = &choice.site else {
            console.say(format_args!(
                "note: --from has no TLS server for {sni}, so no server is named and no 421 called \
                 needless"
            ));
            return;
        };
        inputs::tell_assumed(site.workload, console);
        if !choice.others.is_empty() {
            let others: Vec<String> = choice.others.iter().map(Site::name).collect();
            console.say(format_args!(
                "note: --from has {sni} on several listeners: {} is taken, and not {}",
                site.name(),
                others.join("; ")
            ));
        }
    }
}
