//! istiod.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::json;
use tempfile::TempDir;

use super::programs::istio_file;
use super::{Kubectl, text};
use crate::client::{Connection, GET, Transport, block_on};
use crate::process::{Background, free_ports};

/// istiod, ended with this value.
#[derive(Debug)]
pub struct ControlPlane {
    _istiod: Background,
    discovery: String,
    _folder: TempDir,
}

impl ControlPlane {
    /// Starts istiod for a cluster.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub fn start(kubectl: &Kubectl) -> Result<Self> {
        let folder = TempDir::new()?;
        let ports = free_ports(3)?;
        let [http, discovery, monitoring] = ports.as_slice() else {
            bail!("too few ports")
        };
        let discovery = format!("127.0.0.1:{discovery}");
        let mesh = folder.path().join("mesh.yaml");
        let defaults = json!({
            "discoveryAddress": discovery,
            "controlPlaneAuthPolicy": "NONE",
        });
        fs::write(&mesh, json!({ "defaultConfig": defaults }).to_string())?;
        let log = folder.path().join("istiod.log");
        let http = SocketAddr::from(([127, 0, 0, 1], *http));
        let mut command = Command::new(istio_file("pilot-discovery")?);
        command
            .arg("discovery")
            .arg(format!("--kubeconfig={}", text(kubectl.kubeconfig())?))
            .arg(format!("--meshConfig={}", text(&mesh)?))
            .arg(format!("--httpAddr={http}"))
            .arg(format!("--grpcAddr={discovery}"))
            .arg(format!("--monitoringAddr=127.0.0.1:{monitoring}"))
            .args(["--secureGRPCAddr=", "--httpsAddr=", "--ctrlz_port=0"])
            .envs(ENVIRONMENT)
            .current_dir(folder.path());
        let mut istiod = Background::spawn(&mut command, &log)?;
        istiod.wait_until(&log, || is_ready(http))?;
        Ok(Self {
            _istiod: istiod,
            discovery,
            _folder: folder,
        })
    }

    /// Where it listens for agents.
    #[must_use]
    pub fn discovery_address(&self) -> &str {
        &self.discovery
    }
}

const ENVIRONMENT: [(&str, &str); 9] = [
    ("POD_NAMESPACE", "istio-system"),
    ("POD_NAME", "istiod-0"),
    // Filters that only Istio's own build of Envoy has.
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    // Nobody here has an identity.
    ("ENABLE_CA_SERVER", "false"),
    ("PILOT_CERT_PROVIDER", "none"),
    ("XDS_AUTH", "false"),
    // There are no nodes to run what it would deploy.
    ("PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER", "false"),
    ("CLOUD_PLATFORM", "none"),
];

fn is_ready(address: SocketAddr) -> bool {
    let response = block_on(async {
        let mut connection = Connection::h1(address, Transport::Plaintext).await?;
        connection.send_path(&GET, "istiod", "/ready").await
    });
    response.is_ok_and(|response| response.status == 200)
}
