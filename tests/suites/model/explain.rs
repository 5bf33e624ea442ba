//! `packager explain --from`: what a gateway does with a request.

use std::fs;

use tests::process::{packager, packager_with_input};

/// `explain --from` prints the outcome of each case at each TLS listener, and the decision of the filter.
#[test]
fn explain_prints_each_listener() {
    for (case, sni, authority, expected) in [
        (
            "01-one-secret",
            "a.example.com",
            "b.example.com",
            vec![r#""outcome":"not_found","status":421,"reason":"unrouted""#],
        ),
        (
            "06-one-server",
            "a.example.com",
            "b.example.com",
            vec![r#""outcome":"served","status":null,"reason":"routed""#],
        ),
        (
            "07-wildcard-route",
            "x.example.com",
            "b.example.com",
            vec![r#""outcome":"served","status":421,"reason":"other_server""#],
        ),
        (
            "10-passthrough",
            "a.example.com",
            "b.example.com",
            vec![r#""outcome":"not_found","status":421,"reason":"unrouted""#],
        ),
        (
            "10-passthrough",
            "b.example.com",
            "b.example.com",
            vec![r#""outcome":"passthrough","status":null,"reason":null"#],
        ),
        (
            "13-rejected",
            "a.example.com",
            "a.example.com",
            vec![
                r#""chain":null,"virtualHost":null,"outcome":"reset","status":null,"reason":null"#,
            ],
        ),
        (
            "08-different-pods",
            "a.example.com",
            "a.example.com",
            vec![
                r#""outcome":"served","status":null,"reason":"routed""#,
                r#""outcome":"reset","status":null,"reason":null"#,
            ],
        ),
    ] {
        let path = format!("gateways/{case}.yaml");
        let run = packager(&[
            "explain",
            "--from",
            &path,
            "--sni",
            sni,
            "--authority",
            authority,
        ]);
        assert_eq!(run.status, 0, "{case}: {}", run.talk);
        let lines: Vec<&str> = run.out.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{case}: {}", run.out);
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{case}: {line}");
        }
    }
}

#[test]
fn explain_has_every_key() {
    let case = r#"{"sni":"b.example.com","authority":"a.example.com"}"#;
    let run = packager_with_input(
        &[
            "explain",
            "--from",
            "gateways/01-one-secret.yaml",
            "--cases",
            "-",
        ],
        case,
    );
    let expected = concat!(
        r#"{"sni":"b.example.com","authority":"a.example.com","#,
        r#""workload":"istio-system/istio=ingressgateway","listener":"0.0.0.0_8443","#,
        r#""chain":"https.443.https-b.gw-b.istio-system","virtualHost":null,"#,
        r#""outcome":"not_found","status":421,"reason":"unrouted"}"#,
        "\n"
    );
    assert_eq!(
        (run.out.as_str(), run.status),
        (expected, 0),
        "{}",
        run.talk
    );
    assert!(
        run.talk
            .contains("note: no pods of istio-system/istio=ingressgateway"),
        "{}",
        run.talk
    );
}

/// Folders, several paths and standard input. Files that do not parse are reported, the others are read.
#[test]
fn explain_reads_files_folders_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("gateways/01-one-secret.yaml").unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/gateways.yml"), &text).unwrap();
    fs::write(folder.path().join("notes.txt"), "kind: [").unwrap();
    let path = folder.path().to_str().unwrap();
    let request = ["--sni", "a.example.com", "--authority", "a.example.com"];
    let explain = |from: &[&str], input: &str| {
        packager_with_input(&[&["explain", "--from"], from, &request].concat(), input)
    };
    let run = explain(&[path], "");
    assert_eq!(
        (run.out.lines().count(), run.status),
        (1, 0),
        "{}",
        run.talk
    );
    let run = explain(&["-"], &text);
    assert_eq!(
        (run.out.lines().count(), run.status),
        (1, 0),
        "{}",
        run.talk
    );
    fs::write(
        folder.path().join("broken.yaml"),
        "a: 1\nkind: [\n---\nkind: ConfigMap\napiVersion: v1\n",
    )
    .unwrap();
    let run = explain(&[path], "");
    assert_eq!(
        (run.out.lines().count(), run.status),
        (1, 2),
        "{}",
        run.talk
    );
    assert!(
        run.talk.contains("broken.yaml:2") || run.talk.contains("broken.yaml:3"),
        "{}",
        run.talk
    );
    let run = explain(&["missing.yaml"], "");
    assert_eq!(run.status, 2);
    assert!(run.talk.contains("reading missing.yaml"), "{}", run.talk);
    let run = explain(&["-"], "");
    assert_eq!(run.status, 2);
    assert!(run.talk.contains("hint: "), "{}", run.talk);
}
