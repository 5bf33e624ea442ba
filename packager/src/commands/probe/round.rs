//! One round: each authority is requested on the reused connection, then on new connections.

use anyhow::{Result, bail};
use futures_util::stream::{self, StreamExt};
use gateway::Certificate;
use gateway::advice::Advice;
use gateway::probe::{Answer, Choice, Evidence, ProbeTarget, Report, Row, Seen, Site};

use super::connection::Connection;
use super::failure::Failure;
use super::sites::Sites;
use super::target::{Ask, HostName, Target};

/// The largest number of simultaneous requests.
const AT_A_TIME: usize = 16;
/// How often a host is requested again on each kind of connection while the answers differ.
const MORE: usize = 3;

/// The result of a round.
pub(super) struct Round<'s> {
    pub(super) report: Report,
    /// The listener of the resources that the report is about.
    pub(super) choice: Choice<'s>,
}

/// Sends every request once and reports what the answers show.
pub(super) async fn run<'s>(target: &Target, sites: &'s Sites) -> Result<Round<'s>> {
    let shared = open(target).await?;
    let shared = shared.as_ref();
    let certificate = shared.and_then(|connection| connection.certificate.as_ref());

    // The port and the certificate identify the listener among the resources of --from.
    let choice = sites.choose(ProbeTarget {
        port: target.endpoint.port,
        sni: &target.sni.text,
        fingerprint: certificate.map(|certificate| certificate.fingerprint.as_str()),
    });

    let evidence = gather(target, shared, choice.site).await?;
    let mut results = Vec::new();
    for (wanted, evidence) in target.asks.iter().zip(evidence) {
        let owner = choice.site.and_then(|site| owner(site, &wanted.host));
        let is_covered = covers(shared, wanted);
        results.push(Row::new(&wanted.authority, is_covered, owner, evidence));
    }
    let report = Report {
        connect: target.endpoint.to_string(),
        sni: target.sni.to_string(),
        connected: shared.is_some(),
        alpn: shared.and_then(|connection| connection.alpn.clone()),
        sans: certificate.map(names).unwrap_or_default(),
        connection: choice.site.and_then(|site| owner(site, &target.sni)),
        results,
    };
    Ok(Round { report, choice })
}

/// The answers to all requests: on the reused connection, on new connections, then more of both.
async fn gather(
    target: &Target,
    shared: Option<&Connection>,
    site: Option<Site<'_>>,
) -> Result<Vec<Evidence>> {
    let asks = &target.asks;
    let reused = side_by_side(asks.iter().map(|wanted| ask_reused(target, shared, wanted))).await;
    require_certificate(target, &reused)?;
    let fresh = side_by_side(
        asks.iter()
            .map(|wanted| ask_fresh(target, &wanted.host, wanted)),
    )
    .await;

    // One answer of each kind may differ by accident, so hosts with different answers get more.
    let mut pending = Vec::new();
    for (wanted, (reused, fresh)) in asks.iter().zip(reused.into_iter().zip(fresh)) {
        let evidence = Evidence {
            is_coalescible: is_coalescible(shared, wanted),
            has_one_server: site
                .is_some_and(|site| site.has_one_server(&target.sni.text, &wanted.authority)),
            reused,
            fresh,
            reused_again: Vec::new(),
            fresh_again: Vec::new(),
        };
        pending.push(ask_more(target, shared, wanted, evidence));
    }
    Ok(side_by_side(pending.into_iter()).await)
}

/// Opens the connection that is reused. `None` if the server ends it.
async fn open(target: &Target) -> Result<Option<Connection>> {
    match Connection::open(target, &target.sni).await {
        Ok(connection) => Ok(Some(connection)),
        Err(Failure::Reset) => Ok(None),
        Err(Failure::ClientCertificate) => bail!(certificate_required(target)),
        Err(Failure::Unknown(advice)) => {
            let message = format!("{}: {}", connecting(target), advice.message);
            bail!(Advice::new(message, advice.hint))
        }
    }
}

fn connecting(target: &Target) -> String {
    format!("connecting to {} with SNI {}", target.endpoint, target.sni)
}

fn certificate_required(target: &Target) -> Advice {
    Advice::new(
        format!(
            "{}: the server requires a client certificate",
            connecting(target)
        ),
        "give a certificate that it trusts with --client-cert and --client-key",
    )
}

/// Fails if the server requires a client certificate. In TLS 1.3 a client may write before the server
/// has checked its certificate, so this may become known only with the first request.
fn require_certificate(target: &Target, reused: &[Seen]) -> Result<()> {
    if reused.contains(&Seen::ClientCertificate) {
        bail!(certificate_required(target));
    }
    Ok(())
}

/// The results of all futures in their order, with a limited number of them at a time.
async fn side_by_side<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    stream::iter(asked).buffered(AT_A_TIME).collect().await
}

/// Sends a request on the reused connection. HTTP/1.1 carries one request at a time, so there the request
/// gets another connection with the same server name.
async fn ask_reused(target: &Target, shared: Option<&Connection>, wanted: &Ask) -> Seen {
    // The server ended the shared connection, so it ends this request too.
    let Some(shared) = shared else {
        return Seen::Reset;
    };
    match shared.reuse() {
        Some(connection) => seen(connection.ask(target, wanted).await),
        None => ask_fresh(target, &target.sni, wanted).await,
    }
}

/// Sends a request on a new connection with a server name.
async fn ask_fresh(target: &Target, name: &HostName, wanted: &Ask) -> Seen {
    match Connection::open(target, name).await {
        Ok(connection) => seen(connection.ask(target, wanted).await),
        Err(failure) => failure.into(),
    }
}

fn seen(answer: Result<Answer, Failure>) -> Seen {
    answer.map_or_else(Seen::from, Seen::Answer)
}

/// Repeats the request while more answers may show that both connections answer alike. The two kinds of
/// connection take turns, so that answers with a timestamp are as similar as possible.
async fn ask_more(
    target: &Target,
    shared: Option<&Connection>,
    wanted: &Ask,
    mut evidence: Evidence,
) -> Evidence {
    for _ in 0..MORE {
        // Most hosts are clear after one answer on each connection.
        if !evidence.wants_more() {
            break;
        }
        let fresh = ask_fresh(target, &wanted.host, wanted).await;
        let reused = ask_reused(target, shared, wanted).await;
        evidence.fresh_again.extend(fresh.into_answer());
        evidence.reused_again.extend(reused.into_answer());
    }
    evidence
}

/// Whether clients may send a request for the authority on the connection (RFC 9113 §9.1.1). Without a
/// connection this is unknown, and nothing speaks against it.
fn is_coalescible(shared: Option<&Connection>, wanted: &Ask) -> bool {
    shared.is_none_or(|connection| connection.is_h2() && covers(shared, wanted))
}

/// Whether the certificate of the connection covers the authority.
fn covers(shared: Option<&Connection>, wanted: &Ask) -> bool {
    shared
        .and_then(|connection| connection.certificate.as_ref())
        .is_some_and(|certificate| certificate.name_for(&wanted.host.text).is_some())
}

fn names(certificate: &Certificate) -> Vec<String> {
    certificate.names.iter().map(ToString::to_string).collect()
}

/// The server of the listener that serves a host.
fn owner(site: Site<'_>, host: &HostName) -> Option<String> {
    site.server(&host.text).map(ToString::to_string)
}
