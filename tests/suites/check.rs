//! `packager check`: what its cases in `check/`, which the suite `cases` runs, do not show.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use gateway::documents::read;
use gateway::findings::{self, Code, EXPIRES_WITHIN, Input};
use gateway::{Certificates, Model, Resources};
use packager::render::{Format, Presentation, Style, render};
use serde_json::Value;
use tests::cases::{Case, run};
use tests::process::{packager_program, packager_program_on_terminal, packager_with_input};
use tests::secrets::Pair;

/// Progress is printed on a terminal only, and removed before the report.
#[test]
fn progress_is_for_terminals() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.yaml");
    let input = Case::read("check/04-distinct-certificates.yaml")
        .unwrap()
        .input()
        .unwrap();
    fs::write(&file, input).unwrap();
    let arguments = ["check", file.to_str().unwrap()];
    let watched = packager_program_on_terminal(&arguments).unwrap();
    let steps = "\rreading the resources\x1b[K\r\x1b[K\
                 \rcomputing what the gateways serve\x1b[K\
                 \rcomparing connections and hosts\x1b[K\r\x1b[K";
    let rest = watched.out.strip_prefix(steps);
    assert!(
        rest.is_some_and(|rest| !rest.contains("\x1b[K")),
        "{:?}",
        watched.out
    );
    let quiet = packager_program(&arguments, &[], "").unwrap();
    assert!(
        quiet.talk.starts_with("note: ") && !quiet.talk.contains('\r'),
        "{:?}",
        quiet.talk
    );
    assert!(!quiet.out.contains('\x1b'), "{:?}", quiet.out);
}

/// The findings of a run as JSON, each as `CODE CONNECTION -> OWNER` for each of its pairs. A finding without
/// pairs has its own servers.
fn rows(input: &str) -> BTreeSet<String> {
    let run = run("check % --output json", input).unwrap();
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{}", run.talk));
    let text = |name: &Value| {
        name.as_str()
            .unwrap_or("-")
            .trim_start_matches("Gateway ")
            .replace("istio-system/", "")
            .replace(" servers[0]", "")
            .replace("shop/public listener ", "")
    };
    let mut rows = BTreeSet::new();
    for finding in report["findings"].as_array().unwrap() {
        let code = text(&finding["code"]);
        let pairs = finding["pairs"].as_array().unwrap();
        assert_eq!(finding["pairCount"], pairs.len());
        if pairs.is_empty() {
            let [connection, owner] = ["connections", "owners"].map(|key| text(&finding[key][0]));
            rows.insert(format!("{code} {connection} -> {owner}"));
        }
        for pair in pairs {
            let [connection, owner] = ["connection", "owner"].map(|key| text(&pair[key]));
            // A pair is in one finding of a code.
            assert!(rows.insert(format!("{code} {connection} -> {owner}")));
        }
    }
    rows
}

/// The findings of the cases that share their input with the model, each with its servers.
#[test]
fn each_scenario_has_just_these_findings() {
    let both = ["SG101 gw-a -> gw-b", "SG101 gw-b -> gw-a"];
    let expected: [(&str, &[&str]); 21] = [
        ("01-one-secret", &both),
        ("02-two-secrets", &[both[0], both[1], "SG304 - -> -"]),
        ("03-wildcard-on-one", &[both[0]]),
        ("04-distinct-certificates", &[]),
        (
            "05-two-servers",
            &["SG101 gw -> gw servers[1]", "SG101 gw servers[1] -> gw"],
        ),
        ("06-one-server", &[]),
        (
            "07-wildcard-route",
            &["SG102 gw-w -> gw-b", "SG101 gw-b -> gw-w"],
        ),
        ("08-different-pods", &[]),
        ("09-ports-apart", &[]),
        ("09-ports-mapped", &both),
        ("10-passthrough", &[both[0]]),
        ("11-mutual", &["SG103 gw-w -> gw-b"]),
        ("12-dropped", &["SG201 gw-a -> gw-b"]),
        ("13-rejected", &["SG202 gw-a -> gw-b"]),
        (
            "14-not-exported",
            &["SG101 gw-b -> gw-a", "SG203 gw-b -> gw-b"],
        ),
        (
            "15-unified-too-young",
            &[both[0], both[1], "SG201 gw-a -> gw-u"],
        ),
        (
            "16-repointed",
            &[
                "SG201 gw-a -> gw-u",
                "SG203 gw-a -> gw-a",
                "SG203 gw-b -> gw-b",
            ],
        ),
        ("17-gateway-api", &["SG101 a -> b", "SG101 b -> a"]),
        (
            "18-apex-and-wildcard",
            &["SG101 apex -> wild", "SG101 wild -> apex"],
        ),
        (
            "19-no-secrets",
            &["SG104 gw-a -> gw-b", "SG104 gw-b -> gw-a"],
        ),
        ("20-plain-text", &[]),
    ];
    for (case, expected) in expected {
        let input = Case::read(format!("check/{case}.yaml"))
            .unwrap()
            .input()
            .unwrap();
        let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(rows(&input), expected, "{case}");
    }
}

/// The findings with a code, as JSON.
fn findings_with(code: &str, input: &str) -> Vec<Value> {
    let run = run("check % --output json", input).unwrap();
    let mut report: Value =
        serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{}", run.talk));
    let Some(Value::Array(findings)) = report.get_mut("findings").map(Value::take) else {
        panic!("{}", run.out)
    };
    findings
        .into_iter()
        .filter(|finding| finding["code"] == code)
        .collect()
}

/// The policy of the hint ends the error, and the filter of the next hint the warning.
#[test]
fn a_policy_ends_the_error_about_client_certificates() {
    let scenario = Case::read("check/11-mutual.yaml").unwrap().input().unwrap();
    let without_service = scenario.replace("kind: Service", "kind: Unknown");
    // A second server without client certificates, and a second host with them.
    let more = scenario
        .replace(
            "hosts: [\"b.example.com\"]",
            "hosts: [\"b.example.com\", \"c.example.com\"]",
        )
        .replace("gateways: [gw-w, gw-b]", "gateways: [gw-w, gw-b, gw-d]")
        + "\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
           metadata: {name: gw-d, namespace: istio-system}\n\
           spec:\n  selector: {istio: ingressgateway}\n  servers:\n\
           \x20 - port: {number: 443, name: https-d, protocol: HTTPS}\n\
           \x20   hosts: [\"*.com\"]\n    tls: {mode: SIMPLE, credentialName: w}\n";
    for input in [&scenario, &without_service, &more] {
        let mut input = input.clone();
        for (severity, kind) in [
            ("error", Some("AuthorizationPolicy")),
            ("warning", Some("WasmPlugin")),
            ("info", None),
        ] {
            let findings = findings_with("SG103", &input);
            assert!(!findings.is_empty(), "{input}");
            for finding in &findings {
                assert_eq!(finding["severity"], severity, "{finding}");
            }
            let command = findings[0]["hint"]["command"].as_str();
            assert_eq!(command.is_some(), kind.is_some(), "{command:?}");
            let (Some(kind), Some(command)) = (kind, command) else {
                continue;
            };
            let words = command.strip_prefix("packager ").unwrap();
            let written = run(words, &input).unwrap();
            assert_eq!(written.status, 0, "{}", written.talk);
            assert!(
                written.out.contains(&format!("\nkind: {kind}\n")),
                "{}",
                written.out
            );
            input = format!("{input}\n---\n{}", written.out);
        }
    }
}

#[test]
fn json_has_every_key() {
    let input = Case::read("check/01-one-secret.yaml")
        .unwrap()
        .input()
        .unwrap();
    let run = run("check % --output json", &input).unwrap();
    let expected = concat!(
        r#"{"findings":[{"code":"SG101","name":"coalesce-not-found","severity":"error","#,
        r#""workload":"istio-system/istio=ingressgateway","listener":"0.0.0.0_8443","#,
        r#""certificate":"known","credential":"Secret istio-system/w","guard":"none","#,
        r#""connections":["Gateway istio-system/gw-a servers[0]","#,
        r#""Gateway istio-system/gw-b servers[0]"],"#,
        r#""owners":["Gateway istio-system/gw-a servers[0]","#,
        r#""Gateway istio-system/gw-b servers[0]"],"#,
        r#""pairs":[{"connection":"Gateway istio-system/gw-a servers[0]","#,
        r#""owner":"Gateway istio-system/gw-b servers[0]","sni":"a.example.com","#,
        r#""authority":"b.example.com"},{"connection":"Gateway istio-system/gw-b servers[0]","#,
        r#""owner":"Gateway istio-system/gw-a servers[0]","sni":"b.example.com","#,
        r#""authority":"a.example.com"}],"pairCount":2,"#,
        r#""resources":[{"kind":"Gateway","group":"networking.istio.io","#,
        r#""namespace":"istio-system","name":"gw-a","file":"%","line":"#
    );
    assert!(run.out.starts_with(expected), "{}", run.out);
    let secret =
        r#"{"kind":"Secret","group":"","namespace":"istio-system","name":"w","file":"%","line":"#;
    assert!(run.out.contains(secret), "{}", run.out);
    let hint = concat!(
        r#""hint":{"text":"serve the hosts from one server: one connection then carries requests "#,
        r#"for all of them, and they share its TLS settings; or "#
    );
    assert!(run.out.contains(hint), "{}", run.out);
    let end = concat!(
        r#","command":"packager merge %"}}],"#,
        r#""summary":{"errors":1,"warnings":0,"infos":0,"gateways":2,"servers":2,"suppressed":0,"#,
        r#""ignored":[]}}"#,
        "\n"
    );
    assert!(run.out.ends_with(end), "{}", run.out);
    assert_eq!(run.status, 1);
}

/// A server for each host, with a certificate by name.
fn many(count: usize, certificate: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0..count {
        writeln!(
            text,
            "---\n{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"Gateway\",\"metadata\":\
             {{\"name\":\"g{n}\",\"namespace\":\"istio-system\"}},\"spec\":{{\"selector\":\
             {{\"istio\":\"ingressgateway\"}},\"servers\":[{{\"port\":{{\"number\":443,\"name\":\
             \"https\",\"protocol\":\"HTTPS\"}},\"hosts\":[\"h{n}.example.com\"],\"tls\":{{\"mode\":\
             \"SIMPLE\",\"credentialName\":\"{}\"}}}}]}}}}\n---\n\
             {{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":\
             {{\"name\":\"v{n}\",\"namespace\":\"istio-system\"}},\"spec\":{{\"hosts\":\
             [\"h{n}.example.com\"],\"gateways\":[\"g{n}\"],\"http\":[{{\"route\":[]}}]}}}}",
            certificate(n)
        )
        .unwrap();
    }
    text
}

/// The findings and how long it took.
fn timed(input: &str) -> (Value, Duration) {
    let start = Instant::now();
    let run = packager_with_input(&["check", "-", "--output", "json"], input);
    (serde_json::from_str(&run.out).unwrap(), start.elapsed())
}

/// Five thousand servers on one certificate are twenty-five million pairs, and one finding.
#[test]
fn many_servers_on_one_certificate() {
    let wildcard = Pair::generate(&["*.example.com"], 2100).unwrap();
    let secret = wildcard.secret("istio-system/w").unwrap();
    let (report, took) = timed(&(many(5_000, |_| "w".into()) + &secret));
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["owners"].as_array().unwrap().len(), 5_000);
    assert_eq!(findings[0]["pairs"].as_array().unwrap().len(), 500);
    assert_eq!(findings[0]["pairCount"], 5_000 * 4_999);
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("one certificate: {took:?}");
    // Half of them on a certificate of their own, which is good for no other.
    let own = Pair::generate(&["none.example.com", "h1.example.com"], 2100).unwrap();
    let secrets = secret + &own.secret("istio-system/own").unwrap();
    let half = |n: usize| {
        if n.is_multiple_of(2) {
            "w".into()
        } else {
            "own".into()
        }
    };
    let (report, took) = timed(&(many(5_000, half) + &secrets));
    let findings = report["findings"].as_array().unwrap();
    let pairs: u64 = findings
        .iter()
        .filter(|finding| finding["code"] == "SG101")
        .map(|finding| finding["pairCount"].as_u64().unwrap())
        .sum();
    // From each of the half with the wildcard to all others. The certificate of the other half does not cover
    // their own hosts, so clients refuse it.
    assert_eq!(pairs, 2_500 * 4_999);
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("half of them: {took:?}");
}

/// Certificates that share a wildcard, and have a name each that makes no difference, or one that does.
#[test]
fn many_certificates_with_one_wildcard() {
    let count = 300;
    for next in [0, 1] {
        let mut input = many(count, |n| format!("own-{n}"));
        for n in 0..count {
            let own = format!("h{}.example.com", (n + next) % count);
            let other = format!("h{n}.example.net");
            let pair = Pair::generate(&["*.example.com", &own, &other], 2100).unwrap();
            input += &pair.secret(&format!("istio-system/own-{n}")).unwrap();
        }
        let (report, _) = timed(&input);
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{next}");
        assert_eq!(findings[0]["pairCount"], count * (count - 1), "{next}");
    }
    // Each is good for the others by the wildcard, and for one of another domain.
    let mut input = many(count, |n| format!("own-{n}"));
    for n in 0..count {
        let next = format!("h{}.example.net", (n + 1) % count);
        let pair = Pair::generate(&["*.example.com", &next], 2100).unwrap();
        input += &pair.secret(&format!("istio-system/own-{n}")).unwrap();
        input = input.replace(
            &format!("\"hosts\":[\"h{n}.example.com\"]"),
            &format!("\"hosts\":[\"h{n}.example.com\",\"h{n}.example.net\"]"),
        );
    }
    let (report, _) = timed(&input);
    // The certificate of each does not cover its own host of the other domain, which SG306 reports.
    let findings: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["code"] != "SG306")
        .collect();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["pairCount"], count * (count - 1));
}

/// Routes with many hosts that are bound to many Gateways.
#[test]
fn many_hosts_in_one_virtual_service() {
    let count = 3_000;
    let gateways = many(count, |_| "w".into());
    let gateways = gateways
        .split("---\n")
        .filter(|text| text.contains("\"Gateway\""));
    let names = |prefix: &str, suffix: &str| -> Vec<String> {
        (0..count)
            .map(|n| format!("\"{prefix}{n}{suffix}\""))
            .collect()
    };
    let mut input = gateways.collect::<Vec<_>>().join("---\n");
    write!(
        input,
        "\n---\n{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\
         \"metadata\":{{\"name\":\"v\",\"namespace\":\"istio-system\"}},\"spec\":{{\"hosts\":[{}],\
         \"gateways\":[{}],\"http\":[{{\"route\":[]}}]}}}}\n",
        names("h", ".example.com").join(","),
        names("g", "").join(",")
    )
    .unwrap();
    let (report, took) = timed(&input);
    assert_eq!(report["findings"][0]["pairCount"], count * (count - 1));
    // All pairs would be nine million look-ups, minutes in a build like this one.
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// The report has the same form for two servers and for hundreds: one finding, and up to 500 pairs.
#[test]
fn one_certificate_is_one_finding() {
    let wildcard = Pair::generate(&["*.example.com"], 2100).unwrap();
    let secret = wildcard.secret("istio-system/w").unwrap();
    for servers in [2, 20, 21, 22, 23, 24, 100, 500] {
        let (report, _) = timed(&(many(servers, |_| "w".into()) + &secret));
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{servers}");
        let pairs = servers * (servers - 1);
        assert_eq!(findings[0]["pairCount"], pairs, "{servers}");
        assert_eq!(
            findings[0]["pairs"].as_array().unwrap().len(),
            pairs.min(500),
            "{servers}"
        );
        for side in ["connections", "owners"] {
            assert_eq!(findings[0][side].as_array().unwrap().len(), servers);
        }
    }
}

/// Fifteen Gateways of six teams fit a screen: the text is short, and has each cause once.
#[test]
fn the_text_of_fifteen_gateways_fits_a_screen() {
    let input = Case::read("check/22-fifteen-gateways.yaml")
        .unwrap()
        .input()
        .unwrap();
    let run = run("check %", &input).unwrap();
    assert!(run.out.lines().count() <= 60, "{}", run.out);
    // The path is longer than its mark.
    assert!(
        run.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        run.out
    );
    for code in ["error SG101", "error SG102"] {
        assert_eq!(run.out.matches(code).count(), 1, "{}", run.out);
    }
    assert!(run.out.contains("(196 pairs)") && run.out.contains("(14 pairs)"));
    assert_eq!(run.status, 1);
}

/// The text of the report on an input in some style.
fn text_of(input: &str, style: Style) -> String {
    let mut resources = Resources::default();
    assert!(read("input.yaml", input, &mut resources).is_empty());
    let report = findings::check(&Input {
        resources: &resources,
        model: &Model::new(&resources),
        certificates: &Certificates::new(&resources),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        has_all_secrets: false,
        has_all_gateways: false,
        expires_within: findings::EXPIRES_WITHIN,
    });
    let presentation = Presentation {
        time: None,
        style,
        ..Presentation::default()
    };
    let mut text = Vec::new();
    render(Format::Text, &report, &presentation, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn verbose_text_has_every_pair_with_the_evidence() {
    let input = Case::read("check/01-one-secret.yaml")
        .unwrap()
        .input()
        .unwrap();
    let evidence =
        "- a request for b.example.com on a connection for a.example.com gets 404: Gateway";
    let style = Style {
        width: 200,
        ..Style::default()
    };
    assert!(!text_of(&input, style).contains(evidence));
    let text = text_of(
        &input,
        Style {
            verbose: true,
            ..style
        },
    );
    assert!(text.contains(evidence), "{text}");
    for evidence in [
        "filter chain https.443.https-a.gw-a.istio-system",
        "virtual host a.example.com:443",
        "(*.example.com)",
    ] {
        assert!(text.contains(evidence), "{text}");
    }
    assert_eq!(text.matches("  - a request for ").count(), 2, "{text}");
}

/// Colours add nothing that the text does not have, and lines fit the width.
#[test]
fn colour_and_width_change_no_word() {
    let input = Case::read("check/22-fifteen-gateways.yaml")
        .unwrap()
        .input()
        .unwrap();
    let plain = text_of(&input, Style::default());
    let style = Style {
        color: true,
        ..Style::default()
    };
    let colored = text_of(&input, style);
    assert!(!plain.contains('\x1b') && colored.contains("\x1b[1;31merror SG102\x1b[0m "));
    let mut without = colored;
    for code in ["\x1b[1;31m", "\x1b[36m", "\x1b[1m", "\x1b[0m"] {
        without = without.replace(code, "");
    }
    assert_eq!(without, plain);
    let narrow = Style {
        width: 60,
        ..Style::default()
    };
    let text = text_of(&input, narrow);
    assert!(
        text.lines().all(|line| line.chars().count() <= 60),
        "{text}"
    );
    let words = |text: &str| -> BTreeSet<String> {
        text.split([' ', '\n', ','])
            .filter(|word| *word != "\\")
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(words(&text), words(&plain));
}

/// Names that files make up do not control the terminal.
#[test]
fn no_name_controls_the_terminal() {
    let mut input = many(2, |_| "w".into());
    let pair = Pair::generate(&["*.example.com"], 2100).unwrap();
    input += &pair.secret("istio-system/w").unwrap();
    let input = input
        .replace("\"g0\"", r#""g\u001b[2J\u202e0""#)
        .replace("\"https\"", r#""h\u001b]0;x\u0007""#);
    for verbose in [false, true] {
        let style = Style {
            verbose,
            ..Style::default()
        };
        let text = text_of(&input, style);
        assert!(text.contains("g\u{fffd}[2J\u{fffd}0"), "{text}");
        assert!(!text.contains(['\x1b', '\u{7}', '\u{202e}']), "{text:?}");
    }
}

/// The commands in the text of a report, without the name of the program.
fn commands(text: &str) -> Vec<String> {
    commands_of("packager ", text)
        .into_iter()
        .filter(|line| !line.starts_with("merge refuses"))
        .collect()
}

/// The commands of a program in the text of a report, without its name.
fn commands_of(program: &str, text: &str) -> Vec<String> {
    text.replace(" \\\n", "")
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(program))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Fails unless a shell reads a command of kubectl as a verb, an object, a namespace and a patch in JSON.
fn check_kubectl(command: &str) {
    // The shell's own function instead of the program: there is no cluster to change.
    let script = format!("kubectl() {{ printf '%s\\n' \"$@\"; }}\nkubectl {command}");
    let output = std::process::Command::new("sh")
        .args(["-euc", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.lines().collect();
    let verbs = ["create", "describe", "edit", "get", "label", "patch"];
    assert!(verbs.contains(&words[0]), "{command}");
    let after = |flag: &str| {
        let position = words.iter().position(|word| *word == flag)?;
        words.get(position + 1).copied()
    };
    assert!(
        words.contains(&"--all-namespaces") || after("--namespace").is_some(),
        "{command}"
    );
    if words[0] == "patch" {
        serde_json::from_str::<Value>(after("--patch").unwrap()).unwrap();
    }
}

/// Every command of every report runs as it is printed.
#[test]
fn commands_run_as_they_are_printed() {
    let mut count = 0;
    let mut kubectl_count = 0;
    for case in Case::all("check").unwrap() {
        let input = case.input().unwrap();
        let report = run("check %", &input).unwrap();
        // The commands cannot read what the check could not read.
        if report.status == 2 {
            continue;
        }
        let commands = commands(&report.out);
        for command in &commands {
            let run = run(command, &input).unwrap();
            // The faults of a configuration are an error until the user corrects them.
            let is_expected = if command.starts_with("explain --config ") {
                run.talk.starts_with("error: configuration ")
            } else {
                run.status < 2
            };
            assert!(is_expected, "{}: {command}\n{}", case.name, run.talk);
            count += 1;
        }
        let kubectl = commands_of("kubectl ", &report.out);
        for command in &kubectl {
            check_kubectl(command);
            kubectl_count += 1;
        }
        // No hint refers to a command without the words that it needs.
        for word in [" PATH", " IMAGE", " FILE"] {
            assert!(!report.out.contains(word), "{}: {word}", case.name);
        }
        // The command of the JSON is one of them.
        let report = run("check % --output json", &input).unwrap();
        if report.out.is_empty() {
            continue;
        }
        let report: Value = serde_json::from_str(&report.out).unwrap();
        for finding in report["findings"].as_array().unwrap() {
            if let Some(command) = finding["hint"]["command"].as_str() {
                let (program, command) = command.split_once(' ').unwrap();
                let printed = match program {
                    "packager" => &commands,
                    "kubectl" => &kubectl,
                    other => panic!("{other}"),
                };
                assert!(printed.iter().any(|other| other == command), "{command}");
            }
        }
    }
    assert!(count > 40, "{count}");
    assert!(kubectl_count > 30, "{kubectl_count}");
}

/// The input of a case with the filter that its report proposes, in which a text is replaced.
fn with_proposed_filter(case: &str, old: &str, new: &str) -> String {
    let input = Case::read(format!("check/{case}.yaml"))
        .unwrap()
        .input()
        .unwrap();
    let report = run("check %", &input).unwrap();
    assert_eq!(report.status, 1, "{case}");
    let commands = commands(&report.out);
    let command = commands
        .iter()
        .find(|command| command.starts_with("manifest --image "))
        .unwrap();
    let filter = run(command, &input).unwrap().out;
    let changed = filter.replace(old, new);
    assert!(old == new || changed != filter, "{case}: {filter}");
    format!("{input}\n---\n{changed}")
}

/// With the filter that the report proposes, requests are answered with 421 and the check succeeds.
#[test]
fn the_proposed_filter_makes_the_check_succeed() {
    for case in ["01-one-secret", "22-fifteen-gateways"] {
        let input = with_proposed_filter(case, "", "");
        let report = run("check % --fail-on warning", &input).unwrap();
        assert_eq!(report.status, 0, "{case}: {}", report.out);
        assert!(report.out.contains("info SG101"), "{case}: {}", report.out);
        assert!(
            report.out.contains("answers these requests with 421"),
            "{case}: {}",
            report.out
        );
    }
}

/// A filter that does not answer 421 leaves a warning, and one that cannot run leaves the error.
#[test]
fn a_filter_that_does_not_act_leaves_a_finding() {
    // The resource has no configuration: the default action is enforce.
    let plugin = "  failStrategy: FAIL_OPEN\n";
    let with_config = |config: &str| format!("{plugin}  pluginConfig: {config}\n");
    for (config, guard, severity, status) in [
        ("{action: report}", "reported", "warning", 0),
        ("{action: 'off'}", "off", "warning", 0),
        ("{action: maybe}", "none", "error", 1),
    ] {
        let input = with_proposed_filter("01-one-secret", plugin, &with_config(config));
        let report = run("check % --output json", &input).unwrap();
        assert_eq!(report.status, status, "{config}: {}", report.out);
        let report: Value = serde_json::from_str(&report.out).unwrap();
        let finding = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|finding| finding["code"] == "SG101")
            .unwrap();
        assert_eq!(finding["guard"], guard, "{config}");
        assert_eq!(finding["severity"], severity, "{config}");
    }
    // One host is off: two findings about two causes.
    let off = with_config("{hosts: {b.example.com: 'off'}}");
    let input = with_proposed_filter("01-one-secret", plugin, &off);
    let report = run("check %", &input).unwrap();
    assert!(report.out.contains("info SG101") && report.out.contains("warning SG101"));
    // Mutual TLS is still bypassed on purpose.
    let input = with_proposed_filter("11-mutual", "", "");
    let report = run("check %", &input).unwrap();
    assert_eq!(report.status, 1, "{}", report.out);
    assert!(report.out.contains("error SG103"), "{}", report.out);
}

/// Other certificates, defects and listeners are other causes.
#[test]
fn each_cause_is_a_finding() {
    let mut input = many(6, |n| format!("w{}", n % 2));
    for (n, hosts) in [(0, [0, 2, 4]), (1, [1, 3, 5])] {
        let names = hosts.map(|n| format!("h{n}.example.com"));
        let pair = Pair::generate(&names.each_ref().map(String::as_str), 2100).unwrap();
        input += &pair.secret(&format!("istio-system/w{n}")).unwrap();
    }
    let (report, _) = timed(&input);
    let credentials: Vec<(&str, u64)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let credential = finding["credential"].as_str().unwrap();
            (credential, finding["pairCount"].as_u64().unwrap())
        })
        .collect();
    let expected = [("Secret istio-system/w0", 6), ("Secret istio-system/w1", 6)];
    assert_eq!(credentials, expected);
}

/// A client that refuses a certificate has no connection that it could reuse.
#[test]
fn the_certificate_covers_the_connection_too() {
    let certificate = |names: &[&str]| {
        let pair = Pair::generate(names, 2100).unwrap();
        many(2, |_| "w".into()) + &pair.secret("istio-system/w").unwrap()
    };
    let pairs = |input: &str| -> Vec<String> {
        rows(input)
            .into_iter()
            .filter(|row| row.starts_with("SG101"))
            .collect()
    };
    // The certificate of both has the name of the second alone: only it has connections.
    assert!(pairs(&certificate(&["h1.example.com"])).is_empty());
    let both = ["SG101 g0 -> g1", "SG101 g1 -> g0"];
    assert_eq!(
        pairs(&certificate(&["h0.example.com", "h1.example.com"])),
        both
    );
}

/// A Secret that is not in the input does not exist only if the input is a whole cluster.
#[test]
fn missing_secrets_are_reported_for_whole_clusters_only() {
    let input = Case::read("check/19-no-secrets.yaml")
        .unwrap()
        .input()
        .unwrap();
    let mut resources = Resources::default();
    assert!(read("input.yaml", input, &mut resources).is_empty());
    let model = Model::new(&resources);
    let missing = |has_all_secrets| {
        let report = findings::check(&Input {
            resources: &resources,
            model: &model,
            certificates: &Certificates::new(&resources),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            has_all_secrets,
            has_all_gateways: false,
            expires_within: EXPIRES_WITHIN,
        });
        report
            .findings
            .into_iter()
            .filter(|finding| finding.code == Code::SecretMissing)
            .map(|finding| finding.advice.message)
            .collect::<Vec<_>>()
    };
    assert!(missing(false).is_empty());
    let expected = "there is no Secret istio-system/w, used by Gateway istio-system/gw-a servers[0] and one \
                    more: connections fail";
    assert_eq!(missing(true), [expected]);
}
