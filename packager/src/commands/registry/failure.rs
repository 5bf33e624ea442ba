//! Why a request to a registry failed: whether to retry it, and a hint.

use std::error::Error;
use std::fmt::Write as _;

use gateway::advice::Advice;
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::{Reference, RegistryOperation};
use rustls::{AlertDescription, CertificateError};

use super::Credentials;
use crate::text::one_line;

/// The parts of a failure.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// The status of the answer; `None` without an answer, or if the client does not return it.
    status: Option<u16>,
    /// The registry's own codes, such as `NAME_UNKNOWN`.
    codes: Vec<String>,
    /// The registry's own message, or the error of the connection.
    message: String,
    /// The URL of the request. Messages must not have it: it may hold the state of an upload.
    url: Option<String>,
    kind: FailureKind,
}

/// The cause of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FailureKind {
    /// The registry answered with an error.
    #[default]
    Refused,
    /// There is no connection, or no answer.
    Connection,
    /// No trusted certificate authority issued the certificate.
    UnknownAuthority,
    /// The registry uses plain HTTP.
    NotTls,
    /// The content does not have its digest.
    WrongBytes,
}

impl From<&OciDistributionError> for Failure {
    fn from(error: &OciDistributionError) -> Self {
        match error {
            OciDistributionError::UnauthorizedError { url } => Self {
                status: Some(401),
                url: Some(url.clone()),
                ..Self::default()
            },
            OciDistributionError::AuthenticationFailure(reason) => Self {
                status: Some(401),
                message: format!("no token: {}", messages(reason)),
                ..Self::default()
            },
            OciDistributionError::RegistryError { envelope, url } => Self {
                url: Some(url.clone()),
                ..Self::from(envelope)
            },
            OciDistributionError::ServerError { code, url, message } => {
                let envelope = serde_json::from_str::<OciEnvelope>(message);
                let parsed = envelope.as_ref().map(Self::from).unwrap_or_default();
                Self {
                    status: Some(*code),
                    url: Some(url.clone()),
                    message: messages(message),
                    ..parsed
                }
            }
            OciDistributionError::RequestError(error) => Self::from_request(error),
            OciDistributionError::DigestError(error) => Self {
                kind: FailureKind::WrongBytes,
                message: error.to_string(),
                ..Self::default()
            },
            // The message of the library may quote the answer, which has the token.
            OciDistributionError::RegistryTokenDecodeError(_) => {
                let message = "the answer of the token service has no token".into();
                Self {
                    message,
                    ..Self::default()
                }
            }
            other => Self {
                message: other.to_string(),
                ..Self::default()
            },
        }
    }
}

impl From<&OciEnvelope> for Failure {
    fn from(envelope: &OciEnvelope) -> Self {
        let messages: Vec<&str> = envelope
            .errors
            .iter()
            .map(|error| error.message.as_str())
            .collect();
        Self {
            codes: envelope
                .errors
                .iter()
                .map(|error| name(&error.code))
                .collect(),
            message: messages.join("; "),
            ..Self::default()
        }
    }
}

/// The messages in an answer, or the answer itself, in one line.
fn messages(answer: &str) -> String {
    match serde_json::from_str::<OciEnvelope>(answer) {
        Ok(envelope) => one_line(&Failure::from(&envelope).message),
        Err(_) => one_line(answer),
    }
}

impl Failure {
    fn from_request(error: &reqwest::Error) -> Self {
        let url = error.url().map(ToString::to_string);
        if let Some(status) = error.status() {
            return Self {
                status: Some(status.as_u16()),
                url,
                ..Self::default()
            };
        }

        // The innermost error has the reason; a TLS error may be anywhere on the way.
        let mut kind = FailureKind::Connection;
        let mut message = String::new();
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if let Some(tls) = tls_error(inner) {
                kind = FailureKind::from_tls(tls);
            }
            message = inner.to_string();
            cause = inner.source();
        }
        if error.is_timeout() {
            message = "no answer in time; increase --timeout".into();
        }
        Self {
            message,
            url,
            kind,
            ..Self::default()
        }
    }

    /// Whether the registry reports that the manifest, the blob or the repository does not exist. A denied
    /// request does not count.
    pub(super) fn is_unknown(&self) -> bool {
        let unknown = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
        match self.codes.as_slice() {
            [] => self.status == Some(404),
            codes => codes.iter().all(|code| unknown.contains(&code.as_str())),
        }
    }

    /// Whether the same request may succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        self.kind == FailureKind::Connection
            || self
                .status
                .is_some_and(|status| matches!(status, 408 | 429) || status >= 500)
            || self.has_code(&["TOOMANYREQUESTS"])
    }

    /// The URL of the request, if the registry answered it.
    pub(super) fn answered_url(&self) -> Option<&str> {
        self.url
            .as_deref()
            .filter(|_| self.kind == FailureKind::Refused)
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    /// Whether the content that arrived has another digest.
    pub(super) fn is_wrong_bytes(&self) -> bool {
        self.kind == FailureKind::WrongBytes
    }

    /// The error for the user.
    pub(super) fn explain(
        &self,
        reference: &Reference,
        operation: RegistryOperation,
        credentials: &Credentials,
    ) -> anyhow::Error {
        let message = credentials.redact(&self.sentence());
        match self.hint(reference, operation, credentials) {
            None => anyhow::anyhow!(message),
            Some(hint) => Advice::new(message, hint).into(),
        }
    }

    fn sentence(&self) -> String {
        let mut sentence = match (self.status, self.codes.first()) {
            (Some(status), _) => format!("the registry answers {status}"),
            (None, Some(code)) => format!("the registry answers {code}"),
            (None, None) => return self.message.clone(),
        };
        if !self.message.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(sentence, ": {}", self.message);
        }
        sentence
    }

    fn hint(
        &self,
        reference: &Reference,
        operation: RegistryOperation,
        credentials: &Credentials,
    ) -> Option<String> {
        let hint = match self.kind {
            FailureKind::UnknownAuthority => {
                "give the certificate of the authority that issued the registry's certificate with \
                 --ca-file"
            }
            FailureKind::NotTls => "the registry uses plain HTTP: add --plain-http",
            FailureKind::Connection => {
                "check the address of the registry; --plain-http connects without TLS"
            }
            FailureKind::Refused | FailureKind::WrongBytes => {
                return self.hint_for_answer(reference, operation, credentials);
            }
        };
        Some(hint.into())
    }

    fn hint_for_answer(
        &self,
        reference: &Reference,
        operation: RegistryOperation,
        credentials: &Credentials,
    ) -> Option<String> {
        // Go's HTTP server answers a plain request on a TLS port with this text.
        if self.status == Some(400) && self.message.contains("HTTP request to an HTTPS server") {
            return Some(
                "the registry uses TLS: remove --plain-http; for localhost, give --ca-file".into(),
            );
        }
        // Registries differ in whether they send a status or a code.
        let repository = reference.repository();
        if matches!(self.status, Some(401 | 403)) || self.has_code(&["UNAUTHORIZED", "DENIED"]) {
            return Some(denied(repository, operation, credentials));
        }
        if self.is_unknown() && operation == RegistryOperation::Push {
            return Some(format!(
                "create the repository {repository} in the registry first"
            ));
        }
        if self.status == Some(413) {
            return Some(
                "the registry, or a proxy in front of it, limits the size of uploads".into(),
            );
        }
        if self.status == Some(415) || self.has_code(&["MANIFEST_INVALID"]) {
            return Some(
                "the registry does not accept this image format: try --format docker".into(),
            );
        }
        None
    }
}

fn denied(repository: &str, operation: RegistryOperation, credentials: &Credentials) -> String {
    let scope = match operation {
        RegistryOperation::Pull => "pull",
        RegistryOperation::Push => "pull,push",
    };
    format!(
        "{credentials} were used for the scope repository:{repository}:{scope}; give other credentials \
         with --username and --password-stdin, or log in with podman or docker"
    )
}

fn name(code: &OciErrorCode) -> String {
    let name = serde_json::to_value(code).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// The error of the TLS library, which may be inside an I/O error.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| {
        let io: &std::io::Error = error.downcast_ref()?;
        tls_error(io.get_ref()?)
    })
}

impl FailureKind {
    fn from_tls(error: &rustls::Error) -> Self {
        match error {
            // The signature is bad if another authority has the same name.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )
            | rustls::Error::AlertReceived(AlertDescription::UnknownCA) => Self::UnknownAuthority,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Refused,
        }
    }
}
