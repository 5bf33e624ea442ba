//! The scripts `run.sh` and `undo.sh` of a plan: on an API server, where they are killed and where somebody else
//! changes resources, and on a gateway under load.

use std::fs;
use std::future::poll_fn;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gateway::merge::without_status;
use serde_json::Value;
use tempfile::TempDir;
use tests::client::{Connection, GET, Transport};
use tests::istio::{Kubectl, Stack, kubernetes_program};
use tests::process::packager;

use super::{Shop, path, summary};

/// Gateways without pods, and the folder of a plan for them.
struct Planned {
    stack: Arc<Stack>,
    namespace: &'static str,
    folder: TempDir,
    before: Vec<Value>,
}

/// A Gateway for one host, and its VirtualService.
fn host(namespace: &str, label: &str) -> String {
    include_str!("../../../istio/host.yaml")
        .replace("$NAME", namespace)
        .replace("$HOST", &format!("{label}.example.com"))
        .replace("$LABEL", label)
        .replace("$CERTIFICATE", "/certificate.pem")
        .replace("$KEY", "/key.pem")
        .replace(
            "\nspec:\n  selector:",
            "\n  labels: {team: blue}\n  annotations: {note: \"a <b> & 'c'\"}\nspec:\n  selector:",
        )
}

/// The exit status of a script, and all that it printed.
struct Ended {
    status: Option<i32>,
    out: String,
}

impl Planned {
    /// A Gateway and a VirtualService for each label, and a plan that merges them. `more` is added to the spec of
    /// each VirtualService.
    fn new(namespace: &'static str, labels: &[&str], more: &str) -> Self {
        let resources = labels.iter().map(|label| {
            host(namespace, label).replace("\n  hosts: [", &format!("\n  {more}hosts: ["))
        });
        Self::from_resources(namespace, resources)
    }

    /// A plan for resources, of which each text is younger than the one before it.
    fn from_resources(
        namespace: &'static str,
        resources: impl IntoIterator<Item = String>,
    ) -> Self {
        let stack = Stack::shared().unwrap();
        let kubectl = stack.kubectl();
        kubectl.run(&["create", "namespace", namespace]).unwrap();
        for text in resources {
            kubectl.apply(&text).unwrap();
            // The API server's clock has seconds, and age decides.
            thread::sleep(Duration::from_millis(1100));
        }
        let mut planned = Self {
            stack,
            namespace,
            folder: TempDir::new().unwrap(),
            before: Vec::new(),
        };
        planned.before = planned.manifests();
        let input = planned.folder.path().join("resources.json");
        fs::write(&input, planned.resources()).unwrap();
        let run = packager(&[
            "merge",
            input.to_str().unwrap(),
            "--assume-same-certificate",
            "--into",
            planned.plan().to_str().unwrap(),
        ]);
        assert_eq!(run.status, 0, "{}{}", run.out, run.talk);
        planned
    }

    fn kubectl(&self) -> &Kubectl {
        self.stack.kubectl()
    }

    fn plan(&self) -> PathBuf {
        self.folder.path().join("plan")
    }

    fn resources(&self) -> String {
        let kinds = "gateways.networking.istio.io,virtualservices";
        self.kubectl()
            .run(&["get", kinds, "-n", self.namespace, "-o", "json"])
            .unwrap()
    }

    /// All specs, labels and annotations.
    fn manifests(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.resources()).unwrap();
        let items = list.get("items").unwrap().as_array().unwrap();
        items.iter().map(without_status).collect()
    }

    fn patch(&self, resource: &[&str], patch: &str) {
        self.kubectl()
            .patch(self.namespace, resource, patch)
            .unwrap();
    }

    /// A script of the plan with options. It finds `kubectl`, but neither `istioctl` nor `packager`.
    fn command(&self, script: &str, options: &[&str]) -> Command {
        let kubectl = kubernetes_program("kubectl").unwrap();
        let kubectl = kubectl.parent().unwrap().display();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("exec sh \"$@\" 2>&1")
            .arg("sh")
            .arg(self.plan().join(script))
            .args(options)
            .env("PATH", format!("{kubectl}:/usr/bin:/bin"))
            .env("KUBECONFIG", self.kubectl().kubeconfig())
            .env("HOME", self.folder.path())
            .env_remove("GATEWAY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        command
    }

    fn run(&self, script: &str, options: &[&str]) -> Ended {
        let output = self.command(script, options).output().unwrap();
        Ended {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
        }
    }

    #[track_caller]
    fn finish(&self, script: &str) -> String {
        let Ended { status, out } = self.run(script, &["--wait", "0"]);
        assert_eq!(status, Some(0), "{out}");
        out
    }

    /// Starts a script and returns it when it has made a write of a step.
    #[track_caller]
    fn start(
        &self,
        script: &str,
        options: &[&str],
        step: &str,
    ) -> (Child, impl Iterator<Item = String>) {
        let mut child = self.command(script, options).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut is_step = false;
        let write = lines.find(|line| {
            is_step |= line.starts_with(step);
            let is_write = ["patched", "deleted", "restored"]
                .iter()
                .any(|written| line.ends_with(written));
            is_step && is_write
        });
        // Without the write the script has ended.
        if write.is_none() {
            child.wait().unwrap();
        }
        assert!(write.is_some(), "no write of step {step}");
        (child, lines)
    }

    /// Kills a script with all that it runs, after a write of a step.
    fn kill(&self, script: &str, step: &str) {
        let (mut child, _) = self.start(script, &["--wait", "1"], step);
        let group = format!("-{}", child.id());
        let killed = Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()
            .unwrap();
        assert!(killed.success());
        child.wait().unwrap();
    }

    #[track_caller]
    fn check_merged(&self) {
        let now = self.manifests();
        let gateways: Vec<&Value> = now
            .iter()
            .filter(|item| item["kind"] == "Gateway")
            .collect();
        assert_eq!(gateways.len(), 1, "{gateways:#?}");
        let hosts = gateways[0]["spec"]["servers"][0]["hosts"]
            .as_array()
            .unwrap();
        let services = now.len() - 1;
        assert_eq!(hosts.len(), services, "{hosts:?}");
    }
}

#[test]
fn a_killed_script_continues() {
    let planned = Planned::new("killed", &["a", "b"], "");
    for step in 1..=6 {
        planned.kill("run.sh", &format!("step {step}/6"));
    }
    let out = planned.finish("run.sh");
    assert!(out.contains("step 6/6"), "{out}");
    assert!(out.contains("already applied"), "{out}");
    assert!(!out.contains("step 5/6"), "{out}");
    planned.check_merged();

    for step in [6, 4, 2] {
        planned.kill("undo.sh", &format!("undo of step {step}/6"));
    }
    let out = planned.finish("undo.sh");
    assert!(out.ends_with("done: no step is applied\n"), "{out}");
    assert_eq!(planned.manifests(), planned.before);
}

/// A step with two writes of which one was made: the step counts as applied with both.
#[test]
fn a_half_applied_step_is_completed_or_undone() {
    let planned = Planned::new("half", &["a", "b", "c"], "");
    let apply = fs::read_to_string(planned.plan().join("01-bind-routes/apply.sh")).unwrap();
    let first = apply
        .lines()
        .find_map(|line| line.strip_prefix("kubectl "))
        .unwrap();
    let file = first.rsplit_once(' ').unwrap().1;
    let path = planned.plan().join("01-bind-routes").join(file);
    let make_first_write = || {
        let arguments = first.replace(file, path.to_str().unwrap());
        let arguments: Vec<&str> = arguments.split(' ').collect();
        planned.kubectl().run(&arguments).unwrap();
    };
    make_first_write();
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);

    make_first_write();
    let out = planned.finish("run.sh");
    assert_eq!(
        out.matches("/b patched").count() + out.matches("/c patched").count(),
        3,
        "{out}"
    );
    planned.check_merged();
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);
}

#[test]
fn each_step_can_be_undone() {
    let planned = Planned::new("undone", &["a", "b"], "");
    // The kills above end with the undo of all steps.
    for step in 1..=5 {
        let number = step.to_string();
        let ended = planned.run("run.sh", &["--wait", "0", "--to-step", &number]);
        assert_eq!(ended.status, Some(0), "{}", ended.out);
        assert!(
            ended.out.contains(&format!("step {step}/6")),
            "{}",
            ended.out
        );
        assert_ne!(planned.manifests(), planned.before, "{step}");
        planned.finish("undo.sh");
        assert_eq!(planned.manifests(), planned.before, "{step}");
    }
}

/// The specs have characters that Go's JSON escapes, and a field that a plan does not change.
#[test]
fn a_change_by_somebody_else_stops_the_script() {
    let planned = Planned::new("changed", &["a", "b"], "exportTo: [\"*\"]\n  ");
    let service = ["virtualservices.networking.istio.io", "b"];
    let route = |path: &str| {
        format!(
            r#"{{"spec": {{"http": [{{"match": [{{"uri": {{"regex": "{path}"}}}}], "directResponse": {{"status": 200}}}}]}}}}"#
        )
    };

    // Before the first step nothing is changed.
    planned.patch(&service, &route("/(?P<x>a&b)"));
    let changed = planned.manifests();
    let refused = planned.run("run.sh", &["--wait", "0"]);
    assert_eq!(refused.status, Some(1), "{}", refused.out);
    assert!(
        refused
            .out
            .contains("VirtualService changed/b is not as the plan expects it"),
        "{}",
        refused.out
    );
    assert!(
        refused
            .out
            .contains("refused: the resources are not those of the plan")
    );
    assert_eq!(planned.manifests(), changed);

    // A field that the plan does not change stops it in the middle, and does not prevent the undo.
    planned.patch(&service, r#"{"spec": {"http": [{"directResponse": {"status": 200, "body": {"string": "b.example.com"}}}]}}"#);
    assert_eq!(planned.manifests(), planned.before);
    let (child, lines) = planned.start("run.sh", &["--wait", "3"], "step 2/6");
    planned.patch(&service, &route("/x"));
    let out = lines.collect::<Vec<_>>().join("\n");
    let status = child.wait_with_output().unwrap().status;
    assert_eq!(status.code(), Some(1), "{out}");
    assert!(
        out.contains(
            "stopped: another client changed resources before step 3:\n  VirtualService changed/b"
        ),
        "{out}"
    );
    let hint = out
        .lines()
        .find_map(|line| line.strip_prefix("to go back: "))
        .unwrap();
    assert!(hint.ends_with("undo.sh --wait 3"), "{hint}");
    let changed = planned.manifests();
    let again = planned.run("run.sh", &["--wait", "0"]);
    assert_eq!(again.status, Some(1), "{}", again.out);
    assert_eq!(planned.manifests(), changed);
    planned.finish("undo.sh");
    planned.patch(&service, r#"{"spec": {"http": [{"directResponse": {"status": 200, "body": {"string": "b.example.com"}}}]}}"#);
    assert_eq!(planned.manifests(), planned.before);

    // The undo does not overwrite a change of a field that the plan changed.
    let ended = planned.run("run.sh", &["--wait", "0", "--to-step", "2"]);
    assert_eq!(ended.status, Some(0), "{}", ended.out);
    let bind = |gateways: &str| format!(r#"{{"spec": {{"gateways": [{gateways}]}}}}"#);
    planned.patch(&service, &bind(r#""other""#));
    let changed = planned.manifests();
    for script in ["run.sh", "undo.sh"] {
        let ended = planned.run(script, &["--wait", "0"]);
        assert_eq!(ended.status, Some(1), "{}", ended.out);
        assert!(
            ended
                .out
                .contains("VirtualService changed/b is not as the plan expects it"),
            "{}",
            ended.out
        );
    }
    assert_eq!(planned.manifests(), changed);
    planned.patch(&service, &bind(r#""gw-b", "gw-a""#));
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);
}

/// Nothing that could be wrong is skipped without a line about it.
#[test]
fn a_script_that_cannot_wait_refuses() {
    let planned = Planned::new("blind", &["a", "b"], "");
    let refused = planned.run("run.sh", &[]);
    assert_eq!(refused.status, Some(1), "{}", refused.out);
    assert!(
        refused
            .out
            .contains("refused: without istioctl and without a probe"),
        "{}",
        refused.out
    );
    let hint = refused
        .out
        .lines()
        .find_map(|line| line.strip_prefix("hint: "))
        .unwrap();
    assert!(hint.contains("run.sh --wait 30"), "{hint}");
    let early = planned.run("run.sh", &["--wait", "0", "--from-step", "2"]);
    assert_eq!(early.status, Some(1), "{}", early.out);
    assert!(early.out.contains("step 1 is not applied"), "{}", early.out);
    assert_eq!(planned.manifests(), planned.before);
}

/// A program in a folder of its own, in front of the others in PATH.
fn fake(planned: &Planned, name: &str, body: &str) {
    let folder = planned.folder.path().join("fake");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join(name);
    fs::write(
        &program,
        format!("#!/bin/sh\ncd '{}'\n{body}", folder.display()),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run_with_fakes(planned: &Planned, options: &[&str]) -> Ended {
    let mut command = planned.command("run.sh", options);
    let kubectl = kubernetes_program("kubectl").unwrap();
    let folder = planned.folder.path().join("fake");
    let path = [&folder, kubectl.parent().unwrap()].map(|folder| folder.display().to_string());
    let output = command
        .env("PATH", format!("{}:/usr/bin:/bin", path.join(":")))
        .env("GATEWAY", "gateway.example:443")
        .env("PROBE_OPTIONS", "--ca-file ca.pem")
        .output()
        .unwrap();
    Ended {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
    }
}

/// `istioctl` lists the gateway as STALE for a while, in the table of new versions and of old ones.
#[test]
fn a_script_waits_until_all_gateways_are_synced() {
    let planned = Planned::new("synced", &["a", "b"], "");
    let pod = |name: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}", "namespace": "synced", "labels": {{"istio": "synced"}}}}, "spec": {{"containers": [{{"name": "istio-proxy", "image": "auto"}}]}}}}"#
        )
    };
    for name in ["gateway-0", "gateway-1"] {
        planned.kubectl().apply(&pod(name)).unwrap();
        let running = r#"{"status": {"phase": "Running"}}"#;
        planned.patch(&["pod", name, "--subresource", "status"], running);
    }
    let table = r#"echo "$*" >>calls
calls=$(wc -l <calls)
status=SYNCED
if [ "$calls" -gt 4 ] && [ "$calls" -lt 8 ]; then status=STALE; fi
echo "NAME CLUSTER CDS LDS ISTIOD VERSION"
echo "gateway-0.synced Kubernetes SYNCED SYNCED (2m) istiod-0 1.31.0"
echo "gateway-1.synced Kubernetes SYNCED $status istiod-0 1.31.0"
echo "other.synced Kubernetes STALE STALE istiod-0 1.31.0"
"#;
    fake(&planned, "istioctl", table);
    let options = ["--wait", "0", "--probes", "1", "--to-step", "1"];
    let ended = run_with_fakes(&planned, &options);
    assert_eq!(ended.status, Some(0), "{}", ended.out);
    assert!(
        ended.out.contains("no probes: packager is not in PATH"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("all gateways have the step"),
        "{}",
        ended.out
    );
    let calls = fs::read_to_string(planned.folder.path().join("fake/calls")).unwrap();
    assert!(
        calls.contains("--context=test proxy-status --verbosity=1"),
        "{calls}"
    );

    // An old istioctl does not know the option. A gateway that stays STALE stops the script.
    let old = r#"case $* in *verbosity*) exit 1 ;; esac
echo "NAME CLUSTER CDS LDS ISTIOD VERSION"
echo "gateway-0.synced Kubernetes SYNCED SYNCED istiod-0 1.24.0"
echo "gateway-1.synced Kubernetes SYNCED STALE istiod-0 1.24.0"
"#;
    fake(&planned, "istioctl", old);
    let options = ["--wait", "0", "--timeout", "1"];
    let ended = run_with_fakes(&planned, &options);
    assert_eq!(ended.status, Some(1), "{}", ended.out);
    let stopped =
        "stopped: after 1 second, step 1 is not on all gateways:\n  gateway-1.synced is not SYNCED";
    assert!(ended.out.contains(stopped), "{}", ended.out);
    assert!(!ended.out.contains("step 2/6"), "{}", ended.out);

    // A gateway that istiod does not list is configured by another one.
    fake(
        &planned,
        "istioctl",
        "echo 'gateway-0.synced Kubernetes SYNCED'\n",
    );
    let ended = run_with_fakes(&planned, &["--wait", "0", "--to-step", "1"]);
    assert!(
        ended
            .out
            .contains("istioctl is missing or does not list all gateways"),
        "{}",
        ended.out
    );
}

/// `packager probe` prints another answer after the second step.
#[test]
fn an_unexpected_answer_stops_the_script() {
    let planned = Planned::new("answer", &["a", "b"], "");
    let probe = r#"echo "$*" >>calls
echo "gateway with SNI a.example.com: h2, certificate for *.example.com"
echo
echo "AUTHORITY      COVERED  REUSED              FRESH  VERDICT"
echo "a.example.com  yes      client certificate  200    own"
fresh=200
if [ "$(wc -l <calls)" -gt 4 ]; then fresh=503; fi
echo "b.example.com  yes      404                 $fresh    not-fixed"
echo
echo "not-fixed: 404 on the reused connection"
exit 1
"#;
    fake(&planned, "packager", probe);
    let options = ["--wait", "0", "--probes", "2", "--timeout", "1"];
    let ended = run_with_fakes(&planned, &options);
    assert_eq!(ended.status, Some(1), "{}", ended.out);
    assert!(
        ended
            .out
            .contains("stopped: after 1 second, the answers are not as expected:"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .out
            .contains("  b.example.com  yes      404                 503"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("step 2/6") && !ended.out.contains("step 3/6"),
        "{}",
        ended.out
    );
    let hint = ended
        .out
        .lines()
        .find_map(|line| line.strip_prefix("to go back: "))
        .unwrap();
    let variables = "GATEWAY=gateway.example:443 PROBE_OPTIONS='--ca-file ca.pem' sh ";
    // The command reads the cluster of this run.
    assert!(hint.starts_with("KUBECONFIG="), "{hint}");
    assert!(hint.contains(variables), "{hint}");
    let calls = fs::read_to_string(planned.folder.path().join("fake/calls")).unwrap();
    let arguments = "probe --connect gateway.example:443 --ca-file ca.pem --sni a.example.com \
                     --authority a.example.com --authority b.example.com";
    assert_eq!(calls.lines().next(), Some(arguments));
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);
}

/// A probe that answers 503 for one host while the file `broken` exists.
const BREAKABLE: &str = r#"fresh=200
if [ -e broken ]; then fresh=503; fi
echo "AUTHORITY      COVERED  REUSED  FRESH   VERDICT"
echo "a.example.com  yes      200     200     own"
echo "b.example.com  yes      200     $fresh  fixed-by-merge"
"#;

#[test]
fn a_run_that_continues_expects_the_answers_of_the_start() {
    let planned = Planned::new("again", &["a", "b"], "");
    fake(&planned, "packager", BREAKABLE);
    let options = ["--wait", "0", "--probes", "1", "--timeout", "1"];
    let first = run_with_fakes(&planned, &[&options[..], &["--to-step", "1"]].concat());
    assert_eq!(first.status, Some(0), "{}", first.out);
    assert!(
        first.out.ends_with("done: step 1 is applied\n"),
        "{}",
        first.out
    );

    let broken = planned.folder.path().join("fake/broken");
    fs::write(&broken, "").unwrap();
    let stopped = run_with_fakes(&planned, &options);
    assert_eq!(stopped.status, Some(1), "{}", stopped.out);
    assert!(
        stopped.out.contains("the answers are not as expected")
            && !stopped.out.contains("step 2/6"),
        "{}",
        stopped.out
    );

    // A start from the beginning has other answers to keep.
    planned.finish("undo.sh");
    let restarted = run_with_fakes(&planned, &[&options[..], &["--to-step", "2"]].concat());
    assert_eq!(restarted.status, Some(0), "{}", restarted.out);
    planned.finish("undo.sh");
}

/// The undo of a deletion restores labels and annotations, so the script does not start with others.
#[test]
fn another_label_or_annotation_is_found_before_the_first_step() {
    let planned = Planned::new("labelled", &["a", "b"], "");
    let gateway = ["gateways.networking.istio.io", "gw-b"];
    for (field, key) in [("labels", "team"), ("annotations", "note")] {
        let change = |value: &str| {
            planned.patch(
                &gateway,
                &format!(r#"{{"metadata": {{"{field}": {{"{key}": {value}}}}}}}"#),
            );
        };
        let old = planned.before[1]["metadata"][field][key].to_string();
        change(r#""other""#);
        let refused = planned.run("run.sh", &["--wait", "0"]);
        assert_eq!(refused.status, Some(1), "{}", refused.out);
        let expected = "Gateway labelled/gw-b is not as the plan expects it";
        assert!(refused.out.contains(expected), "{}", refused.out);
        assert!(!refused.out.contains("step 1/6"), "{}", refused.out);
        change(&old);
        assert_eq!(planned.manifests(), planned.before);
    }
}

/// Two gateways, with a plan each.
#[test]
fn each_gateway_needs_a_check() {
    let others =
        ["c", "d"].map(|label| host("several", label).replace("istio: several", "istio: other"));
    let own = ["a", "b"].map(|label| host("several", label));
    let planned = Planned::from_resources("several", own.into_iter().chain(others));
    for (name, label) in [("gateway-0", "several"), ("gateway-1", "other")] {
        let pod = format!(
            r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}", "namespace": "several", "labels": {{"istio": "{label}"}}}}, "spec": {{"containers": [{{"name": "istio-proxy", "image": "auto"}}]}}}}"#
        );
        planned.kubectl().apply(&pod).unwrap();
        let running = r#"{"status": {"phase": "Running"}}"#;
        planned.patch(&["pod", name, "--subresource", "status"], running);
    }
    fake(&planned, "packager", BREAKABLE);
    fake(
        &planned,
        "istioctl",
        "echo 'gateway-0.several Kubernetes SYNCED'\n",
    );
    // The address of the second gateway is missing, and istioctl does not list it.
    let options = ["--drain", "9", "--to-step", "1"];
    let refused = run_with_fakes(&planned, &options);
    assert_eq!(refused.status, Some(1), "{}", refused.out);
    for expected in [
        "no probes where the address of the gateway is missing: GATEWAY_2\n",
        "istioctl is missing or does not list all gateways\n",
        "refused: without istioctl and without a probe",
        " GATEWAY=gateway.example:443 ",
        "run.sh --to-step 1 --drain 9 --wait 30 ",
    ] {
        assert!(refused.out.contains(expected), "{expected} {}", refused.out);
    }
    assert_eq!(planned.manifests(), planned.before);

    // Either of both is enough.
    let waiting = run_with_fakes(
        &planned,
        &["--wait", "0", "--probes", "1", "--to-step", "1"],
    );
    assert_eq!(waiting.status, Some(0), "{}", waiting.out);
    let expected = "waits 0 seconds, then for 1 probe in a row with the expected answers where there is an address";
    assert!(waiting.out.contains(expected), "{}", waiting.out);
    planned.finish("undo.sh");
    fake(
        &planned,
        "istioctl",
        "echo 'gateway-0.several Kubernetes SYNCED'\necho 'gateway-1.several Kubernetes SYNCED'\n",
    );
    let listed = run_with_fakes(
        &planned,
        &["--wait", "0", "--probes", "1", "--to-step", "1"],
    );
    assert_eq!(listed.status, Some(0), "{}", listed.out);
    assert!(
        listed
            .out
            .contains("until istioctl shows each gateway as SYNCED")
    );
    planned.finish("undo.sh");
}

#[test]
fn the_steps_of_a_run_can_be_chosen() {
    let planned = Planned::new("chosen", &["a", "b"], "");
    let run = |script: &str, options: &[&str]| {
        let ended = planned.run(script, &[&["--wait", "0"], options].concat());
        (ended.status, ended.out)
    };
    let (status, out) = run("run.sh", &["--from-step", "4", "--to-step", "2"]);
    assert_eq!(status, Some(2), "{out}");
    let expected = "error: --from-step 4 and --to-step 2 leave no step\n";
    assert!(out.contains(expected), "{out}");
    let (status, out) = run("undo.sh", &["--from-step", "2", "--to-step", "4"]);
    assert_eq!(status, Some(2), "{out}");

    // Two waits of two seconds between three probes each, and no drain.
    let (_, out) = run("run.sh", &["--wait", "30", "--to-step", "2", "--dry-run"]);
    assert!(out.starts_with("plan of 6 steps, about 64 s\n"), "{out}");

    let (status, out) = run("run.sh", &["--drain", "0", "--to-step", "3"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.ends_with("done: steps 1 to 3 are applied\n"), "{out}");
    let applied = planned.manifests();
    let (status, out) = run("run.sh", &["--to-step", "2"]);
    assert_eq!(status, Some(1), "{out}");
    assert!(
        out.contains("refused: step 3 is applied already; this run changed nothing\n"),
        "{out}"
    );
    assert!(out.ends_with("undo.sh --wait 0 --to-step 3\n"), "{out}");
    assert_eq!(planned.manifests(), applied);

    let (status, out) = run("undo.sh", &["--to-step", "5"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.ends_with("done: steps 1 to 3 are applied\n"), "{out}");
    let (status, out) = run("undo.sh", &["--to-step", "2"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.ends_with("done: step 1 is applied\n"), "{out}");

    let (child, lines) = planned.start("run.sh", &["--wait", "30"], "step 2/6");
    let group = format!("-{}", child.id());
    let signal = Command::new("kill").args(["-TERM", "--", &group]).status();
    assert!(signal.unwrap().success());
    let out = lines.collect::<Vec<_>>().join("\n");
    let status = child.wait_with_output().unwrap().status;
    assert_eq!(status.code(), Some(130), "{out}");
    assert!(out.contains("interrupted\nto continue: "), "{out}");
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);
}

/// A step patches one Gateway several times, or deletes some of its servers.
#[test]
fn several_servers_of_one_gateway_are_absorbed() {
    let mut shared = host("shared", "b");
    let server = shared
        .lines()
        .skip_while(|line| !line.starts_with("  - port:"))
        .take_while(|line| !line.starts_with("---"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut more = String::new();
    for label in ["c", "d"] {
        let own = server
            .replace("https-b", &format!("https-{label}"))
            .replace("b.example.com", &format!("{label}.example.com"));
        more.push_str(&own);
        more.push('\n');
        let service = host("shared", label);
        let (_, service) = service.split_once("---\n").unwrap();
        shared.push_str("---\n");
        shared.push_str(&service.replace(&format!("gw-{label}"), "gw-b"));
    }
    let shared = shared.replacen(&format!("{server}\n"), &format!("{server}\n{more}"), 1);
    let planned = Planned::from_resources("shared", [host("shared", "a"), shared]);
    planned.kill("run.sh", "step 3/");
    let out = planned.finish("run.sh");
    assert!(out.contains("are applied\n"), "{out}");
    planned.check_merged();
    planned.kill("undo.sh", "undo of step 3/");
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);
}

/// `apply.sh` of a step deletes only a resource that is as the plan left it.
#[test]
fn a_deletion_by_hand_is_checked_too() {
    let planned = Planned::new("by-hand", &["a", "b"], "");
    let ended = planned.run("run.sh", &["--wait", "0", "--drain", "0", "--to-step", "3"]);
    assert_eq!(ended.status, Some(0), "{}", ended.out);
    let gateway = ["gateways.networking.istio.io", "gw-b"];
    planned.patch(&gateway, r#"{"metadata": {"labels": {"team": "red"}}}"#);
    let changed = planned.manifests();
    let refused = planned.run("04-delete-servers/apply.sh", &[]);
    assert_ne!(refused.status, Some(0), "{}", refused.out);
    assert_eq!(planned.manifests(), changed);

    planned.patch(&gateway, r#"{"metadata": {"labels": {"team": "blue"}}}"#);
    let applied = planned.run("04-delete-servers/apply.sh", &[]);
    assert_eq!(applied.status, Some(0), "{}", applied.out);
    assert_eq!(planned.manifests().len(), changed.len() - 1);
    planned.finish("undo.sh");
    assert_eq!(planned.manifests(), planned.before);
}

/// When a connection that no request uses was closed, after its last request.
fn idle_connection(server: SocketAddr, host: String) -> thread::JoinHandle<Instant> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let transport = Transport::Tls(Some(&host));
            let mut connection = Connection::h2(server, transport).await.unwrap();
            assert_eq!(connection.send(&GET, &host).await.unwrap().status, 200);
            if let Connection::H2(sender, _) = &mut connection {
                while poll_fn(|context| sender.poll_ready(context)).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Instant::now()
        })
    })
}

/// Runs `run.sh` of a plan with probes. Returns each line with the time at which the script printed it.
pub(super) fn run_script(
    shop: &Shop,
    plan: &Path,
    options: &[&str],
) -> (ExitStatus, Vec<(Instant, String)>) {
    let mut child = Command::new("sh")
        .arg(plan.join("run.sh"))
        .args(options)
        .env("PATH", path())
        .env("KUBECONFIG", shop.kubectl().kubeconfig())
        .env("HOME", shop.folder.path())
        .env("GATEWAY", shop.address.to_string())
        .env("PROBE_OPTIONS", "--insecure-skip-tls-verify")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        lines.push((Instant::now(), line.unwrap()));
    }
    (child.wait().unwrap(), lines)
}

#[test]
fn a_script_carries_out_a_plan_under_load() {
    let shop = Shop::open("script", &["a", "b", "c"]);
    let plan = shop.plan(&[]);
    let idle = idle_connection(shop.address, shop.hosts[1].clone());
    let traffic = shop.traffic();
    let options = ["--wait", "1", "--probes", "2", "--drain", "7"];
    let (status, lines) = run_script(&shop, &plan, &options);
    let merged = traffic.end().unwrap();
    assert!(status.success(), "{lines:#?}");
    let when = |end: &str| {
        lines
            .iter()
            .find(|(_, line)| line.ends_with(end))
            .unwrap()
            .0
    };
    let closed = idle.join().unwrap();
    println!("{}", summary("script", &merged));
    println!(
        "the idle connection was closed {:?} after its host moved, and {:?} before its server was deleted",
        closed - when("/gw-b patched"),
        when("/gw-b deleted") - closed
    );
    assert!(merged.failures.is_empty(), "{:?}", merged.failures);
    assert!(merged.requests() >= 10_000, "{merged:?}");
    assert!(closed < when("/gw-b deleted"));
    assert_eq!(lines.last().unwrap().1, "done: all 6 steps are applied");
    assert!(shop.reused().iter().all(|status| *status == Some(200)));
}
