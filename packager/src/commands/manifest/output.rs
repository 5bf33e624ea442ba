//! Writes resources to standard output, or compares them with a file.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::ResourceFormat;
use crate::commands::files;
use crate::console::{Console, ExitStatus, unless_closed};
use crate::resource::difference::difference;
use crate::resource::{Request, Resource, notes, to_yaml};

/// A resource with the comments above it in YAML.
pub(super) struct Document {
    pub(super) comments: Vec<String>,
    pub(super) resource: Resource,
}

impl From<Request> for Document {
    fn from(request: Request) -> Self {
        Self {
            comments: notes::comments(&request),
            resource: request.into(),
        }
    }
}

/// Writes the resources, several of them as documents of YAML or as a List in JSON.
pub(super) fn write(
    documents: &[Document],
    output: ResourceFormat,
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    match output {
        ResourceFormat::Json => write_json(documents, console),
        ResourceFormat::Yaml => write_yaml(documents, console),
    }?;
    Ok(ExitStatus::Success)
}

fn write_json(documents: &[Document], console: &mut Console<'_>) -> Result<()> {
    // kubectl accepts a List, but a single resource is easier to read and edit.
    let json = if let [only] = documents {
        serde_json::to_string_pretty(&only.resource)?
    } else {
        let items: Vec<&Resource> = documents
            .iter()
            .map(|document| &document.resource)
            .collect();
        serde_json::to_string_pretty(&json!({
            "apiVersion": "v1", "kind": "List", "items": items,
        }))?
    };
    writeln!(console.out, "{json}")?;
    Ok(())
}

fn write_yaml(documents: &[Document], console: &mut Console<'_>) -> Result<()> {
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            writeln!(console.out, "---")?;
        }
        // JSON has no comments, so only YAML has them.
        for comment in &document.comments {
            writeln!(console.out, "# {comment}")?;
        }
        write!(console.out, "{}", to_yaml(&document.resource)?)?;
    }
    Ok(())
}

/// Prints what differs between the resources and a file. The status is 1 where something does.
pub(super) fn check(
    resources: impl IntoIterator<Item = Resource>,
    path: &Path,
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    let text = files::read_text(path, console)?;
    let name = path.display().to_string();
    let mut status = ExitStatus::Success;
    for resource in resources {
        // A file may have several resources: each is compared with the one of its name.
        let found =
            difference(&resource, &text, &name).with_context(|| format!("checking {name}"))?;
        if let Some(difference) = found {
            let written = write!(console.out, "{difference}");
            unless_closed(written.map_err(Into::into))?;
            status = ExitStatus::Failure;
        }
    }
    Ok(status)
}
