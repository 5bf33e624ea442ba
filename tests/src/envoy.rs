//! A real Envoy on the loopback interface, configured the way istiod configures a gateway: one
//! filter chain per TLS server, chosen by SNI, each with a route table of its own.

mod access_log;
mod config;
mod discovery;

pub use access_log::Logged;
pub use config::{Chain, Filter, Guard, GuardConfig, Listener, Transport, VirtualHost};
pub use discovery::{add_istio_metadata, bootstrap};

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rule::Gateway;
use serde_json::Value;
use tempfile::TempDir;

use self::discovery::{Files, deliver_listeners, discovering_bootstrap};
use crate::certificate::Certificate;
use crate::client::{self, Connection, GET, block_on};
use crate::process::Background;
use crate::tools;

/// An Envoy, ended with this value.
#[derive(Debug)]
pub struct Envoy {
    process: Background,
    folder: TempDir,
    files: Files,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
}

/// The program and the options of an Envoy.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    pub version: &'a str,
    /// Whether its bootstrap is the one of a gateway of istiod.
    pub gateway: Gateway,
    /// The number of worker threads.
    pub workers: usize,
    /// Another program that starts it, such as a profiler: its name and its arguments.
    pub program: &'a [&'a str],
}

impl Default for Launch<'_> {
    /// The newest version, not of istiod, with one worker.
    fn default() -> Self {
        Self {
            version: tools::ENVOY_VERSION,
            gateway: Gateway::Other,
            workers: 1,
            program: &[],
        }
    }
}

impl Envoy {
    /// Starts Envoy with these listeners.
    ///
    /// # Errors
    /// Envoy is not installed, or refuses the listeners.
    pub fn start(listeners: &[Listener]) -> Result<Self> {
        Self::start_as(&Launch::default(), listeners)
    }

    /// The same for a certain Envoy.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_as(launch: &Launch<'_>, listeners: &[Listener]) -> Result<Self> {
        Self::launch(launch, |files| {
            let mut bootstrap = bootstrap(listeners, &files.certificate, &files.access_log);
            if launch.gateway == Gateway::Istio {
                add_istio_metadata(&mut bootstrap);
            }
            Ok(bootstrap)
        })
    }

    /// Starts Envoy with a bootstrap of its own.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(bootstrap: Value) -> Result<Self> {
        Self::start_with_as(&Launch::default(), bootstrap)
    }

    /// The same for a certain Envoy.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_as(launch: &Launch<'_>, bootstrap: Value) -> Result<Self> {
        Self::launch(launch, |_| Ok(bootstrap))
    }

    /// Starts Envoy with listeners that it discovers, as from istiod: [`Self::replace_listeners`]
    /// gives it others.
    ///
    /// # Errors
    /// Envoy is not installed; listeners that it refuses are missing from it.
    pub fn start_discovering(listeners: &[Listener]) -> Result<Self> {
        Self::launch(&Launch::default(), |files| {
            deliver_listeners(listeners, files)?;
            Ok(discovering_bootstrap(files))
        })
    }

    /// Has Envoy put these listeners in the place of those that it discovered. It keeps the sockets
    /// of those with the same name and drains the connections of chains that changed.
    ///
    /// # Errors
    /// The file that Envoy watches cannot be written.
    pub fn replace_listeners(&self, listeners: &[Listener]) -> Result<()> {
        deliver_listeners(listeners, &self.files)
    }

    fn launch(
        launch: &Launch<'_>,
        bootstrap: impl FnOnce(&Files) -> Result<Value>,
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("bootstrap.json");
        let hosts = ["a.example.com", "b.example.com"];
        let (certificate, authority) = Certificate::issue(folder.path(), &hosts)?;
        let files = Files {
            certificate,
            authority,
            access_log: folder.path().join("access.log"),
            discovery: folder.path().join("listeners.json"),
        };
        fs::write(&file, bootstrap(&files)?.to_string())?;
        let admin_path = folder.path().join("admin");
        let log = folder.path().join("envoy.log");
        let mut program: Vec<String> = launch
            .program
            .iter()
            .map(|word| (*word).to_owned())
            .collect();
        program.push(text(&tools::envoy(launch.version)?)?);
        let process = start(&program, launch.workers, &file, &admin_path, &log)?;
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Self {
            process,
            folder,
            files,
            admin,
            listeners: BTreeMap::new(),
        };
        envoy.wait(&admin_path, &log)?;
        envoy.listeners = envoy.bound()?;
        Ok(envoy)
    }

    fn wait(&mut self, admin_path: &Path, log: &Path) -> Result<()> {
        let admin = || {
            fs::read_to_string(admin_path)
                .ok()?
                .trim()
                .parse::<SocketAddr>()
                .ok()
        };
        self.process.wait_until(log, || {
            admin().is_some_and(|admin| {
                admin_get(admin, "/ready").is_ok_and(|body| body.trim() == "LIVE")
            })
        })?;
        self.admin = admin().context("Envoy's admin address")?;
        Ok(())
    }

    fn bound(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json")?)?;
        let statuses = listeners.get("listener_statuses").and_then(Value::as_array);
        let address = |status: &Value| {
            let socket = status.get("local_address")?.get("socket_address")?;
            let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
            let name = status.get("name")?.as_str()?.to_owned();
            Some((name, SocketAddr::from(([127, 0, 0, 1], port))))
        };
        Ok(statuses
            .context("Envoy lists no listeners")?
            .iter()
            .filter_map(address)
            .collect())
    }

    /// Where a listener listens.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        self.listeners
            .get(name)
            .copied()
            .with_context(|| format!("Envoy has no listener {name}"))
    }

    /// What the admin interface answers.
    ///
    /// # Errors
    /// Envoy is gone, or the answer is not 200.
    pub fn admin(&self, path: &str) -> Result<String> {
        admin_get(self.admin, path)
    }

    /// The filter's own metrics, by their names in the filter.
    ///
    /// # Errors
    /// Envoy is gone.
    pub fn metrics(&self) -> Result<BTreeMap<String, u64>> {
        metrics(self.admin)
    }

    /// The counters of the generated Lua scripts, by their names in the script, each the sum of all listeners.
    /// Envoy has counters for scripts since 1.38.
    ///
    /// # Errors
    /// Envoy is gone.
    pub fn script_metrics(&self) -> Result<BTreeMap<String, u64>> {
        script_metrics(self.admin)
    }

    /// The lines of Envoy's own log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("envoy.log"))?)
    }

    /// The access log as it is now.
    ///
    /// # Errors
    /// It cannot be read, or has lines of another format.
    pub fn access_log(&self) -> Result<Vec<Logged>> {
        let text = fs::read_to_string(&self.files.access_log)?;
        // The last line may be under way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(Logged::parse).collect()
    }

    /// The certificate of the authority that issued the gateway's, in PEM.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.files.authority
    }

    /// A counter or a gauge of Envoy's own.
    ///
    /// # Errors
    /// Envoy is gone, or has none of that name.
    pub fn statistic(&self, name: &str) -> Result<u64> {
        let text = self.admin(&format!("/stats?filter=^{name}$"))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value
            .with_context(|| format!("Envoy has no statistic {name}"))?
            .parse()?)
    }

    /// The identifier of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .context("a path is not UTF-8")
}

/// Starts a program, Envoy or one that starts Envoy, with its own arguments and Envoy's.
fn start(
    program: &[String],
    workers: usize,
    file: &Path,
    admin_path: &Path,
    log: &Path,
) -> Result<Background> {
    let (bootstrap, admin_path) = (text(file)?, text(admin_path)?);
    let workers = workers.to_string();
    let arguments = [
        ["-c", &bootstrap],
        ["--admin-address-path", &admin_path],
        ["--concurrency", &workers],
        ["--log-level", "warning"],
        ["--component-log-level", "wasm:info"],
        ["--file-flush-interval-msec", "20"],
        ["--drain-time-s", "1"],
        // As Istio's agent has it: connections hear at once that they are to end.
        ["--drain-strategy", "immediate"],
    ];
    let (program, own) = program.split_first().context("no program")?;
    let mut arguments: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(arguments.into_iter().flatten())
        .collect();
    // Several run side by side.
    arguments.push("--use-dynamic-base-id");
    Background::start(Path::new(program), &arguments, log)
}

/// The filter's own metrics in an Envoy, by their names in the filter.
pub(crate) fn metrics(admin: SocketAddr) -> Result<BTreeMap<String, u64>> {
    let text = admin_get(admin, "/stats?filter=sni_guard")?;
    let metric = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((
            name.strip_prefix("wasmcustom.")?.to_owned(),
            value.parse().ok()?,
        ))
    };
    Ok(text.lines().filter_map(metric).collect())
}

/// The counters of the generated Lua scripts in an Envoy.
pub(crate) fn script_metrics(admin: SocketAddr) -> Result<BTreeMap<String, u64>> {
    let text = admin_get(admin, "/stats?filter=lua.sni_guard")?;
    let mut metrics = BTreeMap::new();
    for line in text.lines() {
        // Before `.lua.` is the prefix of the connection manager, which may contain anything.
        let (name, value) = line.rsplit_once(": ").context("a metric has no value")?;
        let (_, name) = name.rsplit_once(".lua.").context("not a script's metric")?;
        *metrics.entry(name.to_owned()).or_default() += value.parse::<u64>()?;
    }
    Ok(metrics)
}

/// What the admin interface of an Envoy answers.
pub(crate) fn admin_get(admin: SocketAddr, path: &str) -> Result<String> {
    let response = block_on(async {
        let mut connection = Connection::h2(admin, client::Transport::Plaintext).await?;
        connection.send_path(&GET, "admin", path).await
    })?;
    ensure!(response.status == 200, "{path}: {}", response.status);
    Ok(String::from_utf8(response.body)?)
}
