//! The requests about a case, and what a client sees of the answers: on Envoy, and by the model.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use gateway::{Answer, Listener, Outcome};
use tests::certificate::Certificate;
use tests::client::{Connection, GET, Transport, block_on};
use tests::gateways::{Case, body, label};

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Reset,
    Answer {
        status: u16,
        /// The filter chain, which Envoy's header `server` names.
        chain: String,
        /// The routes of the virtual host, which the body lists; empty for a 421.
        routes: String,
    },
}

/// By SNI, empty for none, and authority.
pub(super) type Answers = BTreeMap<(String, String), Seen>;

/// Each host, each host in capitals, and no server name.
pub(super) fn server_names(case: &Case) -> Vec<String> {
    let mut names = vec![String::new()];
    for host in case.hosts() {
        names.push(host.to_ascii_uppercase());
        names.push(host);
    }
    names
}

/// Each host, each host in capitals with a port, and each host with a dot at the end.
pub(super) fn authorities(case: &Case) -> Vec<String> {
    let mut authorities = Vec::new();
    for host in case.hosts() {
        authorities.push(format!("{}:8443", host.to_ascii_uppercase()));
        authorities.push(format!("{host}."));
        authorities.push(host);
    }
    authorities
}

/// The answers to all authorities on one connection.
pub(super) fn ask(
    address: SocketAddr,
    sni: &str,
    authorities: &[String],
    client: Option<&Certificate>,
) -> Result<Vec<Seen>> {
    let sni = (!sni.is_empty()).then_some(sni);
    let transport = match client {
        Some(client) => Transport::MutualTls(sni, client),
        None => Transport::Tls(sni),
    };
    block_on(async {
        let Ok(mut connection) = Connection::h2(address, transport).await else {
            return Ok(vec![Seen::Reset; authorities.len()]);
        };
        let mut seen = Vec::new();
        for authority in authorities {
            let Ok(response) = connection.send(&GET, authority).await else {
                seen.push(Seen::Reset);
                continue;
            };
            let chain = response.header("server").to_owned();
            // The body of a 421 is a text for people.
            let routes = match response.status {
                421 => String::new(),
                _ => String::from_utf8(response.body)?,
            };
            seen.push(Seen::Answer {
                status: response.status,
                chain,
                routes,
            });
        }
        Ok(seen)
    })
}

/// What a client sees by the model.
pub(super) fn expected(answer: &Answer<'_>) -> Seen {
    let chain = answer.chain.map(label).unwrap_or_default();
    match answer.outcome {
        Outcome::Reset => Seen::Reset,
        Outcome::NotFound => Seen::Answer {
            status: 404,
            chain,
            routes: String::new(),
        },
        // A backend of the test answers, with the name of the chain.
        Outcome::Tcp | Outcome::Passthrough => Seen::Answer {
            status: 200,
            chain,
            routes: answer
                .chain
                .map(|chain| chain.name.clone())
                .unwrap_or_default(),
        },
        Outcome::Served => Seen::Answer {
            status: 200,
            chain,
            routes: answer.virtual_host.map(body).unwrap_or_default(),
        },
    }
}

/// The answers to all requests about a case, by the model.
pub(super) fn model_answers(listener: &Listener, case: &Case) -> Answers {
    let mut answers = Answers::new();
    for sni in server_names(case) {
        for authority in authorities(case) {
            let seen = expected(&listener.answer(sni.as_bytes(), authority.as_bytes()));
            answers.insert((sni.clone(), authority), seen);
        }
    }
    answers
}
