//! Installed filters of ours, with their configurations.

use rule::{Document, Policy, lua};
use serde::Deserialize as _;
use serde_json::Value;

use super::installation::Installation;
use super::script;
use crate::resources::{ResourceName, Resources};

/// A part of the name of our images, resources and scripts.
const OUR_NAME: &str = "sni-guard";

/// A resource that installs the filter, as a module or as a Lua script.
#[derive(Clone, Debug)]
pub struct InstalledFilter<'r> {
    pub(super) installation: Installation<'r>,
    /// The configuration of the module, or the configuration with the same decisions as the script.
    configuration: Value,
    /// The filter's own reading of the configuration.
    pub(super) policy: Policy,
}

/// The resources that install our filter: they load an image of ours, have our name, or have our script.
#[must_use]
pub fn installed_filters(resources: &Resources) -> Vec<InstalledFilter<'_>> {
    Installation::all(resources)
        .into_iter()
        .filter(|installation| is_ours(*installation))
        .filter_map(InstalledFilter::new)
        .collect()
}

/// The resources that can have a configuration of the filter, under any name and with any image.
#[must_use]
pub fn possible_filters(resources: &Resources) -> Vec<InstalledFilter<'_>> {
    Installation::all(resources)
        .into_iter()
        .filter_map(InstalledFilter::new)
        .collect()
}

/// Whether a resource is ours by its name, by the name of its image, or by the form of its script.
fn is_ours(installation: Installation<'_>) -> bool {
    if let Some(script) = installation.script() {
        return lua::read(script).is_some();
    }
    let has_name = installation.metadata().name.contains(OUR_NAME);
    match installation {
        Installation::Extension(extension) => {
            // Only the last part of the image: a registry or a folder may have any name.
            let image = extension.url().rsplit('/').next().unwrap_or_default();
            has_name || image.contains(OUR_NAME)
        }
        Installation::Patch(..) => has_name,
    }
}

impl<'r> InstalledFilter<'r> {
    /// `None` for a script that does not have the form of ours.
    fn new(installation: Installation<'r>) -> Option<Self> {
        let configuration = match (installation, installation.script()) {
            (_, Some(script)) => script::configuration(script)?,
            (Installation::Extension(extension), None) => {
                extension.config().cloned().unwrap_or_default()
            }
            (Installation::Patch(..), None) => return None,
        };
        // JSON has no value that a document cannot have.
        let document = Document::deserialize(&configuration).ok()?;
        Some(Self {
            installation,
            policy: Policy::from(rule::Config::parse(&document)),
            configuration,
        })
    }

    /// The resource that installs the filter.
    #[must_use]
    pub fn resource(&self) -> ResourceName {
        self.installation.resource()
    }

    /// Whether the resource has our name or our image.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        is_ours(self.installation)
    }

    /// Whether the filter is our Lua script and not our module.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.installation.script().is_some()
    }

    /// The configuration, valid or not; null if the resource has none.
    #[must_use]
    pub fn configuration(&self) -> &Value {
        &self.configuration
    }
}
