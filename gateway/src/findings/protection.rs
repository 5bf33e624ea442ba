//! What an installed filter does with the requests that a finding is about.

use serde::Serialize;

use super::context::Context;
use crate::{Listener, Workload};

/// What an installed filter does with a request on a coalesced connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// No installed filter decides about the request, or it passes it.
    #[default]
    None,
    /// It answers 421, and the client repeats the request on a new connection.
    Enforced,
    /// It counts the request and passes it.
    Reported,
    /// It is off for the host.
    Off,
}

/// What the filter on a listener does with a request for an authority on a connection with an SNI.
pub(super) fn protection(
    _context: &Context<'_>,
    _workload: &Workload,
    _listener: &Listener,
    _sni: &str,
    _authority: &str,
) -> Protection {
    Protection::None
}
