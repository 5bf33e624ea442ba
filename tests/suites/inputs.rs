//! What `packager check` reads: folders of repositories, dumps of clusters, baselines; and its exit status.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use gateway::advice::KUBECTL_GET;
use serde_json::Value;
use tempfile::TempDir;
use tests::process::{Run, built_packager, packager, packager_program_within, packager_with_input};
use tests::secrets::Pair;

/// A Gateway and a VirtualService for one host.
fn server(name: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {{name: gw-{name}, namespace: istio-system}}\n\
         spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  \
         - port: {{number: 443, name: https, protocol: HTTPS}}\n    \
         hosts: [{name}.example.com]\n    tls: {{mode: SIMPLE, credentialName: w}}\n\
         ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: v{name}, namespace: istio-system}}\n\
         spec: {{hosts: [{name}.example.com], gateways: [gw-{name}], http: [{{route: []}}]}}\n"
    )
}

/// A wildcard certificate for all servers.
fn secret() -> String {
    let pair = Pair::generate(&["*.example.com"], 2100).unwrap();
    pair.secret("istio-system/w").unwrap()
}

/// A folder with these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Runs `check` on a folder. Its name is `%` in the output.
fn check(folder: &Path, flags: &[&str]) -> Run {
    let name = folder.to_str().unwrap();
    let run = packager(&[&["check", name], flags].concat());
    Run {
        status: run.status,
        out: run.out.replace(name, "%"),
        talk: run.talk.replace(name, "%"),
    }
}

/// The lines of stderr that are not about pods and ports.
fn lines(run: &Run) -> Vec<&str> {
    run.talk
        .lines()
        .filter(|line| line.contains("skipped") || !line.starts_with("note: "))
        .collect()
}

const PATCH: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw-a}\n\
                     spec: {servers: [{hosts: [c.example.com]}]}\n";

/// A repository with two good Gateways, and with everything else that such repositories have.
fn repository() -> TempDir {
    tree(&[
        ("base/a.yaml", &server("a")),
        ("base/b.yaml", &server("b")),
        ("base/secret.yaml", &secret()),
        ("base/kustomization.yaml", "resources: [a.yaml, b.yaml]\n"),
        (
            "overlays/prod/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\
             resources: [../../base]\npatches:\n- path: hosts.yaml\n",
        ),
        ("overlays/prod/hosts.yaml", PATCH),
        (
            "overlays/prod/remove.yaml",
            "- op: remove\n  path: /spec/servers/0\n",
        ),
        (
            "chart/Chart.yaml",
            "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
        ),
        ("chart/values.yaml", "replicas: 2\n"),
        (
            "chart/templates/gateway.yaml",
            "{{- if .Values.on }}\napiVersion: networking.istio.io/v1\nkind: Gateway\n{{- end }}\n",
        ),
        ("package.json", "{\"name\": \"web\"}\n"),
        ("tsconfig.json", "{ // compiler options\n}\n"),
        (".github/workflows/ci.yaml", "on: push\n"),
    ])
}

#[test]
fn a_gitops_repository_is_an_ordinary_input() {
    let folder = repository();
    let run = check(folder.path(), &[]);
    assert_eq!(run.status, 1, "{}", run.talk);
    assert!(run.out.contains("SG101"), "{}", run.out);
    let expected = [
        "note: skipped 6 documents that are no resources of a cluster: %/base/kustomization.yaml, \
         %/chart/Chart.yaml, %/chart/values.yaml and 3 more; --strict reports them as errors",
        "note: skipped 1 template: %/chart/templates/gateway.yaml; to check the result: \
         helm template CHART | packager check -",
        "note: skipped 2 patches: %/overlays/prod/hosts.yaml, %/overlays/prod/remove.yaml; to check the \
         result: kustomize build FOLDER | packager check -",
    ];
    assert_eq!(lines(&run), expected);
    assert_eq!(check(folder.path(), &["--quiet"]).talk, "");
}

#[test]
fn strict_makes_errors_of_what_is_skipped() {
    let folder = repository();
    let run = check(folder.path(), &["--strict"]);
    assert_eq!(run.status, 2);
    let errors = lines(&run);
    assert_eq!(errors.len(), 9, "{errors:?}");
    let expected = "error: reading %/chart/values.yaml:1: expected a resource of Kubernetes, with apiVersion \
                    and kind";
    assert!(errors.contains(&expected), "{errors:?}");
    let flags = ["--strict", "--exclude", "chart", "--exclude", "*.json"];
    let globs = [
        "--exclude",
        "overlays/**",
        "--exclude",
        "kustomization.yaml",
    ];
    let run = check(folder.path(), &[flags.as_slice(), &globs].concat());
    assert_eq!((run.status, lines(&run).len()), (1, 0), "{}", run.talk);
}

/// A resource that is broken is an error with one line, and the others are checked.
#[test]
fn a_broken_resource_is_an_error() {
    let broken = server("c").replace("number: 443", "number: many");
    let files = [
        ("a.yaml", server("a")),
        ("b.yaml", server("b")),
        ("c.yaml", broken),
        ("d.yaml", "apiVersion: v1\nmetadata: {name: d}\n".into()),
        ("secret.yaml", secret()),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let folder = tree(&files);
    let run = check(folder.path(), &[]);
    assert_eq!(run.status, 2);
    assert!(run.out.contains("SG101"), "{}", run.out);
    let expected = [
        "error: reading %/c.yaml:1: Gateway istio-system/gw-c: spec.servers[0].port.number: invalid type: string \
         \"many\", expected u16",
        "error: reading %/d.yaml:1: expected a resource of Kubernetes, with apiVersion and kind",
    ];
    let errors: Vec<&str> = lines(&run);
    assert_eq!(errors.len(), 2, "{errors:?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}");
    }
}

/// A pre-commit hook passes the files that changed.
#[test]
fn an_input_without_gateways_is_no_error() {
    let folder = tree(&[
        ("values.yaml", "replicas: 2\n"),
        ("kustomization.yaml", "patches: [{path: patch.yaml}]\n"),
        ("patch.yaml", PATCH),
    ]);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = packager(&["check", &file("values.yaml"), &file("patch.yaml")]);
    assert_eq!(run.status, 0, "{}", run.talk);
    assert!(
        run.talk
            .ends_with("note: the input has no server of a gateway\n"),
        "{}",
        run.talk
    );
    assert!(run.talk.contains("skipped 1 patch"), "{}", run.talk);
    assert_eq!(packager_with_input(&["check", "-"], "").status, 0);
    let strict = packager_with_input(&["check", "-", "--strict"], "\n");
    assert_eq!(strict.status, 2, "{}", strict.talk);
    assert!(
        strict.talk.contains("standard input: it is empty"),
        "{}",
        strict.talk
    );
    // A path that does not exist is an error.
    assert_eq!(packager(&["check", &file("nothing.yaml")]).status, 2);
}

/// Paths with and without a flag mean the same.
#[test]
fn paths_have_flags_too() {
    let folder = tree(&[("a.yaml", &server("a")), ("b.yaml", &server("b"))]);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b) = (file("a.yaml"), file("b.yaml"));
    let expected = packager(&["check", &a, &b]);
    for words in [
        ["check", "-f", &a, "-f", &b].as_slice(),
        &["check", &a, "--filename", &b],
        &["check", "--from", &a, &b],
        &["check", "-A", "-f", &a, &b],
        &["check", &a, &b, "-f", &a],
    ] {
        let run = packager(words);
        assert_eq!(
            (run.status, &run.out),
            (expected.status, &expected.out),
            "{words:?}"
        );
    }
    let refused = packager(&["check", &a, "--namespace", "shop"]);
    assert_eq!(refused.status, 2);
    assert!(
        refused
            .talk
            .starts_with("error: --namespace has no effect on files\nhint: "),
        "{}",
        refused.talk
    );
}

#[test]
fn findings_of_the_baseline_do_not_count() {
    let folder = tree(&[
        ("in/a.yaml", &server("a")),
        ("in/b.yaml", &server("b")),
        ("in/secret.yaml", &secret()),
    ]);
    let input = folder.path().join("in");
    let baseline = folder.path().join("baseline.json");
    let json = check(&input, &["--output", "json"]);
    assert_eq!(json.status, 1);
    fs::write(&baseline, &json.out).unwrap();
    let flags = ["--baseline", baseline.to_str().unwrap()];

    let run = check(&input, &flags);
    assert_eq!(run.status, 0, "{}", run.talk);
    let marked = "in the baseline, not counted: SG101 coalesce-not-found at workload ";
    assert!(run.out.contains(marked), "{}", run.out);
    // No format reports it as a failure.
    for (format, expected, refused) in [
        (
            "junit",
            "<skipped message=\"in the baseline\"/>",
            "<failure",
        ),
        (
            "sarif",
            "\"baselineState\":\"unchanged\"",
            "\"baselineState\":\"new\"",
        ),
        ("github", "::notice ", "::error "),
    ] {
        let run = check(&input, &[&flags[..], &["--output", format]].concat());
        assert_eq!(run.status, 0, "{format}");
        assert!(run.out.contains(expected), "{}", run.out);
        assert!(!run.out.contains(refused), "{}", run.out);
    }
    // A worse severity is new.
    fs::write(
        &baseline,
        json.out
            .replace("\"severity\":\"error\"", "\"severity\":\"info\""),
    )
    .unwrap();
    assert_eq!(check(&input, &flags).status, 1);
    fs::write(&baseline, &json.out).unwrap();
    // Another server on the certificate is new.
    fs::write(input.join("c.yaml"), server("c")).unwrap();
    assert_eq!(check(&input, &flags).status, 1);
    let never = [flags.as_slice(), &["--fail-on", "never"]].concat();
    assert_eq!(check(&input, &never).status, 0);

    fs::write(&baseline, "{}").unwrap();
    let run = check(&input, &flags);
    assert_eq!(run.status, 2);
    assert!(run.talk.contains("it is not a report of"), "{}", run.talk);
}

/// Without a baseline the report has no lines about one.
#[test]
fn fail_on_sets_the_severity_that_counts() {
    let folder = tree(&[("a.yaml", &server("a")), ("b.yaml", &server("b"))]);
    for (severity, status) in [("error", 0), ("warning", 1), ("never", 0)] {
        let run = check(folder.path(), &["--fail-on", severity]);
        assert_eq!(run.status, status, "{severity}");
        assert!(run.out.contains("SG104") && !run.out.contains("baseline"));
    }
}

/// The status of the whole pipe is the status of `check`, although its reader closes the pipe.
#[test]
fn a_closed_pipe_keeps_the_status() {
    let mut text = secret();
    for n in 0..300 {
        // Each has a VirtualService of another name, so that the report is longer than a pipe holds.
        write!(
            text,
            "---\n{}",
            server(&format!("h{n}")).replace("gateways: [gw-", "gateways: [no-")
        )
        .unwrap();
    }
    let broken = server("a") + "---\n" + &server("b");
    let folder = tree(&[("many.yaml", &text), ("two.yaml", &broken)]);
    for output in ["text", "json", "html"] {
        let script = "set -o pipefail; \"$0\" check \"$1\" --output \"$2\" 2>/dev/null | head -c 1 >/dev/null";
        let status = Command::new("bash")
            .args(["-c", script])
            .arg(built_packager().unwrap())
            .arg(folder.path())
            .arg(output)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1), "{output}");
    }
}

/// A dump of all Secrets has hundreds of releases of Helm, with a megabyte each.
#[test]
fn releases_of_helm_are_skipped() {
    let release = format!("SDRzSUFBQUFB{}", "x".repeat(1 << 20));
    let mut yaml = String::from("apiVersion: v1\nkind: List\nitems:\n");
    for document in [server("a"), server("b"), secret()]
        .iter()
        .flat_map(|text| text.split("---\n"))
        .filter(|text| !text.trim().is_empty())
    {
        writeln!(yaml, "- {}", document.trim_end().replace('\n', "\n  ")).unwrap();
    }
    for n in 0..90 {
        write!(
            yaml,
            "- apiVersion: v1\n  data:\n    release: {release}\n  kind: Secret\n  metadata:\n    \
             name: sh.helm.release.v1.web.v{n}\n    namespace: web\n  type: helm.sh/release.v1\n"
        )
        .unwrap();
    }
    let run = packager_program_within(512, &["check", "-"], &yaml).unwrap();
    assert_eq!(run.status, 1, "{}", run.talk);
    assert!(run.out.contains("SG101"), "{}", run.out);
    let note = "note: skipped 90 Secrets with releases of Helm in -; kubectl get secrets --field-selector \
                type!=helm.sh/release.v1 leaves them out\n";
    assert!(run.talk.contains(note), "{}", run.talk);
    // A Secret that only looks similar is read.
    let other = "apiVersion: v1\nkind: Secret\nmetadata: {name: w}\ntype: Opaque\ndata: {release: c3RhYmxl}\n";
    let run = packager_with_input(&["check", "-"], other);
    assert!(!run.talk.contains("Helm"), "{}", run.talk);
}

#[test]
fn the_version_is_data() {
    let run = packager(&["version", "-o", "json"]);
    let version: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        version.pointer("/version").unwrap(),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(version.pointer("/istio/oldest").unwrap(), "1.24");
    assert!(version.get("revision").is_some());
    let text = packager(&["version"]).out;
    assert!(
        text.starts_with(concat!(
            "packager ",
            env!("CARGO_PKG_VERSION"),
            "\nrevision "
        )),
        "{text}"
    );
}

/// kubectl finds the plugin by its name, and its help has the name by which it is called.
#[test]
fn the_plugin_has_its_own_name() {
    let folder = TempDir::new().unwrap();
    let plugin = folder.path().join("kubectl-sni_guard");
    symlink(built_packager().unwrap(), &plugin).unwrap();
    let output = Command::new(&plugin)
        .args(["check", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Usage: kubectl sni-guard check"), "{help}");
    assert!(!help.contains("packager "), "{help}");
}

/// Codes and names are explained; without any, all are listed.
#[test]
fn codes_have_names() {
    let code = packager(&["check", "--explain", "SG101"]);
    let name = packager(&["check", "--explain", "Coalesce-Not-Found"]);
    assert_eq!((name.status, &name.out), (0, &code.out));
    let list = packager(&["check", "--explain"]);
    assert_eq!(list.status, 0);
    assert!(
        list.out.contains("SG101  error    coalesce-not-found\n"),
        "{}",
        list.out
    );
    let several = packager(&["check", "--explain", "SG101", "SG304"]);
    assert!(several.out.starts_with("SG101 ") && several.out.contains("\n\nSG304 "));
    let wrong = packager(&["check", "--explain", "SG101", "coalesce-not-fund"]);
    assert_eq!((wrong.status, wrong.out.as_str()), (2, ""));
    let question = "did you mean \"coalesce-not-found\"";
    assert!(wrong.talk.contains(question), "{}", wrong.talk);
}

/// The command that gathers resources asks for the kinds that a cluster has, and for no others.
#[test]
fn one_command_gathers_all_kinds() {
    let kinds = [
        "configmaps",
        "namespaces",
        "pods",
        "secrets",
        "services",
        "deployments.apps",
        "certificates.cert-manager.io",
        "wasmplugins.extensions.istio.io",
        "xlistenersets.gateway.networking.x-k8s.io",
        "httproutes.gateway.networking.k8s.io",
        "envoyfilters.networking.istio.io",
        "ingressclasses.networking.k8s.io",
    ];
    let others = [
        "events",
        "pods.metrics.k8s.io",
        "jobs.batch",
        "services.serving.knative.dev",
    ];
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = api-resources ]; then printf '%s\\n' {} {}; else echo \"$@\"; fi\n",
        kinds.join(" "),
        others.join(" ")
    );
    let folder = tree(&[("kubectl", &script)]);
    let program = folder.path().join("kubectl");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("sh")
        .args(["-c", KUBECTL_GET])
        .env("PATH", path)
        .output()
        .unwrap();
    let expected = format!("get -A -o yaml {}\n", kinds.join(","));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
