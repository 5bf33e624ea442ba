//! What came back of a request, and when two answers are the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::advice::Advice;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Answer(Answer),
    /// The connection, or the request on it, was ended without one.
    Reset,
    /// The server demands a client certificate.
    ClientCertificate,
    /// It is not known, for this reason.
    Unknown(Advice),
}

/// An answer, as far as it shows who gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub status: u16,
    /// The headers that [`is_told`] names.
    pub headers: BTreeMap<String, String>,
    pub body: Body,
    /// Whether the server asked for a client certificate, and was shown one.
    pub client_certificate: bool,
}

/// A body, by the SHA-256 of what was read of it, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Whole(String),
    /// As much as is read of any.
    Beginning(String),
    /// Its end did not come in time.
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
    /// The answer, where there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Reset | Self::ClientCertificate | Self::Unknown(_) => None,
        }
    }

    /// The answer itself, where there is one.
    #[must_use]
    pub fn into_answer(self) -> Option<Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Reset | Self::ClientCertificate | Self::Unknown(_) => None,
        }
    }

    /// The status of the answer, where there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }
}

/// The headers that say who answers. Those that tell of one request, such as how long it took, are
/// not among them, and neither are those that may hold secrets.
const TOLD: [&str; 8] = [
    "alt-svc",
    "content-encoding",
    "content-type",
    "location",
    "server",
    "via",
    "www-authenticate",
    "x-powered-by",
];

/// Whether a header, in lower case, is in reports and compared: it says who answers.
#[must_use]
pub fn is_told(name: &str) -> bool {
    TOLD.contains(&name)
        || (name.starts_with("x-envoy-") && name != "x-envoy-upstream-service-time")
}

/// What two answers can differ in, beside the status and the client certificate, which are always
/// compared.
fn aspects(answers: &[&Answer]) -> BTreeSet<String> {
    let headers = answers
        .iter()
        .flat_map(|answer| answer.headers.keys().cloned());
    headers.chain(["body".to_owned()]).collect()
}

/// In what an answer has which value; `None` where it cannot be compared.
fn value<'a>(answer: &'a Answer, aspect: &str) -> Option<&'a str> {
    match (aspect, &answer.body) {
        ("body", Body::Unknown) => None,
        ("body", Body::Whole(digest) | Body::Beginning(digest)) => Some(digest),
        (header, _) => Some(answer.headers.get(header).map_or("", String::as_str)),
    }
}

/// The aspects in which no two of several answers agree.
pub(super) fn changing(answers: &[&Answer]) -> Vec<String> {
    let changes = |aspect: &String| {
        let values: Vec<_> = answers
            .iter()
            .filter_map(|answer| value(answer, aspect))
            .collect();
        values.len() > 1 && values.iter().collect::<BTreeSet<_>>().len() == values.len()
    };
    aspects(answers).into_iter().filter(changes).collect()
}

/// In what the most alike of answers differ, beside what is ignored.
pub(super) fn compare(reused: &[&Answer], fresh: &[&Answer], ignored: &[String]) -> Vec<String> {
    let pairs = reused
        .iter()
        .flat_map(|one| fresh.iter().map(move |other| (*one, *other)));
    let differences = pairs.map(|(one, other)| {
        let status = (one.status != other.status).then(|| "status".to_owned());
        // Whoever reuses the connection is not asked for one.
        let skips = other.client_certificate && !one.client_certificate;
        let skipped = skips.then(|| "client certificate".to_owned());
        let differs = |aspect: &String| {
            let values = value(one, aspect).zip(value(other, aspect));
            !ignored.contains(aspect) && values.is_some_and(|(one, other)| one != other)
        };
        let others = aspects(&[one, other]).into_iter().filter(differs);
        status
            .into_iter()
            .chain(skipped)
            .chain(others)
            .collect::<Vec<_>>()
    });
    differences.min_by_key(Vec::len).unwrap_or_default()
}
