//! A real registry, CNCF distribution, on the loopback interface.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::process::{Background, free_ports};

/// A registry, ended with this value.
#[derive(Debug)]
pub struct Registry {
    _process: Background,
    folder: TempDir,
    port: u16,
}

/// What a registry asks of its clients.
#[derive(Debug, Default)]
pub struct Options<'o> {
    /// Speak TLS with this certificate.
    pub certificate: Option<&'o Certificate>,
    /// Let in only [`USER`] with [`PASSWORD`], by Basic authentication in this realm.
    pub realm: Option<&'o str>,
}

/// The only user of a registry with authentication.
pub const USER: &str = "publisher";
pub const PASSWORD: &str = "open sesame";
/// The password as bcrypt has it.
const HASH: &str = "$2b$04$SJudrPrFIgl4v.xkma4Zhu1CWsVIb8cRTn63ifTZB8qfOeD3uW90S";

impl Registry {
    /// Starts an empty registry without authentication.
    ///
    /// # Errors
    /// `docker-registry` is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts an empty registry.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(options: &Options<'_>) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_ports(1)?.into_iter().next().unwrap_or_default();
        let passwords = folder.path().join("htpasswd");
        fs::write(&passwords, format!("{USER}:{HASH}\n"))?;
        let config = json!({
            "version": "0.1",
            "log": { "level": "info", "accesslog": { "disabled": false } },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("storage") } },
            "http": {
                "addr": format!("127.0.0.1:{port}"),
                "tls": options.certificate.map(|files| {
                    json!({ "certificate": files.certificate, "key": files.key })
                }),
            },
            "auth": options.realm.map(|realm| {
                json!({ "htpasswd": { "realm": realm, "path": passwords } })
            }),
        });
        let file = folder.path().join("config.yml");
        // YAML, which JSON is a part of.
        fs::write(&file, config.to_string())?;
        let log = folder.path().join("log");
        let arguments = ["serve", file.to_str().unwrap_or_default()];
        let mut process = Background::start(Path::new("docker-registry"), &arguments, &log)?;
        process.wait_until(&log, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self {
            _process: process,
            folder,
            port,
        })
    }

    /// Where it keeps a blob.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let digest = digest.trim_start_matches("sha256:");
        let start = digest.get(..2).unwrap_or_default();
        let blobs = self
            .folder
            .path()
            .join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(start).join(digest).join("data")
    }

    /// The tags of a repository; none where there is no repository.
    #[must_use]
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let tags = self
            .folder
            .path()
            .join("storage/docker/registry/v2/repositories");
        let tags = fs::read_dir(tags.join(repository).join("_manifests/tags"));
        tags.into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `localhost` and the port, as references begin.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The lines of its access log that hold a text.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn requests(&self, holding: &str) -> Result<usize> {
        let log = fs::read_to_string(self.log())?;
        Ok(log.lines().filter(|line| line.contains(holding)).count())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
