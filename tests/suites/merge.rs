//! `packager merge`: cases that are files, and its plans on a real Envoy, step by step.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use gateway::documents::read;
use gateway::findings::{self, Code};
use gateway::merge::{
    Edit, Input, Outlook, ProofError, State, Step, StepKind, StepNumber, Strategy, Strictness,
    Write, merge, prove, without_status,
};
use gateway::resources::{Kind, ResourceName};
use gateway::{Certificates, Model, Outcome, Resources};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::cases::{check_case, files, input, run};
use tests::certificate::Certificate;
use tests::client::{Connection, GET, Transport, block_on};
use tests::envoy::Envoy;
use tests::gateways::{Listening, bootstrap, free_backends};
use tests::process::packager;

#[test]
fn plans_by_case() {
    let cases = files("merge").unwrap();
    assert!(cases.len() > 25, "{}", cases.len());
    for case in cases {
        check_case(&case).unwrap();
    }
}

/// A case with what there is to do.
struct Planned {
    name: String,
    start: State,
    certificates: Certificates,
    outlook: Outlook,
}

impl Planned {
    fn of(path: &Path, strategy: Strategy) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let is_model = path.starts_with("gateways");
        let text = if is_model {
            without_secrets(&text)
        } else {
            input(&text).unwrap()
        };
        let mut resources = Resources::with_manifests();
        // The cases of commands have broken documents too.
        let _ = read("input.yaml", &text, &mut resources);
        let certificates = Certificates::new(&resources);
        let start = State::new(resources);
        let may_assume_certificates = is_model;
        let outlook = merge(&Input {
            start: &start,
            certificates: &certificates,
            strategy,
            may_assume_certificates,
        });
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Self {
            name: format!("{name} {strategy:?}"),
            start,
            certificates,
            outlook,
        }
    }

    fn writes(&self) -> Vec<&Write> {
        let steps = self.outlook.plans.iter().flat_map(|plan| &plan.steps);
        steps.flat_map(|step| &step.writes).collect()
    }

    /// The state after each write, that before the first included.
    fn states(&self) -> Vec<State> {
        let mut states = vec![self.start.clone()];
        for write in self.writes() {
            let mut state = states.last().unwrap().clone();
            state.apply(write).unwrap();
            states.push(state);
        }
        states
    }
}

/// The Secrets of the model's cases hold no certificates.
fn without_secrets(text: &str) -> String {
    let documents = text
        .split("\n---\n")
        .filter(|text| !text.contains("kind: Secret\n"));
    documents.collect::<Vec<_>>().join("\n---\n")
}

/// Every plan of every case, both ways.
fn all() -> Vec<Planned> {
    let paths = files("gateways")
        .unwrap()
        .into_iter()
        .chain(files("merge").unwrap());
    let both = [Strategy::Seamless, Strategy::Short];
    let planned = paths.flat_map(|path| both.map(|strategy| Planned::of(&path, strategy)));
    planned
        .filter(|planned| !planned.outlook.plans.is_empty())
        .collect()
}

/// By host, the status and the routes of the answer on a connection of its own.
type Answers = BTreeMap<String, Option<(u16, Vec<u8>)>>;

fn fresh(address: SocketAddr, hosts: &[String], client: &Certificate) -> Answers {
    let answer = |host: &String| {
        let transport = Transport::MutualTls(Some(host), client);
        let response = block_on(async {
            Connection::h2(address, transport)
                .await?
                .send(&GET, host)
                .await
        });
        (
            host.clone(),
            response
                .ok()
                .map(|response| (response.status, response.body)),
        )
    };
    hosts.iter().map(answer).collect()
}

#[test]
fn envoy_answers_every_host_alike_after_every_write() {
    let folder = TempDir::new().unwrap();
    let all = all();
    let plans = all.iter().flat_map(|planned| &planned.outlook.plans);
    let hosts: BTreeSet<&str> = plans
        .flat_map(|plan| &plan.hosts)
        .map(String::as_str)
        .collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let certificate = Certificate::generate(folder.path(), &hosts).unwrap();
    let (mut plans, mut states, mut asked) = (0, 0, 0);
    // Not more listeners at once than Envoy starts with in a moment.
    for planned in all.chunks(12) {
        let models: Vec<Vec<Model>> = planned
            .iter()
            .map(|planned| planned.states().iter().map(State::model).collect())
            .collect();
        let mut listening = Vec::new();
        let mut questions = Vec::new();
        for (planned, models) in planned.iter().zip(&models) {
            for plan in &planned.outlook.plans {
                plans += 1;
                let mut names = Vec::new();
                for (at, model) in models.iter().enumerate() {
                    let (_, found) = plan.listener.find(model).unwrap();
                    let name = format!("{} {} {at}", planned.name, plan.target);
                    let backends = free_backends(found).unwrap();
                    names.push(name.clone());
                    listening.push(Listening {
                        name,
                        listener: found,
                        filter: None,
                        backends,
                    });
                }
                questions.push((names, &plan.hosts));
            }
        }
        let envoy = Envoy::start_with(bootstrap(&listening, &certificate).unwrap()).unwrap();
        for (names, hosts) in questions {
            let mut first = None;
            let last = names.last().unwrap().clone();
            for name in names {
                let answers = fresh(envoy.listener(&name).unwrap(), hosts, &certificate);
                let first = first.get_or_insert_with(|| answers.clone());
                let is_served = |answer: &Option<(u16, Vec<u8>)>| {
                    answer.as_ref().is_some_and(|(status, _)| *status == 200)
                };
                assert!(first.values().all(is_served), "{name}: {first:?}");
                assert_eq!(answers, *first, "{name}");
                states += 1;
                asked += hosts.len();
            }
            probe(envoy.listener(&last).unwrap(), hosts, &certificate);
        }
    }
    println!("{plans} plans, {states} states, {asked} requests");
    assert!(plans > 30 && states > 150, "{plans} plans, {states} states");
}

/// In the end `probe` says that a connection for one host is good for all.
#[track_caller]
fn probe(address: SocketAddr, hosts: &[String], certificate: &Certificate) {
    let [certificate, key] = [&certificate.certificate, &certificate.key];
    let (address, sni) = (address.to_string(), hosts.first().unwrap());
    let mut arguments = vec![
        "probe",
        "--connect",
        &address,
        "--sni",
        sni,
        "--output",
        "json",
    ];
    arguments.extend([
        "--insecure-skip-tls-verify",
        "--client-cert",
        certificate.to_str().unwrap(),
    ]);
    arguments.extend(["--client-key", key.to_str().unwrap(), "--authority"]);
    arguments.extend(hosts.iter().map(String::as_str));
    let run = packager(&arguments);
    assert_eq!(run.status, 0, "{}{}", run.out, run.talk);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    let results = report.get("results").unwrap().as_array().unwrap();
    let is_fixed = |result: &Value| result.get("verdict").unwrap() == "fixed-by-merge";
    assert!(
        results.len() == hosts.len() && results.iter().all(is_fixed),
        "{report}"
    );
}

#[test]
fn nothing_breaks_any_more_in_the_end() {
    for planned in all() {
        let states = planned.states();
        let last = states.last().unwrap();
        let model = last.model();
        let report = findings::check(&findings::Input {
            resources: last.resources(),
            model: &model,
            certificates: &planned.certificates,
            now: "2026-06-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(),
            has_all_secrets: false,
        });
        let is_about = |code| {
            [
                Code::CoalesceNotFound,
                Code::CoalesceWrongRoute,
                Code::CoalesceTlsPolicy,
                Code::CoalescePresumed,
                Code::ServerDropped,
                Code::ListenerRejected,
            ]
            .contains(&code)
        };
        let refused: Vec<&String> = planned
            .outlook
            .refusals
            .iter()
            .flat_map(|refusal| &refusal.servers)
            .collect();
        let left: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| is_about(finding.code))
            .filter(|finding| {
                !finding
                    .owner
                    .as_ref()
                    .is_some_and(|own| refused.contains(&&own.to_string()))
            })
            .collect();
        assert!(left.is_empty(), "{}: {left:#?}", planned.name);
    }
}

/// The manifests of a state, without what the API server writes.
fn manifests(state: &State) -> BTreeMap<ResourceName, Value> {
    let all = state.resources().manifests.iter();
    all.map(|(name, manifest)| (name.clone(), without_status(manifest)))
        .collect()
}

/// In reverse, and without an outage either: a Gateway that is made again is the youngest then.
#[test]
fn what_takes_the_steps_back_restores_the_first_state() {
    for planned in all() {
        let states = planned.states();
        let mut state = states.last().unwrap().clone();
        let undo: Vec<Write> = planned
            .writes()
            .iter()
            .rev()
            .map(|write| write.undo())
            .collect();
        let steps: Vec<Step> = undo.iter().map(|write| step(vec![write.clone()])).collect();
        let proved = prove(&state, &steps, &planned.certificates, Strictness::Steady);
        assert_eq!(proved, Ok(()), "{}", planned.name);
        for write in &undo {
            state.apply(write).unwrap();
        }
        assert_eq!(
            manifests(&state),
            manifests(&planned.start),
            "{}",
            planned.name
        );
    }
}

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

/// A step that no plan has, of a kind that does not matter here.
fn step(writes: Vec<Write>) -> Step {
    Step {
        kind: StepKind::BindRoutes,
        purpose: String::new(),
        writes,
    }
}

/// The step at which a plan is an outage, with the host.
#[track_caller]
fn outage(steps: [Vec<Write>; 2]) -> (StepNumber, String, Outcome) {
    let planned = Planned::of(Path::new("merge/seamless.yaml"), Strategy::Seamless);
    match prove(
        &planned.start,
        &steps.map(step),
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
    let planned = Planned::of(Path::new("merge/short.yaml"), Strategy::Short);
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
    for n in 0..301 {
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
    let told = "refused: 301 servers break each other, but a plan can merge at most 300\n";
    assert!(
        run.out.starts_with(told),
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
    let case = input(&fs::read_to_string("merge/seamless.yaml").unwrap()).unwrap();
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
            write!(text, "== {name}\n{content}").unwrap();
        }
        let golden = format!("merge/folder-{golden}.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        assert!(
            text == fs::read_to_string(&golden).unwrap_or_default(),
            "{golden}: now\n{text}"
        );

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

#[test]
fn a_dry_run_writes_nothing() {
    let case = input(&fs::read_to_string("merge/seamless.yaml").unwrap()).unwrap();
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("plan");
    let dry = run(
        &format!("merge % --dry-run --into {}", into.display()),
        &case,
    )
    .unwrap();
    assert_eq!((dry.status, into.exists()), (0, false), "{}", dry.talk);
}

/// Where `check` recommends a merge, there is a plan for the two servers; elsewhere there is none.
#[test]
fn check_recommends_the_merges_that_are_planned() {
    let (mut recommended, mut refused) = (0, 0);
    for path in ["check", "merge"]
        .into_iter()
        .flat_map(|folder| files(folder).unwrap())
    {
        let planned = Planned::of(&path, Strategy::Seamless);
        let report = findings::check(&findings::Input {
            resources: planned.start.resources(),
            model: &planned.start.model(),
            certificates: &planned.certificates,
            now: "2026-06-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(),
            has_all_secrets: false,
        });
        for finding in report.findings {
            let is_recommended = finding.hint.contains(": packager merge PATH");
            let is_refused = finding
                .hint
                .starts_with("packager merge refuses these servers");
            let servers = [finding.connection, finding.owner].map(Option::unwrap_or_default);
            let is_planned = planned.outlook.plans.iter().any(|plan| {
                servers.iter().all(|server| {
                    std::iter::once(&plan.target)
                        .chain(&plan.absorbed)
                        .any(|merged| merged.to_string() == *server)
                })
            });
            assert!(
                !is_recommended || is_planned,
                "{}: {servers:?}",
                planned.name
            );
            assert!(!is_refused || !is_planned, "{}: {servers:?}", planned.name);
            recommended += usize::from(is_recommended);
            refused += usize::from(is_refused);
        }
    }
    assert!(recommended > 10 && refused > 10, "{recommended} {refused}");
}
