//! The model of gateways on a real Envoy: the listeners of each file in `gateways/`, without the filter
//! and with it. Each host of a case is asked for on a connection for each other host.

mod client;

use anyhow::{Context, Result, bail, ensure};
use gateway::listener::ChainKind;
use gateway::resources::istio::TlsMode;
use gateway::{FilterChain, Listener, ServerId};
use libtest_mimic::Trial;
use serde_json::json;
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::envoy::{Envoy, Filter, Guard, GuardConfig};
use tests::gateways::{Case, Listening, bootstrap, cases, free_backends};
use tests::module;

use self::client::{Answers, Seen, ask, authorities, expected, model_answers, server_names};
use crate::model::named;
use crate::{trial, trials};

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut all = trials("model-on-envoy", 35, named()?, |name| check(name))?;
    all.push(trial(
        "model-on-envoy::client-certificate",
        check_client_certificate,
    ));
    all.push(trial(
        "model-on-envoy::enough-defects",
        check_enough_defects,
    ));
    Ok(all)
}

fn check(name: &str) -> Result<()> {
    let case = Case::read(name)?;
    // Envoy starts with none of its listeners when it rejects one.
    let (rejected, accepted): (Vec<_>, Vec<_>) = case
        .tls_listeners()
        .partition(|(_, listener)| listener.is_rejected());
    for (name, listener) in rejected {
        check_rejected(&name, listener)?;
    }
    if accepted.is_empty() {
        return Ok(());
    }
    let running = Running::start(&accepted)?;
    // The answers without the filter are the model's, so defects in them are what the model predicts.
    for (name, listener) in &accepted {
        let plain = running.answers(name, &case)?;
        check_model(name, listener, &plain)?;
        let guarded = running.answers(&guarded(name), &case)?;
        check_guard(name, listener, &plain, &guarded)?;
    }
    Ok(())
}

/// Envoy rejects a listener with two filter chains for one server name.
fn check_rejected(name: &str, listener: &Listener) -> Result<()> {
    let folder = TempDir::new()?;
    let certificate = Certificate::generate(folder.path(), &["a.example.com"])?;
    let listening = Listening {
        name: name.to_owned(),
        listener,
        filter: None,
        backends: free_backends(listener)?,
    };
    match Envoy::start_with(bootstrap(&[listening], &certificate)?) {
        Ok(_) => bail!("{name}: Envoy accepts it, the model rejects it"),
        Err(error) => {
            let error = format!("{error:#}");
            ensure!(error.contains("matching rules"), "{name}: {error}");
            Ok(())
        }
    }
}

/// The listeners of a case on one Envoy, each without the filter and with it.
struct Running {
    envoy: Envoy,
    client: Certificate,
    _folder: TempDir,
}

impl Running {
    fn start(listeners: &[(String, &Listener)]) -> Result<Self> {
        let folder = TempDir::new()?;
        let client = Certificate::generate(folder.path(), &["a.example.com"])?;
        let mut listening = Vec::new();
        for (name, listener) in listeners {
            for (name, filter) in [
                (name.clone(), None),
                (guarded(name), Some(guard(listener)?)),
            ] {
                listening.push(Listening {
                    name,
                    listener,
                    filter,
                    backends: free_backends(listener)?,
                });
            }
        }
        Ok(Self {
            envoy: Envoy::start_with(bootstrap(&listening, &client)?)?,
            client,
            _folder: folder,
        })
    }

    fn answers(&self, listener: &str, case: &Case) -> Result<Answers> {
        let address = self.envoy.listener(listener)?;
        let mut answers = Answers::new();
        for sni in server_names(case) {
            let authorities = authorities(case);
            let seen = ask(address, &sni, &authorities, Some(&self.client))?;
            for (authority, seen) in authorities.into_iter().zip(seen) {
                answers.insert((sni.clone(), authority), seen);
            }
        }
        Ok(answers)
    }
}

fn guarded(listener: &str) -> String {
    format!("{listener} guarded")
}

fn guard(listener: &Listener) -> Result<Filter> {
    let config = json!({ "servers": listener.overlapping_servers() });
    Ok(Filter::Guard(Guard {
        module: module::build()?,
        config: GuardConfig::Inline(Some(config)),
    }))
}

/// Without the filter, Envoy answers as the model.
fn check_model(name: &str, listener: &Listener, plain: &Answers) -> Result<()> {
    for ((sni, authority), seen) in plain {
        let expected = expected(&listener.answer(sni.as_bytes(), authority.as_bytes()));
        ensure!(
            *seen == expected,
            "{name}: {authority} on a connection for {sni:?}: {seen:?}, by the model {expected:?}"
        );
    }
    Ok(())
}

/// The filter answers 421 to every defect. Otherwise it answers 421 only where the authority has another
/// server than the connection, or where Envoy alone answers 404. All other answers stay.
fn check_guard(name: &str, listener: &Listener, plain: &Answers, guarded: &Answers) -> Result<()> {
    for (pair, seen) in plain {
        let (sni, authority) = pair;
        let host = host(authority);
        let on = format!("{name}: {authority} on a connection for {sni:?}");
        let with_filter = guarded.get(pair).context("not asked with the filter")?;
        // The filter either answers 421 or changes nothing.
        let is_421 = matches!(with_filter, Seen::Answer { status: 421, .. });
        ensure!(
            is_421 || with_filter == seen,
            "{on}: {with_filter:?}, without the filter {seen:?}"
        );
        // A defect that passes is what the filter exists to prevent.
        let defect = defect(listener, sni, authority, plain)?;
        ensure!(
            is_421 || defect.is_none(),
            "{on}: the filter passes {defect:?}"
        );
        // A 421 on the connection of the own server could repeat for ever.
        let is_same_server = server(listener, sni) == server(listener, &host);
        let is_404 = matches!(seen, Seen::Answer { status: 404, .. });
        ensure!(
            !is_421 || !is_same_server || is_404,
            "{on}: 421 on the connection of its own server"
        );
    }
    Ok(())
}

/// The host of an authority.
fn host(authority: &str) -> String {
    let host = authority.split(':').next().unwrap_or_default();
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn server<'l>(listener: &'l Listener, sni: &str) -> Option<&'l ServerId> {
    listener.chain(sni.as_bytes()).map(|chain| &chain.server.id)
}

/// What is wrong with an answer on a connection that was opened for another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    NotFound,
    WrongRoute,
    /// The server of the host demands a client certificate, and the server of the connection does not.
    TlsPolicy,
}

/// The defect of an answer without the filter, if the certificate of the connection is good for the host:
/// a new connection gets an answer, and this connection gets another one or skips a check.
fn defect(
    listener: &Listener,
    sni: &str,
    authority: &str,
    plain: &Answers,
) -> Result<Option<Defect>> {
    // Without a server name, or without TLS that Envoy terminates, no client coalesces.
    let Some(chain) = listener.chain(sni.as_bytes()).filter(|_| !sni.is_empty()) else {
        return Ok(None);
    };
    if !matches!(chain.kind, ChainKind::Https(_)) {
        return Ok(None);
    }
    let host = host(authority);
    let answer = |sni: &str| {
        plain
            .get(&(sni.to_owned(), authority.to_owned()))
            .with_context(|| format!("{authority} was not asked for {sni}"))
    };
    // No connection is better where a new one gets no answer either.
    let (
        Seen::Answer { status, routes, .. },
        Seen::Answer {
            status: 200,
            routes: own_routes,
            ..
        },
    ) = (answer(sni)?, answer(&host)?)
    else {
        return Ok(None);
    };
    if *status == 404 {
        return Ok(Some(Defect::NotFound));
    }
    if routes != own_routes {
        return Ok(Some(Defect::WrongRoute));
    }
    // Envoy checks client certificates when a connection opens, by the filter chain of the SNI.
    let own = listener.chain(host.as_bytes()).context("no chain")?;
    let skips_check = demands_certificate(own) && !demands_certificate(chain);
    Ok(skips_check.then_some(Defect::TlsPolicy))
}

fn demands_certificate(chain: &FilterChain) -> bool {
    chain.tls == Some(TlsMode::Mutual)
}

/// A server that demands a client certificate resets connections without one.
fn check_client_certificate() -> Result<()> {
    let case = Case::read("11-mutual")?;
    let listeners: Vec<_> = case.tls_listeners().collect();
    let running = Running::start(&listeners)?;
    let (name, _) = listeners.first().context("no listener")?;
    let address = running.envoy.listener(name)?;
    for (sni, client, expected) in [
        ("b.example.com", None, None),
        ("b.example.com", Some(&running.client), Some(200)),
        ("x.example.com", None, Some(200)),
    ] {
        let seen = ask(address, sni, &["b.example.com".to_owned()], client)?;
        let status = seen.first().and_then(|seen| match seen {
            Seen::Reset => None,
            Seen::Answer { status, .. } => Some(*status),
        });
        ensure!(status == expected, "{sni}, {client:?}: {status:?}");
    }
    Ok(())
}

/// The cases have defects of each kind, and listeners that Envoy rejects. Envoy answers as the model, so
/// this counts what the model answers.
fn check_enough_defects() -> Result<()> {
    let (mut rejected, mut pairs) = (0, 0);
    let (mut not_found, mut wrong_route, mut tls_policy) = (0, 0, 0);
    for case in cases()? {
        for (_, listener) in case.tls_listeners() {
            if listener.is_rejected() {
                rejected += 1;
                continue;
            }
            let answers = model_answers(listener, &case);
            for (sni, authority) in answers.keys() {
                pairs += 1;
                match defect(listener, sni, authority, &answers)? {
                    Some(Defect::NotFound) => not_found += 1,
                    Some(Defect::WrongRoute) => wrong_route += 1,
                    Some(Defect::TlsPolicy) => tls_policy += 1,
                    None => {}
                }
            }
        }
    }
    ensure!(
        pairs > 7_000 && rejected > 2,
        "{pairs} pairs, {rejected} rejected"
    );
    ensure!(
        not_found > 50 && wrong_route > 10 && tls_policy > 0,
        "{not_found} not found, {wrong_route} wrong route, {tls_policy} TLS policy"
    );
    Ok(())
}
