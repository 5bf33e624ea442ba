//! Credentials for a registry: from the flags, or from the files of `podman login` and `docker login`
//! (containers-auth.json(5), docker's `config.json`).

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use gateway::advice::Advice;
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use serde_json::{Value, json};

use crate::commands::files;
use crate::image::docker_hub;

/// Credentials, and where they are from.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(super) auth: RegistryAuth,
    source: String,
}

impl fmt::Display for Credentials {
    /// The source of the credentials, never their value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Credentials {
    /// No credentials, for registries that need none.
    pub(super) fn anonymous() -> Self {
        Self {
            auth: RegistryAuth::Anonymous,
            source: "no credentials".into(),
        }
    }

    /// The credentials of the command line.
    pub(super) fn from_flags(name: &str, password: &str) -> Self {
        let auth = RegistryAuth::Basic(name.to_owned(), password.to_owned());
        Self {
            auth,
            source: "the credentials of --username".into(),
        }
    }

    /// The credentials for a reference in the files of podman and docker, or none.
    pub(super) fn find(reference: &Reference) -> Result<Self> {
        // The first file with an entry wins, even if its credentials are wrong.
        for path in files_to_read()? {
            let found = read(&path, reference)
                .with_context(|| format!("looking for credentials in {}", path.display()))?;
            if let Some(auth) = found {
                let source = format!("the credentials in {}", path.display());
                return Ok(Self { auth, source });
            }
        }
        Ok(Self::anonymous())
    }

    /// A message of a registry, with the password replaced if the message repeats it.
    pub(super) fn redact(&self, message: &str) -> String {
        match &self.auth {
            RegistryAuth::Basic(_, secret) | RegistryAuth::Bearer(secret) if !secret.is_empty() => {
                message.replace(secret.as_str(), "<redacted>")
            }
            _ => message.to_owned(),
        }
    }
}

/// The files that exist, in the order in which podman and docker read them.
fn files_to_read() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if let Some(path) = variable("REGISTRY_AUTH_FILE") {
        // A file that the user names has to exist.
        if !path.is_file() {
            bail!(Advice::new(
                format!("REGISTRY_AUTH_FILE: there is no file {}", path.display()),
                "unset the variable, or write the file with `podman login`"
            ));
        }
        files.push(path);
    }
    if let Some(folder) = variable("XDG_RUNTIME_DIR") {
        files.push(folder.join("containers/auth.json"));
    }
    if let Some(folder) = docker_folder() {
        files.push(folder.join("config.json"));
    }
    files.retain(|path| path.is_file());
    Ok(files)
}

fn docker_folder() -> Option<PathBuf> {
    variable("DOCKER_CONFIG").or_else(|| Some(env::home_dir()?.join(".docker")))
}

/// The path in an environment variable, if it is set and not empty.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The credentials for a reference in one file.
fn read(path: &Path, reference: &Reference) -> Result<Option<RegistryAuth>> {
    // The error must not quote the file, which is full of secrets.
    let config: Value = serde_json::from_slice(&files::read(path)?).map_err(|error| {
        anyhow!(
            "the file is not JSON, line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    let keys = keys(reference);
    let Some((key, config)) = find_entry(&config, &keys) else {
        return Ok(None);
    };

    // The library takes the first key that looks similar, so it gets a configuration with only one key.
    match get_credential_from_reader(config.to_string().as_bytes(), key) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(Some(RegistryAuth::Basic(name, password)))
        }
        Ok(DockerCredential::IdentityToken(_)) => bail!(Advice::new(
            format!("{key} has an identity token, which is not supported"),
            "log in with a user name and a password or an access token",
        )),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(explain(error, key)),
    }
}

/// The keys under which a file may have credentials for a reference, the most specific first. podman
/// writes keys for repositories and their parents, docker for registries.
fn keys(reference: &Reference) -> Vec<String> {
    let registry = reference.registry();
    let path = format!("{registry}/{}", reference.repository());

    let mut keys = vec![path.clone()];
    let mut parent = path.as_str();
    while let Some((shorter, _)) = parent.rsplit_once('/') {
        keys.push(shorter.to_owned());
        parent = shorter;
    }

    if docker_hub::is_docker_hub(registry) {
        keys.push(docker_hub::CONFIG_KEY.into());
        keys.push("index.docker.io".into());
        return keys;
    }
    // Older versions of docker wrote URLs.
    for scheme in ["https", "http"] {
        keys.push(format!("{scheme}://{registry}"));
    }
    for version in ["v1", "v2"] {
        keys.push(format!("https://{registry}/{version}/"));
    }
    keys
}

/// The key that a configuration has credentials for, and a configuration with only this key. A credential
/// helper for the registry comes first, then credentials in the file, then the helper for all registries.
fn find_entry<'k>(config: &Value, keys: &'k [String]) -> Option<(&'k str, Value)> {
    for key in keys {
        if let Some(helper) = lookup(config, "credHelpers", key) {
            return Some((key, json!({ "credHelpers": { key: helper } })));
        }
    }
    for key in keys {
        // If a helper has the credentials, docker writes an empty entry.
        if let Some(entry) = lookup(config, "auths", key)
            && entry.as_object().is_some_and(|entry| !entry.is_empty())
        {
            return Some((key, json!({ "auths": { key: entry } })));
        }
    }

    let helper = config
        .get("credsStore")
        .filter(|helper| **helper != json!(""))?;
    let key = keys
        .iter()
        .find(|key| *key == docker_hub::CONFIG_KEY)
        .or_else(|| keys.iter().find(|key| !key.contains('/')))?;
    Some((key, json!({ "credsStore": helper })))
}

fn lookup<'c>(config: &'c Value, map: &str, key: &str) -> Option<&'c Value> {
    config.get(map)?.get(key)
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

fn explain(error: CredentialRetrievalError, key: &str) -> Error {
    match error {
        CredentialRetrievalError::HelperFailure { helper, stderr, .. } => {
            anyhow!("{helper} failed for {key}: {}", stderr.trim())
        }
        CredentialRetrievalError::HelperCommunicationError => Advice::new(
            format!("the credential helper for {key} could not be run"),
            "check that docker-credential-… is installed and in the PATH",
        )
        .into(),
        other => anyhow!("{other}, for {key}"),
    }
}
