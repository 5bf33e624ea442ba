use super::answer::{Answer, Body, Seen, is_identifying};
use super::{Evidence, Report, Row, Verdict};
use crate::advice::Advice;

fn answer(text: &str) -> Answer {
    let mut words = text.split(' ');
    let status = words.next().unwrap().parse().unwrap();
    let body = Body::Whole(String::new());
    let mut answer = Answer {
        status,
        headers: [].into(),
        body,
        client_certificate: false,
    };
    for word in words {
        match word.split_once('=') {
            None if word == "shown" => answer.client_certificate = true,
            Some((name, value)) => {
                answer.headers.insert(name.into(), value.into());
            }
            None if word == "…" => answer.body = Body::Unknown,
            None => answer.body = Body::Whole(word.into()),
        }
    }
    answer
}

/// The outcome `-` (reset), `cert` (a client certificate is required) or `?` (unknown), or an answer: a status,
/// headers and a body.
fn seen(text: &str) -> Seen {
    match text {
        "-" => Seen::Reset,
        "cert" => Seen::ClientCertificate,
        "?" => Seen::Unknown(Advice {
            message: "no answer".into(),
            hint: "wait".into(),
        }),
        text => Seen::Answer(answer(text)),
    }
}

fn evidence(reused: &[&str], fresh: &[&str]) -> Evidence {
    let more = |texts: &[&str]| texts[1..].iter().map(|text| answer(text)).collect();
    Evidence {
        is_coalescible: true,
        has_one_server: false,
        reused: seen(reused[0]),
        fresh: seen(fresh[0]),
        reused_again: more(reused),
        fresh_again: more(fresh),
    }
}

fn name(evidence: &Evidence) -> &'static str {
    evidence.verdict().map_or("unknown", Verdict::name)
}

#[test]
fn verdicts() {
    for (reused, fresh, expected) in [
        ("200 b", "200 b", "fixed-by-merge"),
        ("503", "503", "fixed-by-merge"),
        ("200 x", "200 b", "wrong-route"),
        ("200 b", "503 b", "wrong-route"),
        ("200 server=x b", "200 server=b b", "wrong-route"),
        ("200 server=x b", "200 b", "wrong-route"),
        ("200 …", "200 b", "fixed-by-merge"),
        ("200 server=x …", "200 server=b b", "wrong-route"),
        ("404", "200 b", "not-fixed"),
        ("404", "503", "not-fixed"),
        ("421", "200 b", "fixed-by-421"),
        ("421", "421", "all-421"),
        ("200 b", "421", "all-421"),
        ("404", "421", "all-421"),
        ("404", "404", "unreachable-fresh"),
        ("421", "404", "unreachable-fresh"),
        ("200 x", "404", "wrong-route"),
        ("-", "200 b", "reset"),
        ("200 b", "-", "reset"),
        ("421", "-", "reset"),
        ("?", "-", "reset"),
        ("-", "?", "reset"),
        ("200 b", "200 shown b", "wrong-route"),
        ("200 shown b", "200 shown b", "fixed-by-merge"),
        ("200 shown b", "200 b", "fixed-by-merge"),
        // A new connection serves clients that have a certificate.
        ("200 b", "cert", "wrong-route"),
        ("404", "cert", "not-fixed"),
        ("421", "cert", "fixed-by-421"),
        ("?", "200 b", "unknown"),
        ("404", "?", "unknown"),
        ("cert", "200 b", "unknown"),
    ] {
        let evidence = evidence(&[reused], &[fresh]);
        assert_eq!(name(&evidence), expected, "{reused}, {fresh}");
        let foreign = Evidence {
            is_coalescible: false,
            ..evidence
        };
        assert_eq!(name(&foreign), "not-coalescible", "{reused}, {fresh}");
        assert!(!foreign.wants_more(), "{reused}, {fresh}");
    }
}

#[test]
fn one_server_makes_a_421_needless_and_nothing_else() {
    for (reused, fresh, expected) in [
        ("421", "200 b", "needless-421"),
        ("421", "cert", "needless-421"),
        ("421", "404", "unreachable-fresh"),
        ("421", "421", "all-421"),
        ("421", "-", "reset"),
        ("404", "200 b", "not-fixed"),
        ("200 b", "200 b", "fixed-by-merge"),
        ("200 x", "200 b", "wrong-route"),
    ] {
        let evidence = Evidence {
            has_one_server: true,
            ..evidence(&[reused], &[fresh])
        };
        assert_eq!(name(&evidence), expected, "{reused}, {fresh}");
    }
}

/// What varies from answer to answer: reused ones, fresh ones, the differences and what changes.
#[test]
fn answers_that_vary() {
    for (reused, fresh, verdict, differences, changing) in [
        // Two versions of a backend.
        (
            &["200 v2"][..],
            &["200 v1", "200 v2"][..],
            "fixed-by-merge",
            "",
            "",
        ),
        (
            &["200 v2", "200 v1"],
            &["200 v1", "200 v1"],
            "fixed-by-merge",
            "",
            "",
        ),
        (
            &["200 x", "200 x"],
            &["200 v1", "200 v2", "200 v1"],
            "wrong-route",
            "body",
            "",
        ),
        // An identifier for each request.
        (
            &["200 i1", "200 i2"],
            &["200 i3", "200 i4"],
            "fixed-by-merge",
            "",
            "body",
        ),
        (
            &["200 via=1 x", "200 via=2 x"],
            &["200 via=3 b", "200 via=4 b"],
            "wrong-route",
            "body",
            "via",
        ),
        (
            &["200 server=x i1"],
            &["200 server=b i3", "200 server=b i4"],
            "wrong-route",
            "server",
            "body",
        ),
        // A status is never ignored.
        (
            &["200 i1"],
            &["503 i3", "500 i4"],
            "wrong-route",
            "status",
            "body",
        ),
        (&["503 b"], &["200 b", "503 b"], "fixed-by-merge", "", ""),
        // The time in seconds.
        (
            &["200 t1", "200 t2"],
            &["200 t2", "200 t2"],
            "fixed-by-merge",
            "",
            "",
        ),
        (&["200 …"], &["200 …", "200 …"], "fixed-by-merge", "", ""),
    ] {
        let evidence = evidence(reused, fresh);
        let found = (
            name(&evidence),
            evidence.differences().join(" "),
            evidence.changing().join(" "),
        );
        let expected = (verdict, differences.to_owned(), changing.to_owned());
        assert_eq!(found, expected, "{reused:?}, {fresh:?}");
    }
}

#[test]
fn more_is_asked_for_while_it_may_show_something() {
    for (reused, fresh, expected) in [
        (&["200 x"][..], &["200 b"][..], true),
        (&["200 x"], &["503 b"], true),
        (&["200 x", "200 y"], &["200 b", "200 c"], true),
        (&["200 x", "200 b"], &["200 b", "200 c"], false),
        (&["200 b"], &["200 b"], false),
        (&["404"], &["200 b"], false),
        (&["200 x"], &["404"], false),
        (&["200 x"], &["cert"], false),
        (&["-"], &["200 b"], false),
    ] {
        assert_eq!(
            evidence(reused, fresh).wants_more(),
            expected,
            "{reused:?}, {fresh:?}"
        );
    }
}

#[test]
fn headers() {
    for (header, expected) in [
        ("server", true),
        ("location", true),
        ("x-envoy-decorator-operation", true),
        ("x-envoy-upstream-service-time", false),
        ("set-cookie", false),
        ("date", false),
        ("x-request-id", false),
    ] {
        assert_eq!(is_identifying(header), expected, "{header}");
    }
}

fn report(rows: &[(&str, &str, &str)]) -> Report {
    let rows = rows.iter().map(|(authority, reused, fresh)| {
        Row::new(authority, true, None, evidence(&[reused], &[fresh]))
    });
    Report {
        connect: "127.0.0.1:443".into(),
        sni: "a.example.com".into(),
        connected: true,
        alpn: Some("h2".into()),
        sans: vec!["*.example.com".into()],
        connection: None,
        results: rows.collect(),
    }
}

#[test]
fn ends() {
    let fine = ("a.example.com", "200 a", "200 a");
    let broken = ("b.example.com", "404", "200 b");
    let unknown = ("c.example.com", "?", "200 c");
    for (rows, expected) in [
        (&[fine][..], Some(true)),
        (&[fine, broken], Some(false)),
        (&[fine, unknown], None),
        (&[broken, unknown], None),
    ] {
        assert_eq!(report(rows).is_fine(), expected, "{rows:?}");
    }
}

#[test]
fn changes() {
    let before = report(&[
        ("a.example.com", "200 a", "200 a"),
        ("b.example.com", "404", "200 b"),
    ]);
    let same = report(&[
        ("a.example.com", "200 x", "200 x"),
        ("b.example.com", "404", "200 c"),
    ]);
    let after = report(&[
        ("a.example.com", "200 a", "200 a"),
        ("b.example.com", "200 b", "200 b"),
    ]);
    assert!(before.is_unchanged(&same));
    assert!(!before.is_unchanged(&after));
    let renewed = Report {
        sans: vec!["a.example.com".into()],
        ..before.clone()
    };
    assert!(!before.is_unchanged(&renewed));
}
