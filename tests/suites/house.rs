//! What ARCHITECTURE says is not there, where no lint of the compiler or of Clippy sees to it; and the
//! lists that people keep by hand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::tools::{checkout, run_in};

/// Words that code must not have: where, but for what begins with one of these paths, and which.
type Absence = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const ABSENCES: [Absence; 9] = [
    // No input and no output, and no clock. That there is no client is the manifest's doing.
    (
        "gateway/src",
        &[],
        &[
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "std::time",
            "SystemTime",
            "Utc::now",
        ],
    ),
    // No input and no output, no clock, no client; and nothing goes back to the shell.
    (
        "packager/src",
        &[
            "packager/src/commands",
            "packager/src/main.rs",
            "packager/src/lib.rs",
        ],
        &[
            "crate::commands",
            "hyper::",
            "kube::",
            "oci_client::client",
            "oci_client::Client",
            "print!(",
            "println!(",
            "reqwest::",
            "std::env",
            "std::fs",
            "std::net",
            "std::process::Command",
            "SystemTime",
            "tokio::",
            "tokio_rustls::",
            "Utc::now",
        ],
    ),
    (
        "packager/src/lib.rs",
        &[],
        &["std::fs", "std::env", "std::net", "kube::", "tokio::"],
    ),
    // Names are compared in one place.
    (
        "rule/src",
        &["rule/src/host"],
        &["ascii_lowercase", "ends_with(", "eq_ignore_ascii_case"],
    ),
    (
        "filter/src",
        &[],
        &[
            "ascii_lowercase",
            "ends_with(",
            "eq_ignore_ascii_case",
            "proxy_wasm::hostcalls",
            "hostcalls::",
        ],
    ),
    // A code is not a name.
    (
        "gateway/src",
        &["gateway/src/findings/code.rs"],
        &["eq_ignore_ascii_case"],
    ),
    ("packager/src", &[], &["eq_ignore_ascii_case"]),
    // Clusters are read by one module, and only read.
    (
        "packager/src",
        &["packager/src/commands/cluster"],
        &["kube::"],
    ),
    (
        "packager/src/commands/cluster",
        &[],
        &[
            ".create(",
            ".delete(",
            ".delete_collection(",
            ".evict(",
            ".patch(",
            ".replace(",
            "DeleteParams",
            "Method::",
            "PatchParams",
            "PostParams",
            "Request::post",
            "Request::put",
        ],
    ),
];

#[test]
fn what_is_not_there() {
    for absence in ABSENCES {
        check_absence(&absence);
    }
}

#[track_caller]
fn check_absence((folder, exceptions, words): &Absence) {
    let mut looked_at = 0;
    for (path, text) in sources(folder) {
        if exceptions
            .iter()
            .any(|exception| path.starts_with(exception))
        {
            continue;
        }
        looked_at += 1;
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap();
            let word = words.iter().find(|word| code.contains(**word));
            assert_eq!(word, None, "{path}:{number}: {line}");
        }
    }
    assert!(looked_at > 0, "there is nothing in {folder}");
}

/// A module with unsafe code has an attribute for it; the lint checks all others.
#[test]
fn unsafe_code_is_where_envoy_is_called() {
    let mut found = Vec::new();
    for folder in [
        "rule/src",
        "gateway/src",
        "filter/src",
        "packager/src",
        "tests/src",
    ] {
        for (path, text) in sources(folder) {
            if text.contains("unsafe_code") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert_eq!(
        found,
        [
            "filter/src/envoy/abi.rs",
            "filter/src/envoy/callbacks.rs",
            "filter/src/memory.rs"
        ]
    );
    let lints = section("Cargo.toml", "[workspace.lints.rust]", "[");
    assert!(lints.contains("unsafe_code = \"deny\""), "{lints}");
}

/// Files of an experiment are easily committed with the rest.
#[test]
fn the_top_level_has_no_other_files() {
    let tracked = run_in(&checkout(), "git", &["ls-files"]).unwrap();
    let top: BTreeSet<&str> = tracked
        .lines()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let expected = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "Containerfile",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "action.yml",
        "bench",
        "clippy.toml",
        "deny.toml",
        "docs",
        "filter",
        "fuzz",
        "gateway",
        "manifests",
        "packager",
        "rule",
        "rust-toolchain.toml",
        "tests",
    ];
    assert_eq!(top, BTreeSet::from(expected));
}

#[test]
fn nothing_depends_on_the_filter() {
    let members = ["rule", "gateway", "filter", "packager", "tests"];
    let edges = |package: &str| -> Vec<String> {
        dependencies(package)
            .into_iter()
            .filter(|name| members.contains(&name.as_str()))
            .collect()
    };
    assert_eq!(edges("rule"), [""; 0]);
    assert_eq!(edges("filter"), ["rule"]);
    assert_eq!(edges("gateway"), ["rule"]);
    assert_eq!(edges("packager"), ["gateway", "rule"]);
    assert_eq!(edges("tests"), ["gateway", "packager", "rule"]);
}

/// The rule decides and the module is small: neither takes in what the packager needs.
#[test]
fn the_rule_has_few_dependencies() {
    let rule = [
        "anyhow",
        "hashbrown",
        "proptest",
        "rustc-hash",
        "serde",
        "serde-saphyr",
        "serde_json",
    ];
    assert_eq!(dependencies("rule").into_iter().collect::<Vec<_>>(), rule);
    let text = fs::read_to_string(checkout().join("rule/src/lib.rs")).unwrap();
    assert!(text.contains("#![no_std]"));
}

/// What gateways do is computed without a client, a runtime or a terminal, however deep.
#[test]
fn the_gateway_crate_has_no_client() {
    let arguments = [
        "tree",
        "--locked",
        "--offline",
        "--package",
        "gateway",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = run_in(&checkout(), "cargo", &arguments).unwrap();
    let crates: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(crates.contains("rule"), "{crates:?}");
    let banned = [
        "clap",
        "h2",
        "hyper",
        "kube",
        "mio",
        "oci-client",
        "quinn",
        "reqwest",
        "socket2",
        "tokio",
        "wasm-encoder",
        "wasmparser",
    ];
    let found: Vec<_> = banned
        .into_iter()
        .filter(|name| crates.contains(name))
        .collect();
    assert_eq!(found, [""; 0]);
}

/// Each dependency costs everyone who builds this, so CONTRIBUTING gives each a reason.
#[test]
fn every_dependency_has_a_reason() {
    let members = ["gateway", "packager", "rule"].map(str::to_owned);
    let mut used: BTreeSet<String> = BTreeSet::new();
    for package in ["rule", "gateway", "filter", "packager", "tests"] {
        used.extend(dependencies(package));
    }
    used.retain(|name| !members.contains(name));
    let mut listed = Vec::new();
    for line in section("CONTRIBUTING.md", "## Dependencies", "## ").lines() {
        let row = line
            .strip_prefix("| ")
            .filter(|row| !row.starts_with("crate "));
        let Some((names, reason)) = row.and_then(|row| row.split_once(" | ")) else {
            continue;
        };
        assert!(
            reason.trim_end_matches([' ', '|']).len() > 3,
            "no reason: {line}"
        );
        listed.extend(names.split(", ").map(str::to_owned));
    }
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "one is listed twice: {listed:?}");
    assert_eq!(
        once, used,
        "left: CONTRIBUTING, right: Cargo.toml of the members"
    );

    let shared: BTreeSet<String> = section("Cargo.toml", "[workspace.dependencies]", "[")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !members.contains(name))
        .collect();
    assert_eq!(
        shared, used,
        "left: workspace.dependencies, right: Cargo.toml of the members"
    );
}

#[test]
fn documents_and_files_are_short() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let lines = fs::read_to_string(checkout().join(document))
            .unwrap()
            .lines()
            .count();
        assert!(lines <= 120, "{document} has {lines} lines");
    }
    for folder in ["rule/src", "gateway/src", "filter/src", "packager/src"] {
        for (path, text) in sources(folder) {
            let lines = text
                .lines()
                .take_while(|line| *line != "mod tests {")
                .count();
            assert!(lines <= 400, "{path} has {lines} lines without its tests");
        }
    }
}

/// The names of what a member needs, for its tests too.
fn dependencies(package: &str) -> BTreeSet<String> {
    let arguments = [
        "metadata",
        "--locked",
        "--offline",
        "--no-deps",
        "--format-version",
        "1",
    ];
    let metadata: Value =
        serde_json::from_str(&run_in(&checkout(), "cargo", &arguments).unwrap()).unwrap();
    let packages = metadata.get("packages").and_then(Value::as_array).unwrap();
    let found = packages
        .iter()
        .find(|found| name(found).as_deref() == Some(package))
        .unwrap();
    let dependencies = found.get("dependencies").and_then(Value::as_array).unwrap();
    dependencies.iter().filter_map(name).collect()
}

fn name(value: &Value) -> Option<String> {
    value.get("name")?.as_str().map(str::to_owned)
}

/// What stands after a line, up to the next that begins a section.
fn section(file: &str, head: &str, next: &str) -> String {
    let text = fs::read_to_string(checkout().join(file)).unwrap();
    let section: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != head)
        .skip(1)
        .take_while(|line| !line.starts_with(next))
        .collect();
    assert!(!section.is_empty(), "{file} has no {head}");
    section.join("\n")
}

/// The sources of a folder and what is below it, or one source, by their paths in the checkout.
fn sources(path: &str) -> Vec<(String, String)> {
    let root = checkout();
    let mut found = Vec::new();
    // A module is a file, and the folder of what is in it.
    let places = [root.join(path), root.join(format!("{path}.rs"))];
    let mut open: Vec<_> = places.into_iter().filter(|place| place.exists()).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).map(Path::to_str).unwrap().unwrap();
            found.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// Constructions that a reader whose first language is another has to decode.
const BANNED: [&str; 9] = [
    "whoever", "nobody", "somebody", "tells", "told", "mend", "mended", "that of", "those of",
];

/// Documents and help are written in plain technical English.
#[test]
fn what_users_read_has_no_banned_construction() {
    let documents = [
        "README",
        "ARCHITECTURE",
        "CONTRIBUTING",
        "SECURITY",
        "CHANGELOG",
    ]
    .map(|name| checkout().join(format!("{name}.md")));
    let more = fs::read_dir(checkout().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut texts: Vec<(String, String)> = documents
        .into_iter()
        .chain(more)
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    for command in packager::command_line().get_subcommands_mut() {
        let name = format!("packager {} --help", command.get_name());
        texts.push((name, command.render_long_help().to_string()));
    }
    assert!(texts.len() > 20, "{}", texts.len());
    for (name, text) in texts {
        let words: Vec<&str> = text
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        let text = format!(" {} ", words.join(" ").to_lowercase());
        for banned in BANNED {
            assert!(!text.contains(&format!(" {banned} ")), "{name}: {banned}");
        }
    }
}
