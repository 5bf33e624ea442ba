//! The filter's configuration in a file.

use std::path::Path;

use anyhow::{Context, Result};

use super::files;
use crate::console::Console;
use crate::settings::Settings;

/// Reads the configuration, `-` from standard input. Without a file it is empty.
pub(crate) fn read(path: Option<&Path>, console: &mut Console<'_>) -> Result<Settings> {
    let Some(file) = path else {
        return Ok(Settings::default());
    };
    let text = files::read_text(file, console)?;
    Settings::parse(&text).with_context(|| name(path))
}

/// The name of the configuration in messages.
pub(crate) fn name(path: Option<&Path>) -> String {
    match path {
        None => "configuration".into(),
        Some(path) => format!("configuration {}", path.display()),
    }
}
