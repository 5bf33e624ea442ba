//! Credentials for a registry: from the flags, or from the files of `podman login` and `docker login`
//! (containers-auth.json(5), docker's `config.json`).

mod entries;
mod helper;

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use gateway::advice::Advice;
use oci_client::Reference;
use serde_json::{Value, json};

use self::entries::Entry;
use crate::commands::files;

/// Credentials, and where they are from.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(super) login: Login,
    source: String,
}

/// How a client logs in.
#[derive(Clone)]
pub(super) enum Login {
    Anonymous,
    Password {
        name: String,
        password: String,
    },
    /// A token that only a token service accepts, as `az acr login` writes it.
    IdentityToken(String),
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
            login: Login::Anonymous,
            source: "no credentials".into(),
        }
    }

    /// The credentials of the command line.
    pub(super) fn from_flags(name: &str, password: &str) -> Self {
        Self {
            login: Login::Password {
                name: name.to_owned(),
                password: password.to_owned(),
            },
            source: "the credentials of --username".into(),
        }
    }

    /// The credentials for a reference in the files of podman and docker, or none.
    pub(super) fn find(reference: &Reference) -> Result<Self> {
        // The first file with an entry wins, even if its credentials are wrong.
        for path in files_to_read()? {
            let found = read(&path, reference)
                .with_context(|| format!("looking for credentials in {}", path.display()))?;
            if let Some(login) = found {
                let source = format!("the credentials in {}", path.display());
                return Ok(Self { login, source });
            }
        }
        Ok(Self::anonymous())
    }

    pub(super) fn is_identity_token(&self) -> bool {
        match self.login {
            Login::IdentityToken(_) => true,
            Login::Password { .. } | Login::Anonymous => false,
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        match self.login {
            Login::Anonymous => true,
            Login::Password { .. } | Login::IdentityToken(_) => false,
        }
    }
}

/// The files that exist, in the order in which podman and docker read them.
fn files_to_read() -> Result<Vec<PathBuf>> {
    // A file that the user names has to exist.
    if let Some(path) = variable("REGISTRY_AUTH_FILE")
        && !path.is_file()
    {
        bail!(Advice::new(
            format!("REGISTRY_AUTH_FILE: there is no file {}", path.display()),
            "unset the variable, or write the file with `podman login`"
        ));
    }
    // The owner of this folder is the user of the process.
    let user = fs::metadata("/proc/self").map(|process| process.uid()).ok();
    let mut files = candidates(variable, env::home_dir().as_deref(), user);
    files.retain(|path| path.is_file());
    Ok(files)
}

/// The files that may have credentials (containers-auth.json(5); docker `cli/config/config.go`).
fn candidates(
    variable: impl Fn(&str) -> Option<PathBuf>,
    home: Option<&Path>,
    user: Option<u32>,
) -> Vec<PathBuf> {
    // Without a session, as for root, podman writes to a folder of the user.
    let session = variable("XDG_RUNTIME_DIR")
        .map(|folder| folder.join("containers"))
        .or_else(|| Some(PathBuf::from(format!("/run/containers/{}", user?))));
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
    let docker = variable("DOCKER_CONFIG").or_else(|| Some(home?.join(".docker")));
    [
        variable("REGISTRY_AUTH_FILE"),
        session.map(|folder| folder.join("auth.json")),
        config.map(|folder| folder.join("containers/auth.json")),
        docker.map(|folder| folder.join("config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The path in an environment variable, if it is set and not empty.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The credentials for a reference in one file.
fn read(path: &Path, reference: &Reference) -> Result<Option<Login>> {
    // The error must not quote the file, which is full of secrets.
    let config: Value = serde_json::from_slice(&files::read(path)?).map_err(|error| {
        anyhow!(
            "the file is not JSON, line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    match entries::find(&config, reference) {
        None => Ok(None),
        Some(Entry::Secret(entry)) => decode(reference.registry(), &entry).map(Some),
        // The helper may know the registry under several names.
        Some(Entry::Helper { name, keys }) => {
            for key in keys {
                if let Some(login) = helper::ask(&name, &key, path)? {
                    return Ok(Some(login));
                }
            }
            Ok(None)
        }
    }
}

/// The credentials of an entry of `auths`.
fn decode(registry: &str, entry: &Value) -> Result<Login> {
    // The library takes the first key that looks similar, so it gets a configuration with only one key.
    let config = json!({ "auths": { registry: entry } }).to_string();
    match get_credential_from_reader(config.as_bytes(), registry) {
        Ok(credential) => Ok(credential.into()),
        Err(CredentialRetrievalError::CredentialDecodingError) => {
            bail!(
                "the entry for {registry} is not in base64, or has no colon between the user name and the password"
            )
        }
        Err(other) => bail!("{other}, for {registry}"),
    }
}

impl From<DockerCredential> for Login {
    fn from(credential: DockerCredential) -> Self {
        match credential {
            DockerCredential::UsernamePassword(name, password) => Self::Password { name, password },
            DockerCredential::IdentityToken(token) => Self::IdentityToken(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::candidates;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &[&str]) {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| PathBuf::from(value))
        };
        let found = candidates(variable, Some(Path::new("/root")), Some(0));
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(found, expected, "{variables:?}");
    }

    #[test]
    fn files_of_podman_and_docker() {
        check(
            &[],
            &[
                "/run/containers/0/auth.json",
                "/root/.config/containers/auth.json",
                "/root/.docker/config.json",
            ],
        );
        check(
            &[
                ("REGISTRY_AUTH_FILE", "/a"),
                ("XDG_RUNTIME_DIR", "/r"),
                ("XDG_CONFIG_HOME", "/c"),
                ("DOCKER_CONFIG", "/d"),
            ],
            &[
                "/a",
                "/r/containers/auth.json",
                "/c/containers/auth.json",
                "/d/config.json",
            ],
        );
    }
}
