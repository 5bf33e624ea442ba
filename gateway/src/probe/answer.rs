//! The answers to requests, and their comparison.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::advice::Advice;

/// The outcome of a request of the prober.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Answer(Answer),
    /// The server ended the connection or the request without an answer.
    Reset,
    /// The server demands a client certificate.
    ClientCertificate,
    /// The outcome is unknown, for this reason.
    Unknown(Advice),
}

/// The parts of an answer that identify the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub status: u16,
    /// The headers that [`is_identifying`] selects.
    pub headers: BTreeMap<String, String>,
    pub body: Body,
    /// Whether the server requested a client certificate and the prober presented one.
    pub client_certificate: bool,
}

/// A body, represented by the SHA-256 of its content in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Whole(String),
    /// The beginning of a long body: the prober reads a limited number of octets.
    Beginning(String),
    /// The body did not end before the timeout.
    Unknown,
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(digest) => serializer.collect_str(&format_args!("sha256:{digest}")),
            Self::Beginning(digest) => {
                serializer.collect_str(&format_args!("beginning-sha256:{digest}"))
            }
            Self::Unknown => serializer.serialize_none(),
        }
    }
}

impl Seen {
    /// The answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Reset | Self::ClientCertificate | Self::Unknown(_) => None,
        }
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn into_answer(self) -> Option<Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Reset | Self::ClientCertificate | Self::Unknown(_) => None,
        }
    }

    /// The status of the answer, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }
}

/// The headers that identify the backend. Headers of a single request, such as its duration, are not listed,
/// and neither are headers that may contain secrets.
const IDENTIFYING: [&str; 8] = [
    "alt-svc",
    "content-encoding",
    "content-type",
    "location",
    "server",
    "via",
    "www-authenticate",
    "x-powered-by",
];

/// Whether a header, in lower case, is reported and compared because it identifies the backend.
#[must_use]
pub fn is_identifying(name: &str) -> bool {
    IDENTIFYING.contains(&name)
        || (name.starts_with("x-envoy-") && name != "x-envoy-upstream-service-time")
}

/// The aspects in which answers can differ: their headers and the body. The status and the client certificate
/// are not listed, because they are always compared.
fn aspects(answers: &[&Answer]) -> BTreeSet<String> {
    answers
        .iter()
        .flat_map(|answer| answer.headers.keys().cloned())
        .chain(["body".to_owned()])
        .collect()
}

/// The value of an aspect of an answer; `None` if it cannot be compared.
fn value<'a>(answer: &'a Answer, aspect: &str) -> Option<&'a str> {
    match (aspect, &answer.body) {
        // The prober stopped at the timeout, so the rest may differ.
        ("body", Body::Unknown) => None,
        ("body", Body::Whole(digest) | Body::Beginning(digest)) => Some(digest),
        (header, _) => Some(answer.headers.get(header).map_or("", String::as_str)),
    }
}

/// The aspects in which all answers differ from each other.
pub(super) fn changing(answers: &[&Answer]) -> Vec<String> {
    aspects(answers)
        .into_iter()
        .filter(|aspect| are_distinct(answers, aspect))
        .collect()
}

/// Whether at least two answers can be compared in an aspect, and all of them differ in it.
fn are_distinct(answers: &[&Answer], aspect: &str) -> bool {
    let values: Vec<&str> = answers
        .iter()
        .filter_map(|answer| value(answer, aspect))
        .collect();
    // One answer alone cannot show a change.
    values.len() > 1 && values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

/// The aspects in which the two most similar answers differ, without the ignored ones. One of them is an answer
/// on the reused connection, the other on a new connection.
pub(super) fn compare(reused: &[&Answer], fresh: &[&Answer], ignored: &[String]) -> Vec<String> {
    // A backend with two versions gives two different answers: one equal pair proves equal routes.
    reused
        .iter()
        .flat_map(|one| fresh.iter().map(|other| differences(one, other, ignored)))
        .min_by_key(Vec::len)
        .unwrap_or_default()
}

fn differences(reused: &Answer, fresh: &Answer, ignored: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if reused.status != fresh.status {
        found.push("status".to_owned());
    }
    // On a reused connection the server does not request a certificate again: a client bypasses it.
    if fresh.client_certificate && !reused.client_certificate {
        found.push("client certificate".to_owned());
    }
    for aspect in aspects(&[reused, fresh]) {
        let is_different = match (value(reused, &aspect), value(fresh, &aspect)) {
            (Some(one), Some(other)) => one != other,
            (Some(_) | None, _) => false,
        };
        if is_different && !ignored.contains(&aspect) {
            found.push(aspect);
        }
    }
    found
}
