//! Limits of time and size, scopes of tokens, proxies, and the report of a push that fails in the middle.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::process::{Run, packager_program};
use tests::quirk_server::{Answer, Fault, Plan, Quirk, QuirkServer, SocksServer};
use tests::registry::PASSWORD;

use crate::registry_quirks::{LOGIN, Odd, REPOSITORY, base64_of, fails, succeeds, text};

#[test]
fn an_answer_without_end_is_not_awaited() {
    let odd = Odd::start(Quirk::Fault(Plan {
        line: "GET /v2/edge/sni-guard/manifests/",
        fault: Fault::Trickle(Duration::from_millis(50)),
        times: 100,
    }));
    succeeds("push", &odd.push(&["--no-verify"]));
    let start = Instant::now();
    let arguments = ["verify", &odd.reference(), "--timeout", "1"];
    let run = packager_program(&arguments, &[], "").unwrap();
    fails("slow", &run, &["in time", "--timeout"], &[]);
    // Five attempts of a second, and the pauses between them.
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn an_upload_may_take_longer_than_an_answer() {
    let odd = Odd::start(Quirk::SlowUploads(Duration::from_millis(1_800)));
    succeeds("slow", &odd.push(&["--timeout", "1"]));
    assert_eq!(odd.server.odd(), 1);
    // Not without end.
    let odd = Odd::start(Quirk::SlowUploads(Duration::from_mins(1)));
    let start = Instant::now();
    fails(
        "too slow",
        &odd.push(&["--timeout", "1"]),
        &["--timeout"],
        &[],
    );
    assert!(
        start.elapsed() < Duration::from_secs(55),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_long_pause_does_not_hide_the_answer() {
    let answers = |answer: Answer| Quirk::Answers(vec![("POST ".into(), answer)]);
    let answer = Answer::error(503, "UNAVAILABLE", "maintenance until noon");
    let odd = Odd::start(answers(answer.header("retry-after", "3600")));
    let words = ["503", "maintenance until noon", "a pause of 3600 s"];
    fails("long", &odd.push(&[]), &words, &[]);
    // Only what is temporary is worth a pause.
    for pause in ["3600", "55"] {
        let answer = Answer::error(403, "DENIED", "not yours");
        let odd = Odd::start(answers(answer.header("retry-after", pause)));
        let start = Instant::now();
        let words = ["403", "not yours", "no credentials were sent"];
        fails("denied", &odd.push(&[]), &words, &["a pause"]);
        assert!(start.elapsed() < Duration::from_secs(50));
    }
}

#[test]
fn tokens_that_no_server_accepts_are_refused_quickly() {
    for size in [(1 << 20) - 100, 1 << 20] {
        let start = Instant::now();
        let first = Answer::new(200, json!({ "token": "x".repeat(size) }).to_string());
        let odd = Odd::start(Quirk::TokenService { first, times: 100 });
        fails("long", &odd.push(&LOGIN), &["token service"], &["401"]);
        assert!(start.elapsed() < Duration::from_secs(10), "{size}");
    }
}

/// The scopes that the token service was asked for, by request.
fn scopes(odd: &Odd) -> Vec<Vec<String>> {
    odd.server
        .seen()
        .iter()
        .filter(|request| request.path.starts_with("/token"))
        .map(|request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let query = request
                .path
                .split_once('?')
                .map_or(body.as_str(), |(_, query)| query);
            query
                .split('&')
                .filter_map(|part| part.strip_prefix("scope="))
                .map(|scope| {
                    scope
                        .replace("%3A", ":")
                        .replace("%2F", "/")
                        .replace("%2C", ",")
                })
                .collect()
        })
        .collect()
}

#[test]
fn the_scope_of_the_request_that_failed_is_first() {
    const OWN: &str = "repository:edge/sni-guard:pull,push";
    const OTHER: &str = "repository:edge/base:pull";
    for (request, expected) in [
        (OTHER, vec![OTHER, OWN]),
        (OWN, vec![OWN]),
        // The order of actions does not matter.
        (
            "repository:edge/sni-guard:push,pull",
            vec!["repository:edge/sni-guard:push,pull"],
        ),
    ] {
        let odd = Odd::start(Quirk::Scopes {
            greeting: "repository:samalba/my-app:pull",
            request,
        });
        succeeds(request, &odd.push(&LOGIN));
        let scopes = scopes(&odd);
        // The root of the API is about no repository.
        assert_eq!(scopes.first().unwrap(), &[OWN]);
        // The last token is for the request that failed, if the first one was not enough.
        assert_eq!(scopes.last().unwrap(), &expected);
        assert!(
            scopes
                .iter()
                .flatten()
                .all(|scope| !scope.contains("samalba")),
            "{scopes:?}"
        );
    }
}

/// A file with an identity token for the registry.
fn identity(odd: &Odd, folder: &TempDir) -> String {
    let file = folder.path().join("config.json");
    let entry = json!({ "auth": base64_of("user:"), "identitytoken": "a-refresh-token" });
    let config = json!({ "auths": { odd.server.host(): entry } });
    fs::write(&file, config.to_string()).unwrap();
    text(&file).to_owned()
}

#[test]
fn a_form_has_one_scope() {
    let folder = TempDir::new().unwrap();
    // The parameter of a challenge may be a list.
    let request = "repository:edge/base:pull repository:edge/sni-guard:pull,push";
    let odd = Odd::start(Quirk::Scopes {
        greeting: "",
        request,
    });
    let file = identity(&odd, &folder);
    // The first token is for everything, so the second one is never asked for: the form of the root.
    succeeds("form", &odd.run(&[], &[("REGISTRY_AUTH_FILE", &file)]));
    for scopes in scopes(&odd) {
        assert_eq!(scopes.len(), 1, "{scopes:?}");
    }
    // Reads are open, and a write names two repositories.
    let challenge = |port: &str| {
        let realm = format!("http://{port}/token");
        let header = format!(r#"Bearer realm="{realm}",service="s",scope="{request}""#);
        Answer::error(401, "UNAUTHORIZED", "no").header("www-authenticate", header)
    };
    let elsewhere = QuirkServer::start(
        odd.registry.address(),
        Quirk::Scopes {
            greeting: "",
            request,
        },
    )
    .unwrap();
    let second = Odd::start(Quirk::Answers(vec![(
        "POST ".into(),
        challenge(&elsewhere.host()),
    )]));
    let file = identity(&second, &folder);
    let run = second.run(&[], &[("REGISTRY_AUTH_FILE", &file)]);
    fails("never enough", &run, &["401"], &[]);
    let forms: Vec<String> = elsewhere
        .seen()
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    let expected =
        "scope=repository%3Aedge%2Fbase%3Apull+repository%3Aedge%2Fsni-guard%3Apull%2Cpush&";
    assert!(forms.first().unwrap().contains(expected), "{forms:?}");
    assert_eq!(
        forms.first().unwrap().matches("scope=").count(),
        1,
        "{forms:?}"
    );
}

#[test]
fn logins_of_other_kinds_are_named() {
    let answer = Answer::new(401, "").header("www-authenticate", "Negotiate");
    let odd = Odd::start(Quirk::Always(answer));
    fails(
        "kind",
        &odd.push(&LOGIN),
        &["were not sent", "negotiate"],
        &["did not ask"],
    );
    let odd = Odd::start(Quirk::Always(Answer::new(401, "")));
    fails(
        "none",
        &odd.push(&LOGIN),
        &["were not sent", "WWW-Authenticate"],
        &["did not ask"],
    );
    // An identity token is no password.
    let folder = TempDir::new().unwrap();
    let answer =
        Answer::new(401, "").header("www-authenticate", "Basic realm=\"https://r.example.com\"");
    let odd = Odd::start(Quirk::Always(answer));
    let run = odd.run(&[], &[("REGISTRY_AUTH_FILE", &identity(&odd, &folder))]);
    fails(
        "identity token",
        &run,
        &["were not sent", "identity token"],
        &["did not ask"],
    );
}

/// Pushes to a registry that only a proxy knows.
fn push_to_test(odd: &Odd, environment: &[(&str, &str)], flags: &[&str]) -> Run {
    let known = ["push", "registry.test/x/y:1", "--module", text(&odd.module)];
    packager_program(&[&known, flags].concat(), environment, PASSWORD).unwrap()
}

#[test]
fn the_password_of_a_proxy_is_hidden_in_each_form() {
    let odd = Odd::start(Quirk::None);
    let basic = base64_of("user:hunter@two!x");
    let page = format!("<html>hunter@two!x and hunter%40two%21x and {basic}</html>");
    let proxy =
        QuirkServer::start(odd.registry.address(), Quirk::Proxy(Answer::new(403, page))).unwrap();
    let address = format!("http://user:hunter%40two%21x@{}", proxy.host());
    let run = push_to_test(&odd, &[("HTTP_PROXY", &address)], &["--plain-http"]);
    fails(
        "page",
        &run,
        &["403", "the proxy"],
        &["hunter", "@two!x", &basic],
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_named() {
    let odd = Odd::start(Quirk::None);
    for value in [
        "http://user:hunter2@proxy:port",
        "ftp://user:hunter2@proxy",
        "http://",
        "socks4://hunter2@proxy:1",
    ] {
        for (variable, flags) in [
            ("HTTPS_PROXY", ["--timeout", "5"].as_slice()),
            ("http_proxy", &["--plain-http", "--timeout", "5"]),
        ] {
            let run = push_to_test(&odd, &[(variable, value)], flags);
            fails(
                value,
                &run,
                &[variable, "NO_PROXY=registry.test"],
                &["hunter2", "401"],
            );
            // A registry on this machine needs no proxy.
            succeeds(value, &odd.run(&[], &[(variable, value)]));
        }
    }
}

#[test]
fn a_socks_proxy_resolves_the_names() {
    let odd = Odd::start(Quirk::None);
    let proxy = SocksServer::start(odd.registry.address()).unwrap();
    for scheme in ["socks5", "socks5h"] {
        let address = format!("{scheme}://{}", proxy.address());
        let run = push_to_test(&odd, &[("ALL_PROXY", &address)], &["--plain-http"]);
        succeeds(scheme, &run);
        assert!(
            proxy.names().iter().all(|name| name == "registry.test"),
            "{:?}",
            proxy.names()
        );
        assert!(!proxy.names().is_empty());
    }
    let gone = "socks5://user:hunter2@127.0.0.1:1";
    let run = push_to_test(&odd, &[("ALL_PROXY", gone)], &["--plain-http"]);
    fails(
        "gone",
        &run,
        &["the proxy socks5", "ALL_PROXY"],
        &["hunter2"],
    );
    let run = push_to_test(&odd, &[("ALL_PROXY", gone)], &[]);
    fails(
        "gone",
        &run,
        &["the proxy socks5", "ALL_PROXY"],
        &["hunter2"],
    );
}

/// The states of the references in a report.
fn states(run: &Run) -> Vec<String> {
    let report: Value = serde_json::from_str(&run.out).unwrap();
    report
        .pointer("/targets")
        .and_then(Value::as_array)
        .unwrap()
        .iter()
        .map(|target| {
            target
                .get("state")
                .and_then(Value::as_str)
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn what_was_pushed_is_reported_although_a_file_cannot_be_written() {
    for flag in ["--layout", "--digest-file"] {
        let odd = Odd::start(Quirk::None);
        let flags = [flag, "/dev/null/x"];
        let run = odd.push(&flags);
        fails(flag, &run, &["/dev/null/x"], &[]);
        assert!(run.out.contains("@sha256:"), "{flag}: {}", run.out);
        assert_eq!(odd.tags(), ["1"]);
        let run = odd.push(&[&flags[..], &["--output", "json"]].concat());
        assert_eq!(
            (run.status, states(&run)),
            (2, vec!["pushed".to_owned()]),
            "{}",
            run.talk
        );
    }
}

#[test]
fn a_manifest_that_was_accepted_did_not_fail() {
    for quirk in [
        Quirk::LateTag {
            status: 404,
            times: 100,
        },
        Quirk::LateTag {
            status: 500,
            times: 100,
        },
    ] {
        let odd = Odd::start(quirk);
        let run = odd.push(&["--output", "json"]);
        assert_eq!(
            (run.status, states(&run)),
            (2, vec!["accepted".to_owned()]),
            "{}",
            run.talk
        );
        // The reference has the digest, so it names the image that the registry accepted.
        let name = format!("oci://{}/{REPOSITORY}:1@sha256:", odd.server.host());
        assert!(run.out.contains(&name), "{}", run.out);
    }
}
