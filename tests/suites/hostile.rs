//! Input that is broken, or made to break things: `packager check`, as a program with little memory, says
//! what is wrong with it and checks the rest.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gateway::documents::MAX_TEXT;
use tempfile::TempDir;
use tests::process::{Run, packager_program_within};
use tests::secrets::Pair;

/// The memory that is to be enough, in MiB of address space; what is mapped of the program included.
const MEMORY: u64 = 512;

/// Two Gateways that break each other.
fn good() -> String {
    let pair = Pair::generate(&["*.example.com"], 2100).unwrap();
    let mut text = pair.secret("istio-system/w").unwrap();
    for name in ["a", "b"] {
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
             metadata: {{name: gw-{name}, namespace: istio-system}}\n\
             spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  \
             - port: {{number: 443, name: https, protocol: HTTPS}}\n    \
             hosts: [{name}.example.com]\n    tls: {{mode: SIMPLE, credentialName: w}}\n\
             ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: v{name}, namespace: istio-system}}\n\
             spec: {{hosts: [{name}.example.com], gateways: [gw-{name}], http: [{{route: []}}]}}"
        )
        .unwrap();
    }
    text
}

/// The two Gateways are found, whatever is beside them.
#[track_caller]
fn check_run(name: &str, run: &Run, errors: &[&str]) {
    assert_eq!(
        run.out.matches("error SG101").count(),
        1,
        "{name}: {} {}",
        run.out,
        run.talk
    );
    let messages: Vec<&str> = run
        .talk
        .lines()
        .filter(|line| !line.starts_with("note: "))
        .collect();
    assert_eq!(messages.len(), errors.len(), "{name}: {messages:?}");
    for (message, error) in messages.iter().zip(errors) {
        assert!(message.starts_with(error), "{name}: {message}\n{error}");
    }
    assert_eq!(run.status, if errors.is_empty() { 1 } else { 2 }, "{name}");
}

fn check_folder(folder: &Path) -> Run {
    packager_program_within(MEMORY, &["check", folder.to_str().unwrap()], "").unwrap()
}

/// A folder with the good file and another.
#[track_caller]
fn check_beside(name: &str, text: &[u8], problem: Option<&str>) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("good.yaml"), good()).unwrap();
    let path = folder.path().join("hostile.yaml");
    fs::write(&path, text).unwrap();
    let error = problem.map(|problem| format!("error: reading {}:{problem}", path.display()));
    let errors: Vec<&str> = error.iter().map(String::as_str).collect();
    check_run(name, &check_folder(folder.path()), &errors);
}

fn config_map(n: usize) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x{n}}}\n")
}

#[test]
fn broken_text() {
    for (name, text, problem) in [
        (
            "not closed",
            &b"a: 1\nb: [\n"[..],
            Some("2: it is not YAML: unclosed bracket"),
        ),
        (
            "NUL",
            b"# nothing\n---\nb: \0\n",
            Some("3: it is not YAML: unexpected character"),
        ),
        (
            "Latin-1",
            b"# nothing\n---\nb: \xe9\n",
            Some("3: it is not UTF-8"),
        ),
        (
            "PowerShell",
            b"\xff\xfea\x00:\x00 \x001\x00\n\x00",
            Some("1: it is not UTF-8"),
        ),
        (
            "twice",
            b"kind: a\nkind: b\n",
            Some("2: it is not YAML: duplicate mapping key"),
        ),
        ("a number", b"42\n", None),
        ("nothing", b"", None),
        ("markers", b"---\n---\n\n---\n# nothing\n---\n", None),
    ] {
        check_beside(name, text, problem);
    }
}

#[test]
fn deep_text() {
    let deep = "[".repeat(1_000_000);
    check_beside(
        "brackets",
        deep.as_bytes(),
        Some("1: it is not YAML: recursion limit"),
    );
    let deep = "{\"a\":".repeat(1_000_000);
    check_beside(
        "JSON",
        deep.as_bytes(),
        Some("1: it is not YAML: YAML document too large"),
    );
    let lines: Vec<String> = (0..2_000).map(|n| " ".repeat(n) + "a:").collect();
    let deep = lines.join("\n");
    check_beside(
        "mappings",
        deep.as_bytes(),
        Some("201: it is not YAML: YAML document too large"),
    );
}

/// A few lines that stand for billions, by aliases and by merge keys.
#[test]
fn text_that_grows() {
    let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut merges = "a0: &a0 {x: 1}\n".to_owned();
    for n in 1..40 {
        let before = n - 1;
        writeln!(
            aliases,
            "a{n}: &a{n} [{}]",
            vec![format!("*a{before}"); 10].join(", ")
        )
        .unwrap();
        writeln!(
            merges,
            "a{n}: &a{n} {{<<: [*a{before}, *a{before}], y{n}: [*a{before}]}}"
        )
        .unwrap();
    }
    for text in [aliases, merges] {
        check_beside("grows", (config_map(0) + &text).as_bytes(), Some(""));
    }
}

#[test]
fn ten_thousand_documents_with_one_broken() {
    let mut text: String = (0..5_000).map(config_map).collect();
    check_beside("all good", text.as_bytes(), None);
    text += "---\nkind: [\n";
    text.extend((0..5_000).map(config_map));
    check_beside(
        "one broken",
        text.as_bytes(),
        Some("20002: it is not YAML: "),
    );
}

/// The largest text that is read, in several forms, and one octet more.
#[test]
fn fifty_mebibytes() {
    let fill = |head: &str, body: &str, tail: &str| {
        let left = MAX_TEXT - head.len() - tail.len();
        let mut text = head.to_owned();
        text.push_str(&body.repeat(left / body.len()));
        text.push_str(&" ".repeat(left % body.len()));
        text + tail
    };
    let comment = fill("# ", "x", "\n");
    check_beside("comment", comment.as_bytes(), None);
    check_beside(
        "too large",
        (comment + "\n").as_bytes(),
        Some("1: it is larger than 50 MiB"),
    );
    let scalar = fill(&(config_map(0) + "data:\n  x: "), "y", "\n");
    check_beside("scalar", scalar.as_bytes(), None);
    let parts = fill("{\"a\":[", "0,", "0]}");
    check_beside(
        "parts",
        parts.as_bytes(),
        Some("1: it has more than 10485760 parts"),
    );
}

/// Files of a folder that cannot be read are reported, and the rest is checked.
#[test]
fn unreadable_files() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("good.yaml"), good()).unwrap();
    // Nobody can read its beginning, not even root.
    symlink("/proc/self/mem", path("memory.yaml")).unwrap();
    symlink("loop.yaml", path("loop.yaml")).unwrap();
    symlink("nowhere", path("missing.yaml")).unwrap();
    symlink(folder.path(), path("again")).unwrap();
    fs::create_dir(path("folder.yaml")).unwrap();
    let error = |name: &str, why: &str| format!("error: reading {}: {why}", path(name).display());
    let errors = [
        error("loop.yaml", "Too many levels of symbolic links"),
        error("missing.yaml", "No such file or directory"),
        error("memory.yaml", "Input/output error"),
    ];
    let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
    check_run("folder", &check_folder(folder.path()), &errors);
}

/// The limit on memory is one: a program that wants more is ended.
#[test]
fn memory_is_limited() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("good.yaml"), good()).unwrap();
    let arguments = ["check", folder.path().to_str().unwrap()];
    assert!(packager_program_within(MEMORY, &arguments, "").is_ok());
    let run = packager_program_within(4, &arguments, "");
    assert!(run.is_err() || run.unwrap().status > 2);
}
