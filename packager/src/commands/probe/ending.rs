//! How a server ends a connection.

use std::io;

use rustls::AlertDescription;

/// How it did.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// It closed it, or reset it.
    Closed,
    /// It said why.
    Alert(AlertDescription),
}

impl Ending {
    /// What an error says of it; `None` where something else failed.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => Some(Self::Alert(*alert)),
            (_, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) => {
                Some(Self::Closed)
            }
            _ => None,
        }
    }
}
