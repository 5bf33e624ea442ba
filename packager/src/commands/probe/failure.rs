//! Why a connection or a request failed, with a hint.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway::advice::Advice;
use gateway::probe::Seen;
use rustls::{AlertDescription, CertificateError};

use super::ending::Ending;

/// Why there is no connection, or no answer on a connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server ended the connection or the request.
    Reset,
    /// The server requires a client certificate.
    ClientCertificate,
    /// The failure is not an answer of the server, so it proves nothing about the gateway.
    Unknown(Advice),
}

const LIVE: &str =
    "use the port on which the gateway terminates TLS; kubectl port-forward has its own ports";

impl Failure {
    fn unknown(message: impl Into<String>, hint: &str) -> Self {
        Self::Unknown(Advice::new(message, hint))
    }

    /// The server did not answer in time.
    pub(super) fn timeout(timeout: Duration) -> Self {
        let message = format!("no answer within {} s", timeout.as_secs());
        Self::unknown(
            message,
            "increase --timeout, or check for a firewall or proxy on the way",
        )
    }

    /// The TCP connection failed.
    pub(super) fn from_connect(error: &io::Error) -> Self {
        Self::unknown(error.to_string(), LIVE)
    }

    /// The TLS handshake failed.
    pub(super) fn from_handshake(error: &io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            // A TLS error has the reason; an I/O error may be the reset of a server without the
            // name.
            Some(error) => Self::from_tls(error),
            None if Ending::from_error(error).is_some() => Self::Reset,
            None => Self::from_connect(error),
        }
    }

    fn from_tls(error: &rustls::Error) -> Self {
        let message = error.to_string();
        match error {
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert),
            rustls::Error::InvalidMessage(_) => {
                Self::unknown("the server does not use TLS on this port", LIVE)
            }
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Self::unknown(
                message,
                "give the certificate of the authority that issued the server certificate with --ca-file",
            ),
            rustls::Error::InvalidCertificate(_) => Self::unknown(
                message,
                "clients refuse the certificate too; --insecure-skip-tls-verify ignores that",
            ),
            _ => Self::unknown(message, LIVE),
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            // No server has the name (RFC 6066 §3). Envoy resets the connection, others send this alert.
            AlertDescription::UnrecognisedName => Self::Reset,
            AlertDescription::CertificateRequired => Self::ClientCertificate,
            _ => Self::unknown(
                format!("the server refuses the connection with the TLS alert {alert:?}"),
                "if the server requires a client certificate, give one with --client-cert and \
                 --client-key",
            ),
        }
    }

    /// An HTTP/2 request failed.
    pub(super) fn from_h2(error: &h2::Error, ending: &Arc<OnceLock<Ending>>) -> Self {
        // An error of the library means that the server broke the protocol.
        if error.is_library() {
            return Self::unknown(format!("the server violates HTTP/2: {error}"), LIVE);
        }
        match Self::from_ending(ending) {
            Some(failure) => failure,
            // The server reset the stream or closed the connection with GOAWAY.
            None if error.is_remote() => Self::Reset,
            None => Self::unknown(error.to_string(), LIVE),
        }
    }

    /// An HTTP/1.1 request failed.
    pub(super) fn from_h1(error: &hyper::Error, ending: &Arc<OnceLock<Ending>>) -> Self {
        if error.is_parse() {
            return Self::unknown(format!("the server violates HTTP/1.1: {error}"), LIVE);
        }
        Self::from_ending(ending).unwrap_or_else(|| {
            let cause = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Self::unknown(format!("{error}{cause}"), LIVE)
        })
    }

    /// The failure from the recorded end of the connection: HTTP clients do not report alerts.
    fn from_ending(ending: &Arc<OnceLock<Ending>>) -> Option<Self> {
        Some(match ending.get()? {
            Ending::Closed => Self::Reset,
            Ending::Alert(alert) => Self::from_alert(*alert),
        })
    }
}

impl From<Failure> for Seen {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reset => Self::Reset,
            Failure::ClientCertificate => Self::ClientCertificate,
            Failure::Unknown(advice) => Self::Unknown(advice),
        }
    }
}
