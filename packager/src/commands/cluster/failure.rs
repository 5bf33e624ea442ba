//! Why an API server does not answer as asked, and what to do.

use kube::Error;
use kube::client::AuthError;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The user may not do that: what the API server said.
    Forbidden(String),
    /// There is no such kind of resource, or no more.
    Absent,
    /// The rest of the list is not to be had any more.
    Expired,
    /// The API server knows no such user, or not any more.
    Unauthorized,
    /// It is not to be reached.
    Unreachable(String),
    /// Something else.
    Other(String),
}

impl Failure {
    /// A failure that nobody can do much about.
    pub(super) fn other(error: &dyn std::error::Error) -> Self {
        Self::Other(one_line(&error.to_string()))
    }

    /// What is wrong, and what to do. `source` is where the address and the credentials of the API
    /// server are from.
    pub(super) fn explain(self, source: &str) -> (String, String) {
        match self {
            Self::Forbidden(problem) => (problem, "ask for a role that allows it".to_owned()),
            Self::Absent => (
                "it has none".into(),
                "name an API server of Kubernetes".into(),
            ),
            Self::Expired => (
                "the list changes faster than it can be read".into(),
                "try again, or name the namespaces of the gateways with --namespace".into(),
            ),
            Self::Unauthorized => (
                "it does not accept the credentials (401 Unauthorized)".into(),
                format!("log in again, as for kubectl; these are those of {source}"),
            ),
            Self::Unreachable(problem) => (
                problem,
                format!("see whether kubectl reaches it with {source}"),
            ),
            Self::Other(problem) => (problem, "see what kubectl says to the same".into()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => match status.code {
                401 => Self::Unauthorized,
                403 => Self::Forbidden(one_line(&status.message)),
                404 => Self::Absent,
                410 => Self::Expired,
                code => Self::Other(format!("it answers {code}: {}", one_line(&status.message))),
            },
            Error::Auth(error) => Self::Other(credentials(&error)),
            Error::Service(error) => Self::Unreachable(root(&*error)),
            Error::HyperError(error) => Self::Unreachable(root(&error)),
            error => Self::other(&error),
        }
    }
}

/// Why there are no credentials. What a command printed may be some, and is not repeated.
pub(super) fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let said = String::from_utf8_lossy(&out.stderr);
            format!(
                "the command for credentials, {cmd}, failed: {}",
                one_line(said.trim())
            )
        }
        AuthError::AuthExecParse(_) => {
            "the command for credentials printed something else".to_owned()
        }
        other => one_line(&other.to_string()),
    }
}

/// The cause of all: the layers above say only that something failed.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    one_line(&root.to_string())
}

/// What others say may be long and have lines.
pub(super) fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
