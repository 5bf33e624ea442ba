//! Documents say what is so: their commands are run here or on Istio, and nothing else is in them that
//! could be run. `BLESS=1` writes what commands print into them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use gateway::advice::KUBECTL_GET;
use serde_json::Value;
use tempfile::TempDir;
use tests::istio::wait_for;
use tests::markdown::{Part, code_spans, local_links, parts};
use tests::process::{built_packager, free_ports, packager};
use tests::registry::Registry;
use tests::tools::checkout;
use tests::transcript::{self, Shell};
use tests::{client, module};

/// Blocks that are shown and not run, with the reason that their comment gives: the document and the
/// first line.
const NOT_RUN: [(&str, &str); 10] = [
    (
        "README.md",
        "make demo   # the defect and the fix, on a real Envoy on this machine",
    ),
    ("docs/ci.md", "set -o pipefail"),
    (
        "docs/ci.md",
        "packager check --cluster --context production gateways/",
    ),
    (
        "docs/ci.md",
        concat!(
            "kubectl get -A -o yaml \"$(kubectl api-resources --verbs list -o name | grep -E ",
            "'istio|gateway|ingress|cert-manager|^(pods|services|secrets|namespaces|configmaps|deploy.*|mutatingwebhook.*)$' ",
            "| paste -sd, -)\" > all.yaml"
        ),
    ),
    (
        "docs/quickstart.md",
        "kubectl -n istio-system port-forward deploy/istio-ingressgateway 15000 &",
    ),
    (
        "docs/release.md",
        "cosign verify ghcr.io/OWNER/sni-guard@sha256:… \\",
    ),
    (
        "docs/release.md",
        "crane copy ghcr.io/OWNER/sni-guard@sha256:… registry.example.com/mirror/sni-guard:0.1.0",
    ),
    ("docs/release.md", "set -eu"),
    (
        "docs/release.md",
        "cosign sign --key cosign.key \"$repository@$(cat dist/digest)\"",
    ),
    (
        "docs/release.md",
        "cargo install --locked --version 0.5.9 cargo-cyclonedx",
    ),
];

/// Who writes into `dist/` of the checkout.
static DIST: Mutex<()> = Mutex::new(());

/// One after the other: they write into the same folder.
#[test]
fn documents_of_the_checkout_print_what_they_say() {
    let _alone = DIST.lock();
    let registry = Registry::start().unwrap();
    let words = || vec![(registry.host(), "registry.example.com")];
    run("README.md", &checkout(), words());
    run("docs/release.md", &checkout(), words());
    run("docs/observability.md", &checkout(), words());
}

#[test]
fn documents_with_files_print_what_they_say() {
    let folder = TempDir::new().unwrap();
    run("docs/troubleshooting.md", folder.path(), vec![]);
    run("docs/envoy-gateway.md", folder.path(), vec![]);
    let folder = TempDir::new().unwrap();
    run("docs/ci.md", folder.path(), vec![]);
}

#[test]
fn the_plain_envoy_prints_what_it_says() {
    let folder = TempDir::new().unwrap();
    let ports = free_ports(2).unwrap();
    let [port, admin] = ports.as_slice() else {
        panic!("{ports:?}")
    };
    let words = vec![(port.to_string(), "10443"), (admin.to_string(), "9901")];
    lay_out_envoy(folder.path(), &words);
    let shell = shell(folder.path(), words);
    let address = ([127, 0, 0, 1], *port).into();
    let status = || {
        client::get(address, "a.example.com", "b.example.com")
            .ok()
            .map(|it| it.status)
    };
    transcript::check("docs/plain-envoy.md", "console", &shell, |command| {
        // Envoy takes the file a moment after it was moved.
        for (written, expected) in [("\"off\"/'", 404), ("\"enforce\"/'", 421)] {
            if command.contains(written) {
                wait_for(command, &Some(expected), status).unwrap();
            }
        }
    })
    .unwrap();
}

/// A folder with the module and the manifests, as in the checkout, but for the ports.
fn lay_out_envoy(folder: &Path, words: &[(String, &str)]) {
    fs::create_dir_all(folder.join("dist")).unwrap();
    symlink(module::build().unwrap(), folder.join("dist/sni-guard.wasm")).unwrap();
    fs::create_dir_all(folder.join("manifests/envoy")).unwrap();
    for name in ["envoy.yaml", "sni-guard.yaml"] {
        let file = format!("manifests/envoy/{name}");
        let text = fs::read_to_string(checkout().join(&file)).unwrap();
        let text = words
            .iter()
            .fold(text, |text, (port, known)| text.replace(known, port));
        fs::write(folder.join(file), text).unwrap();
    }
}

#[test]
fn the_demo_prints_what_the_readme_says() {
    let _alone = DIST.lock();
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let readme = fs::read_to_string(checkout().join("README.md")).unwrap();
    let blocks = parts(&readme)
        .unwrap()
        .into_iter()
        .filter_map(|part| match part {
            Part::Block(block) if block.info == "text" => Some(block.body),
            _ => None,
        });
    let blocks: Vec<&str> = blocks.collect();
    assert_eq!(blocks.len(), 1);
    assert!(blocks.iter().all(|block| said.contains(block)), "{said}");
}

#[track_caller]
fn run(document: &str, folder: &Path, words: Vec<(String, &str)>) {
    fs::create_dir_all(checkout().join("dist")).unwrap();
    transcript::check(document, "console", &shell(folder, words), |_| ()).unwrap();
}

fn shell<'s>(folder: &'s Path, words: Vec<(String, &'s str)>) -> Shell<'s> {
    let programs = built_packager().unwrap().parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    Shell {
        folder,
        environment: vec![("PATH", path)],
        words,
    }
}

/// The command line takes what the files of CI systems run.
#[test]
fn commands_of_ci_files_are_taken() {
    let text = fs::read_to_string(checkout().join("docs/ci.md")).unwrap();
    let mut count = 0;
    for part in parts(&text).unwrap() {
        let Part::Block(block) = part else { continue };
        let commands = block.body.lines().filter_map(|line| {
            let start = line.find("packager check")?;
            line.get(start..)?.split(['>', '|', ';', '}']).next()
        });
        for command in commands {
            let words = command
                .split_whitespace()
                .map(|word| word.replace('\'', ""));
            let taken = packager::command_line().try_get_matches_from(words);
            assert!(taken.is_ok(), "{command}\n{}", taken.unwrap_err());
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

/// One command gathers all kinds, in hints, help and documents.
#[test]
fn documents_gather_resources_with_one_command() {
    let mut count = 0;
    for (path, text) in documents() {
        for line in text
            .lines()
            .filter(|line| line.contains("kubectl get -A -o yaml"))
        {
            assert!(line.starts_with(KUBECTL_GET), "{path}: {line}");
            count += 1;
        }
    }
    assert!(count > 0);
}

/// The hooks and the action run commands that exist.
#[test]
fn hooks_and_the_action_are_valid() {
    let read = |name: &str| -> Value {
        serde_saphyr::from_str(&fs::read_to_string(checkout().join(name)).unwrap()).unwrap()
    };
    let hooks = read(".pre-commit-hooks.yaml");
    let hooks = hooks.as_array().unwrap();
    let ci = fs::read_to_string(checkout().join("docs/ci.md")).unwrap();
    for hook in hooks {
        let text = |key: &str| hook.get(key).and_then(Value::as_str).unwrap();
        assert!(ci.contains(&format!("id: {}\n", text("id"))), "{hook}");
        let taken = packager::command_line().try_get_matches_from(text("entry").split(' '));
        assert!(taken.is_ok(), "{hook}");
    }
    // Inputs are passed as variables: as a part of a script they could be commands.
    let action = read("action.yml");
    let steps = action
        .pointer("/runs/steps")
        .and_then(Value::as_array)
        .unwrap();
    for step in steps {
        let script = step.get("run").and_then(Value::as_str).unwrap();
        assert!(!script.contains("${{"), "{script}");
    }
    for input in action
        .get("inputs")
        .and_then(Value::as_object)
        .unwrap()
        .keys()
    {
        let variable = format!("${{{{ inputs.{input} }}}}");
        let is_used = steps
            .iter()
            .any(|step| step.to_string().contains(&variable));
        assert!(is_used, "{input}");
    }
}

/// The script of the action, with its inputs: paths in lines, arguments apart from each other, and a report.
#[test]
fn the_action_passes_its_inputs() {
    let action: Value =
        serde_saphyr::from_str(&fs::read_to_string(checkout().join("action.yml")).unwrap())
            .unwrap();
    let script = action
        .pointer("/runs/steps/1/run")
        .and_then(Value::as_str)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("packager");
    fs::write(
        &program,
        "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit \"$STATUS\"\n",
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
    let run = |paths: &str, arguments: &str, report: &str, status: &str| {
        let output = Command::new("bash")
            .args(["-c", script])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("PATHS", paths)
            .env("ARGUMENTS", arguments)
            .env("REPORT", report)
            .env("STATUS", status)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let printed = "<check><--quiet><--fail-on><warning><--><a b/><$(x);c.yaml>";
    let (paths, arguments) = ("a b/\n\n$(x);c.yaml\n", "--quiet\n--fail-on  warning\n");
    assert_eq!(run(paths, arguments, "", "1"), (1, printed.to_owned()));
    assert_eq!(run(paths, arguments, "", "0"), (0, printed.to_owned()));
    // A report is in its file, and in the log if the check fails.
    assert_eq!(
        run(paths, arguments, "out/r.sarif", "0"),
        (0, String::new())
    );
    assert_eq!(
        run(paths, arguments, "out/r.sarif", "2"),
        (2, printed.to_owned())
    );
    let report = fs::read_to_string(folder.path().join("out/r.sarif")).unwrap();
    assert_eq!(report, printed);
    // Without a path, the command would read a cluster.
    let (status, text) = run("\n", "", "", "0");
    assert_eq!((status, text.starts_with("::error::")), (2, true), "{text}");
}

/// README and `docs`, by their paths.
fn documents() -> Vec<(String, String)> {
    let folder = fs::read_dir(checkout().join("docs")).unwrap();
    let mut paths: Vec<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|it| it == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    paths.push("README.md".into());
    paths.sort();
    let read = |path: String| {
        let text = fs::read_to_string(checkout().join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Every block is of a known kind; a block that is not run has a reason, and is listed.
#[test]
fn blocks_are_run_or_say_why_not() {
    let mut not_run = Vec::new();
    for (path, text) in documents() {
        let mut before = "";
        for part in parts(&text).unwrap_or_else(|error| panic!("{path}: {error}")) {
            match part {
                Part::Prose(prose) => before = prose,
                Part::Block(block) => {
                    let kind = block.info.split(' ').next().unwrap();
                    match kind {
                        "console" => assert!(block.body.starts_with("$ "), "{path}: {block:?}"),
                        "text" => assert!(!block.body.contains("$ "), "{path}: {block:?}"),
                        "yaml" => {
                            for document in block.body.split("\n---\n") {
                                serde_saphyr::from_str::<Value>(document)
                                    .unwrap_or_else(|error| panic!("{path}: {error}\n{document}"));
                            }
                        }
                        "sh" => {
                            let comment = before.trim_end().lines().last().unwrap_or_default();
                            assert!(comment.starts_with("<!-- not run: "), "{path}: {block:?}");
                            not_run.push((path.clone(), block.body.lines().next().unwrap().into()));
                        }
                        _ => panic!("{path}: {block:?}"),
                    }
                    before = "";
                }
            }
        }
    }
    let expected = NOT_RUN.map(|(path, line)| (path.to_owned(), String::from(line)));
    assert_eq!(not_run, expected);
}

/// The sources that run documents: this file, and the files of the Istio suite.
const RUNNERS: [(&str, &str); 3] = [
    ("console", include_str!("documents.rs")),
    ("console istio", include_str!("istio/merge.rs")),
    ("console istio", include_str!("istio/documents.rs")),
];

#[test]
fn every_document_with_commands_is_run() {
    for (path, text) in documents() {
        for part in parts(&text).unwrap() {
            let Part::Block(block) = part else { continue };
            if !block.info.starts_with("console") {
                continue;
            }
            let is_run = RUNNERS.iter().any(|(kind, source)| {
                let calls = ["check(", "run("].map(|call| format!("{call}\"{path}\""));
                *kind == block.info && calls.iter().any(|call| source.contains(call))
            });
            assert!(is_run, "{path}: no suite runs `{}`", block.info);
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        let folder = checkout().join(&path).parent().unwrap().to_owned();
        for part in parts(&text).unwrap() {
            let Part::Prose(prose) = part else { continue };
            for link in local_links(prose) {
                assert!(folder.join(link).exists(), "{path}: {link}");
            }
        }
    }
}

/// What prose and blocks call the packager with exists.
#[test]
fn commands_in_prose_exist() {
    let mut count = 0;
    for (path, text) in documents() {
        for part in parts(&text).unwrap() {
            let Part::Prose(prose) = part else { continue };
            for span in code_spans(prose) {
                let mut words = span.split(' ');
                if words.next() != Some("packager") {
                    continue;
                }
                let Some(command) = words.next() else {
                    continue;
                };
                let run = packager(&[command, "--help"]);
                assert_eq!(run.status, 0, "{path}: {span}");
                for option in words.filter(|word| word.starts_with("--")) {
                    assert!(run.out.contains(option), "{path}: {span}: {option}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}
