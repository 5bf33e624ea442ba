//! Why there is no answer, and what to do about it.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway::advice::Advice;
use gateway::probe::Seen;
use rustls::{AlertDescription, CertificateError};

use super::ending::Ending;

/// Why there is no connection, or no answer on it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server ended the connection or the request.
    Reset,
    /// It demands a client certificate.
    ClientCertificate,
    /// It is not known what the server would answer.
    Unknown(Advice),
}

const LIVE: &str =
    "is it the port on which the gateway speaks TLS? kubectl port-forward has others";

impl Failure {
    fn unknown(message: impl Into<String>, hint: &str) -> Self {
        Self::Unknown(Advice::new(message, hint))
    }

    /// Nothing came in time.
    pub(super) fn timeout(timeout: Duration) -> Self {
        let message = format!("no answer within {} s", timeout.as_secs());
        Self::unknown(
            message,
            "raise --timeout, or look whether something is in between",
        )
    }

    /// No connection came about.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        Self::unknown(error.to_string(), LIVE)
    }

    /// TLS did not come about.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(error) => Self::of_tls(error),
            None if Ending::of(error).is_some() => Self::Reset,
            None => Self::of_connecting(error),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let message = error.to_string();
        match error {
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            rustls::Error::InvalidMessage(_) => {
                Self::unknown("the server does not speak TLS", LIVE)
            }
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Self::unknown(
                message,
                "give the certificate of the authority that signed the server's with --ca-file",
            ),
            rustls::Error::InvalidCertificate(_) => Self::unknown(
                message,
                "clients refuse it too; --insecure-skip-tls-verify asks all the same",
            ),
            _ => Self::unknown(message, LIVE),
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            // No server has the name (RFC 6066 §3), in the words of others than Envoy.
            AlertDescription::UnrecognisedName => Self::Reset,
            AlertDescription::CertificateRequired => Self::ClientCertificate,
            _ => Self::unknown(
                format!("the server refuses the connection with the TLS alert {alert:?}"),
                "where it demands a client certificate, give one that it trusts with --client-cert \
                 and --client-key",
            ),
        }
    }

    /// No answer came to an HTTP/2 request.
    pub(super) fn of_h2(error: &h2::Error, ending: &Arc<OnceLock<Ending>>) -> Self {
        if error.is_library() {
            return Self::unknown(format!("the server breaks HTTP/2: {error}"), LIVE);
        }
        match Self::of_ending(ending) {
            Some(failure) => failure,
            None if error.is_remote() => Self::Reset,
            None => Self::unknown(error.to_string(), LIVE),
        }
    }

    /// No answer came to an HTTP/1.1 request.
    pub(super) fn of_h1(error: &hyper::Error, ending: &Arc<OnceLock<Ending>>) -> Self {
        if error.is_parse() {
            return Self::unknown(format!("the server breaks HTTP/1.1: {error}"), LIVE);
        }
        Self::of_ending(ending).unwrap_or_else(|| {
            let cause = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Self::unknown(format!("{error}{cause}"), LIVE)
        })
    }

    /// How the connection ended, where it did: the clients of HTTP do not pass on alerts.
    fn of_ending(ending: &Arc<OnceLock<Ending>>) -> Option<Self> {
        Some(match ending.get()? {
            Ending::Closed => Self::Reset,
            Ending::Alert(alert) => Self::of_alert(*alert),
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
