//! How a server ends a connection.

use std::io;

use rustls::AlertDescription;

/// The end of a connection by the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// The server closed or reset the connection.
    Closed,
    /// The server sent a TLS alert before it closed the connection.
    Alert(AlertDescription),
}

impl Ending {
    /// How the server ended the connection; `None` if the error has another cause.
    pub(super) fn from_error(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        // tokio-rustls puts the error of rustls into an I/O error.
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => Some(Self::Alert(*alert)),
            // Envoy resets the connection if no filter chain matches the SNI.
            (_, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) => {
                Some(Self::Closed)
            }
            _ => None,
        }
    }
}
