//! The name of the program: kubectl runs a plugin as `kubectl-NAME`, with underscores for hyphens.

use std::ffi::OsStr;
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, Command};

/// The program as a plugin of kubectl, as a user calls it.
const PLUGIN: &str = "kubectl sni-guard";
/// The file of the plugin (Kubernetes documentation, "Extend kubectl with plugins").
const PLUGIN_FILE: &str = "kubectl-sni_guard";

/// The definition of the command line with the name by which the program is called: help shows commands that
/// the user can run.
pub(crate) fn with_called_name(command: Command, program: Option<&OsStr>) -> Command {
    let stem = program.and_then(|path| Path::new(path).file_stem());
    if stem != Some(OsStr::new(PLUGIN_FILE)) {
        return command;
    }
    renamed(command.bin_name(PLUGIN).display_name(PLUGIN))
}

/// The command with the name of the plugin in all its texts.
fn renamed(mut command: Command) -> Command {
    if let Some(about) = command.get_about().map(as_plugin) {
        command = command.about(about);
    }
    if let Some(about) = command.get_long_about().map(as_plugin) {
        command = command.long_about(about);
    }
    if let Some(help) = command.get_after_help().map(as_plugin) {
        command = command.after_help(help);
    }
    command.mut_args(renamed_arg).mut_subcommands(renamed)
}

fn renamed_arg(mut arg: Arg) -> Arg {
    if let Some(help) = arg.get_help().map(as_plugin) {
        arg = arg.help(help);
    }
    if let Some(help) = arg.get_long_help().map(as_plugin) {
        arg = arg.long_help(help);
    }
    arg
}

fn as_plugin(text: &StyledStr) -> String {
    text.to_string().replace("packager ", &format!("{PLUGIN} "))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::with_called_name;
    use crate::command_line;

    fn help(program: &str, arguments: &[&str]) -> String {
        let command = with_called_name(command_line(), Some(OsStr::new(program)));
        let arguments = [&[program], arguments].concat();
        command
            .try_get_matches_from(arguments)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_plugin_names_itself_in_help() {
        for arguments in [&["--help"][..], &["check", "--help"], &["merge", "--help"]] {
            let text = help("/usr/local/bin/kubectl-sni_guard", arguments);
            assert!(text.contains("Usage: kubectl sni-guard"), "{text}");
            assert!(!text.contains("packager "), "{text}");
        }
        let text = help("/usr/local/bin/packager", &["check", "--help"]);
        assert!(text.contains("Usage: packager check"), "{text}");
        assert!(!text.contains("kubectl sni-guard"), "{text}");
    }

    #[test]
    fn the_plugin_names_itself_in_usage_errors() {
        let text = help("kubectl-sni_guard", &["check", "--nothing"]);
        assert!(text.contains("Usage: kubectl sni-guard check"), "{text}");
    }
}
