//! The configuration for `packager explain`: a file of its own, or a part of a resource.

use std::path::Path;

use anyhow::{Context, Result, bail};
use gateway::Resources;
use gateway::advice::Advice;
use gateway::documents;
use gateway::findings::{InstalledFilter, possible_filters};

use crate::commands::{files, settings_file};
use crate::console::Console;
use crate::settings::Settings;

/// A configuration, and the code that has it.
#[derive(Default)]
pub(super) struct Configuration {
    pub(super) settings: Settings,
    /// Whether the code is our Lua script, which cannot see virtual hosts.
    pub(super) is_script: bool,
}

/// Reads the configuration of a file, `-` from standard input: the file is the configuration itself, or it has
/// a resource that installs the filter. Without a file the configuration is empty.
pub(super) fn read(path: Option<&Path>, console: &mut Console<'_>) -> Result<Configuration> {
    let Some(file) = path else {
        return Ok(Configuration::default());
    };
    let text = files::read_text(file, console)?;

    // kubectl prints one resource or a List, and manifests can have more documents than the resource.
    let mut resources = Resources::default();
    let faults = documents::read(&file.display().to_string(), &text, &mut resources);
    let mut filters = possible_filters(&resources);
    // A plugin of another author may be in the same file.
    if filters.iter().any(InstalledFilter::is_ours) {
        filters.retain(InstalledFilter::is_ours);
    }
    match filters.as_slice() {
        [] => {}
        [filter] => {
            let configuration = filter.configuration().to_string();
            let settings =
                Settings::parse(&configuration).with_context(|| settings_file::name(path))?;
            return Ok(Configuration {
                settings,
                is_script: filter.is_script(),
            });
        }
        several => bail!(too_many(file, several)),
    }

    let settings = Settings::parse(&text).with_context(|| settings_file::name(path))?;
    // No configuration has this key, so the file is a resource.
    if settings.has("apiVersion") {
        if let Some(fault) = faults.into_iter().next() {
            bail!(fault);
        }
        bail!(Advice::new(
            format!("{} has no configuration of the filter", file.display()),
            "give a WasmPlugin, a TrafficExtension or an EnvoyFilter that installs it, or the content \
             of pluginConfig alone",
        ));
    }
    Ok(Configuration {
        settings,
        is_script: false,
    })
}

fn too_many(file: &Path, filters: &[InstalledFilter<'_>]) -> Advice {
    let names: Vec<String> = filters
        .iter()
        .map(|filter| filter.resource().to_string())
        .collect();
    Advice::new(
        format!(
            "{} has {} resources with a configuration: {}",
            file.display(),
            names.len(),
            names.join(", ")
        ),
        "give one of them, for example the output of kubectl get wasmplugin -n NAMESPACE NAME -o yaml",
    )
}
