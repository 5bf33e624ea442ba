//! A gateway: what an operator applies for it, and the pod that serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Kubectl, Pod, Stack, text, wait_for};
use crate::certificate::Certificate;
use crate::client;
use crate::process::free_ports;
use crate::registry::Registry;

/// The host of one TLS server.
pub const A: &str = "a.example.com";
/// The host of the other.
pub const B: &str = "b.example.com";

/// A gateway in a namespace of its own, ended with this value.
#[derive(Debug)]
pub struct Gateway {
    pod: Pod,
    name: String,
    port: u16,
    pods: usize,
    _folder: TempDir,
    stack: Arc<Stack>,
}

impl Gateway {
    /// Applies what `tests/istio/gateway.yaml` says, starts a pod, and waits until it serves. The name
    /// is that of the namespace and of the label `istio` of the pods.
    ///
    /// # Errors
    /// A program is not installed, a resource is refused, or the gateway does not serve.
    pub fn deploy(stack: &Arc<Stack>, name: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let certificate = Certificate::generate(folder.path(), &[A, B])?;
        let port = free_ports(1)?.into_iter().next().context("no port")?;
        let resources = include_str!("../../istio/gateway.yaml")
            .replace("$NAME", name)
            .replace("$PORT", &port.to_string())
            .replace("$CERTIFICATE", text(&certificate.certificate)?)
            .replace("$KEY", text(&certificate.key)?);
        stack.kubectl().apply(&resources)?;
        let pod = Pod::start(stack, name, 0)?;
        let (name, stack) = (name.to_owned(), Arc::clone(stack));
        let gateway = Self {
            pod,
            name,
            port,
            pods: 1,
            _folder: folder,
            stack,
        };
        gateway.wait_for(A, A, 200)?;
        Ok(gateway)
    }

    /// Ends the pod and starts another, as when a node is drained. It may serve or not.
    ///
    /// # Errors
    /// As [`Self::deploy`].
    pub fn replace_pod(&mut self) -> Result<()> {
        self.pod.end();
        self.pod = Pod::start(&self.stack, &self.name, self.pods)?;
        self.pods += 1;
        Ok(())
    }

    /// The status of a request on a connection of its own; none when nobody answers.
    #[must_use]
    pub fn status(&self, sni: &str, authority: &str) -> Option<u16> {
        client::get(self.address(), sni, authority)
            .ok()
            .map(|response| response.status)
    }

    /// Waits until a request on a connection of its own has this answer, and returns how long that took.
    ///
    /// # Errors
    /// It is not within half a minute; the error holds the end of the pod's log.
    pub fn wait_for(&self, sni: &str, authority: &str, status: u16) -> Result<Duration> {
        let what = format!("{}: {authority} on a connection for {sni}", self.name);
        wait_for(&what, &Some(status), || self.status(sni, authority))
            .with_context(|| self.pod.last_lines())
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its namespace, and its pods' label `istio`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The registry that its agents pull from.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.stack.registry()
    }

    /// The client of the API server that it belongs to.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        self.stack.kubectl()
    }
}
