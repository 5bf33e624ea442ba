//! Every verdict on a real Envoy.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::certificate::Certificate;
use tests::envoy::{Chain, Envoy, Listener, Transport, VirtualHost};
use tests::process::free_ports;

use super::gateways::Gateways;
use super::{A, B, Run, packager, packager_with_input, probe, report, verdicts};

const FROM_ONE_SERVER: [&str; 2] = ["--from", "gateways/06-one-server.yaml"];
const FROM_TWO_SERVERS: [&str; 2] = ["--from", "gateways/01-one-secret.yaml"];

/// A listener, the server name, the authority and what resources say; then the status on the reused
/// connection, that on a new one, the verdict and the exit status.
#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn verdicts_of_every_kind() {
    let gateways = Gateways::start(&[]);
    let (x, c) = ("x.example.com", "c.example.com");
    for (listener, sni, authority, from, reused, fresh, verdict, status) in [
        ("plain", A, B, &[][..], 404, 200, "not-fixed", 1),
        (
            "plain",
            A,
            "B.Example.com.:443",
            &[],
            404,
            404,
            "unreachable-fresh",
            1,
        ),
        (
            "plain",
            A,
            "B.Example.com:443",
            &FROM_TWO_SERVERS,
            404,
            200,
            "not-fixed",
            1,
        ),
        ("plain", A, A, &[], 200, 200, "fixed-by-merge", 0),
        ("guarded", A, B, &[], 421, 200, "fixed-by-421", 0),
        (
            "guarded",
            A,
            B,
            &FROM_TWO_SERVERS,
            421,
            200,
            "fixed-by-421",
            0,
        ),
        (
            "guarded",
            A,
            A,
            &FROM_TWO_SERVERS,
            200,
            200,
            "fixed-by-merge",
            0,
        ),
        ("always", A, B, &[], 421, 421, "all-421", 1),
        ("merged", A, B, &[], 200, 200, "fixed-by-merge", 0),
        (
            "merged",
            A,
            B,
            &FROM_ONE_SERVER,
            200,
            200,
            "fixed-by-merge",
            0,
        ),
        (
            "strict",
            A,
            B,
            &FROM_ONE_SERVER,
            421,
            200,
            "needless-421",
            1,
        ),
        (
            "strict",
            A,
            B,
            &FROM_TWO_SERVERS,
            421,
            200,
            "fixed-by-421",
            0,
        ),
        ("strict", A, B, &[], 421, 200, "fixed-by-421", 0),
        ("counting", A, B, &[], 200, 200, "fixed-by-merge", 0),
        ("two versions", A, B, &[], 200, 200, "fixed-by-merge", 0),
        ("wildcard", x, B, &[], 200, 200, "wrong-route", 1),
        ("wildcard", B, x, &[], 404, 200, "not-fixed", 1),
        ("mutual", x, B, &[], 200, 0, "wrong-route", 1),
        ("mutual guarded", x, B, &[], 421, 0, "fixed-by-421", 0),
        ("unattached", A, B, &[], 404, 404, "unreachable-fresh", 1),
        ("plain", A, c, &[], 404, 0, "reset", 1),
        ("plain", c, A, &[], 0, 200, "reset", 1),
        (
            "plain",
            A,
            "b.example.net",
            &[],
            404,
            0,
            "not-coalescible",
            0,
        ),
        (
            "plain",
            A,
            "x.a.example.com",
            &[],
            404,
            0,
            "not-coalescible",
            0,
        ),
        ("old", A, B, &[], 404, 200, "not-coalescible", 0),
    ] {
        let (run, report) = report(&gateways.connect(listener), sni, &[authority], from);
        let result = &report["results"][0];
        let number = |status: &Value| status.as_u64().unwrap_or_default();
        let statuses = [number(&result["status"]), number(&result["freshStatus"])];
        let what = format!("{listener}, {authority} on {sni}: {report} {}", run.talk);
        assert_eq!(statuses, [reused, fresh], "{what}");
        assert_eq!(
            (verdicts(&report), run.status),
            (vec![(authority, verdict)], status),
            "{what}"
        );
    }
}

#[test]
fn json_for_programs() {
    let gateways = Gateways::start(&["plain"]);
    let connect = gateways.connect("plain");
    let (run, report) = report(&connect, A, &[A, B, "b.example.net"], &FROM_TWO_SERVERS);
    assert_eq!(
        (run.status, run.out.lines().count()),
        (1, 1),
        "{}",
        run.talk
    );
    assert_eq!(report["alpn"], "h2");
    assert_eq!(report["sans"], json!(["*.b.example.com", "*.example.com"]));
    assert_eq!(report["connection"], "Gateway istio-system/gw-a servers[0]");
    let result = &report["results"][1];
    assert_eq!(result["covered"], true);
    assert_eq!(result["owner"], "Gateway istio-system/gw-b servers[0]");
    assert_eq!(result["reused"]["body"], sha256(""));
    assert_eq!(
        result["reused"]["headers"]["server"],
        "https.443.https-a.gw-a.istio-system = a.example.com"
    );
    assert_eq!(
        result["fresh"]["headers"]["server"],
        "https.443.https-b.gw-b.istio-system = b.example.com"
    );
    assert_eq!(result["fresh"]["headers"]["date"], Value::Null);
    let foreign = &report["results"][2];
    assert_eq!(
        (&foreign["covered"], &foreign["owner"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(foreign["fresh"], json!({ "failure": "reset" }));
    assert_eq!(
        verdicts(&report),
        [
            (A, "fixed-by-merge"),
            (B, "not-fixed"),
            ("b.example.net", "not-coalescible")
        ]
    );
}

fn sha256(text: &str) -> String {
    assert_eq!(text, "");
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into()
}

#[test]
fn a_table_for_people() {
    let gateways = Gateways::start(&["plain", "wildcard", "counting"]);
    let connect = gateways.connect("plain");
    let run = probe(&connect, A, &[A, B, "c.example.com"], &FROM_TWO_SERVERS);
    assert_eq!(run.status, 1, "{}", run.talk);
    let expected = format!(
        "{connect} with SNI a.example.com: h2, certificate for *.b.example.com, *.example.com, Gateway \
         istio-system/gw-a servers[0]

AUTHORITY      COVERED  REUSED  FRESH  VERDICT         SERVER
a.example.com  yes      200     200    fixed-by-merge  Gateway istio-system/gw-a servers[0]
b.example.com  yes      404     200    not-fixed       Gateway istio-system/gw-b servers[0]
c.example.com  yes      404     reset  reset

not-fixed: 404 on the reused connection, served on a new one: merge the servers, or install the filter
fixed-by-merge: the reused connection gives the answer of a new one
reset: ended without an answer: no TLS server has the name, or it has no certificate
"
    );
    assert_eq!(run.out, expected);
    assert_eq!(
        run.talk,
        "note: no pods of istio-system/istio=ingressgateway in the input, some are assumed\n"
    );
    let run = probe(&connect, "c.example.com", &[A], &[]);
    assert!(
        run.out.starts_with(&format!(
            "{connect} with SNI c.example.com: the server ends"
        )),
        "{}",
        run.out
    );
    let run = probe(&gateways.connect("wildcard"), "x.example.com", &[B], &[]);
    assert!(
        run.out
            .contains("b.example.com: the answers differ in body, server\n"),
        "{}",
        run.out
    );
    let run = probe(&gateways.connect("counting"), A, &[B], &[]);
    assert!(
        run.out
            .contains("b.example.com: not compared, it changes each time: body\n"),
        "{}",
        run.out
    );
}

/// Resources in which the server name is on several listeners: the certificate decides, then the port.
#[test]
fn the_listener_is_found() {
    let gateways = Gateways::start(&["strict"]);
    let connect = gateways.connect("strict");
    let (_, port) = connect.split_once(':').unwrap();
    let one = fs::read_to_string("gateways/06-one-server.yaml").unwrap();
    let two = fs::read_to_string("gateways/01-one-secret.yaml").unwrap();
    let elsewhere = |text: &str, namespace: &str| {
        let text = text.replace("istio: ingressgateway", "istio: other");
        text.replace("istio-system", namespace)
    };
    let others = elsewhere(&two, "aaa");
    let at_port = one.replace("8443", port);
    let secret = |namespace: &str| {
        use base64::Engine as _;
        let pem = fs::read(&gateways.certificate.certificate).unwrap();
        let pem = base64::engine::general_purpose::STANDARD.encode(pem);
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: w, namespace: {namespace}}}\n\
             data: {{tls.crt: {pem}}}\n"
        )
    };
    let without =
        |text: &str| text.split("kind: Secret").next().unwrap().to_owned() + "kind: ConfigMap\n";
    let with_secret = without(&one) + &secret("istio-system");
    for (input, verdict, note) in [
        (format!("{others}\n---\n{at_port}"), "needless-421", false),
        (
            format!("{others}\n---\n{with_secret}"),
            "needless-421",
            false,
        ),
        (format!("{others}\n---\n{one}"), "fixed-by-421", true),
        (
            "apiVersion: v1\nkind: List\nitems: []\n".into(),
            "fixed-by-421",
            true,
        ),
    ] {
        let arguments = [
            "probe",
            "--insecure-skip-tls-verify",
            "--connect",
            &connect,
            "--sni",
            A,
        ];
        let more = ["--authority", B, "--output", "json", "--from", "-"];
        let run = packager_with_input(&[arguments, more].concat(), &input);
        let report: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(verdicts(&report), [(B, verdict)], "{}", run.talk);
        let is_noted =
            run.talk.contains("on several listeners") || run.talk.contains("no TLS server");
        assert_eq!(is_noted, note, "{}", run.talk);
    }
    let from = ["--from", "check/broken-document.yaml"];
    let run = probe(&connect, A, &[B], &from);
    assert_eq!(run.status, 2, "{}", run.talk);
    assert!(
        run.talk
            .contains("error: reading check/broken-document.yaml"),
        "{}",
        run.talk
    );
}

#[test]
fn certificates_are_verified() {
    let gateways = Gateways::start(&["merged"]);
    let connect = gateways.connect("merged");
    let own = gateways.certificate.certificate.to_str().unwrap();
    let folder = gateways.folder.path().join("other");
    fs::create_dir_all(&folder).unwrap();
    let other = Certificate::generate(&folder, &["*.example.com"]).unwrap();
    let other = other.certificate.to_str().unwrap();
    let arguments = |sni| {
        [
            "probe",
            "--connect",
            &connect,
            "--sni",
            sni,
            "--authority",
            B,
        ]
        .map(str::to_owned)
    };
    for (sni, ca_file, status, said) in [
        (A, Some(own), 0, ""),
        (
            A,
            Some(other),
            2,
            "hint: give the certificate of the authority",
        ),
        (A, None, 2, "error: connecting to"),
    ] {
        let ca_file: Vec<&str> = ca_file
            .into_iter()
            .flat_map(|path| ["--ca-file", path])
            .collect();
        let arguments = arguments(sni);
        let arguments: Vec<&str> = arguments
            .iter()
            .map(String::as_str)
            .chain(ca_file)
            .collect();
        let run = packager(&arguments);
        assert_eq!(run.status, status, "{}", run.talk);
        assert!(run.talk.contains(said), "{}", run.talk);
    }
}

#[test]
fn client_certificates() {
    let gateways = Gateways::start(&["mutual"]);
    let connect = gateways.connect("mutual");
    // The server closes while the client writes: its answer must not get lost, whichever is first.
    for _ in 0..20 {
        let refused = probe(&connect, B, &[B], &[]);
        assert_eq!(
            (refused.status, refused.out.as_str()),
            (2, ""),
            "{}",
            refused.talk
        );
        let said = "with SNI b.example.com: the server requires a client certificate\nhint: give a certificate";
        assert!(refused.talk.contains(said), "{}", refused.talk);
    }
    let pair = &gateways.certificate;
    let [certificate, key] = [&pair.certificate, &pair.key].map(|path| path.to_str().unwrap());
    let own = ["--client-cert", certificate, "--client-key", key];
    let (run, report) = report(&connect, B, &[B], &own);
    assert_eq!(
        (run.status, verdicts(&report)),
        (0, vec![(B, "fixed-by-merge")]),
        "{}",
        run.talk
    );
    // A client that reuses this connection is not asked for the certificate.
    let (run, report) = super::report(&connect, "x.example.com", &[B], &own);
    assert_eq!(
        (run.status, verdicts(&report)),
        (1, vec![(B, "wrong-route")]),
        "{}",
        run.talk
    );
    let differences = &report["results"][0]["differences"];
    assert_eq!(differences[0], "client certificate", "{report}");
    let folder = gateways.folder.path().join("stranger");
    fs::create_dir_all(&folder).unwrap();
    let pair = Certificate::generate(&folder, &["stranger"]).unwrap();
    let [certificate, stranger_key] =
        [&pair.certificate, &pair.key].map(|path| path.to_str().unwrap());
    let run = probe(
        &connect,
        B,
        &[B],
        &["--client-cert", certificate, "--client-key", stranger_key],
    );
    assert_eq!(run.status, 2, "{}{}", run.out, run.talk);
    assert!(run.talk.contains("TLS alert"), "{}", run.talk);
    let run = probe(
        &connect,
        B,
        &[B],
        &["--client-cert", certificate, "--client-key", certificate],
    );
    assert_eq!(run.status, 2);
    assert!(
        run.talk.contains("the file has no private key\nhint: "),
        "{}",
        run.talk
    );
    let run = probe(
        &connect,
        B,
        &[B],
        &["--client-cert", certificate, "--client-key", key],
    );
    assert_eq!(run.status, 2);
    assert!(run.talk.starts_with("error: using "), "{}", run.talk);
}

#[test]
fn nobody_listens() {
    let port = free_ports(1).unwrap()[0];
    let run = probe(&format!("127.0.0.1:{port}"), A, &[B], &[]);
    assert_eq!((run.status, run.out.as_str()), (2, ""));
    let expected =
        format!("error: connecting to 127.0.0.1:{port} with SNI a.example.com: Connection refused");
    assert!(
        run.talk.starts_with(&expected) && run.talk.contains("\nhint: "),
        "{}",
        run.talk
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn usage() {
    for (arguments, said) in [
        (
            &["--connect", "127.0.0.1", "--sni", A, "--authority", B][..],
            "expected ADDRESS:PORT",
        ),
        (
            &["--connect", "::1:443", "--sni", A, "--authority", B],
            "in brackets",
        ),
        (
            &["--connect", "h:0", "--sni", A, "--authority", B],
            "expected ADDRESS:PORT",
        ),
        (
            &[
                "--connect",
                "h:1",
                "--sni",
                "*.example.com",
                "--authority",
                B,
            ],
            "one host",
        ),
        (
            &["--connect", "h:1", "--sni", "127.0.0.1", "--authority", B],
            "cannot be an address",
        ),
        (
            &["--connect", "h:1", "--sni", A, "--authority", "a b"],
            "expected a host",
        ),
        (
            &["--connect", "h:1", "--sni", A, "--authority", "[::1]:443"],
            "expected a name",
        ),
        (&["--connect", "h:1", "--sni", A], "--authority"),
        (
            &[
                "--connect",
                "h:1",
                "--sni",
                A,
                "--authority",
                B,
                "--path",
                "x",
            ],
            "that begins with /",
        ),
        (
            &[
                "--connect",
                "h:1",
                "--sni",
                A,
                "--authority",
                B,
                "--method",
                "CONNECT",
            ],
            "a method other than CONNECT",
        ),
        (
            &[
                "--connect",
                "h:1",
                "--sni",
                A,
                "--authority",
                B,
                "--timeout",
                "0",
            ],
            "--timeout",
        ),
        (
            &[
                "--connect",
                "h:1",
                "--sni",
                A,
                "--authority",
                B,
                "--for",
                "5",
            ],
            "--watch",
        ),
        (
            &[
                "--connect",
                "h:1",
                "--sni",
                A,
                "--authority",
                B,
                "--client-key",
                "k",
            ],
            "--client-cert",
        ),
    ] {
        let run = packager(&[&["probe"], arguments].concat());
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{arguments:?}");
        assert!(run.talk.contains(said), "{arguments:?}: {}", run.talk);
    }
}

#[test]
fn paths_and_methods() {
    let envoy = Envoy::start(&[Listener {
        name: "paths".into(),
        transport: Transport::Tls,
        chains: vec![Chain {
            server_names: vec![A.into(), B.into()],
            virtual_hosts: vec![VirtualHost {
                prefix: Some("/page".into()),
                ..VirtualHost::of(A)
            }],
        }],
        filters: vec![],
    }]);
    let envoy = envoy.unwrap();
    let connect = envoy.listener("paths").unwrap().to_string();
    for (more, verdict) in [
        (&["--path", "/page?one=1"][..], "fixed-by-merge"),
        (&["--path", "/page", "--method", "HEAD"], "fixed-by-merge"),
        (&["--path", "/other"], "unreachable-fresh"),
    ] {
        let (run, report) = report(&connect, B, &[A], more);
        assert_eq!(verdicts(&report), [(A, verdict)], "{more:?}: {}", run.talk);
    }
}

#[test]
fn rounds_are_reported_once_where_nothing_changes() {
    let gateways = Gateways::start(&["plain"]);
    let connect = gateways.connect("plain");
    let run = probe(
        &connect,
        A,
        &[B],
        &["--repeat", "3", "--interval", "0", "--output", "json"],
    );
    assert_eq!((run.status, run.out.lines().count()), (1, 1), "{}", run.out);
    assert!(run.talk.starts_with("3 rounds in "), "{}", run.talk);
    assert!(run.talk.ends_with(" s, changes in 0\n"), "{}", run.talk);
    let run = probe(&connect, A, &[A], &["--repeat", "2", "--interval", "0"]);
    assert_eq!((run.status, run.out.lines().count()), (0, 6), "{}", run.out);
}

/// `probe` watches a merge: it prints the change, and the last round decides the exit status.
#[test]
fn a_merge_is_watched() {
    let apart = Listener::with_servers("gateway", &[A, B], None);
    let chain = Chain {
        server_names: vec![A.into(), B.into()],
        virtual_hosts: vec![VirtualHost::of(A), VirtualHost::of(B)],
    };
    let merged = Listener {
        chains: vec![chain],
        ..apart.clone()
    };
    let envoy = Envoy::start_discovering(std::slice::from_ref(&apart)).unwrap();
    let connect = envoy.listener("gateway").unwrap().to_string();
    let began = Instant::now();
    let watching = |more: &'static [&'static str]| {
        let connect = connect.clone();
        thread::spawn(move || probe(&connect, A, &[B], more))
    };
    let watched = watching(&["--watch", "--for", "3", "--interval", "0"]);
    let counted = watching(&["--repeat", "3", "--interval", "1", "--output", "json"]);
    thread::sleep(Duration::from_millis(900));
    envoy.replace_listeners(&[merged]).unwrap();
    let (watched, counted) = (watched.join().unwrap(), counted.join().unwrap());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(watched.status, 0, "{}{}", watched.out, watched.talk);
    let change =
        "b.example.com: fixed-by-merge, was not-fixed (reused 200, was 404; fresh 200, was 200)";
    assert_eq!(count(&watched, change), 1, "{}", watched.out);
    assert!(watched.talk.contains(" rounds in "), "{}", watched.talk);
    assert_eq!(counted.status, 1, "one round was not fine: {}", counted.out);
    let last: Value = serde_json::from_str(counted.out.lines().last().unwrap()).unwrap();
    assert_eq!(verdicts(&last), [(B, "fixed-by-merge")], "{}", counted.out);
    assert_eq!(counted.out.lines().count(), 2, "{}", counted.out);
}

fn count(run: &Run, change: &str) -> usize {
    run.out
        .lines()
        .filter(|line| line.ends_with(change))
        .count()
}
