//! What the exit statuses of each command mean: one table, for the help and for the manual pages.

use std::fmt::Write;

use clap::Command;

/// What the exit statuses of one command mean. Each is a fragment without a full stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitMeanings {
    /// 0: the command succeeded.
    success: &'static str,
    /// 1: the check failed. `None` for commands that check nothing.
    failure: Option<&'static str>,
    /// 2: the command could not do its work.
    error: &'static str,
}

/// The commands by name; the first entry is the program itself.
const TABLE: [(&str, ExitMeanings); 13] = [
    (
        "packager",
        ExitMeanings {
            success: "success",
            failure: Some("the check failed: findings, not loadable, a difference, not fixed"),
            error: "error",
        },
    ),
    (
        "build",
        ExitMeanings {
            success: "the module is built",
            failure: Some("Envoy would not load the module, or it is larger than --max-size"),
            error: "the module could not be built",
        },
    ),
    (
        "inspect",
        ExitMeanings {
            success: "Envoy would load the module",
            failure: Some("Envoy would not load the module"),
            error: "the module could not be read",
        },
    ),
    (
        "push",
        ExitMeanings {
            success: "the image is pushed",
            failure: Some("Envoy would not load the module"),
            error: "the image could not be pushed",
        },
    ),
    (
        "verify",
        ExitMeanings {
            success: "gateways would load the image",
            failure: Some("gateways would not load the image"),
            error: "the image could not be read",
        },
    ),
    (
        "manifest",
        ExitMeanings {
            success: "the resource is written; with --check, there is no difference",
            failure: Some("with --check, there is a difference"),
            error: "the image, the configuration, a name or the attachment is invalid, or a file \
                    could not be read",
        },
    ),
    (
        "explain",
        ExitMeanings {
            success: "the decisions are printed",
            failure: None,
            error: "the configuration, a case or a resource is invalid",
        },
    ),
    (
        "check",
        ExitMeanings {
            success: "no finding at or above --fail-on, apart from findings of --baseline",
            failure: Some("at least one finding at or above --fail-on that is not in --baseline"),
            error: "some input could not be read",
        },
    ),
    (
        "merge",
        ExitMeanings {
            success: "every group of servers that break each other has a plan, or there is none; a \
                      plan may set servers aside",
            failure: Some("a group has no plan, because no two of its servers can be merged"),
            error: "some input could not be read, a name is unknown, or a file could not be written",
        },
    ),
    (
        "probe",
        ExitMeanings {
            success: "every host is fixed or not coalescible",
            failure: Some("at least one host is not fixed"),
            error: "no result, for example because no connection could be made",
        },
    ),
    (
        "completions",
        ExitMeanings {
            success: "the completions are written",
            failure: None,
            error: "the completions could not be written",
        },
    ),
    (
        "man",
        ExitMeanings {
            success: "the pages are written",
            failure: None,
            error: "the pages could not be written",
        },
    ),
    (
        "version",
        ExitMeanings {
            success: "the version is printed",
            failure: None,
            error: "the version could not be printed",
        },
    ),
];

impl ExitMeanings {
    /// The meanings for a command; `None` for an unknown name.
    fn for_command(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, meanings)| *meanings)
    }

    /// Each status that the command uses, with its meaning.
    fn statuses(self) -> impl Iterator<Item = (u8, &'static str)> {
        [
            Some((0, self.success)),
            self.failure.map(|failure| (1, failure)),
            Some((2, self.error)),
        ]
        .into_iter()
        .flatten()
    }
}

/// The statuses of a command, with their meanings; none for an unknown command.
pub(crate) fn exit_statuses(name: &str) -> Vec<(u8, &'static str)> {
    ExitMeanings::for_command(name)
        .map(|meanings| meanings.statuses().collect())
        .unwrap_or_default()
}

/// The command with a paragraph on its exit statuses at the end of its help, and the same for its
/// subcommands.
pub(crate) fn with_exit_statuses(command: Command) -> Command {
    // clap prints the paragraphs in the order of the text, and the statuses come last.
    let mut help = command
        .get_after_help()
        .map(|help| with_joined_lines(&help.to_string()))
        .unwrap_or_default();
    help.push_str("\n\nExit status:");
    for (status, meaning) in exit_statuses(command.get_name()) {
        // Writing to a string cannot fail.
        let _ = write!(help, "\n  {status}  {meaning}");
    }
    command.after_help(help).mut_subcommands(with_exit_statuses)
}

/// The help with each paragraph in one line, so that it wraps at the width of the terminal. The lines of examples
/// stay.
fn with_joined_lines(help: &str) -> String {
    help.split("\n\n")
        .map(|paragraph| {
            if paragraph.starts_with("Examples:") {
                paragraph.to_owned()
            } else {
                paragraph.replace('\n', " ")
            }
        })
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::exit_statuses;
    use crate::command_line;

    #[test]
    fn every_command_has_exit_statuses() {
        let command = command_line();
        assert!(!exit_statuses(command.get_name()).is_empty());
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            assert!(!exit_statuses(name).is_empty(), "{name}");
        }
    }
}
