//! A report, as programs read it.

use serde::{Serialize, Serializer};

use super::answer::Seen;
use super::{Evidence, Verdict};
use crate::advice::Advice;

/// What was seen of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The address and port.
    pub connect: String,
    pub sni: String,
    /// Whether the server took the connection; else it ended it before an answer.
    pub connected: bool,
    /// The protocol that was agreed on (RFC 7301); `None` where none was.
    pub alpn: Option<String>,
    /// The DNS names of the server's certificate, sorted.
    pub sans: Vec<String>,
    /// The server that resources have for the server name.
    pub connection: Option<String>,
    pub results: Vec<Row>,
}

/// What was seen of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub authority: String,
    /// Whether the connection's certificate is for it.
    pub covered: bool,
    /// The status on the reused connection.
    pub status: Option<u16>,
    /// The status on a connection of its own.
    pub fresh_status: Option<u16>,
    /// What that means; `None` where it could not be told.
    pub verdict: Option<Verdict>,
    /// The server that resources have for it.
    pub owner: Option<String>,
    /// What came on the reused connection.
    pub reused: Seen,
    /// What came on a connection of its own.
    pub fresh: Seen,
    /// In what the two differ.
    pub differences: Vec<String>,
    /// What was not compared, since it changes with every answer.
    pub changing: Vec<String>,
}

impl Serialize for Seen {
    /// An answer as it is; else an object with `failure` alone.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
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
    /// The row of an authority.
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

    /// What could not be told, with the kind of connection.
    pub fn troubles(&self) -> impl Iterator<Item = (&'static str, &Advice)> {
        let seen = [
            ("the reused connection", &self.reused),
            ("a new connection", &self.fresh),
        ];
        seen.into_iter()
            .filter_map(|(connection, seen)| match seen {
                Seen::Unknown(trouble) => Some((connection, trouble)),
                Seen::Answer(_) | Seen::Reset | Seen::ClientCertificate => None,
            })
    }

    /// Whether another round showed the same. What belongs to one answer, such as a body that holds
    /// the time, is no change.
    fn is_unchanged(&self, later: &Self) -> bool {
        let key = |row: &Self| (row.covered, row.status, row.fresh_status, row.verdict);
        key(self) == key(later) && self.owner == later.owner
    }
}

impl Report {
    /// The rows of a later report that are not what they were here.
    pub fn changed<'r>(&'r self, later: &'r Self) -> impl Iterator<Item = (&'r Row, &'r Row)> {
        let rows = self.results.iter().zip(&later.results);
        rows.filter(|(before, after)| !before.is_unchanged(after))
    }

    /// Whether a later report has nothing new to tell.
    #[must_use]
    pub fn is_unchanged(&self, later: &Self) -> bool {
        self.has_same_connection(later) && self.changed(later).next().is_none()
    }

    /// Whether a later report is of a connection of the same protocol and certificate.
    #[must_use]
    pub fn has_same_connection(&self, later: &Self) -> bool {
        let key = |report: &Self| (report.connected, report.alpn.clone(), report.sans.clone());
        key(self) == key(later)
    }

    /// Whether every authority fares well; `None` where that could not be told of one.
    #[must_use]
    pub fn is_fine(&self) -> Option<bool> {
        let verdicts: Option<Vec<Verdict>> = self.results.iter().map(|row| row.verdict).collect();
        Some(verdicts?.into_iter().all(Verdict::is_fine))
    }
}
