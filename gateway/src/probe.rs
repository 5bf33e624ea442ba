//! The interpretation of a probe of a live gateway. The prober sends a request for each authority on a
//! connection that it opened for another name (the reused connection), and on new connections.
//!
//! [`Evidence`] has the answers for an authority, and [`Evidence::verdict`] interprets them. [`Site`] is the
//! listener that the resources have for the gateway. [`Report`] contains all results.

mod answer;
mod report;
mod site;

pub use answer::{Answer, Body, Seen, is_identifying};
pub use report::{Report, Row};
pub use site::{Choice, ProbeTarget, Site, choose};

use serde::{Serialize, Serializer};

use self::answer::compare;

/// The result of a probe for one authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// 404 on the reused connection, served on a new one.
    NotFixed,
    /// 421 on the reused connection, served on a new one.
    FixedBy421,
    /// The reused connection gives the same answer as a new one.
    FixedByMerge,
    /// The reused connection gives a different answer, or one where a new connection gives 404.
    WrongRoute,
    /// 421 on the reused connection, although both hosts are on one server.
    Needless421,
    /// 421 on a new connection.
    All421,
    /// 404 on a new connection.
    UnreachableFresh,
    /// No client reuses the connection for the authority.
    NotCoalescible,
    /// The server ended a connection or a request without an answer.
    Reset,
}

impl Verdict {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFixed => "not-fixed",
            Self::FixedBy421 => "fixed-by-421",
            Self::FixedByMerge => "fixed-by-merge",
            Self::WrongRoute => "wrong-route",
            Self::Needless421 => "needless-421",
            Self::All421 => "all-421",
            Self::UnreachableFresh => "unreachable-fresh",
            Self::NotCoalescible => "not-coalescible",
            Self::Reset => "reset",
        }
    }

    /// Whether clients that coalesce connections get correct answers.
    #[must_use]
    pub fn is_fine(self) -> bool {
        matches!(
            self,
            Self::FixedBy421 | Self::FixedByMerge | Self::NotCoalescible
        )
    }

    /// An explanation for users, with a remedy if the verdict is a problem.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotFixed => {
                "404 on the reused connection, served on a new one: merge the servers, or install \
                 the filter"
            }
            Self::FixedBy421 => "421 on the reused connection, after which clients open a new one",
            Self::FixedByMerge => "the reused connection gives the answer of a new one",
            Self::WrongRoute => {
                "the reused connection gives a different answer than a new one: install the filter with \
                 its list of servers, which answers 421 here"
            }
            Self::Needless421 => {
                "421, although both hosts are on one server and clients could share its connections: \
                 update the servers in the configuration of the filter"
            }
            Self::All421 => {
                "421 on a new connection too, so no client gets an answer: a filter before the route is \
                 broken"
            }
            Self::UnreachableFresh => {
                "404 on a new connection too: no route matches this host and path, try another --path"
            }
            Self::NotCoalescible => {
                "no client reuses the connection for it: it does not use HTTP/2, or its certificate \
                 does not cover this host"
            }
            Self::Reset => {
                "ended without an answer: no TLS server has the name, or it has no certificate"
            }
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The answers for an authority, and what else the verdict depends on.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Whether clients reuse the connection for the authority: it uses HTTP/2, and its certificate covers the
    /// host.
    pub is_coalescible: bool,
    /// Whether the resources have one server for the SNI of the connection and for the authority.
    pub has_one_server: bool,
    /// The first answer on the reused connection.
    pub reused: Seen,
    /// The first answer on a new connection.
    pub fresh: Seen,
    /// Later answers on the reused connection.
    pub reused_again: Vec<Answer>,
    /// Later answers on new connections, one on each.
    pub fresh_again: Vec<Answer>,
}

impl Evidence {
    /// The verdict; `None` if an answer is missing that it depends on.
    ///
    /// The new connection takes precedence: if it fails, the reused one cannot be correct. A server that
    /// demands a client certificate on a new connection, which the prober does not have, counts as one that
    /// serves the authority.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        // Answers on a connection that no client reuses prove nothing.
        if !self.is_coalescible {
            return Some(Verdict::NotCoalescible);
        }
        let (reused, fresh) = (self.reused.status(), self.fresh.status());
        Some(match (&self.reused, &self.fresh) {
            // Without both answers there is nothing to compare.
            (Seen::Reset, _) | (_, Seen::Reset) => Verdict::Reset,
            (Seen::Unknown(_) | Seen::ClientCertificate, _) | (_, Seen::Unknown(_)) => return None,
            // A new connection that fails is a problem of its own.
            _ if fresh == Some(421) => Verdict::All421,
            _ if fresh == Some(404) && is_served(reused) => Verdict::WrongRoute,
            _ if fresh == Some(404) => Verdict::UnreachableFresh,
            // The new connection works. 421 makes clients open one; 404 does not.
            _ if reused == Some(421) && self.has_one_server => Verdict::Needless421,
            _ if reused == Some(421) => Verdict::FixedBy421,
            _ if reused == Some(404) => Verdict::NotFixed,
            // Both serve the authority: the same content shows that both have the same routes.
            (_, Seen::Answer(_)) if self.differences().is_empty() => Verdict::FixedByMerge,
            (_, Seen::Answer(_) | Seen::ClientCertificate) => Verdict::WrongRoute,
        })
    }

    /// Whether further answers can still show that both connections serve the same content. The answers of a
    /// backend with two versions, or of a page with the current time, differ between requests.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        // Only two answers with content can become equal in a later round.
        self.is_coalescible
            && is_served(self.reused.status())
            && is_served(self.fresh.status())
            && !compare(&self.reused_answers(), &self.fresh_answers(), &[]).is_empty()
    }

    /// The aspects of an answer that differ between any two new connections, and therefore prove nothing. The
    /// list is empty if an answer on the reused connection equals one on a new connection.
    #[must_use]
    pub fn changing(&self) -> Vec<String> {
        let fresh = self.fresh_answers();
        // Two equal answers show that the aspects do not change every time.
        if compare(&self.reused_answers(), &fresh, &[]).is_empty() {
            return Vec::new();
        }
        answer::changing(&fresh)
    }

    /// The aspects in which the answers on the reused and on new connections differ, except those that change
    /// between requests.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        compare(
            &self.reused_answers(),
            &self.fresh_answers(),
            &self.changing(),
        )
    }

    fn reused_answers(&self) -> Vec<&Answer> {
        self.reused
            .answer()
            .into_iter()
            .chain(&self.reused_again)
            .collect()
    }

    fn fresh_answers(&self) -> Vec<&Answer> {
        self.fresh
            .answer()
            .into_iter()
            .chain(&self.fresh_again)
            .collect()
    }
}

/// Whether a status shows that a server has routes for the host.
fn is_served(status: Option<u16>) -> bool {
    // 404 is the answer without a route, and 421 the answer of the filter.
    status.is_some_and(|status| !matches!(status, 404 | 421))
}

#[cfg(test)]
mod tests;
