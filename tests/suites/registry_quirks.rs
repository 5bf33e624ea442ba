//! Pushes and pulls against imitations of real registries: one quirk at a time, each from public reports.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::module;
use tests::process::{Run, packager_program};
use tests::quirk_server::{Answer, Encoding, Fault, Plan, Quirk, QuirkServer, TOKEN};
use tests::registry::{PASSWORD, Registry, USER};

/// `publisher:open sesame`
pub(crate) const BASIC: &str = "cHVibGlzaGVyOm9wZW4gc2VzYW1l";
pub(crate) const REPOSITORY: &str = "edge/sni-guard";
pub(crate) const LOGIN: [&str; 3] = ["--username", USER, "--password-stdin"];

/// A registry behind a server with a quirk.
pub(crate) struct Odd {
    pub(crate) registry: Registry,
    pub(crate) server: QuirkServer,
    pub(crate) module: PathBuf,
}

impl Odd {
    pub(crate) fn start(quirk: Quirk) -> Self {
        let registry = Registry::start().unwrap();
        let server = QuirkServer::start(registry.address(), quirk).unwrap();
        Self {
            server,
            registry,
            module: module::build().unwrap(),
        }
    }

    pub(crate) fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:1", self.server.host())
    }

    pub(crate) fn push(&self, more: &[&str]) -> Run {
        self.run(more, &[])
    }

    pub(crate) fn run(&self, more: &[&str], environment: &[(&str, &str)]) -> Run {
        let reference = self.reference();
        let known = ["push", &reference, "--module", text(&self.module)];
        let run = packager_program(&[&known, more].concat(), environment, PASSWORD).unwrap();
        no_secret(&run);
        run
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        self.registry.tags(REPOSITORY)
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
pub(crate) fn no_secret(run: &Run) {
    for secret in [PASSWORD, BASIC, TOKEN] {
        assert!(!run.out.contains(secret), "{secret} in {}", run.out);
        assert!(!run.talk.contains(secret), "{secret} in {}", run.talk);
    }
}

#[track_caller]
pub(crate) fn succeeds(name: &str, run: &Run) {
    assert_eq!(run.status, 0, "{name}: {}", run.talk);
    assert!(run.out.contains("@sha256:"), "{name}: {}", run.out);
}

/// The push fails with these words in its message, and without the others.
#[track_caller]
pub(crate) fn fails(name: &str, run: &Run, words: &[&str], others: &[&str]) {
    assert_eq!(run.status, 2, "{name}: {}{}", run.out, run.talk);
    for word in words {
        assert!(
            run.talk.contains(word),
            "{name}: no {word:?} in {}",
            run.talk
        );
    }
    for other in others {
        assert!(
            !run.talk.contains(other),
            "{name}: {other:?} in {}",
            run.talk
        );
    }
}

#[test]
fn the_same_image_again_where_tags_are_immutable() {
    // ECR, Artifactory and Harbor.
    for status in [400, 403, 412] {
        let odd = Odd::start(Quirk::ImmutableTags {
            status,
            lost: false,
        });
        succeeds("first", &odd.push(&[]));
        succeeds("again", &odd.push(&[]));
        succeeds("again with a flag", &odd.push(&["--overwrite"]));
        let other = odd.push(&["--overwrite", "--annotation", "a=b"]);
        fails(
            "other",
            &other,
            &["immutable", "another tag"],
            &["credentials"],
        );
        let other = odd.push(&["--annotation", "a=b"]);
        fails("other", &other, &["--overwrite"], &[]);
    }
    // The first manifest arrives, but its answer does not.
    let odd = Odd::start(Quirk::ImmutableTags {
        status: 400,
        lost: true,
    });
    succeeds("not seen", &odd.push(&[]));
    assert_eq!(odd.server.odd(), 1);
}

#[test]
fn registries_without_uploads_in_chunks() {
    for status in [404, 405, 411, 501] {
        let odd = Odd::start(Quirk::NoChunks(status));
        succeeds("push", &odd.push(&[]));
        assert_eq!(odd.tags(), ["1"]);
    }
}

#[test]
fn a_push_that_is_interrupted_at_any_request_can_be_repeated() {
    let lines = [
        "GET /v2/ ",
        "HEAD /v2/edge/sni-guard/m",
        "HEAD /v2/edge/sni-guard/b",
        "POST ",
        "PUT /v2/edge/sni-guard/blobs/",
        "PUT /v2/edge/sni-guard/manifests/",
        "GET /v2/edge/",
    ];
    // Each waits most of its time, so they wait side by side.
    thread::scope(|scope| {
        for line in lines {
            for fault in [Fault::Drop(0), Fault::Lost, Fault::Status(401, None)] {
                let times = 100;
                scope.spawn(move || check_interrupted(Plan { line, fault, times }));
            }
        }
    });
}

fn check_interrupted(plan: Plan) {
    let name = format!("{plan:?}");
    let odd = Odd::start(Quirk::Fault(plan));
    let run = odd.push(&[]);
    let exists = !odd.tags().is_empty();
    assert!(odd.server.odd() > 0, "{name}");
    // A lost answer to the manifest leaves the right image.
    assert!(
        run.status == 2 || (run.status == 0 && exists),
        "{name}: {}",
        run.talk
    );
    let reference = format!("{}/{REPOSITORY}:1", odd.registry.host());
    if exists {
        let run = packager_program(&["verify", &reference], &[], "").unwrap();
        assert_eq!(run.status, 0, "{name}: {}", run.out);
    }
    // What is there is in the report, also after a failure.
    assert_eq!(
        exists,
        run.out.contains("@sha256:"),
        "{name}: {}{}",
        run.out,
        run.talk
    );
    let again = ["push", &reference, "--module", text(&odd.module)];
    succeeds(&name, &packager_program(&again, &[], "").unwrap());
}

#[test]
fn a_token_service_that_is_busy_is_asked_again() {
    for status in [429, 500, 503] {
        let first = Answer::error(status, "TOOMANYREQUESTS", "come back later");
        let odd = Odd::start(Quirk::TokenService { first, times: 1 });
        succeeds("busy once", &odd.push(&LOGIN));
    }
    let first = Answer::new(503, "<html>maintenance</html>");
    let odd = Odd::start(Quirk::TokenService { first, times: 100 });
    let words = ["token service", "503", "maintenance"];
    fails(
        "busy",
        &odd.push(&LOGIN),
        &words,
        &["401", "other credentials"],
    );
    // The message has the status that the service sent, and what it was asked for.
    let first = Answer::error(400, "UNSUPPORTED", "no such service");
    let odd = Odd::start(Quirk::TokenService { first, times: 100 });
    let words = ["token service", "400", "no such service"];
    fails("refused", &odd.push(&LOGIN), &words, &["401"]);
    // No token, one that is too long for a header, and one that no header can have.
    for token in [String::new(), "x".repeat(40_000), "a\\nb".to_owned()] {
        let first = Answer::new(200, format!(r#"{{"token":"{token}"}}"#));
        let odd = Odd::start(Quirk::TokenService { first, times: 100 });
        fails(
            "none",
            &odd.push(&LOGIN),
            &["token service", "no usable token"],
            &["401"],
        );
    }
}

#[test]
fn tags_that_can_be_read_only_some_moments_later() {
    for status in [404, 500] {
        let odd = Odd::start(Quirk::LateTag { status, times: 3 });
        succeeds("late", &odd.push(&[]));
        assert_eq!(odd.server.odd(), 3);
    }
}

#[test]
fn absent_tags_that_are_denied() {
    for status in [401, 403] {
        let odd = Odd::start(Quirk::AbsentTag(status));
        let words = ["cannot be known", &status.to_string(), "--overwrite"];
        fails("denied", &odd.push(&[]), &words, &["other credentials"]);
        assert!(odd.tags().is_empty());
        succeeds("overwrite", &odd.push(&["--overwrite"]));
    }
}

#[test]
fn credentials_are_sent_when_a_write_asks_for_them() {
    for bearer in [false, true] {
        let odd = Odd::start(Quirk::OpenReads { bearer });
        succeeds("open reads", &odd.push(&LOGIN));
        let odd = Odd::start(Quirk::OpenReads { bearer });
        let run = odd.push(&[]);
        fails(
            "nobody",
            &run,
            &["401", "no credentials were sent"],
            &["--username were used"],
        );
    }
}

#[test]
fn messages_say_what_was_sent() {
    // This registry never asks for a login.
    let answer = Answer::error(403, "DENIED", "no");
    let odd = Odd::start(Quirk::Always(answer));
    let words = ["403", "the credentials of --username were not sent"];
    fails("nothing sent", &odd.push(&LOGIN), &words, &["were used"]);
}

#[test]
fn object_stores_and_other_hosts_get_no_credentials() {
    let odd = Odd::start(Quirk::ObjectStore);
    succeeds("object store", &odd.push(&[]));
    assert!(odd.server.odd() > 0);

    let odd = Odd::start(Quirk::OtherHost(None));
    succeeds("other host", &odd.push(&LOGIN));
    let elsewhere: Vec<_> = odd
        .server
        .seen()
        .into_iter()
        .filter(|request| {
            request
                .header("host")
                .is_some_and(|host| host.starts_with("127."))
        })
        .collect();
    assert!(!elsewhere.is_empty());
    for request in &elsewhere {
        assert_eq!(request.header("authorization"), None, "{}", request.line());
    }
    let odd = Odd::start(Quirk::OtherHost(Some(403)));
    let words = ["403", "127.0.0.1:", "sent without credentials"];
    fails(
        "refused",
        &odd.push(&LOGIN),
        &words,
        &["--username were used"],
    );
}

#[test]
fn proxies_of_the_environment() {
    // A registry on this machine is reached directly, as by every Go program.
    let odd = Odd::start(Quirk::None);
    let page = Answer::new(403, "<html>Access denied by policy</html>").header("server", "squid");
    let proxy = QuirkServer::start(odd.registry.address(), Quirk::Proxy(page)).unwrap();
    let address = format!("http://user:hunter2@{}", proxy.host());
    for name in ["HTTP_PROXY", "http_proxy"] {
        succeeds(name, &odd.run(&[], &[(name, &address)]));
    }
    assert!(proxy.seen().is_empty());

    let push = |reference: &str, environment: &[(&str, &str)], flags: &[&str]| {
        let known = ["push", reference, "--module", text(&odd.module)];
        let run = packager_program(&[&known, flags].concat(), environment, PASSWORD).unwrap();
        assert!(!run.talk.contains("hunter2"), "{}", run.talk);
        run
    };
    let plain = [["--plain-http"].as_slice(), &LOGIN].concat();
    let run = push("registry.test/x/y:1", &[("HTTP_PROXY", &address)], &plain);
    let words = ["403", "the proxy", &proxy.host()];
    fails(
        "page",
        &run,
        &words,
        &["--username were used", "other credentials"],
    );
    let seen = proxy.seen().len();
    assert!(seen > 0);
    // The tunnel of a registry with TLS.
    let run = push("registry.test/x/y:1", &[("HTTPS_PROXY", &address)], &LOGIN);
    fails(
        "tunnel",
        &run,
        &["the proxy", &proxy.host()],
        &["--plain-http"],
    );
    // A proxy without TLS.
    let tls = format!("https://{}", proxy.host());
    let run = push("registry.test/x/y:1", &[("HTTPS_PROXY", &tls)], &LOGIN);
    fails(
        "TLS",
        &run,
        &["the proxy", &proxy.host(), "http://"],
        &["--plain-http"],
    );
    let seen = proxy.seen().len();
    for direct in [
        "*.test",
        ".test",
        "test",
        "registry.test:80",
        "a,registry.test",
    ] {
        let environment = [("HTTP_PROXY", address.as_str()), ("NO_PROXY", direct)];
        let run = push(
            "registry.test/x/y:1",
            &environment,
            &["--plain-http", "--timeout", "5"],
        );
        fails(direct, &run, &["registry.test"], &["the proxy"]);
    }
    assert_eq!(proxy.seen().len(), seen);
    let asks = Quirk::Proxy(Answer::new(407, ""));
    let proxy = QuirkServer::start(odd.registry.address(), asks).unwrap();
    let address = format!("http://{}", proxy.host());
    for (variable, flags) in [("HTTP_PROXY", plain.as_slice()), ("HTTPS_PROXY", &LOGIN)] {
        let run = push("registry.test/x/y:1", &[(variable, &address)], flags);
        fails(
            variable,
            &run,
            &["the proxy", "407", variable],
            &["--username were used"],
        );
    }
}

/// A time in some seconds, as HTTP dates have it.
fn http_date(seconds: u64) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(seconds);
    chrono::DateTime::from_timestamp(i64::try_from(time.as_secs()).unwrap(), 0)
        .unwrap()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

#[test]
fn pauses_are_as_long_as_registries_ask() {
    // The date is some time away, because the program needs a moment to begin.
    let seconds = Duration::from_secs(8);
    for line in ["POST ", "PUT /v2/edge/sni-guard/manifests/", "HEAD "] {
        for after in [|| "8".to_owned(), || http_date(8)] {
            let after = after();
            let start = Instant::now();
            let fault = Fault::Status(429, Some(after.clone()));
            let odd = Odd::start(Quirk::Fault(Plan {
                line,
                fault,
                times: 1,
            }));
            succeeds(&after, &odd.push(&LOGIN));
            assert!(
                start.elapsed() + Duration::from_secs(1) > seconds,
                "{line} {after}"
            );
        }
    }
    let first = Answer::new(429, "").header("retry-after", http_date(3_600));
    let odd = Odd::start(Quirk::TokenService { first, times: 1 });
    fails(
        "an hour",
        &odd.push(&LOGIN),
        &["token service", "pause of 3"],
        &[],
    );
}

#[test]
fn references_that_were_pushed_are_reported_when_a_later_one_fails() {
    let good = Registry::start().unwrap();
    let fault = Fault::Status(403, None);
    let odd = Odd::start(Quirk::Fault(Plan {
        line: "POST ",
        fault,
        times: 9,
    }));
    let first = format!("{}/{REPOSITORY}:1", good.host());
    let third = format!("{}/{REPOSITORY}:3", good.host());
    let arguments = [
        "push",
        &first,
        &odd.reference(),
        &third,
        "--module",
        text(&odd.module),
    ];
    let run = packager_program(&arguments, &[], "").unwrap();
    fails("text", &run, &[&odd.reference(), "403"], &[]);
    assert!(
        run.out.contains(&format!("oci://{first}@sha256:")),
        "{}",
        run.out
    );
    assert!(!run.out.contains(&odd.reference()), "{}", run.out);
    let run = packager_program(&[&arguments[..], &["--output", "json"]].concat(), &[], "").unwrap();
    assert_eq!(run.status, 2, "{}", run.talk);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    let states: Vec<&str> = report
        .get("targets")
        .and_then(Value::as_array)
        .unwrap()
        .iter()
        .map(|target| target.get("state").and_then(Value::as_str).unwrap())
        .collect();
    assert_eq!(states, ["pushed", "failed", "notTried"]);
}

#[test]
fn no_secret_in_any_encoding() {
    for encoding in [
        Encoding::Plain,
        Encoding::Base64,
        Encoding::Base64Url,
        Encoding::Hex,
        Encoding::Percent,
        Encoding::Json,
    ] {
        let odd = Odd::start(Quirk::Echo(encoding));
        for flags in [
            ["--quiet"].as_slice(),
            &["--verbose"],
            &["--output", "json"],
        ] {
            let run = odd.push(&[&LOGIN[..], flags].concat());
            fails("echo", &run, &["400"], &[]);
            for secret in [PASSWORD, BASIC] {
                assert_hidden(secret, &run.talk);
                assert_hidden(secret, &run.out);
            }
        }
        assert!(odd.server.odd() > 0);
    }
}

/// No eight characters of the secret are in the text, in no encoding.
#[track_caller]
pub(crate) fn assert_hidden(secret: &str, text: &str) {
    let hex = |form: fn(u8) -> String| secret.bytes().map(form).collect::<String>();
    let forms = [
        secret.to_owned(),
        hex(|octet| format!("{octet:02X}")),
        hex(|octet| format!("%{octet:02x}")),
        hex(|octet| format!("\\u{octet:04x}")),
    ];
    for form in forms {
        for window in form.as_bytes().windows(24.min(form.len())) {
            let part = std::str::from_utf8(window).unwrap();
            assert!(!text.contains(part), "{part} in {text}");
        }
    }
    // The password of a repeated request is in base64 of base64.
    for line in text.split_whitespace() {
        assert!(!decoded(line).contains(secret), "{text}");
    }
}

fn decoded(word: &str) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    (0..4)
        .filter_map(|end| word.get(..word.len().saturating_sub(end)))
        .find_map(|word| engine.decode(word).ok())
        .map(|octets| String::from_utf8_lossy(&octets).into_owned())
        .unwrap_or_default()
}

/// Texts that a terminal would obey, or that look like lines of the program.
pub(crate) const FORGED: &str =
    "a\u{1b}[2J\u{9b}31m\u{7}\u{202e}b\r\nistio@1.31 would load it\u{2028}\u{85}x";

#[test]
fn no_text_from_outside_reaches_a_terminal_as_it_is() {
    for answer in [
        Answer::error(400, "\u{1b}]0;x\u{7}", FORGED),
        Answer::new(500, FORGED),
        Answer::new(403, format!("\u{1b}[31m{}", "x".repeat(5_000))),
        Answer::error(401, "UNAUTHORIZED", FORGED).header(
            "www-authenticate",
            "Bearer realm=\"\u{1b}[2J\u{9b}\",service=\"\u{1b}\"",
        ),
        Answer::new(200, FORGED).header("docker-content-digest", "sha256:\u{9b}2J"),
        Answer::new(307, "").header("location", "http://localhost:1/\u{9b}"),
    ] {
        let odd = Odd::start(Quirk::Always(answer.clone()));
        let reference = odd.reference();
        for command in ["verify", "inspect", "push"] {
            for format in ["text", "json"] {
                let module = ["--module", text(&odd.module)];
                let more = if command == "push" { &module[..] } else { &[] };
                let flags = [command, &reference, "--verbose", "--output", format];
                let run = packager_program(&[&flags[..], more].concat(), &[], "").unwrap();
                assert_ne!(run.status, 0, "{answer:?}: {}", run.out);
                assert_harmless(&run.out);
                assert_harmless(&run.talk);
            }
        }
    }
}

#[track_caller]
pub(crate) fn assert_harmless(output: &str) {
    assert!(
        !output.contains(|c: char| c.is_control() && c != '\n'),
        "{output:?}"
    );
    assert!(!output.contains(['\u{202e}', '\u{2028}']), "{output:?}");
    for line in output.lines() {
        assert!(!line.starts_with("istio@1.31 would load it"), "{output}");
        assert!(line.chars().count() < 3_000, "{output}");
    }
}

#[test]
fn annotations_forge_no_lines() {
    let odd = Odd::start(Quirk::None);
    let forged = format!("a={FORGED}");
    succeeds("push", &odd.push(&["--annotation", &forged]));
    for command in ["verify", "inspect"] {
        let run = packager_program(&[command, &odd.reference()], &[], "").unwrap();
        assert_eq!(run.status, 0, "{}", run.out);
        let last = run.out.lines().last().unwrap_or_default().to_owned();
        let body = run.out.trim_end().trim_end_matches(&last);
        assert_harmless(body);
        let run =
            packager_program(&[command, &odd.reference(), "--output", "json"], &[], "").unwrap();
        assert_harmless(&run.out);
        assert!(serde_json::from_str::<Value>(&run.out).is_ok());
    }
}

#[test]
fn keys_of_credentials_are_compared_by_host() {
    let odd = Odd::start(Quirk::Tokens);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("auth.json");
    let host = odd.server.host();
    let entry = json!({ "auth": BASIC });
    let push = |config: &Value| {
        fs::write(&file, config.to_string()).unwrap();
        odd.run(&[], &[("REGISTRY_AUTH_FILE", text(&file))])
    };
    for key in [
        host.clone(),
        format!("{host}/"),
        format!("http://{host}"),
        format!("https://{host}/"),
        format!("https://{host}/v1/"),
        format!("https://{host}/v2"),
        format!("{host}/v2/"),
        format!("https://{host}/any/path/"),
        format!("{host}/{REPOSITORY}"),
        host.to_uppercase(),
    ] {
        succeeds(&key, &push(&json!({ "auths": { &key: entry } })));
    }
    // Credentials of other repositories and hosts are not for this one.
    for key in [
        format!("{host}/edge/other"),
        format!("{host}/edge/sni"),
        format!("{host}0"),
        "localhost".to_owned(),
        format!("https://x.{host}"),
    ] {
        let odd = Odd::start(Quirk::Tokens);
        fs::write(&file, json!({ "auths": { &key: entry } }).to_string()).unwrap();
        let run = odd.run(&[], &[("REGISTRY_AUTH_FILE", text(&file))]);
        fails(&key, &run, &["401", "no credentials were sent"], &[]);
    }
}

#[test]
fn credentials_where_podman_leaves_them() {
    let odd = Odd::start(Quirk::Tokens);
    let folder = TempDir::new().unwrap();
    let config = json!({ "auths": { odd.server.host(): { "auth": BASIC } } }).to_string();
    for (variable, value, path) in [
        ("HOME", "home", "home/.config/containers/auth.json"),
        ("XDG_CONFIG_HOME", "config", "config/containers/auth.json"),
        ("XDG_RUNTIME_DIR", "run", "run/containers/auth.json"),
        ("HOME", "docker", "docker/.docker/config.json"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &config).unwrap();
        let value = folder.path().join(value);
        let run = odd.run(&["--overwrite"], &[(variable, text(&value))]);
        succeeds(text(&path), &run);
    }
}

#[test]
fn helpers_of_credentials() {
    let odd = Odd::start(Quirk::Tokens);
    let host = odd.server.host();
    let folder = TempDir::new().unwrap();
    let helper = |name: &str, script: &str| {
        let path = folder.path().join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        tests::tools::run("chmod", &["+x", text(&path)]).unwrap();
    };
    let answer = json!({ "ServerURL": host, "Username": USER, "Secret": PASSWORD });
    helper("good", &format!("cat >/dev/null; echo '{answer}'"));
    helper(
        "out",
        "cat >/dev/null; echo 'the \u{1b}[31mvault is sealed'; exit 1",
    );
    helper("odd", "cat >/dev/null; echo 'open sesame'");
    let path = format!("{}:{}", text(folder.path()), std::env::var("PATH").unwrap());
    let file = folder.path().join("config.json");
    let push = |config: &Value| {
        fs::write(&file, config.to_string()).unwrap();
        odd.run(&[], &[("REGISTRY_AUTH_FILE", text(&file)), ("PATH", &path)])
    };
    // An entry without a secret is docker's mark for the store.
    for entry in [
        json!({}),
        json!({ "email": "a@example.com" }),
        json!({ "auth": "" }),
    ] {
        let config = json!({ "auths": { &host: entry }, "credsStore": "good" });
        succeeds("store", &push(&config));
    }
    let store = |name: &str| json!({ "credsStore": name });
    fails(
        "stdout",
        &push(&store("out")),
        &["docker-credential-out", "vault is sealed"],
        &["\u{1b}"],
    );
    fails(
        "missing",
        &push(&store("absent")),
        &["docker-credential-absent", &host],
        &["…"],
    );
    fails(
        "not JSON",
        &push(&store("odd")),
        &["docker-credential-odd"],
        &["sesame"],
    );
}

#[test]
fn identity_tokens_are_exchanged() {
    let odd = Odd::start(Quirk::IdentityToken("no refresh token"));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.json");
    // As `az acr login` leaves them.
    let user = base64_of("00000000-0000-0000-0000-000000000000:");
    let entry = json!({ "auth": user, "identitytoken": "a-refresh-token" });
    let config = json!({ "auths": { odd.server.host(): entry } });
    fs::write(&file, config.to_string()).unwrap();
    let run = odd.run(&[], &[("REGISTRY_AUTH_FILE", text(&file))]);
    succeeds("identity token", &run);
    let forms: Vec<String> = odd
        .server
        .seen()
        .iter()
        .filter(|request| request.line() == "POST /token")
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    let form = forms.first().unwrap();
    for part in [
        "grant_type=refresh_token",
        "refresh_token=a-refresh-token",
        "service=quirks",
        "scope=repository%3Aedge%2Fsni-guard%3Apull%2Cpush",
    ] {
        assert!(form.contains(part), "no {part} in {form}");
    }
}

pub(crate) fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn references_that_are_not_complete() {
    let module = module::build().unwrap();
    let push = |reference: &str| {
        packager_program(&["push", reference, "--module", text(&module)], &[], "").unwrap()
    };
    for (reference, words) in [
        ("x", ["names no registry", "docker.io/"]),
        ("team/x:1", ["names no registry", "docker.io/"]),
        (
            "registry.example.com/x",
            ["no tag", "registry.example.com/x:"],
        ),
        (
            "https://registry.example.com/x:1",
            ["https://", "registry.example.com/x:1"],
        ),
        (
            "http://localhost:5000/x:1",
            ["http://", "localhost:5000/x:1 --plain-http"],
        ),
        (
            "registry.example.com/Team/x:1",
            ["lower case", "registry.example.com/team/x:1"],
        ),
        (
            "registry.example.com/x:",
            ["tag", "registry.example.com/x:"],
        ),
    ] {
        fails(reference, &push(reference), &words, &[]);
    }
}

#[test]
fn a_dry_run_prints_json_for_scripts() {
    let module = module::build().unwrap();
    let arguments = [
        "push",
        "--dry-run",
        "--output",
        "json",
        "--module",
        text(&module),
    ];
    let run = packager_program(&arguments, &[], "").unwrap();
    assert_eq!(run.status, 0, "{}", run.talk);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    for key in ["digest", "manifest", "size", "format"] {
        assert!(report.get(key).is_some(), "no {key} in {}", run.out);
    }
}

#[test]
fn the_usual_self_signed_certificate_is_trusted_with_ca_file() {
    let folder = TempDir::new().unwrap();
    // `openssl req -x509` makes a certificate with CA:TRUE.
    let certificate =
        tests::certificate::Certificate::generate_authority(folder.path(), &["localhost"]).unwrap();
    let options = tests::registry::Options {
        certificate: Some(&certificate),
        realm: None,
    };
    let registry = Registry::start_with(&options).unwrap();
    let module = module::build().unwrap();
    let reference = format!("{}/{REPOSITORY}:1", registry.host());
    let push = |reference: &str, file: &Path| {
        let arguments = [
            "push",
            reference,
            "--module",
            text(&module),
            "--ca-file",
            text(file),
        ];
        packager_program(&arguments, &[], "").unwrap()
    };
    succeeds("trusted", &push(&reference, &certificate.certificate));
    // The name is still compared.
    let other = reference.replace("localhost", "127.0.0.1");
    fails(
        "name",
        &push(&other, &certificate.certificate),
        &["127.0.0.1", "localhost"],
        &["{"],
    );
    // Another certificate with the same name is not trusted.
    let elsewhere = TempDir::new().unwrap();
    let other =
        tests::certificate::Certificate::generate_authority(elsewhere.path(), &["localhost"])
            .unwrap();
    fails(
        "other",
        &push(&reference, &other.certificate),
        &["--ca-file"],
        &["{"],
    );
}
