//! The model of gateways on a real Envoy: its listeners of every case in `gateways/`, without the
//! filter and with it. Every host of a case is asked for on a connection for every other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gateway::listener::ChainKind;
use gateway::resources::istio::TlsMode;
use gateway::{Answer, FilterChain, Listener, Outcome};
use serde_json::json;
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client::{Connection, GET, Transport, block_on};
use tests::envoy::{Envoy, Filter, Guard, GuardConfig};
use tests::gateways::{Case, Listening, body, bootstrap, cases, free_backends, label};
use tests::module;

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// No answer.
    Reset,
    /// An answer, of whom, with the routes that gave it.
    Answer {
        status: u16,
        chain: String,
        routes: String,
    },
}

/// By SNI, empty for none, and authority.
type Answers = BTreeMap<(String, String), Seen>;

/// All listeners on one Envoy, each without the filter and with it.
struct Running {
    envoy: Envoy,
    client: Certificate,
    _folder: TempDir,
}

impl Running {
    fn start(cases: &[Case]) -> Self {
        let folder = TempDir::new().unwrap();
        let certificate = Certificate::generate(folder.path(), &["a.example.com"]).unwrap();
        let mut listening = Vec::new();
        for (name, listener) in cases.iter().flat_map(Case::tls_listeners) {
            if listener.is_rejected() {
                continue;
            }
            let guarded = format!("{name} guarded");
            for (name, filter) in [(name, None), (guarded, Some(guard(listener)))] {
                let backends = free_backends(listener).unwrap();
                listening.push(Listening {
                    name,
                    listener,
                    filter,
                    backends,
                });
            }
        }
        let envoy = Envoy::start_with(bootstrap(&listening, &certificate).unwrap());
        Self {
            envoy: envoy.unwrap(),
            client: certificate,
            _folder: folder,
        }
    }

    fn answers(&self, listener: &str, case: &Case) -> Answers {
        let address = self.envoy.listener(listener).unwrap();
        let mut answers = Answers::new();
        for sni in server_names(case) {
            let authorities = authorities(case);
            let seen = ask(address, &sni, &authorities, Some(&self.client));
            for (authority, seen) in authorities.into_iter().zip(seen) {
                answers.insert((sni.clone(), authority), seen);
            }
        }
        answers
    }
}

fn guard(listener: &Listener) -> Filter {
    let config = json!({ "servers": listener.overlapping_servers() });
    Filter::Guard(Guard {
        module: module::build().unwrap(),
        config: GuardConfig::Inline(Some(config)),
    })
}

/// Every host, in capitals too, and none.
fn server_names(case: &Case) -> Vec<String> {
    let hosts = case.hosts();
    let capitals = hosts.iter().map(|host| host.to_ascii_uppercase());
    capitals
        .chain(hosts.iter().cloned())
        .chain([String::new()])
        .collect()
}

/// Every host, and every host in capitals and with a port.
fn authorities(case: &Case) -> Vec<String> {
    let hosts = case.hosts();
    let others = hosts
        .iter()
        .map(|host| format!("{}:8443", host.to_ascii_uppercase()));
    let dots = hosts.iter().map(|host| format!("{host}."));
    others.chain(dots).chain(hosts.iter().cloned()).collect()
}

/// The answers on one connection.
fn ask(
    address: SocketAddr,
    sni: &str,
    authorities: &[String],
    client: Option<&Certificate>,
) -> Vec<Seen> {
    let sni = (!sni.is_empty()).then_some(sni);
    let transport = client.map_or(Transport::Tls(sni), |client| {
        Transport::MutualTls(sni, client)
    });
    block_on(async {
        let Ok(mut connection) = Connection::h2(address, transport).await else {
            return Ok(vec![Seen::Reset; authorities.len()]);
        };
        let mut seen = Vec::new();
        for authority in authorities {
            let response = connection.send(&GET, authority).await;
            seen.push(response.map_or(Seen::Reset, |response| Seen::Answer {
                status: response.status,
                chain: response.header("server").to_owned(),
                routes: if response.status == 421 {
                    String::new()
                } else {
                    String::from_utf8(response.body).unwrap()
                },
            }));
        }
        Ok(seen)
    })
    .unwrap()
}

/// What the model says that a client sees.
fn expected(answer: &Answer<'_>) -> Seen {
    let chain = || answer.chain.map(label).unwrap_or_default();
    let name = || {
        answer
            .chain
            .map(|chain| chain.name.clone())
            .unwrap_or_default()
    };
    match answer.outcome {
        Outcome::Reset => Seen::Reset,
        Outcome::NotFound => Seen::Answer {
            status: 404,
            chain: chain(),
            routes: String::new(),
        },
        Outcome::Tcp | Outcome::Passthrough => Seen::Answer {
            status: 200,
            chain: chain(),
            routes: name(),
        },
        Outcome::Served => {
            let routes = answer.virtual_host.map(body).unwrap_or_default();
            Seen::Answer {
                status: 200,
                chain: chain(),
                routes,
            }
        }
    }
}

#[test]
fn envoy_answers_as_the_model_says_and_the_filter_mends_every_defect() {
    let cases = cases().unwrap();
    let running = Running::start(&cases);
    let mut total = Tally::default();
    for case in &cases {
        for (name, listener) in case.tls_listeners() {
            if listener.is_rejected() {
                continue;
            }
            let plain = running.answers(&name, case);
            check_model(&name, listener, &plain);
            let guarded = running.answers(&format!("{name} guarded"), case);
            total.add(&check_guard(&name, listener, &plain, &guarded));
        }
    }
    println!("{total:?}");
    assert!(total.pairs > 7_000, "{total:?}");
    assert!(
        total.not_found > 50 && total.wrong_route > 10 && total.policy > 0,
        "{total:?}"
    );
}

#[track_caller]
fn check_model(name: &str, listener: &Listener, plain: &Answers) {
    for ((sni, authority), seen) in plain {
        let answer = listener.answer(sni.as_bytes(), authority.as_bytes());
        assert_eq!(
            *seen,
            expected(&answer),
            "{name}: {authority} on a connection for {sni:?}"
        );
    }
}

/// What was compared, in pairs of an SNI and an authority.
#[derive(Debug, Default)]
struct Tally {
    pairs: usize,
    not_found: usize,
    wrong_route: usize,
    policy: usize,
    /// 421 where a new connection would be no better.
    needless: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.not_found += other.not_found;
        self.wrong_route += other.wrong_route;
        self.policy += other.policy;
        self.needless += other.needless;
    }
}

/// What is wrong with an answer on a reused connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    NotFound,
    WrongRoute,
    Policy,
}

/// The filter answers 421 to every defect, and else only where the authority has another server than
/// the connection, or where the gateway was about to answer 404. All other answers stay.
#[track_caller]
fn check_guard(name: &str, listener: &Listener, plain: &Answers, guarded: &Answers) -> Tally {
    let mut tally = Tally::default();
    for ((sni, authority), seen) in plain {
        let host = host(authority);
        let pair = format!("{name}: {authority} on a connection for {sni:?}");
        let with = guarded.get(&(sni.clone(), authority.clone())).unwrap();
        let fresh = plain.get(&(host.clone(), authority.clone())).unwrap();
        let defect = defect(listener, [sni, &host], seen, fresh);
        let is_421 = matches!(with, Seen::Answer { status: 421, .. });
        assert!(
            is_421 || with == seen,
            "{pair}: {with:?}, without the filter {seen:?}"
        );
        assert!(
            is_421 || defect.is_none(),
            "{pair}: {defect:?}, and the filter passes it"
        );
        let is_same_server = server(listener, sni) == server(listener, &host);
        assert!(
            !is_421 || !is_same_server || is_not_found(seen),
            "{pair}: 421 on the connection of its own server"
        );
        tally.pairs += 1;
        match defect {
            Some(Defect::NotFound) => tally.not_found += 1,
            Some(Defect::WrongRoute) => tally.wrong_route += 1,
            Some(Defect::Policy) => tally.policy += 1,
            None => tally.needless += usize::from(is_421),
        }
    }
    tally
}

fn is_not_found(seen: &Seen) -> bool {
    matches!(seen, Seen::Answer { status: 404, .. })
}

/// The host of an authority.
fn host(authority: &str) -> String {
    let host = authority.split(':').next().unwrap_or_default();
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn server<'l>(listener: &'l Listener, sni: &str) -> Option<&'l gateway::ServerId> {
    listener.chain(sni.as_bytes()).map(|chain| &chain.server.id)
}

/// The defect, from what Envoy answers without the filter, if the connection's certificate is good
/// for the host: a new connection gets an answer, and this one gets another or skips a check.
fn defect(
    listener: &Listener,
    [sni, host]: [&str; 2],
    seen: &Seen,
    fresh: &Seen,
) -> Option<Defect> {
    let chain = listener.chain(sni.as_bytes()).filter(|_| !sni.is_empty())?;
    if !matches!(chain.kind, ChainKind::Https(_)) {
        return None;
    }
    let Seen::Answer { status, routes, .. } = seen else {
        return None;
    };
    let Seen::Answer {
        status: 200,
        routes: fresh_routes,
        ..
    } = fresh
    else {
        return None;
    };
    let demands = |chain: &FilterChain| chain.tls == Some(TlsMode::Mutual);
    if *status == 404 {
        Some(Defect::NotFound)
    } else if routes != fresh_routes {
        Some(Defect::WrongRoute)
    } else {
        let own = listener.chain(host.as_bytes()).unwrap();
        (demands(own) && !demands(chain)).then_some(Defect::Policy)
    }
}

/// A server that demands a client certificate answers nobody without one.
#[test]
fn a_client_certificate_is_demanded() {
    let cases: Vec<Case> = cases()
        .unwrap()
        .into_iter()
        .filter(|case| case.name == "11-mutual")
        .collect();
    let running = Running::start(&cases);
    let (name, _) = cases.first().unwrap().tls_listeners().next().unwrap();
    let address = running.envoy.listener(&name).unwrap();
    let authority = ["b.example.com".to_owned()];
    let status = |sni, client| match ask(address, sni, &authority, client).first().unwrap() {
        Seen::Reset => None,
        Seen::Answer { status, .. } => Some(*status),
    };
    assert_eq!(status("b.example.com", None), None);
    assert_eq!(status("b.example.com", Some(&running.client)), Some(200));
    assert_eq!(status("x.example.com", None), Some(200));
}

#[test]
fn envoy_rejects_what_the_model_calls_rejected() {
    let folder = TempDir::new().unwrap();
    let certificate = Certificate::generate(folder.path(), &["a.example.com"]).unwrap();
    let mut rejected = 0;
    for case in cases().unwrap() {
        for (name, listener) in case
            .tls_listeners()
            .filter(|(_, found)| found.is_rejected())
        {
            let backends = free_backends(listener).unwrap();
            let listening = [Listening {
                name: name.clone(),
                listener,
                filter: None,
                backends,
            }];
            let envoy = Envoy::start_with(bootstrap(&listening, &certificate).unwrap());
            let error = format!(
                "{:#}",
                envoy.err().unwrap_or_else(|| panic!("{name}: it runs"))
            );
            assert!(error.contains("matching rules"), "{name}: {error}");
            rejected += 1;
        }
    }
    assert!(rejected > 2, "{rejected}");
}
