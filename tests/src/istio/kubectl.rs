//! The API server's client, as operators use it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::programs::kubernetes_program;

/// `kubectl` for one API server.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// The client that a kubeconfig describes; what it learns about the server goes into a folder.
    ///
    /// # Errors
    /// It is not installed.
    pub fn new(kubeconfig: &Path, cache: &Path) -> Result<Self> {
        let program = kubernetes_program("kubectl")?;
        Ok(Self {
            program,
            kubeconfig: kubeconfig.to_owned(),
            cache: cache.to_owned(),
        })
    }

    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// It failed; the error is what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with_input(arguments, "")
    }

    /// `kubectl apply` of these resources, in YAML or JSON.
    ///
    /// # Errors
    /// The API server refuses one; the error is what it said.
    pub fn apply(&self, resources: &str) -> Result<String> {
        self.run_with_input(&["apply", "-f", "-"], resources)
    }

    /// The same, but the API server only looks at them.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn try_apply(&self, resources: &str) -> Result<String> {
        self.run_with_input(&["apply", "--dry-run=server", "-f", "-"], resources)
    }

    /// `kubectl patch --type merge` of a resource, named as `kubectl get` names it, with YAML or
    /// JSON.
    ///
    /// # Errors
    /// The API server refuses it; the error is what it said.
    pub fn patch(&self, namespace: &str, resource: &[&str], patch: &str) -> Result<String> {
        let arguments = [
            &["-n", namespace, "patch"],
            resource,
            &["--type", "merge", "-p", patch],
        ];
        self.run(&arguments.concat())
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&self.cache)
            .args(arguments)
            .env("KUBERC", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running kubectl")?;
        // Dropped at the end of this line, so that kubectl sees the end of it.
        child
            .stdin
            .take()
            .context("kubectl's input")?
            .write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
