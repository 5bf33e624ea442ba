//! A real registry, CNCF distribution, on the loopback interface.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::process::{Background, free_ports};

/// A registry, ended with this value.
#[derive(Debug)]
pub struct Registry {
    _process: Background,
    folder: TempDir,
    port: u16,
}

impl Registry {
    /// Starts an empty registry without authentication.
    ///
    /// # Errors
    /// `docker-registry` is not installed or does not start.
    pub fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_ports(1)?.into_iter().next().unwrap_or_default();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\"}}\n",
                storage.display()
            ),
        )?;
        let log = folder.path().join("log");
        let arguments = ["serve", config.to_str().unwrap_or_default()];
        let mut process = Background::start(Path::new("docker-registry"), &arguments, &log)?;
        process.wait_until(&log, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { _process: process, folder, port })
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
        let log = std::fs::read_to_string(self.log())?;
        Ok(log.lines().filter(|line| line.contains(holding)).count())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
