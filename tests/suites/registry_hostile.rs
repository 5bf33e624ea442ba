//! Answers of registries that want the password, or the terminal of the user.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::thread;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tests::process::packager_program;
use tests::quirk_server::{Answer, Encoding, Quirk, QuirkServer, encode};
use tests::registry::PASSWORD;

use crate::registry_quirks::{
    BASIC, FORGED, LOGIN, Odd, assert_harmless, assert_hidden, succeeds, text,
};

#[test]
fn a_server_behind_a_redirect_gets_no_password() {
    let odd = Odd::start(Quirk::RedirectedRoot);
    succeeds("push", &odd.push(&LOGIN));
    assert!(odd.server.odd() > 0);
    for request in odd.server.seen() {
        let is_other = request
            .header("host")
            .is_some_and(|host| host.starts_with("127."));
        assert!(
            !is_other || request.header("authorization").is_none(),
            "{}",
            request.line()
        );
        assert!(!request.path.starts_with("/token"), "{}", request.line());
    }
}

/// A manifest whose layer has this digest.
fn manifest(digest: &str, annotations: &Value) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2 },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest,
            "size": 2,
        }],
        "annotations": annotations,
    })
}

#[test]
fn an_odd_digest_makes_no_request_and_no_line() {
    for digest in [
        "sha256:../../../other/blobs/x".to_owned(),
        format!("sha256:{}\r\nistio@1.31 would load it", "0".repeat(64)),
        format!("sha256:{}/../x", "0".repeat(60)),
        FORGED.to_owned(),
    ] {
        let body = manifest(&digest, &json!({})).to_string();
        let line = "GET /v2/edge/sni-guard/manifests/".to_owned();
        let odd = Odd::start(Quirk::Answers(vec![(line, Answer::new(200, body))]));
        for command in ["verify", "inspect"] {
            let run = packager_program(&[command, &odd.reference()], &[], "").unwrap();
            assert_ne!(run.status, 0, "{digest:?}: {}", run.out);
            assert!(
                run.out.contains("does not have the digest"),
                "{}{}",
                run.out,
                run.talk
            );
            assert_harmless(&run.out);
            assert_harmless(&run.talk);
        }
        for request in odd.server.seen() {
            assert!(
                !request.path.contains("blobs") && !request.path.contains(".."),
                "{}",
                request.line()
            );
        }
    }
}

/// Parts of texts: control characters, forged lines, and the password in each encoding.
fn part() -> impl Strategy<Value = String> {
    let encodings = [
        Encoding::Plain,
        Encoding::Base64,
        Encoding::Base64Url,
        Encoding::Hex,
        Encoding::Percent,
        Encoding::Json,
    ];
    prop_oneof![
        "\\PC{0,20}",
        "[\\x00-\\x1f\\x7f\u{80}-\u{9f}\u{200e}\u{202e}\u{2028}]{1,6}",
        Just(FORGED.to_owned()),
        Just("\u{1b}]8;;http://x\u{7}".to_owned()),
        Just("\r\nistio@1.31 would load it\r\n".to_owned()),
        Just("x".repeat(4_000)),
        (
            prop::sample::select(encodings.to_vec()),
            prop::sample::select(&[PASSWORD, BASIC, "Basic "][..])
        )
            .prop_map(|(encoding, secret)| encode(encoding, &format!("{secret}{PASSWORD}"))),
    ]
}

fn odd_text() -> impl Strategy<Value = String> {
    prop::collection::vec(part(), 1..4).prop_map(|parts| parts.concat())
}

/// A text that HTTP allows in a header, for the most part.
fn header_text() -> impl Strategy<Value = String> {
    odd_text().prop_map(|text| {
        text.replace(['\r', '\n', '\0'], " ")
            .replace(|c: char| c.is_ascii_control(), "\t")
    })
}

fn body() -> impl Strategy<Value = String> {
    (0..6, odd_text(), odd_text()).prop_map(|(form, first, second)| match form {
        0 => first,
        1 => json!({ "errors": [{ "code": first, "message": second }, { "code": second }] })
            .to_string(),
        2 => json!({ "token": first, "access_token": second }).to_string(),
        3 => manifest(
            &format!("sha256:{}", "0".repeat(64)),
            &json!({ &first: second }),
        )
        .to_string(),
        4 => manifest(&first, &json!({ "a": second, "b": "\u{1b}" })).to_string(),
        _ => json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": first,
                "digest": second,
                "size": 1,
                "platform": { "os": "linux", "architecture": "amd64" },
            }],
        })
        .to_string(),
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let statuses = [
        200, 200, 200, 201, 307, 400, 401, 401, 403, 404, 405, 407, 412, 413, 415, 429, 500,
    ];
    let challenge =
        (0..4, header_text(), header_text()).prop_map(|(form, first, second)| match form {
            0 => first,
            1 => format!("Bearer realm=\"{first}\",service=\"{second}\""),
            2 => format!("Bearer realm=\"http://localhost:1/{first}\",scope=\"{second}\""),
            _ => format!("Basic realm=\"{first}\", {second}"),
        });
    let location = (any::<bool>(), header_text()).prop_map(|(is_url, text)| {
        if is_url {
            format!("http://localhost:1/{text}")
        } else {
            text
        }
    });
    (
        prop::sample::select(statuses.to_vec()),
        header_text(),
        (challenge, location, header_text(), header_text()),
        body(),
    )
        .prop_map(
            |(status, reason, (challenge, location, digest, retry), body)| {
                Answer::new(status, body)
                    .reason(reason)
                    .header("www-authenticate", challenge)
                    .header("location", location)
                    .header("docker-content-digest", digest.clone())
                    .header("retry-after", retry)
                    .header("content-type", digest)
            },
        )
}

/// A command and its answers.
#[derive(Clone, Debug)]
struct Case {
    root: Answer,
    other: Answer,
    command: &'static str,
    flags: Vec<&'static str>,
}

fn case() -> impl Strategy<Value = Case> {
    let good = Just(Answer::new(200, "{}"));
    let commands = prop::sample::select(&["verify", "inspect", "push"][..]);
    let verbosity = prop::sample::select(&["--quiet", "--verbose", "--color=always"][..]);
    let format = prop::sample::select(&["--output=text", "--output=json"][..]);
    (
        prop_oneof![good, answer()],
        answer(),
        commands,
        verbosity,
        format,
    )
        .prop_map(|(root, other, command, verbosity, format)| Case {
            root,
            other,
            command,
            flags: vec![verbosity, format],
        })
}

#[test]
fn no_answer_shows_a_secret_or_reaches_the_terminal() {
    // Most cases wait for pauses between attempts, so they run side by side. The cases are always the same.
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> = (0..96)
        .map(|_| case().new_tree(&mut runner).unwrap().current())
        .collect();
    for batch in cases.chunks(16) {
        thread::scope(|scope| {
            for case in batch {
                scope.spawn(|| check(case));
            }
        });
    }
}

fn check(case: &Case) {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let answers = vec![
        ("GET /v2/ ".to_owned(), case.root.clone()),
        (String::new(), case.other.clone()),
    ];
    let server = QuirkServer::start(nowhere, Quirk::Answers(answers)).unwrap();
    let reference = format!("{}/edge/sni-guard:1", server.host());
    let module = tests::module::build().unwrap();
    let module = ["--module", text(&module)];
    let more = if case.command == "push" {
        &module[..]
    } else {
        &[]
    };
    let arguments = [
        &[case.command, reference.as_str(), "--timeout", "2"],
        &LOGIN[..],
        &case.flags,
        more,
    ]
    .concat();
    // Libraries must not log either.
    let environment = [("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")];
    let run = packager_program(&arguments, &environment, PASSWORD).unwrap();
    assert_ne!(run.status, 0, "{case:?}: {}", run.out);
    let is_json = case.flags.contains(&"--output=json");
    let texts = if is_json && !run.out.is_empty() {
        texts(&serde_json::from_str(&run.out).unwrap())
    } else {
        Vec::new()
    };
    assert!(
        !is_json || run.out.lines().count() <= 1,
        "{case:?}: {}",
        run.out
    );
    // A terminal shows JSON too. Its strings may have any character, but no secret.
    assert_harmless_here(case, &run.out);
    assert_harmless_here(case, &run.talk);
    for secret in [PASSWORD, BASIC] {
        for output in texts.iter().chain([&run.out, &run.talk]) {
            assert_hidden(secret, output);
        }
    }
}

fn assert_harmless_here(case: &Case, output: &str) {
    // Colors are the program's own.
    let plain = output.replace("\u{1b}[0m", "").replace("\u{1b}[1m", "");
    let is_json = output.starts_with('{');
    assert!(
        !plain.contains(|c: char| c.is_control() && c != '\n'),
        "{case:?}: {output:?}"
    );
    assert!(
        !plain.contains(['\u{202e}', '\u{2028}', '\u{200e}']),
        "{case:?}: {output:?}"
    );
    for line in plain.lines() {
        assert!(
            !line.starts_with("istio@1.31 would load it"),
            "{case:?}: {output}"
        );
        assert!(
            is_json || line.chars().count() < 3_000,
            "{case:?}: {output}"
        );
    }
}

/// The strings and the keys of a value.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(entries) => entries
            .iter()
            .flat_map(|(key, value)| std::iter::once(key.clone()).chain(texts(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
