//! Why a request to an API server failed, with a hint.

use gateway::advice::Advice;
use kube::Error;
use kube::client::AuthError;

use crate::text::short_line;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The user lacks a permission. The text is the message of the API server.
    Forbidden(String),
    /// The API server does not have the kind of resource, or no longer.
    Absent,
    /// The API server has dropped the state that the rest of a list needs.
    Expired,
    /// The API server does not accept the credentials.
    Unauthorized,
    /// There is no connection to the API server.
    Unreachable(String),
    /// Any other failure. The text is its message.
    Other(String),
}

impl Failure {
    /// A failure without a hint of its own.
    pub(super) fn other(error: &dyn std::error::Error) -> Self {
        Self::Other(short_line(&error.to_string()))
    }

    /// The error of a step, such as `listing pods of https://…`, with a hint. `source` names where the
    /// address and the credentials of the API server are from.
    pub(super) fn advice(self, step: &str, source: &str) -> Advice {
        let (problem, hint) = match self {
            Self::Forbidden(problem) => (problem, "ask for a role that allows it".to_owned()),
            Self::Absent => (
                "the API server has none".into(),
                "name an API server of Kubernetes".into(),
            ),
            Self::Expired => (
                "the list changes faster than it can be read".into(),
                "try again, or name the namespaces of the gateways with --namespace".into(),
            ),
            Self::Unauthorized => (
                "the API server does not accept the credentials (401 Unauthorized)".into(),
                format!("log in again, as for kubectl; the credentials are from {source}"),
            ),
            Self::Unreachable(problem) => (
                problem,
                format!("check whether kubectl reaches it with {source}"),
            ),
            Self::Other(problem) => (problem, "try the same with kubectl".into()),
        };
        Advice::new(format!("{step}: {problem}"), hint)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => match status.code {
                401 => Self::Unauthorized,
                // The message has the verb, the kind and the user, as kubectl prints it.
                403 => Self::Forbidden(short_line(&status.message)),
                404 => Self::Absent,
                // Expired continue tokens get 410 Gone.
                410 => Self::Expired,
                code => Self::Other(format!(
                    "the API server answers {code}: {}",
                    short_line(&status.message)
                )),
            },
            Error::Auth(error) => Self::Other(credentials(&error)),
            Error::Service(error) => Self::Unreachable(root(&*error)),
            Error::HyperError(error) => Self::Unreachable(root(&error)),
            error => Self::other(&error),
        }
    }
}

/// Why there are no credentials. The output of a command is not repeated: it may be credentials.
fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            format!(
                "the command for credentials, {cmd}, failed: {}",
                short_line(&stderr)
            )
        }
        // The library's error quotes the output, which may be a token.
        AuthError::AuthExecParse(_) => {
            "the output of the command for credentials cannot be read".to_owned()
        }
        other => short_line(&other.to_string()),
    }
}

/// The innermost error: the layers above it report only that something failed.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    // hyper and tower wrap the error of the connection several times.
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    short_line(&root.to_string())
}
