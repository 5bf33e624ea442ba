//! One round: each authority on the reused connection, then on new ones.

use anyhow::{Result, bail};
use futures_util::stream::{self, StreamExt};
use gateway::Certificate;
use gateway::advice::Advice;
use gateway::probe::{Answer, Choice, Evidence, ProbeTarget, Report, Row, Seen, Site};

use super::connection::Connection;
use super::failure::Failure;
use super::sites::Sites;
use super::target::{Ask, HostName, Target};

/// How many requests, and connections, are under way at a time.
const AT_A_TIME: usize = 16;
/// How many more times a host is asked for, on either kind of connection, while the answers differ.
const MORE: usize = 3;

/// What a round showed, and whom it is about.
pub(super) struct Round<'s> {
    pub(super) report: Report,
    pub(super) choice: Choice<'s>,
}

/// Asks for everything once.
pub(super) async fn run<'s>(target: &Target, sites: &'s Sites) -> Result<Round<'s>> {
    let shared = open(target).await?;
    let certificate = shared
        .as_ref()
        .and_then(|connection| connection.certificate.as_ref());
    let choice = sites.choose(ProbeTarget {
        port: target.endpoint.port,
        sni: &target.sni.text,
        fingerprint: certificate.map(|certificate| certificate.fingerprint.as_str()),
    });
    let shared = shared.as_ref();
    let evidence = gather(target, shared, choice.site).await?;
    let asked = target.asks.iter().zip(evidence);
    let results = asked.map(|(wanted, evidence)| {
        let owner = choice.site.and_then(|site| owner(site, &wanted.host));
        Row::new(&wanted.authority, covers(shared, wanted), owner, evidence)
    });
    let report = Report {
        connect: target.endpoint.to_string(),
        sni: target.sni.to_string(),
        connected: shared.is_some(),
        alpn: shared.and_then(|connection| connection.alpn.clone()),
        sans: certificate.map(names).unwrap_or_default(),
        connection: choice.site.and_then(|site| owner(site, &target.sni)),
        results: results.collect(),
    };
    Ok(Round { report, choice })
}

/// All that is seen: on the reused connection first, then on new ones, then more of both.
async fn gather(
    target: &Target,
    shared: Option<&Connection>,
    site: Option<Site<'_>>,
) -> Result<Vec<Evidence>> {
    let asks = || target.asks.iter();
    let reused = side_by_side(asks().map(|wanted| reuse(target, shared, wanted))).await;
    demand_certificate(target, &reused)?;
    let fresh = side_by_side(asks().map(|wanted| ask_anew(target, &wanted.host, wanted))).await;
    let more = asks()
        .zip(reused.into_iter().zip(fresh))
        .map(|(wanted, (reused, fresh))| {
            let evidence = Evidence {
                // Where there is no connection, nobody knows what it would be good for.
                is_coalescible: shared
                    .is_none_or(|shared| shared.is_h2() && covers(Some(shared), wanted)),
                has_one_server: site.is_some_and(|site| is_one(site, target, wanted)),
                reused,
                fresh,
                reused_again: Vec::new(),
                fresh_again: Vec::new(),
            };
            ask_more(target, shared, wanted, evidence)
        });
    Ok(side_by_side(more).await)
}

/// The connection that is reused; `None` where the server ends it.
async fn open(target: &Target) -> Result<Option<Connection>> {
    match Connection::open(target, &target.sni).await {
        Ok(connection) => Ok(Some(connection)),
        Err(Failure::Reset) => Ok(None),
        Err(Failure::ClientCertificate) => bail!(demanded(target)),
        Err(Failure::Unknown(advice)) => {
            let message = format!("{}: {}", connecting(target), advice.message);
            bail!(Advice::new(message, advice.hint))
        }
    }
}

fn connecting(target: &Target) -> String {
    format!("connecting to {} with SNI {}", target.endpoint, target.sni)
}

fn demanded(target: &Target) -> Advice {
    Advice::new(
        format!(
            "{}: the server demands a client certificate",
            connecting(target)
        ),
        "give one that it trusts with --client-cert and --client-key",
    )
}

/// TLS 1.3 lets clients write before the server has looked at their certificate, so that the first
/// answer may be that it wants one.
fn demand_certificate(target: &Target, reused: &[Seen]) -> Result<()> {
    if reused.contains(&Seen::ClientCertificate) {
        bail!(demanded(target));
    }
    Ok(())
}

/// Waits for all, a few at a time, and keeps their order.
async fn side_by_side<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    stream::iter(asked).buffered(AT_A_TIME).collect().await
}

/// Asks on the connection that is reused, or, where it carries only one request, on another with its
/// server name.
async fn reuse(target: &Target, shared: Option<&Connection>, wanted: &Ask) -> Seen {
    let Some(shared) = shared else {
        return Seen::Reset;
    };
    match shared.reuse() {
        Some(connection) => seen(connection.ask(target, wanted).await),
        None => ask_anew(target, &target.sni, wanted).await,
    }
}

/// Asks on a new connection.
async fn ask_anew(target: &Target, name: &HostName, wanted: &Ask) -> Seen {
    match Connection::open(target, name).await {
        Ok(connection) => seen(connection.ask(target, wanted).await),
        Err(failure) => failure.into(),
    }
}

fn seen(asked: Result<Answer, Failure>) -> Seen {
    asked.map_or_else(Seen::from, Seen::Answer)
}

/// Asks again while more answers may show that they are the same, in turn: what holds the time is
/// then most alike.
async fn ask_more(
    target: &Target,
    shared: Option<&Connection>,
    wanted: &Ask,
    mut evidence: Evidence,
) -> Evidence {
    for _ in 0..MORE {
        if !evidence.wants_more() {
            break;
        }
        let fresh = ask_anew(target, &wanted.host, wanted).await;
        let reused = reuse(target, shared, wanted).await;
        evidence.fresh_again.extend(fresh.into_answer());
        evidence.reused_again.extend(reused.into_answer());
    }
    evidence
}

/// Whether clients take the connection's certificate for an authority.
fn covers(shared: Option<&Connection>, wanted: &Ask) -> bool {
    let certificate = shared.and_then(|connection| connection.certificate.as_ref());
    certificate.is_some_and(|certificate| certificate.name_for(&wanted.host.text).is_some())
}

fn names(certificate: &Certificate) -> Vec<String> {
    certificate.names.iter().map(ToString::to_string).collect()
}

fn is_one(site: Site<'_>, target: &Target, wanted: &Ask) -> bool {
    site.has_one_server(&target.sni.text, &wanted.authority)
}

fn owner(site: Site<'_>, host: &HostName) -> Option<String> {
    site.server(&host.text).map(ToString::to_string)
}
