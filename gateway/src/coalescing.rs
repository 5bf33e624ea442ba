//! Which hosts break on a connection that a client opened for another host (connection coalescing,
//! RFC 9113 §9.1.1).
//!
//! [`Site`] has the hosts that can be asked for at a listener, each with its own answer. [`covers()`]
//! says which connections are good for which hosts, once for all servers with the same names in their
//! certificates. [`Relation`] has the pairs that break; most answer 404, so it holds the other pairs and
//! counts these. [`components()`] has the servers that such pairs connect.

mod components;
mod covers;
mod relation;
mod site;

use serde::Serialize;

use crate::ServerId;
pub(crate) use components::components;
pub(crate) use covers::covers;
pub(crate) use relation::{Defect, Many, Pair, Relation};
pub(crate) use site::Site;

/// How many servers may break each other before one finding stands for all of them.
const MANY: usize = 20;

/// How much is known of the certificates that a finding rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// They were read.
    Known,
    /// One is taken for what the servers that use it suggest.
    Presumed,
    /// Nothing, or it does not matter.
    #[default]
    Unknown,
}

/// What a pair is reported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ReportedDefect {
    /// The defect is certain.
    Certain(Defect),
    /// There is a defect if the certificate is what its users suggest.
    Presumed,
}

impl ReportedDefect {
    pub(crate) fn new(known: Known, defect: Defect) -> Self {
        match known {
            Known::Known => Self::Certain(defect),
            Known::Presumed | Known::Unknown => Self::Presumed,
        }
    }
}

/// Whether annotations leave such a report about a server out.
pub(crate) type IsIgnored<'i> = &'i dyn Fn(&ServerId, ReportedDefect) -> bool;
