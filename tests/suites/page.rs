//! `packager check --output html`: what is in the page, and what names from outside cannot do to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::Entry;
use gateway::ServerId;
use gateway::advice::Advice;
use gateway::findings::{
    self, CheckedListener, CheckedServer, Code, Finding, Known, ListenerAddress, Protection,
    Report, Summary, WorkloadName,
};
use gateway::resources::{Kind, ResourceName};
use packager::render::{ClusterWords, Format, Presentation, SourceWords, render};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tests::browser::rendered;
use tests::cases::{Case, Golden, run};
use tests::process::packager_with_input;
use tests::secrets::Pair;

/// The text between two others, wherever they are.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    text.split(start)
        .skip(1)
        .map(|rest| rest.split_once(end).unwrap().0)
        .collect()
}

fn page_of(report: &Report) -> String {
    let mut page = Vec::new();
    render(Format::Html, report, &Presentation::default(), &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

/// The page of a case of `check`, and the exit status.
fn page_of_case(case: &str) -> (String, u8) {
    let case = Case::read(format!("check/{case}.yaml")).unwrap();
    let run = run("check % --output html", &case.input().unwrap()).unwrap();
    (run.out, run.status)
}

/// All but the style and the script, which would hide the rest. `BLESS=1` writes the file anew.
#[test]
fn a_page_as_expected() {
    let (page, status) = page_of_case("07-wildcard-route");
    assert_eq!(status, 1);
    let mut shown = page.clone();
    let contents = ["style", "script"].map(|name| (format!("<{name}>"), format!("</{name}>")));
    for content in contents
        .iter()
        .flat_map(|(start, end)| between(&page, start, end))
    {
        shown = shown.replace(content, "…");
    }
    for time in between(&page, "<time ", "</time>") {
        shown = shown.replace(time, "…");
    }
    for digest in between(&page, "'sha256-", "'") {
        shown = shown.replace(digest, "…");
    }
    Golden::new("check/07-wildcard-route.html", shown)
        .check()
        .unwrap();
}

/// The policy permits the page's own style and script by their digests, and nothing else.
#[test]
fn the_page_loads_nothing() {
    let (page, _) = page_of_case("01-one-secret");
    let digest = |element: &str| {
        let content = between(&page, &format!("<{element}>"), &format!("</{element}>"));
        assert_eq!(content.len(), 1, "{element}");
        STANDARD.encode(Sha256::digest(content[0]))
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        digest("style"),
        digest("script")
    );
    assert_eq!(
        between(&page, "Content-Security-Policy\" content=\"", "\""),
        [policy]
    );
    let body = page
        .split_once("<body>")
        .unwrap()
        .1
        .split_once("<script>")
        .unwrap()
        .0;
    for reference in [
        "src=", "url(", "http:", "https:", "<link", "style=", "onclick=", "onload=",
    ] {
        assert!(!body.contains(reference), "{reference}");
    }
    let style = between(&page, "<style>", "</style>")[0];
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn each_finding_is_a_row_and_each_pair_an_edge() {
    for (case, rows, edges) in [
        ("01-one-secret", 1, 2),
        ("03-wildcard-on-one", 1, 1),
        ("06-one-server", 0, 0),
        ("11-mutual", 1, 1),
        ("12-dropped", 1, 0),
        ("17-gateway-api", 1, 2),
        ("19-no-secrets", 1, 2),
    ] {
        let (page, _) = page_of_case(case);
        assert_eq!(between(&page, "<tr id=\"f", "\"").len(), rows, "{case}");
        assert_eq!(
            between(&page, "<a class=\"edge ", "\"").len(),
            edges,
            "{case}"
        );
        // Wherever something in the picture leads, there is a row.
        for place in between(&page, " href=\"#", "\"") {
            assert!(
                page.contains(&format!("<tr id=\"{place}\"")),
                "{case}: {place}"
            );
        }
    }
}

/// Above some pairs, the lines of a finding meet in one label instead of crossing each other.
#[test]
fn many_pairs_are_groups() {
    let (page, _) = page_of_case("22-fifteen-gateways");
    let lines = between(&page, "<path class=\"wire ", "/>").len();
    let labels = between(&page, "<a class=\"edge ", "\"").len();
    assert!(labels <= 4, "{labels}");
    assert!(lines < 70, "{lines}");
}

/// The page names what was checked and when, and where the picture scrolls.
#[test]
fn the_page_names_its_input() {
    let report = report_of(HOSTILE);
    let presentation = Presentation {
        source: SourceWords {
            paths: vec![HOSTILE.into(), "-".into()],
            cluster: Some(ClusterWords {
                context: Some("blue".into()),
                namespaces: vec!["shop".into()],
                ..ClusterWords::default()
            }),
            mesh_config: None,
            exclude: Vec::new(),
        },
        time: Some("2026-06-01T12:30:00Z".parse().unwrap()),
        ..Presentation::default()
    };
    let mut page = Vec::new();
    render(Format::Html, &report, &presentation, &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    for text in [
        "<time datetime=\"2026-06-01T12:30:00Z\">2026-06-01 12:30 UTC</time>",
        "<dt>cluster, by its context</dt><dd><code>blue</code></dd>",
        "<dt>namespaces</dt><dd><code>shop</code></dd>",
        "<code>standard input</code>",
        "scroll it sideways",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<img"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let case = Case::read("check/07-wildcard-route.yaml").unwrap();
    let input = case.input().unwrap();
    let pages = [(); 2].map(|()| {
        let page = run("check % --output html", &input).unwrap().out;
        let time = between(&page, "<time ", "</time>")[0].to_owned();
        page.replace(&time, "")
    });
    assert_eq!(pages[0], pages[1]);
}

const HOSTILE: &str = "</script></style></title><img src=x onerror=alert('1')>\"&<!--";

/// A report in which every name is this one, but for the numbers that distinguish servers.
fn report_of(name: &str) -> Report {
    let server = |number: usize| ServerId {
        resource: ResourceName {
            kind: Kind::Gateway,
            namespace: name.into(),
            name: name.into(),
        },
        entry: Entry::Listener(format!("{name}{number}")),
    };
    let workload = WorkloadName {
        namespace: name.into(),
        name: name.into(),
    };
    let address = ListenerAddress {
        bind: name.into(),
        port: 443,
    };
    let pair = findings::Pair {
        connection: server(0),
        owner: server(1),
        sni: name.into(),
        authority: name.into(),
        evidence: name.into(),
    };
    let finding = |code: Code, pair_count: usize| Finding {
        code,
        severity: code.severity(),
        workload: Some(workload.clone()),
        listener: Some(address.clone()),
        sni: Some(name.into()),
        authority: Some(name.into()),
        connections: vec![server(0), server(2)],
        owners: vec![server(1)],
        pairs: vec![pair.clone()],
        pair_count,
        certificate: Known::Known,
        credentials: Vec::new(),
        guard: Protection::None,
        advice: Advice::new(name, name),
        remedies: Vec::new(),
        counted: std::collections::BTreeSet::new(),
        resources: Vec::new(),
    };
    let servers = (0..4).map(|n| CheckedServer {
        id: server(n),
        hosts: vec![name.into()],
    });
    let listener = CheckedListener {
        workload: workload.clone(),
        address: address.clone(),
        servers: servers.collect(),
    };
    Report {
        findings: vec![
            finding(Code::CoalesceNotFound, 100_000),
            finding(Code::CoalesceWrongRoute, 1),
            finding(Code::CoalescePresumed, 1),
            finding(Code::HostUnattached, 1),
        ],
        summary: Summary {
            errors: 2,
            warnings: 2,
            ignored: vec![name.into()],
            ..Summary::default()
        },
        listeners: vec![listener],
    }
}

#[test]
fn no_name_becomes_markup() {
    let (page, harmless) = (page_of(&report_of(HOSTILE)), page_of(&report_of("name")));
    for letter in ['<', '>', '"'] {
        let count = |page: &str| page.matches(letter).count();
        assert_eq!(count(&page), count(&harmless), "{letter}");
    }
    assert!(!page.contains("<img") && !page.contains("alert('"));
    assert!(page.contains("&lt;img src=x onerror=alert(&#39;1&#39;)&gt;&quot;&amp;&lt;!--"));
}

/// Letters that would turn the next ones round, or that HTML cannot have.
#[test]
fn no_name_looks_like_another() {
    let page = page_of(&report_of("a\u{202e}b\u{2066}c\0d\u{1b}e"));
    assert!(page.contains("a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e"));
    assert!(!page.contains(['\u{202e}', '\u{2066}', '\0', '\u{1b}']));
}

/// Gateways with one host each, and with a Secret by name.
fn gateways(count: usize, secret: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0..count {
        let secret = secret(n);
        writeln!(
            text,
            "---\n{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: g{n}, \
             namespace: istio-system}}, spec: {{selector: {{istio: ingressgateway}}, servers: [\
             {{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [h{n}.example.com], \
             tls: {{mode: SIMPLE, credentialName: {secret}}}}}]}}}}\n---\n\
             {{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: v{n}, \
             namespace: istio-system}}, spec: {{hosts: [h{n}.example.com], gateways: [g{n}], \
             http: [{{route: []}}]}}}}"
        )
        .unwrap();
    }
    text
}

fn page_of_input(input: &str) -> String {
    packager_with_input(&["check", "-", "--output", "html"], input).out
}

/// Three hundred servers that break each other by fives, and all of them by one certificate.
#[test]
fn many_servers_are_still_a_page() {
    let mut input = gateways(300, |n| format!("w{}", n / 5));
    for block in 0..60 {
        let names: Vec<String> = (0..5)
            .map(|n| format!("h{}.example.com", block * 5 + n))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let pair = Pair::generate(&names, 2100).unwrap();
        input += &pair.secret(&format!("istio-system/w{block}")).unwrap();
    }
    let page = page_of_input(&input);
    assert_eq!(between(&page, "<tr id=\"f", "\"").len(), 60);
    assert_eq!(between(&page, "<details", ">").len(), 60);
    // The rest can be opened.
    assert_eq!(page.matches("<details open>").count(), 12);
    assert!(page.len() < 3_500_000, "{}", page.len());
    let wildcard = Pair::generate(&["*.example.com"], 2100).unwrap();
    let secret = wildcard.secret("istio-system/w").unwrap();
    let page = page_of_input(&(gateways(300, |_| "w".into()) + &secret));
    assert_eq!(between(&page, "<tr id=\"f", "\"").len(), 1);
    assert_eq!(between(&page, "<li><code>", "</code>").len(), 300);
    // Above the picture, and in the table.
    assert_eq!(page.matches("300 servers, 89700 broken pairs").count(), 2);
    assert!(page.len() < 140_000, "{}", page.len());
    // Twenty servers of each side meet in one label.
    assert_eq!(between(&page, "<a class=\"edge ", "\"").len(), 1);
    assert_eq!(between(&page, "<path class=\"wire ", "/>").len(), 40);
    assert!(page.contains("the picture shows 20 servers of each side"));
    assert!(page.contains("\u{2192} 300 servers, 89700 pairs<"));
}

/// What a reader does with keys alone: a browser runs the page's script under its policy, and goes with
/// the arrows from a server to a pair, whose findings Enter shows and Escape leaves.
#[test]
fn keys_lead_through_the_picture() {
    let (page, _) = page_of_case("07-wildcard-route");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, &page).unwrap();
    let shown = rendered(&file).unwrap();
    let shown = between(&shown, "id=\"shown\" role=\"status\">", "</p>");
    let total = page.matches("<tr id=\"f").count();
    assert_eq!(shown, [format!("{total} of {total} findings")]);

    // The policy would not have this script.
    let policy = between(&page, "<meta http-equiv=", ">")[0].to_owned();
    let page = page.replace(&format!("<meta http-equiv={policy}>"), "");
    let script = include_str!("page/keys.js");
    fs::write(&file, page + "<script>" + script + "</script>").unwrap();
    let said = rendered(&file).unwrap();
    let said: Value = serde_json::from_str(between(&said, "<title>", "</title>")[0]).unwrap();
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap().to_owned();
    assert_ne!(text("first"), text("right"), "{said}");
    assert_eq!(text("back"), text("first"), "{said}");
    assert_eq!(said.get("stops"), Some(&Value::from(1)), "{said}");
    assert_ne!(text("chosen"), text("escaped"), "{said}");
    assert_eq!(
        text("escaped"),
        format!("{total} of {total} findings"),
        "{said}"
    );
}
