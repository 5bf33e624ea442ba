//! A pod of a gateway: Istio's agent, and the Envoy that it runs.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::programs::istio_file;
use super::{Stack, text};
use crate::certificate::Certificate;
use crate::envoy::{admin_get, metrics, script_metrics};
use crate::process::{Background, free_ports, last_lines};
use crate::tools::{ENVOY_VERSION, envoy};

/// The labels of a pod, or its annotations.
type Labels = BTreeMap<String, String>;

/// An agent with its Envoy, ended with this value.
#[derive(Debug)]
pub struct Pod {
    agent: Background,
    admin: SocketAddr,
    status: SocketAddr,
    folder: TempDir,
}

/// The ports of a pod, besides those that it serves on.
struct Ports {
    admin: u16,
    agent: u16,
    status: u16,
    prometheus: u16,
}

impl Pod {
    /// Makes the pod known to the API server, starts its programs, and waits until Envoy has its
    /// configuration.
    ///
    /// # Errors
    /// A program is not installed or does not start.
    pub fn start(stack: &Stack, gateway: &str, number: usize) -> Result<Self> {
        let labels = Labels::from([("istio".into(), gateway.into())]);
        Self::start_labelled(stack, gateway, &format!("gateway-{number}"), &labels)
    }

    /// The same for a pod of any namespace, name and labels.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_labelled(
        stack: &Stack,
        namespace: &str,
        name: &str,
        labels: &Labels,
    ) -> Result<Self> {
        Self::start_annotated(stack, namespace, name, labels, &Labels::new())
    }

    /// The same with annotations, which the agent reads when it starts.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_annotated(
        stack: &Stack,
        namespace: &str,
        name: &str,
        labels: &Labels,
        annotations: &Labels,
    ) -> Result<Self> {
        let address = next_address();
        register(stack, namespace, name, labels, address)?;
        let folder = TempDir::new()?;
        let ports = Ports::free()?;
        prepare(folder.path())?;
        write_annotations(folder.path(), annotations)?;
        let log = folder.path().join("log");
        let mut command = Command::new(istio_file("pilot-agent")?);
        command
            .args(["proxy", "router", "--domain"])
            .arg(format!("{namespace}.svc.cluster.local"))
            .current_dir(folder.path())
            .envs(environment(stack, address, &ports, folder.path())?)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", namespace)
            .env("ISTIO_METAJSON_LABELS", json!(labels).to_string())
            .env("ISTIO_METAJSON_ANNOTATIONS", json!(annotations).to_string());
        let mut agent = Background::spawn(&mut command, &log)?;
        let admin = SocketAddr::from(([127, 0, 0, 1], ports.admin));
        agent.wait_until(&log, || {
            admin_get(admin, "/ready").is_ok_and(|body| body.trim() == "LIVE")
        })?;
        Ok(Self {
            agent,
            admin,
            status: SocketAddr::from(([127, 0, 0, 1], ports.agent)),
            folder,
        })
    }

    /// Where Envoy's admin interface is.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// What Envoy's admin interface answers.
    ///
    /// # Errors
    /// Envoy is gone, or the answer is not 200.
    pub fn admin(&self, path: &str) -> Result<String> {
        admin_get(self.admin, path)
    }

    /// Whether the agent answers the readiness probe of Kubernetes with 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        admin_get(self.status, "/healthz/ready").is_ok()
    }

    /// A metric of the filter by its name there; none when it never counted.
    ///
    /// # Errors
    /// Envoy is gone.
    pub fn metric(&self, name: &str) -> Result<Option<u64>> {
        Ok(metrics(self.admin)?.get(name).copied())
    }

    /// A counter of the generated Lua script by its name there; none when it never counted.
    ///
    /// # Errors
    /// Envoy is gone.
    pub fn script_metric(&self, name: &str) -> Result<Option<u64>> {
        Ok(script_metrics(self.admin)?.get(name).copied())
    }

    /// What the agent and Envoy logged.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// The end of that.
    pub(super) fn last_lines(&self) -> String {
        last_lines(&self.folder.path().join("log"))
    }

    /// Ends it before its time.
    pub fn end(&mut self) {
        self.agent.end();
    }
}

impl Ports {
    fn free() -> Result<Self> {
        let [admin, agent, status, prometheus] = free_ports(4)?[..] else {
            bail!("too few ports")
        };
        Ok(Self {
            admin,
            agent,
            status,
            prometheus,
        })
    }
}

/// An address of the loopback interface for one pod alone: istiod knows pods by their addresses.
fn next_address() -> Ipv4Addr {
    static PODS: AtomicU8 = AtomicU8::new(1);
    Ipv4Addr::new(127, 0, 1, PODS.fetch_add(1, Ordering::Relaxed))
}

/// Tells the API server what the kubelet would: the pod runs, and its address.
fn register(
    stack: &Stack,
    namespace: &str,
    name: &str,
    labels: &Labels,
    address: Ipv4Addr,
) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": { "containers": [{ "name": "istio-proxy", "image": "auto" }] },
    });
    stack.kubectl().apply(&pod.to_string())?;
    let status = json!({ "status": {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    }});
    let resource = ["pod", name, "--subresource", "status"];
    stack
        .kubectl()
        .patch(namespace, &resource, &status.to_string())?;
    Ok(())
}

/// Lays out the folder that the agent runs in.
fn prepare(folder: &Path) -> Result<()> {
    // The agent wants a certificate for the mesh, which a gateway that only answers never shows.
    let identity = folder.join("var/run/secrets/workload-spiffe-credentials");
    fs::create_dir_all(&identity)?;
    let certificate = Certificate::generate(folder, &["gateway.invalid"])?;
    fs::copy(&certificate.certificate, identity.join("cert-chain.pem"))?;
    fs::copy(&certificate.certificate, identity.join("root-cert.pem"))?;
    fs::copy(&certificate.key, identity.join("key.pem"))?;
    // When the agent is killed, it cannot end Envoy itself.
    let program = format!("#!/bin/sh\nexec setpriv --pdeathsig KILL {} \"$@\"\n", {
        let program = envoy(ENVOY_VERSION)?;
        text(&program)?.to_owned()
    });
    let path = envoy_in(folder);
    fs::write(&path, program)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Writes the annotations as the kubelet does, into a volume of the downward API.
fn write_annotations(folder: &Path, annotations: &Labels) -> Result<()> {
    let volume = folder.join("etc/istio/pod");
    fs::create_dir_all(&volume)?;
    let lines: Vec<String> = annotations
        .iter()
        .map(|(key, value)| format!("{key}={value:?}\n"))
        .collect();
    fs::write(volume.join("annotations"), lines.concat())?;
    Ok(())
}

fn envoy_in(folder: &Path) -> PathBuf {
    folder.join("envoy")
}

fn environment(
    stack: &Stack,
    address: Ipv4Addr,
    ports: &Ports,
    folder: &Path,
) -> Result<BTreeMap<&'static str, String>> {
    let bootstrap = istio_file("envoy_bootstrap.json")?;
    Ok(BTreeMap::from([
        ("INSTANCE_IP", address.to_string()),
        ("SERVICE_ACCOUNT", "default".to_owned()),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned()),
        ("ISTIO_BOOTSTRAP", text(&bootstrap)?.to_owned()),
        ("FILE_MOUNTED_CERTS", "true".to_owned()),
        ("JWT_POLICY", "none".to_owned()),
        ("CLOUD_PLATFORM", "none".to_owned()),
        ("WASM_INSECURE_REGISTRIES", stack.registry().host()),
        ("ENVOY_STATUS_PORT", ports.status.to_string()),
        ("ENVOY_PROMETHEUS_PORT", ports.prometheus.to_string()),
        (
            "PROXY_CONFIG",
            proxy_config(stack, ports, folder)?.to_string(),
        ),
    ]))
}

fn proxy_config(stack: &Stack, ports: &Ports, folder: &Path) -> Result<Value> {
    Ok(json!({
        "discoveryAddress": stack.discovery_address(),
        "controlPlaneAuthPolicy": "NONE",
        "binaryPath": text(&envoy_in(folder))?,
        "configPath": text(&folder.join("configuration"))?,
        "proxyAdminPort": ports.admin,
        "statusPort": ports.agent,
        "concurrency": 1,
        // The default of 45 seconds would be most of the time of a test.
        "drainDuration": "5s",
    }))
}
