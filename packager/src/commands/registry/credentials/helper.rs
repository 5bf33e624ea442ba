//! Credential helpers, programs that keep credentials (docker-credential-helpers, README).

use std::path::Path;

use anyhow::{Error, Result, anyhow};
use docker_credential::{CredentialRetrievalError, get_credential_from_reader};
use gateway::advice::Advice;
use serde_json::json;

use super::Login;
use crate::text::foreign;

/// What a helper has for a key; `None` if it has nothing.
pub(super) fn ask(name: &str, key: &str, file: &Path) -> Result<Option<Login>> {
    let config = json!({ "credHelpers": { key: name } }).to_string();
    match get_credential_from_reader(config.as_bytes(), key) {
        Ok(credential) => Ok(Some(credential.into())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(explain(error, name, key, file)),
    }
}

/// Whether the error means that there are no credentials. Helpers report that as a failure.
fn is_absent(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => true,
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => [stdout, stderr]
            .iter()
            .any(|text| text.contains("credentials not found")),
        _ => false,
    }
}

fn explain(error: CredentialRetrievalError, name: &str, key: &str, file: &Path) -> Error {
    let program = format!("docker-credential-{name}");
    match error {
        // Helpers write errors to standard output, and some to standard error.
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => {
            let texts: Vec<String> = [stdout, stderr]
                .iter()
                .map(|text| foreign(text))
                .filter(|text| !text.is_empty())
                .collect();
            anyhow!("{program} failed for {key}: {}", texts.join("; "))
        }
        CredentialRetrievalError::HelperCommunicationError => Advice::new(
            format!("{program}, the credential helper for {key}, cannot be run"),
            format!("install {program}, or remove it from {}", file.display()),
        )
        .into(),
        // The output may have the secret, so the message must not quote it.
        CredentialRetrievalError::MalformedHelperResponse => {
            anyhow!("{program} prints no JSON with Username and Secret for {key}")
        }
        other => anyhow!("{program}: {other}, for {key}"),
    }
}
