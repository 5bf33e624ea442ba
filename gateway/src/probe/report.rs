//! The report of a probe, which is also its JSON form.

use serde::{Serialize, Serializer};

use super::answer::Seen;
use super::{Evidence, Verdict};
use crate::advice::Advice;

/// The results of a probe of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The address and port that the prober connects to.
    pub connect: String,
    /// The SNI of the reused connection.
    pub sni: String,
    /// Whether the server accepted the connection. Otherwise it ended the connection before an answer.
    pub connected: bool,
    /// The negotiated protocol (ALPN, RFC 7301); `None` without negotiation.
    pub alpn: Option<String>,
    /// The DNS names of the server's certificate, sorted.
    pub sans: Vec<String>,
    /// The server that the resources have for the SNI.
    pub connection: Option<String>,
    pub results: Vec<Row>,
}

/// The result for one authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub authority: String,
    /// Whether the certificate of the reused connection covers the authority.
    pub covered: bool,
    /// The status on the reused connection.
    pub status: Option<u16>,
    /// The status on a new connection.
    pub fresh_status: Option<u16>,
    /// The verdict; `None` if an answer is missing.
    pub verdict: Option<Verdict>,
    /// The server that the resources have for the authority.
    pub owner: Option<String>,
    /// The outcome on the reused connection.
    pub reused: Seen,
    /// The outcome on a new connection.
    pub fresh: Seen,
    /// The aspects in which the answers differ.
    pub differences: Vec<String>,
    /// The aspects that are not compared, because they change with every answer.
    pub changing: Vec<String>,
}

impl Serialize for Seen {
    /// The fields of the answer, or an object with the only field `failure`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Scripts find the status in an answer, and `failure` otherwise.
        let failure = match self {
            Self::Answer(answer) => return answer.serialize(serializer),
            Self::Reset => "reset",
            Self::ClientCertificate => "client-certificate",
            Self::Unknown(trouble) => &trouble.message,
        };
        serializer.collect_map([("failure", failure)])
    }
}

impl Row {
    #[must_use]
    pub fn new(authority: &str, covered: bool, owner: Option<String>, evidence: Evidence) -> Self {
        Self {
            authority: authority.to_owned(),
            covered,
            status: evidence.reused.status(),
            fresh_status: evidence.fresh.status(),
            verdict: evidence.verdict(),
            owner,
            differences: evidence.differences(),
            changing: evidence.changing(),
            reused: evidence.reused,
            fresh: evidence.fresh,
        }
    }

    /// The reasons for unknown outcomes, with the kind of connection.
    pub fn troubles(&self) -> impl Iterator<Item = (&'static str, &Advice)> {
        [
            ("the reused connection", &self.reused),
            ("a new connection", &self.fresh),
        ]
        .into_iter()
        .filter_map(|(connection, seen)| match seen {
            Seen::Unknown(trouble) => Some((connection, trouble)),
            Seen::Answer(_) | Seen::Reset | Seen::ClientCertificate => None,
        })
    }

    /// Whether a later round has the same result. Details of a single answer, such as a body with the current
    /// time, do not count.
    fn is_unchanged(&self, later: &Self) -> bool {
        self.covered == later.covered
            && self.status == later.status
            && self.fresh_status == later.fresh_status
            && self.verdict == later.verdict
            && self.owner == later.owner
    }
}

impl Report {
    /// The rows that differ in a later report: before and after.
    pub fn changed<'r>(&'r self, later: &'r Self) -> impl Iterator<Item = (&'r Row, &'r Row)> {
        // All rounds of a probe have the same authorities in the same order.
        self.results
            .iter()
            .zip(&later.results)
            .filter(|(before, after)| !before.is_unchanged(after))
    }

    /// Whether a later report has the same results.
    #[must_use]
    pub fn is_unchanged(&self, later: &Self) -> bool {
        self.has_same_connection(later) && self.changed(later).next().is_none()
    }

    /// Whether the connection of a later report has the same protocol and certificate.
    #[must_use]
    pub fn has_same_connection(&self, later: &Self) -> bool {
        self.connected == later.connected && self.alpn == later.alpn && self.sans == later.sans
    }

    /// Whether every verdict is fine; `None` if one is missing.
    #[must_use]
    pub fn is_fine(&self) -> Option<bool> {
        // One missing verdict makes the result unknown, even beside a bad one.
        let mut is_fine = true;
        for row in &self.results {
            is_fine &= row.verdict?.is_fine();
        }
        Some(is_fine)
    }
}
