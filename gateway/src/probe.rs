//! What the answers of a live gateway mean: each authority was asked for on a connection that was
//! opened for another name, and on connections of its own.
//!
//! [`Evidence`] is what was seen of an authority, and [`Evidence::verdict`] says what that means.
//! [`Site`] is what resources say of the same place. [`Report`] is all of it.

mod answer;
mod report;
mod site;

pub use answer::{Answer, Body, Seen, is_told};
pub use report::{Report, Row};
pub use site::{Choice, Place, Site, choose};

use serde::{Serialize, Serializer};

use self::answer::compare;

/// What an authority's answers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// 404 on the reused connection, served on a new one.
    NotFixed,
    /// 421 on the reused connection, served on a new one.
    FixedBy421,
    /// The reused connection serves what a new one does.
    FixedByMerge,
    /// The reused connection serves something else, or what a new one does not give.
    WrongRoute,
    /// 421 on the reused connection, though both names have one server.
    Needless421,
    /// 421 on a new connection.
    All421,
    /// 404 on a new connection.
    UnreachableFresh,
    /// No client reuses the connection for it.
    NotCoalescible,
    /// A connection or the request was ended without an answer.
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

    /// Whether clients that reuse the connection fare well.
    #[must_use]
    pub fn is_fine(self) -> bool {
        matches!(
            self,
            Self::FixedBy421 | Self::FixedByMerge | Self::NotCoalescible
        )
    }

    /// What it says, for people, with what to do where it is not fine.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotFixed => {
                "404 on the reused connection, served on a new one: merge the servers, or install \
                 the filter"
            }
            Self::FixedBy421 => "421 on the reused connection, upon which clients open a new one",
            Self::FixedByMerge => "the reused connection gives the answer of a new one",
            Self::WrongRoute => {
                "the reused connection serves it, and not as a new one does: the filter with its \
                 list of servers answers 421 here"
            }
            Self::Needless421 => {
                "421, though both names have one server, whose connections clients could share: \
                 give the filter the servers as they are now"
            }
            Self::All421 => {
                "421 on a connection of its own too, so that nobody gets through: a filter in front \
                 of it is broken"
            }
            Self::UnreachableFresh => {
                "404 on a connection of its own too: no route has this host and path, try another \
                 --path"
            }
            Self::NotCoalescible => {
                "no client reuses the connection for it: it has no HTTP/2, or its certificate is not \
                 for this host"
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

/// What was seen of an authority, and what is known of it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Whether clients reuse the connection for it: it is HTTP/2, and its certificate is for the host.
    pub is_coalescible: bool,
    /// Whether resources say that the name of the connection and the authority have one server.
    pub has_one_server: bool,
    /// The first answer on the reused connection.
    pub reused: Seen,
    /// The first answer on a connection of its own.
    pub fresh: Seen,
    /// Later answers on the reused connection.
    pub reused_again: Vec<Answer>,
    /// Later answers on connections of its own, each on another.
    pub fresh_again: Vec<Answer>,
}

impl Evidence {
    /// What it means; `None` where an answer is missing that it depends on.
    ///
    /// What a new connection does goes first: nothing on the reused one can make up for it. A server
    /// that demands a client certificate which nobody gave counts as one that serves others.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        if !self.is_coalescible {
            return Some(Verdict::NotCoalescible);
        }
        let (reused, fresh) = (self.reused.status(), self.fresh.status());
        Some(match (&self.reused, &self.fresh) {
            (Seen::Reset, _) | (_, Seen::Reset) => Verdict::Reset,
            (Seen::Unknown(_) | Seen::ClientCertificate, _) | (_, Seen::Unknown(_)) => return None,
            _ if fresh == Some(421) => Verdict::All421,
            _ if fresh == Some(404) && is_served(reused) => Verdict::WrongRoute,
            _ if fresh == Some(404) => Verdict::UnreachableFresh,
            _ if reused == Some(421) && self.has_one_server => Verdict::Needless421,
            _ if reused == Some(421) => Verdict::FixedBy421,
            _ if reused == Some(404) => Verdict::NotFixed,
            (_, Seen::Answer(_)) if self.differences().is_empty() => Verdict::FixedByMerge,
            (_, Seen::Answer(_) | Seen::ClientCertificate) => Verdict::WrongRoute,
        })
    }

    /// Whether more answers could still show that both connections serve the same: backends with two
    /// versions, and pages that hold the time, differ from one request to the next.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.is_coalescible
            && is_served(self.reused.status())
            && is_served(self.fresh.status())
            && !compare(&self.reused_answers(), &self.fresh_answers(), &[]).is_empty()
    }

    /// What a new connection answers differently each time, so that it shows nothing; nothing where
    /// two answers are the same all the same.
    #[must_use]
    pub fn changing(&self) -> Vec<String> {
        let fresh = self.fresh_answers();
        if compare(&self.reused_answers(), &fresh, &[]).is_empty() {
            return Vec::new();
        }
        answer::changing(&fresh)
    }

    /// In what the answers on the two kinds of connection differ, beside what changes each time.
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

/// Whether a status is an answer of who has the host.
fn is_served(status: Option<u16>) -> bool {
    status.is_some_and(|status| !matches!(status, 404 | 421))
}

#[cfg(test)]
mod tests;
