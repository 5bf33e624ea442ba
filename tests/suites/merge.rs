//! `packager merge`: what its plans avoid, and the folder of a plan. The cases of `merge/` are in the
//! suite `cases`.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway::Outcome;
use gateway::merge::{Edit, ProofError, StepKind, StepNumber, Strategy, Strictness, Write, prove};
use gateway::resources::{Kind, ResourceName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::cases::{Case, Golden, run};
use tests::merge_plans::PlannedCase;
use tests::process::{built_packager, packager};

fn gateway(name: &str) -> ResourceName {
    ResourceName {
        kind: Kind::Gateway,
        namespace: "istio-system".into(),
        name: name.into(),
    }
}

fn service(name: &str) -> ResourceName {
    ResourceName {
        kind: Kind::VirtualService,
        ..gateway(name)
    }
}

fn replace(resource: ResourceName, path: &str, old: &[&str], new: &[&str]) -> Write {
    let edit = Edit::Replace {
        path: path.into(),
        old: json!(old),
        new: json!(new),
    };
    Write::Patch {
        resource,
        edits: vec![edit],
    }
}

/// The step at which a plan is an outage, with the host.
#[track_caller]
fn outage(steps: [Vec<Write>; 2]) -> (StepNumber, String, Outcome) {
    let planned = PlannedCase::read(Path::new("merge/seamless.yaml"), Strategy::Seamless).unwrap();
    match prove(
        &planned.start,
        &steps.map(PlannedCase::step),
        &planned.certificates,
        Strictness::Steady,
    ) {
        Err(ProofError::Broken(broken)) => (broken.step, broken.host, broken.after.outcome),
        other => panic!("{other:?}"),
    }
}

/// A unified Gateway, the routes bound to it, the old Gateways deleted: each host is 404 from the
/// moment its routes leave the old Gateway, since the unified one is the youngest and so is dropped.
#[test]
fn the_published_recipe_is_an_outage() {
    let unified = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": { "name": "unified", "namespace": "istio-system" },
        "spec": {
            "selector": { "istio": "ingressgateway" },
            "servers": [{
                "port": { "number": 443, "name": "https", "protocol": "HTTPS" },
                "hosts": ["a.example.com", "b.example.com"],
                "tls": { "mode": "SIMPLE", "credentialName": "w" },
            }],
        },
    });
    let make = vec![Write::Create {
        resource: gateway("unified"),
        manifest: unified,
    }];
    let bind = |route, old| replace(service(route), "/spec/gateways", &[old], &["unified"]);
    let repoint = vec![bind("va", "gw-a"), bind("vb", "gw-b")];
    let expected = (StepNumber(2), "a.example.com".to_owned(), Outcome::NotFound);
    assert_eq!(outage([make, repoint]), expected);
}

/// A younger server with a host of an older one is dropped whole.
#[test]
fn to_grow_the_younger_gateway_is_an_outage() {
    let path = "/spec/servers/0/hosts";
    let both = ["b.example.com", "a.example.com"];
    let bind = replace(
        service("va"),
        "/spec/gateways",
        &["gw-a"],
        &["gw-a", "gw-b"],
    );
    let grow = replace(gateway("gw-b"), path, &["b.example.com"], &both);
    let expected = (StepNumber(2), "b.example.com".to_owned(), Outcome::Reset);
    assert_eq!(outage([vec![bind], vec![grow]]), expected);
}

/// The short plan has a moment in which a route table is empty already and its chain still there.
#[test]
fn a_short_plan_does_not_hold_while_envoy_changes() {
    let planned = PlannedCase::read(Path::new("merge/short.yaml"), Strategy::Short).unwrap();
    let plan = planned.outlook.plans.first().unwrap();
    let proved = prove(
        &planned.start,
        &plan.steps,
        &planned.certificates,
        Strictness::Transient,
    );
    let Err(ProofError::Broken(broken)) = proved else {
        panic!("{proved:?}")
    };
    let kind = broken.step.of(&plan.steps).unwrap().kind;
    assert_eq!((kind, broken.is_transient), (StepKind::MoveHosts, true));
    assert_eq!(
        (broken.host.as_str(), broken.after.outcome),
        ("b.example.com", Outcome::NotFound)
    );
}

/// A plan for more servers than anybody would carry out is refused, and at once.
#[test]
fn too_many_servers_are_refused() {
    let mut text = String::new();
    for n in 0..1_001 {
        let day = n % 28 + 1;
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g{n}, namespace: \
             shop, creationTimestamp: \"2026-01-{day:02}T00:00:00Z\"}}\nspec:\n  selector: {{istio: \
             shop}}\n  servers:\n  - port: {{number: 443, name: https, protocol: HTTPS}}\n    hosts: \
             [h{n}.example.com]\n    tls: {{mode: SIMPLE, credentialName: w}}\n---\napiVersion: \
             networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v{n}, namespace: \
             shop}}\nspec:\n  hosts: [h{n}.example.com]\n  gateways: [g{n}]\n  http: [{{route: []}}]"
        )
        .unwrap();
    }
    let run = run("merge % --assume-same-certificate", &text).unwrap();
    assert_eq!(run.status, 1, "{}", run.talk);
    let message = "refused: 1001 servers break each other, but a plan can merge at most 1000\n";
    assert!(
        run.out.starts_with(message),
        "{}",
        run.out.lines().next().unwrap()
    );
}

/// The files below a folder, with what is in them.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let is_program = fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0;
            assert_eq!(
                is_program,
                path.extension().is_some_and(|it| it == "sh"),
                "{name}"
            );
            files.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    files
}

#[test]
fn a_folder_for_each_step() {
    let case = Case::read("merge/seamless.yaml").unwrap().input().unwrap();
    for (form, golden) in [
        ("", "patches"),
        (" --full", "full"),
        (" --kustomize", "kustomize"),
    ] {
        let folder = TempDir::new().unwrap();
        let into = folder.path().join("new/plan");
        let command = format!("merge % --into {}{form}", into.display());
        assert_eq!(run(&command, &case).unwrap().status, 0);
        let mut text = String::new();
        for (name, content) in tree(&into).iter().filter(|(name, _)| *name != "plan.json") {
            // The rest of the script is the same for all plans.
            let content = match content.split_once("# The data of the plan.\n") {
                Some((_, data)) => data.split_once("\n# ---- ").unwrap().0,
                None => content,
            };
            write!(text, "== {name}\n{content}").unwrap();
        }
        Golden::new(format!("merge/folder-{golden}.txt"), text)
            .check()
            .unwrap();

        let again = run(&command, &case).unwrap();
        assert_eq!(again.status, 2);
        assert!(
            again.talk.contains("the folder is not empty"),
            "{}",
            again.talk
        );
        assert_eq!(
            fs::read_dir(into.parent().unwrap()).unwrap().count(),
            1,
            "a folder is left"
        );
    }
}

/// Names that end a quoted word, look like a flag or a path, or begin a new command.
const HOSTILE: [&str; 2] = [
    "-x'; touch pwned; echo '$(touch pwned)`touch pwned`",
    "a\n touch pwned\n\u{1b}]0;pwned\u{7}'\"\\",
];

/// The scripts of a plan reach kubectl with the names as they are, in each POSIX shell that is installed.
#[test]
fn hostile_names_are_only_arguments() {
    let mut text = String::new();
    for (index, name) in HOSTILE.iter().enumerate() {
        let name = json!(name);
        let port = json!({ "number": 443, "name": "https", "protocol": "HTTPS" });
        let tls = json!({ "mode": "SIMPLE", "credentialName": "w" });
        let host = format!("h{index}.example.com");
        let metadata = |name: &Value| {
            json!({
                "name": name,
                "namespace": "-shop'$(touch pwned)",
                "creationTimestamp": format!("2026-01-0{}T00:00:00Z", index + 1),
            })
        };
        let gateway = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": metadata(&name),
            "spec": {
                "selector": { "istio": "'$(touch pwned)" },
                "servers": [{ "port": port, "hosts": [host], "tls": tls }],
            },
        });
        let service = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            // A slash in the name of a Gateway would separate its namespace.
            "metadata": metadata(&json!(format!("../../../pwned{index}{}", HOSTILE[index]))),
            "spec": { "hosts": [host], "gateways": [name], "http": [{ "route": [] }] },
        });
        writeln!(text, "---\n{gateway}\n---\n{service}").unwrap();
    }
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("it's $(touch pwned)");
    fs::write(folder.path().join("in.yaml"), text).unwrap();
    let run = packager(&[
        "merge",
        folder.path().join("in.yaml").to_str().unwrap(),
        "--assume-same-certificate",
        "--into",
        into.to_str().unwrap(),
    ]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.talk);
    assert!(run.out.contains("step 6"), "{}", run.out);

    let kubectl = folder.path().join("kubectl");
    fs::write(&kubectl, "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$LOG\"\n").unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let mut scripts: Vec<PathBuf> = tree(&into)
        .keys()
        .filter(|name| name.ends_with("apply.sh") || name.ends_with("/undo.sh"))
        .map(|name| into.join(name))
        .collect();
    assert_eq!(scripts.len(), 12);
    scripts.extend([into.join("run.sh"), into.join("undo.sh")]);
    for shell in [&["sh"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        if Command::new(shell[0]).arg("--help").output().is_err() {
            continue;
        }
        for script in &scripts {
            let is_whole = script.parent() == Some(&into);
            let options: &[&str] = if is_whole {
                &["--wait", "0", "--drain", "0"]
            } else {
                &[]
            };
            let log = folder.path().join("log");
            fs::write(&log, "").unwrap();
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .arg(script)
                .args(options)
                .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
                .env("LOG", &log)
                .env_remove("GATEWAY")
                .current_dir(folder.path())
                .output()
                .unwrap();
            let out = String::from_utf8(output.stdout).unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{script:?}: {out}{error}");
            assert_eq!(error, "", "{script:?}");
            assert!(!out.contains('\u{1b}'), "{script:?}: {out}");
            let log = fs::read_to_string(&log).unwrap();
            if is_whole && script.ends_with("run.sh") {
                assert!(out.ends_with("done: all 6 steps are applied\n"), "{out}");
                let all = HOSTILE
                    .iter()
                    .all(|name| log.contains(&format!("/{name}\n")));
                assert!(all, "{log}");
            }
            let left = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 4, "{script:?} created a file");
        }
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let case = Case::read("merge/seamless.yaml").unwrap().input().unwrap();
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("plan");
    let dry = run(
        &format!("merge % --dry-run --into {}", into.display()),
        &case,
    )
    .unwrap();
    assert_eq!((dry.status, into.exists()), (0, false), "{}", dry.talk);
}

/// The folder may be the current one, which no other folder can replace.
#[test]
fn a_plan_in_the_current_folder() {
    let folder = TempDir::new().unwrap();
    let case = Case::read("merge/seamless.yaml").unwrap();
    let input = folder.path().join("input.yaml");
    fs::write(&input, case.input().unwrap()).unwrap();
    let plan = folder.path().join("plan");
    fs::create_dir(&plan).unwrap();
    let run = || {
        Command::new(built_packager().unwrap())
            .args(["merge", "../input.yaml", "--into", "."])
            .current_dir(&plan)
            .output()
            .unwrap()
    };
    let first = run();
    assert!(first.status.success(), "{first:?}");
    let files = tree(&plan);
    assert!(files.contains_key("run.sh") && files.contains_key("01-bind-routes/apply.sh"));
    assert!(files.keys().all(|name| !name.starts_with('.')), "{files:?}");
    // Nothing is written over files.
    let second = run();
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert_eq!(tree(&plan), files);
}

#[test]
fn a_script_waits_for_the_pods_of_every_namespace() {
    let folder = TempDir::new().unwrap();
    let plan = plan_of("merge/pods-of-two-namespaces.yaml", folder.path(), "plan");
    let script = fs::read_to_string(plan.join("run.sh")).unwrap();
    let pods: Vec<&str> = script
        .lines()
        .skip_while(|line| *line != "pods_1() {")
        .skip(1)
        .take_while(|line| *line != "}")
        .map(|line| line.trim_start().trim_start_matches("\"$@\" "))
        .collect();
    assert_eq!(
        pods,
        [
            "'edge' 'istio=ingressgateway' &&",
            "'istio-system' 'istio=ingressgateway'"
        ]
    );
}

/// `cd` searches the folders of `CDPATH` first, and takes a name that starts with a dash as an option.
#[test]
fn scripts_use_their_own_folder() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    for name in ["plan", "-plan"] {
        let own = plan_of("merge/seamless.yaml", folder.path(), name);
        let decoy = plan_of("merge/seamless.yaml", &other, name);
        assert_eq!(tree(&own), tree(&decoy));
    }
    let kubectl = folder.path().join("kubectl");
    fs::write(&kubectl, "#!/bin/sh\npwd >>\"$LOG\"\n").unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["plan", "-plan"] {
        let log = folder.path().join(format!("log of {name}"));
        for script in ["apply.sh", "undo.sh"] {
            let run = Command::new("sh")
                .args(["--", &format!("{name}/01-bind-routes/{script}")])
                .current_dir(folder.path())
                .env("CDPATH", &other)
                .env("LOG", &log)
                .env("PATH", path_with(folder.path()))
                .output()
                .unwrap();
            assert!(run.status.success(), "{run:?}");
        }
        let own = folder.path().join(name).join("01-bind-routes");
        let expected = format!("{0}\n{0}\n", own.display());
        assert_eq!(fs::read_to_string(&log).unwrap(), expected);

        for script in ["run.sh", "undo.sh"] {
            let run = Command::new("sh")
                .args(["--", &format!("{name}/{script}"), "--dry-run"])
                .current_dir(folder.path())
                .env("CDPATH", &other)
                .env("LOG", "/dev/null")
                .env("PATH", path_with(folder.path()))
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&run.stderr);
            assert!(!errors.contains("dirname"), "{name}/{script}: {errors}");
        }
    }
}

/// The folder of the plan for a case.
fn plan_of(case: &str, folder: &Path, name: &str) -> PathBuf {
    let input = folder.join("input.yaml");
    fs::write(&input, Case::read(case).unwrap().input().unwrap()).unwrap();
    let plan = folder.join(name);
    let into = format!("--into={}", plan.display());
    let run = packager(&["merge", input.to_str().unwrap(), &into]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.talk);
    plan
}

/// The search path with a folder in front.
fn path_with(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}
