//! Who a registry is told that we are: the flags of the command line, or what `podman login` and
//! `docker login` left behind (containers-auth.json(5), docker's `config.json`).

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use gateway::advice::Advice;
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use serde_json::{Map, Value, json};

use crate::commands::files;

/// Under this name docker keeps the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What to say to a registry, and where it is from.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(super) auth: RegistryAuth,
    source: String,
}

impl fmt::Display for Credentials {
    /// Where they are from; never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Credentials {
    /// None: the registry is read and written by everybody.
    pub(super) fn anonymous() -> Self {
        Self {
            auth: RegistryAuth::Anonymous,
            source: "no credentials".into(),
        }
    }

    /// Those of the command line.
    pub(super) fn of_user(name: &str, password: &str) -> Self {
        let auth = RegistryAuth::Basic(name.to_owned(), password.to_owned());
        Self {
            auth,
            source: "the credentials of --username".into(),
        }
    }

    /// Those that the files of podman and docker have for a reference, else none.
    pub(super) fn find(reference: &Reference) -> Result<Self> {
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

    /// A message of a registry, without the password that it may repeat.
    pub(super) fn redact(&self, message: &str) -> String {
        match &self.auth {
            RegistryAuth::Basic(_, secret) | RegistryAuth::Bearer(secret) if !secret.is_empty() => {
                message.replace(secret.as_str(), "<redacted>")
            }
            _ => message.to_owned(),
        }
    }
}

/// The files that there are, in the order in which podman and docker are asked.
fn files_to_read() -> Result<Vec<PathBuf>> {
    let named = env::var_os("REGISTRY_AUTH_FILE").filter(|path| !path.is_empty());
    if let Some(path) = &named
        && !Path::new(path).is_file()
    {
        bail!(Advice::new(
            format!(
                "REGISTRY_AUTH_FILE names {}, which is no file",
                Path::new(path).display()
            ),
            "take the variable away, or have `podman login` write the file"
        ));
    }
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let podman = variable("XDG_RUNTIME_DIR").map(|path| path.join("containers/auth.json"));
    let docker = variable("DOCKER_CONFIG").or_else(|| Some(env::home_dir()?.join(".docker")));
    let docker = docker.map(|path| path.join("config.json"));
    let files = [named.map(PathBuf::from), podman, docker]
        .into_iter()
        .flatten();
    Ok(files.filter(|path| path.is_file()).collect())
}

/// What one file has for a reference.
fn read(path: &Path, reference: &Reference) -> Result<Option<RegistryAuth>> {
    // Its content stays out of the error: it is full of secrets.
    let config: Value = serde_json::from_slice(&files::read(path)?).map_err(|error| {
        anyhow::anyhow!(
            "it is not JSON, line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    let keys = keys(reference);
    let Some((key, entry)) = entry(&config, &keys) else {
        return Ok(None);
    };
    // The library takes the first key that looks alike; given one alone it cannot choose wrongly.
    let found = get_credential_from_reader(entry.to_string().as_bytes(), &key);
    match found {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(Some(RegistryAuth::Basic(name, password)))
        }
        Ok(DockerCredential::IdentityToken(_)) => bail!(Advice::new(
            format!("{key} has an identity token, which this command cannot exchange"),
            "log in with a user name and a password or an access token",
        )),
        Err(error) => explain(&error, &key),
    }
}

/// The keys under which a file may have credentials for a reference, the most specific first: podman
/// has them for repositories and their parents, docker for registries.
fn keys(reference: &Reference) -> Vec<String> {
    let registry = reference.registry();
    let path = format!("{registry}/{}", reference.repository());
    let parents = path.char_indices().rev().filter(|(_, c)| *c == '/');
    let mut keys = vec![path.clone()];
    keys.extend(parents.filter_map(|(at, _)| path.get(..at).map(str::to_owned)));
    if ["docker.io", "index.docker.io"].contains(&registry) {
        keys.extend([DOCKER_HUB_KEY.into(), "index.docker.io".into()]);
    } else {
        let schemes = ["https", "http"];
        keys.extend(schemes.map(|scheme| format!("{scheme}://{registry}")));
        keys.extend(["v1", "v2"].map(|version| format!("https://{registry}/{version}/")));
    }
    keys
}

/// A file of its own with what applies of a file: a helper of the registry, else credentials, else
/// the helper for all; and the key to look for in it.
fn entry(config: &Value, keys: &[String]) -> Option<(String, Value)> {
    let in_map = |name: &str, key: &str| config.get(name)?.get(key).cloned();
    let one = |key: &str, value: Value| Value::Object(Map::from_iter([(key.to_owned(), value)]));
    for key in keys {
        if let Some(helper) = in_map("credHelpers", key) {
            return Some((key.clone(), json!({ "credHelpers": one(key, helper) })));
        }
    }
    for key in keys {
        // With a helper, docker leaves empty entries behind.
        let found = in_map("auths", key);
        let found = found.filter(|entry| entry.as_object().is_some_and(|entry| !entry.is_empty()));
        if let Some(found) = found {
            return Some((key.clone(), json!({ "auths": one(key, found) })));
        }
    }
    let helper = config
        .get("credsStore")
        .filter(|helper| **helper != json!(""))?;
    let hub = keys.iter().find(|key| *key == DOCKER_HUB_KEY);
    let registry = keys.iter().find(|key| !key.contains('/'));
    Some((hub.or(registry)?.clone(), json!({ "credsStore": helper })))
}

/// A helper that has nothing is not one that fails.
fn explain(error: &CredentialRetrievalError, key: &str) -> Result<Option<RegistryAuth>> {
    match error {
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. }
            if [stdout, stderr]
                .iter()
                .any(|text| text.contains("credentials not found")) =>
        {
            Ok(None)
        }
        CredentialRetrievalError::NoCredentialConfigured => Ok(None),
        CredentialRetrievalError::HelperFailure { helper, stderr, .. } => {
            bail!("{helper} failed for {key}: {}", stderr.trim())
        }
        CredentialRetrievalError::HelperCommunicationError => {
            bail!(Advice::new(
                format!("its credential helper for {key} could not be run"),
                "is docker-credential-… installed and in the PATH?"
            ))
        }
        other => bail!("{other}, for {key}"),
    }
}
