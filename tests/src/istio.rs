//! Istio as it runs in a cluster, on the loopback interface and without containers: etcd, an API
//! server, istiod, a registry, and gateways, each an agent with its Envoy.
//!
//! A test takes the [`Stack`] that all tests of a program share, and deploys a [`Gateway`] of its own
//! on it.

mod cluster;
mod control_plane;
mod gateway;
mod kubectl;
mod pod;
mod programs;
pub mod release;
mod traffic;

pub use cluster::{Cluster, RESOURCE_DEFINITIONS};
pub use control_plane::ControlPlane;
pub use gateway::{A, B, Gateway};
pub use kubectl::Kubectl;
pub use pod::Pod;
pub use programs::{
    ISTIO_VERSION, KUBERNETES_VERSION, fetch_program, istio_file, kubernetes_program,
};
pub use traffic::{Tally, Traffic};

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::registry::Registry;

/// What gateways need, ended with this value.
#[derive(Debug)]
pub struct Stack {
    control_plane: ControlPlane,
    cluster: Cluster,
    registry: Registry,
}

impl Stack {
    /// The stack of this program: it starts when a test asks for it and ends when no test has it
    /// any more.
    ///
    /// # Errors
    /// A program of it is not installed or does not start.
    pub fn shared() -> Result<Arc<Self>> {
        // Not a static value, which would never be dropped: its processes would stay.
        static RUNNING: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = running.upgrade() {
            return Ok(stack);
        }
        let stack = Arc::new(Self::start()?);
        *running = Arc::downgrade(&stack);
        Ok(stack)
    }

    /// Starts all of it.
    ///
    /// # Errors
    /// A program of it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let cluster = Cluster::start()?;
        let control_plane = ControlPlane::start(cluster.kubectl())?;
        Ok(Self {
            control_plane,
            cluster,
            registry: Registry::start()?,
        })
    }

    /// The API server's client.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        self.cluster.kubectl()
    }

    /// Where agents find istiod.
    #[must_use]
    pub fn discovery_address(&self) -> &str {
        self.control_plane.discovery_address()
    }

    /// The registry that agents pull from.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Asks until the answer is the expected one, and returns the time that this took.
///
/// # Errors
/// Half a minute passed; the error holds the last answer.
pub fn wait_for<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    ask: impl Fn() -> T,
) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer == *expected {
            return Ok(start.elapsed());
        }
        if start.elapsed() > Duration::from_secs(30) {
            bail!("{what}: {answer:?} after half a minute, expected {expected:?}");
        }
        sleep(Duration::from_millis(100));
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| anyhow::anyhow!("the path {} is not UTF-8", path.display()))
}
