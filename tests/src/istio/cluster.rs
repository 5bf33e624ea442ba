//! A cluster without nodes: etcd and an API server that knows Istio's resources and those of the
//! Gateway API.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use super::programs::{istio_file, kubernetes_program};
use super::{Kubectl, text, wait_for};
use crate::certificate::Certificate;
use crate::process::{Background, free_ports};

/// An API server with its etcd, ended with this value.
#[derive(Debug)]
pub struct Cluster {
    _api_server: Background,
    _etcd: Background,
    kubectl: Kubectl,
    port: u16,
    certificate: Certificate,
    folder: TempDir,
}

/// What the API server takes for the administrator's secret.
const TOKEN: &str = "administrator";

/// Users who may do what roles say; each has its name for a secret.
const USERS: [&str; 3] = ["reader", "guest", "stranger"];

/// Istio's resource definitions, and those of the Gateway API.
pub const RESOURCE_DEFINITIONS: [&str; 2] = ["crd-all.gen.yaml", "gateway-api-crd.yaml"];

impl Cluster {
    /// Starts an empty cluster and installs the resources.
    ///
    /// # Errors
    /// A program is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&RESOURCE_DEFINITIONS)
    }

    /// The same with some of [`RESOURCE_DEFINITIONS`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(definitions: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let ports = free_ports(3)?;
        let [store, peers, api] = ports.as_slice() else {
            bail!("too few ports")
        };
        let certificate =
            Certificate::generate(folder.path(), &["127.0.0.1", "kubernetes.default.svc"])?;
        let etcd = start_etcd(folder.path(), *store, *peers)?;
        let mut api_server = start_api_server(folder.path(), &certificate, *store, *api)?;
        let kubeconfig = folder.path().join("kubeconfig.yaml");
        fs::write(&kubeconfig, kubeconfig_for(*api, &certificate, TOKEN)?)?;
        let kubectl = Kubectl::new(&kubeconfig, &folder.path().join("kubectl"))?;
        let log = folder.path().join("api-server.log");
        api_server.wait_until(&log, || kubectl.run(&["get", "--raw", "/readyz"]).is_ok())?;
        install_resources(&kubectl, definitions)?;
        let port = *api;
        Ok(Self {
            _api_server: api_server,
            _etcd: etcd,
            kubectl,
            port,
            certificate,
            folder,
        })
    }

    /// Its client, as the administrator.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// A kubeconfig with another secret: of the users `reader`, `guest` and `stranger` it is the name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_with(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{name}.yaml"));
        fs::write(&path, kubeconfig_for(self.port, &self.certificate, token)?)?;
        Ok(path)
    }

    /// Its certificate, which is its own authority, and the key that it also signs the tokens of
    /// service accounts with.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Where it serves, on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn start_etcd(folder: &Path, port: u16, peers: u16) -> Result<Background> {
    let (clients, peers) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peers}"),
    );
    let data = folder.join("etcd");
    let log = folder.join("etcd.log");
    let arguments = [
        ["--data-dir", text(&data)?],
        ["--listen-client-urls", &clients],
        ["--advertise-client-urls", &clients],
        ["--listen-peer-urls", &peers],
        ["--initial-advertise-peer-urls", &peers],
        ["--initial-cluster", &format!("default={peers}")],
    ];
    let mut etcd = Background::start(Path::new("etcd"), arguments.as_flattened(), &log)?;
    etcd.wait_until(&log, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(etcd)
}

fn start_api_server(
    folder: &Path,
    certificate: &Certificate,
    store: u16,
    port: u16,
) -> Result<Background> {
    let (key, public) = (text(&certificate.key)?, text(&certificate.certificate)?);
    let tokens = folder.join("tokens.csv");
    let users = USERS.map(|name| format!("{name},{name},{name}\n")).concat();
    fs::write(
        &tokens,
        format!("{TOKEN},administrator,1,\"system:masters\"\n{users}"),
    )?;
    let option = |name: &str, value: &str| format!("--{name}={value}");
    let arguments = [
        option("etcd-servers", &format!("http://127.0.0.1:{store}")),
        option("bind-address", "127.0.0.1"),
        option("advertise-address", "127.0.0.1"),
        option("secure-port", &port.to_string()),
        option("tls-cert-file", public),
        option("tls-private-key-file", key),
        option("cert-dir", text(folder)?),
        option("service-cluster-ip-range", "10.0.0.0/24"),
        option("service-account-issuer", "https://kubernetes.default.svc"),
        // Pods of this cluster have no accounts; the API server wants a key for them all the same.
        option("service-account-key-file", public),
        option("service-account-signing-key-file", key),
        option("disable-admission-plugins", "ServiceAccount"),
        option("token-auth-file", text(&tokens)?),
        option("authorization-mode", "RBAC"),
        option("endpoint-reconciler-type", "none"),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let log = folder.join("api-server.log");
    Background::start(&kubernetes_program("kube-apiserver")?, &arguments, &log)
}

fn kubeconfig_for(port: u16, certificate: &Certificate, token: &str) -> Result<String> {
    let authority = text(&certificate.certificate)?;
    Ok(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: \
         {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{authority}\"}}}}]\n\
         users: [{{name: administrator, user: {{token: {token}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: administrator}}}}]\n"
    ))
}

fn install_resources(kubectl: &Kubectl, definitions: &[&str]) -> Result<()> {
    let install = |file: &str| {
        let file = istio_file(file)?;
        // Some are larger than what `kubectl apply` notes in an annotation otherwise.
        let arguments = ["apply", "--server-side", "-f", text(&file)?];
        kubectl
            .run(&arguments)
            .with_context(|| format!("installing {}", file.display()))
    };
    // kubectl sends one at a time and waits, half the time for nothing when there are two.
    thread::scope(|scope| {
        let running: Vec<_> = definitions
            .iter()
            .map(|file| scope.spawn(move || install(file)))
            .collect();
        running.into_iter().try_for_each(|run| {
            run.join()
                .map_err(|_| anyhow!("installing resource definitions panicked"))?
                .map(drop)
        })
    })?;
    wait_for_kinds(kubectl)?;
    kubectl.run(&["create", "namespace", "istio-system"])?;
    Ok(())
}

/// Waits until the API server serves all kinds that are defined: it lists a new kind a moment after it has accepted the
/// definition.
fn wait_for_kinds(kubectl: &Kubectl) -> Result<()> {
    let names = "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}";
    let defined = kubectl.run(&["get", "customresourcedefinitions", "-o", names])?;
    let defined: BTreeSet<&str> = defined.lines().collect();
    wait_for("the kinds of the cluster", &Some(true), || {
        let served = kubectl.run(&["api-resources", "-o", "name"]).ok()?;
        let served: BTreeSet<&str> = served.lines().collect();
        Some(defined.is_subset(&served))
    })?;
    Ok(())
}
