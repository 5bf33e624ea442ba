//! The documentation of the command line: help, manual pages and completions of shells.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use clap::Command;
use packager::command_line;
use tests::process::{built_packager, packager};
use tests::tools::{checkout, run, run_in};

#[test]
fn help_ends_with_examples_and_exit_statuses() {
    for command in commands() {
        let name = command.get_name();
        let help = after_help(&command);
        assert!(help.starts_with("Examples:\n"), "{name}: {help}");
        let last = help.split("\n\n").last().unwrap();
        assert!(
            last.starts_with("Exit status:\n  0  ") && last.contains("\n  2  "),
            "{name}: {last}"
        );
        assert!(!examples(&help).is_empty(), "{name} has no example");
    }
}

/// An example that the command line itself refuses is none.
#[test]
fn examples_are_taken() {
    let mut names = Vec::new();
    for command in commands() {
        for example in examples(&after_help(&command)) {
            // A shell removes the quotes.
            let words = example.replace('\'', "");
            let taken = command_line().try_get_matches_from(words.split_whitespace());
            let matches = taken.unwrap_or_else(|error| panic!("{example}\n{error}"));
            names.push(matches.subcommand_name().unwrap().to_owned());
        }
    }
    for command in command_line().get_subcommands() {
        assert!(
            names.iter().any(|name| name == command.get_name()),
            "{}",
            command.get_name()
        );
    }
}

/// A duration is no consumer any more, but scripts may still use the old name of the flag.
#[test]
fn old_names_of_flags_are_taken() {
    for flag in ["--duration", "--for"] {
        let line =
            format!("packager probe --connect localhost:1 --sni a --authority b --watch {flag} 5");
        assert!(
            command_line().try_get_matches_from(line.split(' ')).is_ok(),
            "{line}"
        );
    }
    let help = packager(&["probe", "--help"]).out;
    assert!(
        help.contains("--duration <SECONDS>") && !help.contains("--for"),
        "{help}"
    );
}

/// Help without a terminal wraps at 100 columns, examples aside.
#[test]
fn help_wraps() {
    for command in command_line().get_subcommands() {
        let help = packager(&[command.get_name(), "--help"]).out;
        let text = help.split("Examples:\n").next().unwrap();
        // clap does not wrap the usage.
        for line in text.lines().filter(|line| !line.starts_with("Usage:")) {
            assert!(
                line.chars().count() <= 100,
                "{}: {line}",
                command.get_name()
            );
        }
    }
}

/// The command itself and its subcommands.
fn commands() -> Vec<Command> {
    let command = command_line();
    let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();
    [vec![command], subcommands].concat()
}

fn after_help(command: &Command) -> String {
    command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The packager's part in each example: lines joined, and what goes to other programs cut off.
fn examples(help: &str) -> Vec<String> {
    let examples = help.split("\n\n").next().unwrap().replace("\\\n", " ");
    examples
        .lines()
        .flat_map(|line| line.split("&&"))
        .flat_map(|line| line.split('|'))
        .map(|command| command.split(['<', '>']).next().unwrap().trim())
        .filter(|command| command.starts_with("packager "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let written = packager(&["man", "--out", out]);
    assert_eq!(
        (written.status, written.out.as_str()),
        (0, ""),
        "{}",
        written.talk
    );
    let first = fs::read(folder.path().join("packager.1")).unwrap();
    assert_eq!(packager(&["man", "--out", out]).status, 0);
    assert_eq!(
        fs::read(folder.path().join("packager.1")).unwrap(),
        first,
        "not the same again"
    );

    check_page(&folder.path().join("packager.1"), &command_line());
    let mut expected = 1;
    for command in command_line().get_subcommands() {
        check_page(
            &folder
                .path()
                .join(format!("packager-{}.1", command.get_name())),
            command,
        );
        expected += 1;
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), expected);
}

/// What a terminal shows of the page, of which groff has nothing to say.
#[track_caller]
fn check_page(page: &Path, command: &Command) {
    let page = page.to_str().unwrap();
    // Both streams are one: a warning does not change how groff ends.
    let groff = "groff -man -Tascii -P-c -P-b -P-u -rLL=120n -ww \"$0\" 2>&1";
    let shown = run("bash", &["-c", groff, page]).unwrap();
    assert!(!shown.contains(": warning: "), "{shown}");
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    for heading in [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "EXIT STATUS",
        "EXAMPLES",
        "SEE ALSO",
    ] {
        assert!(lines.contains(&heading), "no {heading} in {shown}");
    }
    let help = after_help(command);
    for example in help.split("\n\n").next().unwrap().lines().skip(1) {
        let line = format!("     {}", example.replace('…', "..."));
        assert!(
            lines.contains(&line.as_str()),
            "{line:?} is no line of {shown}"
        );
    }
    let statuses = lines
        .iter()
        .skip_while(|line| **line != "EXIT STATUS")
        .filter(|line| line.starts_with("       0 ") || line.starts_with("       2 "))
        .count();
    assert_eq!(statuses, 2, "{shown}");
}

/// `make archive` packs a release build in the same way.
#[test]
fn the_archive_has_program_pages_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let program = built_packager().unwrap().to_str().unwrap();
    let arguments = [program, folder.path().to_str().unwrap()];
    let line = run_in(&checkout(), "packager/archive", &arguments).unwrap();
    let path = folder
        .path()
        .join(line.trim_end().split_once("  ").unwrap().1);
    let list = [
        "--list",
        "--verbose",
        "--utc",
        "--file",
        path.to_str().unwrap(),
    ];
    let listed = run("tar", &list).unwrap();
    for line in listed.lines() {
        assert!(
            line.contains(" 0/0 ") && line.contains(" 1970-01-01 00:00 "),
            "{line}"
        );
    }
    let name = path
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .strip_suffix(".tar.gz")
        .unwrap();
    let mut expected = vec![
        "packager",
        "LICENSE",
        "completions/packager",
        "completions/_packager",
    ];
    expected.extend([
        "kubectl-sni_guard -> packager",
        "completions/packager.fish",
        "man/packager.1",
        "man/packager-check.1",
    ]);
    for file in expected {
        assert!(
            listed
                .lines()
                .any(|line| line.ends_with(&format!(" {name}/{file}"))),
            "{file}: {listed}"
        );
    }
    run(
        "tar",
        &[
            "-xzf",
            path.to_str().unwrap(),
            "-C",
            folder.path().to_str().unwrap(),
        ],
    )
    .unwrap();
    let packed = folder.path().join(name).join("packager");
    let version = run(packed.to_str().unwrap(), &["--version"]).unwrap();
    assert!(name.starts_with(&format!(
        "packager-{}-",
        version.trim_end().split_once(' ').unwrap().1
    )));
}

#[test]
fn bash_completes() {
    let cases = [
        ("packager ch", "check"),
        ("packager check --ou", "--output"),
        ("packager check --output js", "json"),
        ("packager manifest --kind T", "TrafficExtension"),
        (
            "packager manifest --config ../tests/decisio",
            "../tests/decisions.md",
        ),
        (
            "packager inspect --ca-file ../rule/Cargo.t",
            "../rule/Cargo.toml",
        ),
        // No files where no file is meant.
        ("packager explain --sni Cargo", "Cargo"),
        ("packager manifest --name Cargo", "Cargo"),
        ("packager completions ba", "bash"),
    ];
    let script = completions("bash");
    for (typed, expected) in cases {
        assert_eq!(completed(&script, typed), expected, "{typed}");
    }
}

/// What Bash itself makes of a line when the tabulator key is pressed at its end.
fn completed(script: &str, typed: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    // Bash refuses `compopt` outside of a completion.
    let driver = r#"set -eu; source "$1"; compopt() { :; }
        read -ra words <<< "$2"; COMP_WORDS=("${words[@]}"); COMP_CWORD=$((${#words[@]} - 1))
        function=$(complete -p packager | sed 's/.* -F \([^ ]*\) .*/\1/')
        "$function" packager "${words[-1]}" "${words[-2]}"
        echo "${COMPREPLY[*]}""#;
    let path = file.path().to_str().unwrap();
    run("bash", &["-c", driver, "bash", path, typed])
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn every_shell_knows_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = completions(shell);
        for command in command_line().get_subcommands() {
            assert!(
                script.contains(command.get_name()),
                "{shell}: {}",
                command.get_name()
            );
        }
    }
    let unknown = packager(&["completions", "bsh"]);
    assert_eq!(unknown.status, 2);
    assert!(
        unknown.talk.contains("a similar value exists: 'bash'"),
        "{}",
        unknown.talk
    );
}

fn completions(shell: &str) -> String {
    let run = packager(&["completions", shell]);
    assert_eq!((run.status, run.talk.as_str()), (0, ""));
    run.out
}
