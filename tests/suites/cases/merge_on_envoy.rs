//! The plans of `merge` for each case on a real Envoy: it answers each host alike after every write.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gateway::listener::reached_rules;
use gateway::merge::{Plan, State};
use gateway::{FilterChain, Listener, Model, VirtualHost};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client::{Connection, GET, Transport, block_on};
use tests::envoy::Envoy;
use tests::gateways::{Listening, body, bootstrap, free_backends};
use tests::merge_plans::PlannedCase;
use tests::process::packager;

use crate::merge_plans::{STRATEGIES, named};
use crate::trials;

pub(crate) fn all() -> Result<Vec<Trial>> {
    trials("merge-on-envoy", 65, named()?, |path| check(path))
}

/// The listener of one plan in each state, as listeners of one Envoy.
struct Sequence<'p> {
    /// The names of these listeners, in the order of the states.
    names: Vec<String>,
    plan: &'p Plan,
    /// The rules that requests reach, by the body of the answers of a virtual host.
    reached: HashMap<String, String>,
}

impl Sequence<'_> {
    /// The rules behind an answer; its body, if it is not the one of a virtual host.
    fn routes(&self, body: &[u8]) -> String {
        let body = String::from_utf8_lossy(body).into_owned();
        self.reached.get(&body).cloned().unwrap_or(body)
    }
}

fn check(path: &Path) -> Result<()> {
    // One Envoy has the listeners of all plans in all states.
    let planned = STRATEGIES
        .into_iter()
        .map(|strategy| PlannedCase::read(path, strategy))
        .collect::<Result<Vec<_>>>()?;
    let models = planned
        .iter()
        .map(|planned| Ok(planned.states()?.iter().map(State::model).collect()))
        .collect::<Result<Vec<Vec<Model>>>>()?;
    let (mut listening, mut sequences) = (Vec::new(), Vec::new());
    for (number, (planned, models)) in planned.iter().zip(&models).enumerate() {
        for plan in &planned.outlook.plans {
            let mut names = Vec::new();
            for (state, model) in models.iter().enumerate() {
                // A running Envoy keeps the listener of the state before. A new one does not start.
                if find(model, plan)?.is_rejected() {
                    continue;
                }
                let name = format!("{number} {} {state}", plan.target);
                names.push(name.clone());
                listening.push(listen(name, model, plan)?);
            }
            let reached = listening
                .iter()
                .flat_map(|listening| &listening.listener.chains)
                .flat_map(FilterChain::virtual_hosts)
                .map(|host| (body(host), reached(host)))
                .collect();
            sequences.push(Sequence {
                names,
                plan,
                reached,
            });
        }
    }
    if sequences.is_empty() {
        return Ok(());
    }

    // The gateway's certificate is good for all hosts, as a merge demands.
    let folder = TempDir::new()?;
    let hosts: Vec<&str> = sequences
        .iter()
        .flat_map(|sequence| &sequence.plan.hosts)
        .map(String::as_str)
        .collect();
    let certificate = Certificate::generate(folder.path(), &hosts)?;
    let envoy = Envoy::start_with(bootstrap(&listening, &certificate)?)?;
    for sequence in &sequences {
        check_sequence(&envoy, sequence, &certificate)?;
    }
    Ok(())
}

/// The listener that a plan is about, in one state.
fn listen<'m>(name: String, model: &'m Model, plan: &Plan) -> Result<Listening<'m>> {
    let listener = find(model, plan)?;
    Ok(Listening {
        name,
        listener,
        filter: None,
        backends: free_backends(listener)?,
    })
}

fn find<'m>(model: &'m Model, plan: &Plan) -> Result<&'m Listener> {
    let (_, listener) = plan
        .listener
        .find(model)
        .with_context(|| format!("no listener {:?}", plan.listener))?;
    Ok(listener)
}

/// A catch-all rule that no request reaches may be added to the routes of a host.
fn reached(host: &VirtualHost) -> String {
    match reached_rules(&host.routes) {
        Some(rules) => format!("{rules:?}"),
        None => body(host),
    }
}

fn check_sequence(envoy: &Envoy, sequence: &Sequence<'_>, client: &Certificate) -> Result<()> {
    let hosts = &sequence.plan.hosts;
    let (first, later) = sequence.names.split_first().context("no state")?;
    let expected = ask(envoy.listener(first)?, sequence, client);
    // Otherwise a plan could keep hosts broken and pass.
    for (host, answer) in &expected {
        ensure!(
            answer.as_ref().is_some_and(|answer| answer.status == 200),
            "{first}: {host} is answered {answer:?} before the first write"
        );
    }
    // Each later listener is the configuration that istiod sends after one more write.
    for name in later {
        let found = ask(envoy.listener(name)?, sequence, client);
        ensure!(
            found == expected,
            "{name}: {found:?}, at first {expected:?}"
        );
    }
    let last = later.last().unwrap_or(first);
    check_probe(envoy.listener(last)?, hosts, client)
}

/// The routes of a virtual host identify it: they are the body of each answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    routes: String,
}

/// The answers to each host on a connection of its own; `None` where Envoy resets it.
fn ask(
    address: SocketAddr,
    sequence: &Sequence<'_>,
    client: &Certificate,
) -> BTreeMap<String, Option<Answer>> {
    let mut answers = BTreeMap::new();
    for host in &sequence.plan.hosts {
        let response = block_on(async {
            Connection::h2(address, Transport::MutualTls(Some(host), client))
                .await?
                .send(&GET, host)
                .await
        });
        let answer = response.ok().map(|response| Answer {
            status: response.status,
            routes: sequence.routes(&response.body),
        });
        answers.insert(host.clone(), answer);
    }
    answers
}

/// After the last write, `probe` finds a connection for the first host good for all hosts.
fn check_probe(address: SocketAddr, hosts: &[String], client: &Certificate) -> Result<()> {
    let address = address.to_string();
    let certificate = client.certificate.to_str().context("not UTF-8")?;
    let key = client.key.to_str().context("not UTF-8")?;
    let sni = hosts.first().context("a plan without hosts")?;
    let mut arguments = vec!["probe", "--connect", &address, "--sni", sni];
    arguments.extend(["--output", "json", "--insecure-skip-tls-verify"]);
    arguments.extend(["--client-cert", certificate, "--client-key", key]);
    arguments.push("--authority");
    arguments.extend(hosts.iter().map(String::as_str));
    let run = packager(&arguments);
    ensure!(run.status == 0, "probe: {}{}", run.out, run.talk);

    // The operator's own check after a merge has to agree with the requests above.
    let report: Value = serde_json::from_str(&run.out)?;
    let results = report
        .get("results")
        .and_then(Value::as_array)
        .context("no results")?;
    let is_fixed = results.iter().all(|result| {
        result
            .get("verdict")
            .is_some_and(|verdict| verdict == "fixed-by-merge")
    });
    ensure!(is_fixed && results.len() == hosts.len(), "{report}");
    Ok(())
}
