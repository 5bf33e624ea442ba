//! What a registry's refusal means, whether to try again, and what to do about it.

use std::error::Error;
use std::fmt::Write as _;

use gateway::advice::Advice;
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::{Reference, RegistryOperation};
use rustls::{AlertDescription, CertificateError};

use super::Credentials;

/// A refusal, taken apart.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// The status of the answer, where there was one and the client tells it.
    status: Option<u16>,
    /// The registry's own codes, such as `NAME_UNKNOWN`.
    codes: Vec<String>,
    /// The registry's own message, or what went wrong without an answer.
    message: String,
    /// What was asked for. It is not for messages: it may hold the state of an upload.
    url: Option<String>,
    kind: Kind,
}

/// What went wrong, beyond the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// There is an answer.
    #[default]
    Refused,
    /// The connection or the answer did not come about.
    Connection,
    /// No certificate authority that is trusted here signed the certificate.
    UnknownAuthority,
    /// The registry speaks plain HTTP.
    NotTls,
    /// The bytes are not those of the digest.
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
            OciDistributionError::AuthenticationFailure(reason) => {
                let message = format!("no token: {}", own_words(reason));
                Self {
                    status: Some(401),
                    message,
                    ..Self::default()
                }
            }
            OciDistributionError::RegistryError { envelope, url } => Self {
                url: Some(url.clone()),
                ..Self::from(envelope)
            },
            OciDistributionError::ServerError { code, url, message } => {
                let envelope = serde_json::from_str::<OciEnvelope>(message);
                let told = envelope.as_ref().map(Self::from).unwrap_or_default();
                let message = own_words(message);
                Self {
                    status: Some(*code),
                    url: Some(url.clone()),
                    message,
                    ..told
                }
            }
            OciDistributionError::RequestError(error) => Self::of_request(error),
            OciDistributionError::DigestError(error) => Self {
                kind: Kind::WrongBytes,
                message: error.to_string(),
                ..Self::default()
            },
            // Its own message may quote the answer, which holds the token.
            OciDistributionError::RegistryTokenDecodeError(_) => {
                let message = "the token service answered something else than a token".into();
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
        let messages: Vec<_> = envelope
            .errors
            .iter()
            .map(|error| error.message.clone())
            .collect();
        let codes = envelope.errors.iter().map(|error| name(&error.code));
        Self {
            codes: codes.collect(),
            message: messages.join("; "),
            ..Self::default()
        }
    }
}

/// The messages in an answer, or the answer itself, in one line.
fn own_words(answer: &str) -> String {
    let envelope = serde_json::from_str::<OciEnvelope>(answer);
    let text = envelope.map_or_else(|_| answer.to_owned(), |told| Failure::from(&told).message);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Failure {
    fn of_request(error: &reqwest::Error) -> Self {
        let status = error.status().map(|status| status.as_u16());
        let url = error.url().map(ToString::to_string);
        if status.is_some() {
            return Self {
                status,
                url,
                ..Self::default()
            };
        }
        let mut kind = Kind::Connection;
        let mut message = String::new();
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if let Some(tls) = tls_error(inner) {
                kind = Kind::of_tls(tls);
            }
            message = inner.to_string();
            cause = inner.source();
        }
        if error.is_timeout() {
            message = "no answer in time, see --timeout".into();
        }
        Self {
            message,
            url,
            kind,
            ..Self::default()
        }
    }

    /// Whether the registry says that the manifest, the blob or the whole repository is not there. A
    /// refusal to tell is no such answer.
    pub(super) fn is_unknown(&self) -> bool {
        let unknown = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
        match self.codes.as_slice() {
            [] => self.status == Some(404),
            codes => codes.iter().all(|code| unknown.contains(&code.as_str())),
        }
    }

    /// Whether the same request may do better later.
    pub(super) fn is_passing(&self) -> bool {
        self.kind == Kind::Connection
            || self
                .status
                .is_some_and(|status| matches!(status, 408 | 429) || status >= 500)
            || self.told(&["TOOMANYREQUESTS"])
    }

    /// What was asked for, where the registry answered.
    pub(super) fn answered_url(&self) -> Option<&str> {
        self.url.as_deref().filter(|_| self.kind == Kind::Refused)
    }

    fn told(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    /// Whether what arrived is not what the digest stands for.
    pub(super) fn is_wrong_bytes(&self) -> bool {
        self.kind == Kind::WrongBytes
    }

    /// The error for people.
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
            // A string takes every write.
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
        let repository = reference.repository();
        let hint = match self.status {
            _ if self.kind == Kind::UnknownAuthority => {
                "give the certificate of the authority that signed the registry's with --ca-file"
            }
            _ if self.kind == Kind::NotTls => "the registry speaks plain HTTP: say --plain-http",
            Some(400) if self.message.contains("HTTP request to an HTTPS server") => {
                "the registry speaks TLS: leave out --plain-http; on localhost, give --ca-file"
            }
            Some(401 | 403) => return Some(denied(repository, operation, credentials)),
            _ if self.told(&["UNAUTHORIZED", "DENIED"]) => {
                return Some(denied(repository, operation, credentials));
            }
            _ if self.is_unknown() && operation == RegistryOperation::Push => {
                return Some(format!(
                    "create the repository {repository} in the registry first"
                ));
            }
            Some(413) => "the registry, or a proxy in front of it, takes only smaller uploads",
            _ if self.status == Some(415) || self.told(&["MANIFEST_INVALID"]) => {
                "the registry does not take this form of image: try --format docker"
            }
            _ if self.kind == Kind::Connection => {
                "is the registry there, and does it speak TLS? --plain-http speaks without"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

fn denied(repository: &str, operation: RegistryOperation, credentials: &Credentials) -> String {
    let scope = match operation {
        RegistryOperation::Pull => "pull",
        RegistryOperation::Push => "pull,push",
    };
    format!(
        "{credentials} were used and the scope repository:{repository}:{scope} was asked for; \
         give others with --username and --password-stdin, or log in with podman or docker"
    )
}

fn name(code: &OciErrorCode) -> String {
    let name = serde_json::to_value(code).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// The error of the TLS library, which may hide inside an I/O error.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| {
        let io: &std::io::Error = error.downcast_ref()?;
        tls_error(io.get_ref()?)
    })
}

impl Kind {
    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            // The signature is bad where another authority has the same name.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )
            | rustls::Error::AlertReceived(AlertDescription::UnknownCA) => Self::UnknownAuthority,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Refused,
        }
    }
}
