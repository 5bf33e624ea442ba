//! Registries that want credentials, have certificates of their own, or fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::module;
use tests::process::{Run, packager, packager_program};
use tests::quirk_server::{Fault, Plan, Quirk, QuirkServer};
use tests::registry::{Options, PASSWORD, Registry, USER};
use tests::tools::run;

const MANIFESTS: &str = "PUT /v2/edge/sni-guard/manifests/";
const BLOBS: &str = "PUT /v2/edge/sni-guard/blobs/";
const REALM: &str = "https://registry.example.com/";
/// `publisher:open sesame`
const BASIC: &str = "cHVibGlzaGVyOm9wZW4gc2VzYW1l";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A registry that speaks TLS and wants a password.
struct Guarded {
    folder: TempDir,
    certificate: Certificate,
    registry: Registry,
}

impl Guarded {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let certificate =
            Certificate::generate(folder.path(), &["localhost", "127.0.0.1"]).unwrap();
        let options = Options {
            certificate: Some(&certificate),
            realm: Some(REALM),
        };
        let registry = Registry::start_with(&options).unwrap();
        Self {
            folder,
            certificate,
            registry,
        }
    }

    fn push(&self, more: &[&str], environment: &[(&str, &str)], input: &str) -> Run {
        let module = module::build().unwrap();
        let reference = format!("{}/edge/sni-guard:1", self.registry.host());
        let ca = text(&self.certificate.certificate);
        let known = [
            "push",
            &reference,
            "--module",
            text(&module),
            "--ca-file",
            ca,
        ];
        let known = if more.contains(&"--plain-http") {
            &known[..4]
        } else {
            &known
        };
        let run = packager_program(&[known, more].concat(), environment, input).unwrap();
        for secret in [PASSWORD, BASIC] {
            assert!(
                !run.out.contains(secret) && !run.talk.contains(secret),
                "{run:?}"
            );
        }
        run
    }

    /// Writes a file of podman or docker.
    fn file(&self, name: &str, content: &Value) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content.to_string()).unwrap();
        text(&path).to_owned()
    }

    /// Writes a credential helper, and returns a PATH that it is in.
    fn helper(&self, name: &str, script: &str) -> String {
        let path = self.folder.path().join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        run("chmod", &["+x", text(&path)]).unwrap();
        let path = std::env::var("PATH").unwrap();
        format!("{}:{path}", text(self.folder.path()))
    }
}

#[track_caller]
fn refused(run: &Run, words: &[&str]) {
    assert_eq!((run.status, run.out.as_str()), (2, ""), "{}", run.talk);
    for word in words {
        assert!(run.talk.contains(word), "no {word:?} in {}", run.talk);
    }
}

#[test]
fn credentials_are_found_where_podman_and_docker_keep_them() {
    let guarded = Guarded::start();
    let host = guarded.registry.host();
    let entry = json!({ "auth": BASIC });
    let wrong = json!({ "auth": "eDp5" });
    let auths = |key: &str| json!({ "auths": { key: entry } });
    let podman = guarded.file("run/containers/auth.json", &auths(&host));
    let run_folder = podman.trim_end_matches("/containers/auth.json").to_owned();
    let docker = guarded.file("docker/config.json", &auths(&format!("https://{host}")));
    let docker_folder = docker.trim_end_matches("/config.json").to_owned();
    let home = guarded.file("home/.docker/config.json", &auths(&host));
    let home = home.trim_end_matches("/.docker/config.json").to_owned();
    // The entry of the repository counts, not one of its neighbours or of the registry.
    let neighbour = format!("{host}/edge/sni");
    let nearest = json!({ "auths": {
        &host: wrong, neighbour: wrong, format!("{host}/edge"): entry,
    } });
    let nearest = guarded.file("nearest.json", &nearest);
    let answer = json!({ "ServerURL": host, "Username": USER, "Secret": PASSWORD });
    let path = guarded.helper("good", &format!("cat >/dev/null; echo '{answer}'"));
    let helpers = json!({ "auths": { &host: {} }, "credHelpers": { &host: "good" } });
    let helpers = guarded.file("helpers.json", &helpers);
    let store = guarded.file(
        "store.json",
        &json!({ "auths": { &host: {} }, "credsStore": "good" }),
    );
    for environment in [
        vec![("REGISTRY_AUTH_FILE", nearest.as_str())],
        vec![("XDG_RUNTIME_DIR", run_folder.as_str())],
        vec![("DOCKER_CONFIG", docker_folder.as_str())],
        vec![("HOME", home.as_str())],
        vec![
            ("REGISTRY_AUTH_FILE", helpers.as_str()),
            ("PATH", path.as_str()),
        ],
        vec![
            ("REGISTRY_AUTH_FILE", store.as_str()),
            ("PATH", path.as_str()),
        ],
    ] {
        let run = guarded.push(&[], &environment, "");
        assert_eq!(run.status, 0, "{environment:?}: {}", run.talk);
    }
    let flags = ["--username", USER, "--password-stdin"];
    let elsewhere = [("REGISTRY_AUTH_FILE", docker.as_str())];
    assert_eq!(
        guarded
            .push(&flags, &elsewhere, &format!("{PASSWORD}\n"))
            .status,
        0
    );
}

#[test]
fn wrong_credentials_are_reported_with_their_source() {
    let guarded = Guarded::start();
    let host = guarded.registry.host();
    let flags = ["--username", USER, "--password-stdin"];
    refused(
        &guarded.push(&flags, &[], "guess"),
        &["401", "--username", ":pull,push"],
    );
    refused(&guarded.push(&flags, &[], ""), &["reading the password"]);
    refused(
        &guarded.push(&[], &[], ""),
        &["401", "no credentials were sent"],
    );
    let wrong = guarded.file(
        "wrong.json",
        &json!({ "auths": { &host: { "auth": "eDp5" } } }),
    );
    refused(
        &guarded.push(&[], &[("REGISTRY_AUTH_FILE", &wrong)], ""),
        &["401", &wrong],
    );

    let path = guarded.helper(
        "bad",
        "cat >/dev/null; echo 'the vault is sealed' >&2; exit 3",
    );
    let bad = guarded.file("bad.json", &json!({ "credsStore": "bad" }));
    let environment = [
        ("REGISTRY_AUTH_FILE", bad.as_str()),
        ("PATH", path.as_str()),
    ];
    let run = guarded.push(&[], &environment, "");
    refused(
        &run,
        &["docker-credential-bad", "the vault is sealed", &bad],
    );
    let absent = guarded.file("absent.json", &json!({ "credsStore": "absent" }));
    refused(
        &guarded.push(&[], &[("REGISTRY_AUTH_FILE", &absent)], ""),
        &["helper", &absent],
    );
    let path = guarded.helper(
        "none",
        "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1",
    );
    let none = guarded.file("none.json", &json!({ "credsStore": "none" }));
    let environment = [
        ("REGISTRY_AUTH_FILE", none.as_str()),
        ("PATH", path.as_str()),
    ];
    refused(
        &guarded.push(&[], &environment, ""),
        &["401", "no credentials were sent"],
    );
    refused(
        &guarded.push(&[], &[("REGISTRY_AUTH_FILE", "/none")], ""),
        &["REGISTRY_AUTH_FILE"],
    );
    let broken = guarded.folder.path().join("broken.json");
    fs::write(&broken, format!("{{\"auths\": {{\"{BASIC}\"")).unwrap();
    refused(
        &guarded.push(&[], &[("REGISTRY_AUTH_FILE", text(&broken))], ""),
        &["not JSON"],
    );
    assert_eq!(
        guarded.registry.tags("edge/sni-guard"),
        Vec::<String>::new()
    );
}

#[test]
fn transport_security_is_as_the_flags_say() {
    let guarded = Guarded::start();
    let module = module::build().unwrap();
    let other = guarded.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let other = Certificate::generate(&other, &["localhost"]).unwrap();
    let plain = Registry::start().unwrap();
    let push = |host: String, flags: &[&str]| {
        let reference = format!("{host}/edge/sni-guard:1");
        packager(&[&["push", &reference, "--module", text(&module)], flags].concat())
    };
    let host = || guarded.registry.host();
    let ca = text(&guarded.certificate.certificate);
    refused(
        &push(host(), &["--ca-file", text(&other.certificate)]),
        &["--ca-file"],
    );
    refused(
        &push(host(), &["--plain-http"]),
        &["HTTPS server", "hint: the registry uses TLS"],
    );
    refused(
        &push(plain.host(), &["--ca-file", ca]),
        &["hint: the registry uses plain HTTP"],
    );
    refused(
        &push(host(), &["--ca-file", "no-such-file"]),
        &["no-such-file"],
    );
    refused(
        &push(host(), &["--ca-file", "Cargo.toml"]),
        &["Cargo.toml", "no PEM certificate"],
    );
    // As far as the password.
    refused(&push(host(), &["--insecure-skip-tls-verify"]), &["401"]);
    assert_eq!(plain.tags("edge/sni-guard"), Vec::<String>::new());
}

/// Pushes through a proxy with a fault; a second push through no proxy must make it whole.
#[track_caller]
fn push_through(plan: &Plan, flags: &[&str]) -> (Run, Duration) {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    let quirk = Quirk::Fault(plan.clone());
    let proxy = QuirkServer::start(registry.address(), quirk).unwrap();
    let push = |host: String| {
        let reference = format!("{host}/edge/sni-guard:1");
        packager(&[&["push", &reference, "--module", text(&module)], flags].concat())
    };
    let start = Instant::now();
    let run = push(proxy.host());
    let took = start.elapsed();
    assert_eq!(proxy.odd(), plan.times, "{plan:?}: {}", run.talk);
    let tags = registry.tags("edge/sni-guard");
    assert_eq!(tags.is_empty(), run.status != 0, "{plan:?}: {}", run.talk);
    let again = push(registry.host());
    assert_eq!(again.status, 0, "{plan:?}: {}", again.talk);
    (run, took)
}

/// Each waits most of its time, so they wait side by side.
fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}

#[test]
fn passing_faults_are_waited_out() {
    let lines = ["GET /v2/ ", "HEAD ", "POST ", BLOBS, MANIFESTS];
    let refusals = lines.map(|line| Plan {
        line,
        fault: Fault::Status(500, None),
        times: 2,
    });
    let drops = [0, 1, 20_000].map(Fault::Drop);
    let drops = drops.map(|fault| Plan {
        line: BLOBS,
        fault,
        times: 2,
    });
    let slow = Plan {
        line: "P",
        fault: Fault::Slow(Duration::from_millis(300)),
        times: 4,
    };
    side_by_side(refusals.into_iter().chain(drops).chain([slow]), |plan| {
        let (run, _) = push_through(&plan, &[]);
        assert_eq!(run.status, 0, "{plan:?}: {}", run.talk);
    });
}

#[test]
fn a_registry_that_says_when_is_asked_no_sooner() {
    // The second is for the question when to come back.
    let fault = Fault::Status(429, Some("3".into()));
    let (run, took) = push_through(
        &Plan {
            line: "",
            fault,
            times: 2,
        },
        &[],
    );
    assert_eq!(run.status, 0, "{}", run.talk);
    assert!(took >= Duration::from_secs(3), "{took:?}");
    let fault = Fault::Status(429, Some("3600".into()));
    let plan = Plan {
        line: "",
        fault,
        times: 1,
    };
    let (run, _) = push_through(&plan, &[]);
    refused(&run, &["a pause of 3600 s"]);
}

#[test]
fn lasting_faults_are_reported_and_leave_no_tag() {
    let status = |status| Fault::Status(status, None);
    let cases = [
        (
            "POST ",
            status(404),
            1,
            "create the repository edge/sni-guard",
        ),
        (BLOBS, status(413), 1, "limits the size of uploads"),
        ("POST ", status(403), 1, "no credentials were sent"),
        (MANIFESTS, status(415), 1, "--format docker"),
        (MANIFESTS, status(400), 1, "answers 400"),
        (MANIFESTS, status(503), 5, "answers 503"),
        (BLOBS, Fault::Drop(100), 5, "sending blob sha256:"),
    ];
    side_by_side(cases, |(line, fault, times, words)| {
        let (run, _) = push_through(&Plan { line, fault, times }, &[]);
        refused(&run, &[words, "edge/sni-guard:1"]);
    });
    let slow = Fault::Slow(Duration::from_secs(3));
    let (run, _) = push_through(
        &Plan {
            line: "POST ",
            fault: slow,
            times: 5,
        },
        &["--timeout", "1"],
    );
    refused(&run, &["--timeout"]);
    let module = module::build().unwrap();
    let nobody = packager(&["push", "localhost:1/x:1", "--module", text(&module)]);
    refused(&nobody, &["localhost:1/x:1", "refused", "hint:"]);
}
