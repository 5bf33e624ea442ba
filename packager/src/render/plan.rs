//! Plans of a merge: as text, as JSON, and as files that an operator applies.

mod effects;
mod folder;
mod json;
mod kubectl;
mod owners;
mod run;
mod text;

pub use folder::{File, Form, files};
pub use json::write as json;
pub use run::write_commands as script_commands;
pub use text::write as text;
