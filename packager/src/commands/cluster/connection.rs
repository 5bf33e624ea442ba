//! The API server: of a context of the kubeconfig, or of the cluster that the program runs in.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use gateway::advice::Advice;
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::time::timeout;

use super::failure::Failure;
use crate::text::short_line;

/// The limit for opening a connection.
const CONNECTING: Duration = Duration::from_secs(10);
/// The limit for an answer, including retries.
const ANSWERING: Duration = Duration::from_mins(1);
/// The limit for a command for credentials: it may ask the user to log in.
const LOGGING_IN: Duration = Duration::from_mins(3);

/// A connection to an API server.
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) url: String,
    /// Where the address and the credentials are from, for messages.
    source: String,
}

impl Server {
    /// Prepares a client for the API server of a context, by default the current one. It sends no
    /// request yet.
    pub(super) async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self> {
        // This fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (mut config, source) = config(kubeconfig, context).await?;
        config.connect_timeout = Some(CONNECTING);
        config.read_timeout = Some(ANSWERING);
        config.write_timeout = Some(ANSWERING);
        let url = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();

        // Making the client runs the command for credentials, which may block for a long time.
        let client = tokio::task::spawn_blocking(move || Client::try_from(config));
        let problem = match timeout(LOGGING_IN, client).await {
            Ok(Ok(Ok(client))) => {
                return Ok(Self {
                    client,
                    url,
                    source,
                });
            }
            Ok(Ok(Err(error))) => match Failure::from(error) {
                Failure::Other(problem) | Failure::Unreachable(problem) => problem,
                failure @ (Failure::Forbidden(_)
                | Failure::Absent
                | Failure::Expired
                | Failure::Unauthorized) => format!("{failure:?}"),
            },
            Ok(Err(error)) => short_line(&error.to_string()),
            Err(_) => format!("no result within {} s", LOGGING_IN.as_secs()),
        };
        bail!(Advice::new(
            format!("getting credentials for {url} from {source}: {problem}"),
            "check whether kubectl gets credentials"
        ))
    }

    /// The error of a step that failed.
    pub(super) fn failed(&self, step: &str, failure: Failure) -> anyhow::Error {
        failure
            .advice(&format!("{step} of {}", self.url), &self.source)
            .into()
    }

    /// Waits for an answer, but not longer than the limit.
    pub(super) async fn bounded<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        match timeout(ANSWERING, request).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Unreachable(format!(
                "no answer within {} s",
                ANSWERING.as_secs()
            ))),
        }
    }
}

/// The settings for an API server, and where they are from.
async fn config(file: Option<&Path>, context: Option<&str>) -> Result<(Config, String)> {
    let kubeconfig = match file.map_or_else(Kubeconfig::read, Kubeconfig::read_from) {
        Ok(kubeconfig) => kubeconfig,
        // Without a kubeconfig, the program probably runs in a pod.
        Err(error) if is_missing(&error) && file.is_none() && context.is_none() => {
            return in_cluster(&error);
        }
        Err(error) => bail!(Advice::new(problem(&error), NAME_ONE)),
    };
    let context = existing_context(&kubeconfig, context)?;

    let has_proxy = has_proxy(&kubeconfig, &context);
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        ..Default::default()
    };
    let source = format!("context {context:?} of the kubeconfig");
    match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(mut config) => {
            if !has_proxy {
                use_proxy_of_environment(&mut config);
            }
            Ok((config, source))
        }
        Err(error) => bail!(Advice::new(
            format!("{}, {source}", problem(&error)),
            "kubectl config view --minify prints the context"
        )),
    }
}

/// The context to use. The error lists the contexts that exist.
fn existing_context(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<String> {
    let names: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|named| named.name.as_str())
        .collect();
    let list = if names.is_empty() {
        "it has none".into()
    } else {
        names.join(", ")
    };
    let Some(context) = context.or(kubeconfig.current_context.as_deref()) else {
        bail!(Advice::new(
            "reading the kubeconfig: it has no current context",
            format!("name a context with --context: {list}")
        ));
    };
    if !names.contains(&context) {
        bail!(Advice::new(
            format!("reading the kubeconfig: it has no context {context:?}"),
            format!("its contexts: {list}")
        ));
    }
    Ok(context.to_owned())
}

/// Sets the proxy as kubectl does. kube checks `NO_PROXY` for the proxy itself, not for the API server.
fn use_proxy_of_environment(config: &mut Config) {
    let found = config.proxy_url.take();
    config.proxy_url = Matcher::from_env()
        .intercept(&config.cluster_url)
        .map(|proxy| found.unwrap_or_else(|| proxy.uri().clone()));
}

/// Whether the cluster of a context has a proxy in the kubeconfig.
fn has_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == context)
        .and_then(|named| named.context.as_ref())
        .and_then(|context| {
            kubeconfig
                .clusters
                .iter()
                .find(|named| named.name == context.cluster)
        })
        .and_then(|named| named.cluster.as_ref())
        .is_some_and(|cluster| cluster.proxy_url.is_some())
}

const NAME_ONE: &str =
    "name a kubeconfig with --kubeconfig or the environment variable KUBECONFIG, or give files";

/// The settings that Kubernetes gives to every pod.
fn in_cluster(missing: &KubeconfigError) -> Result<(Config, String)> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        bail!(Advice::new(
            format!(
                "{}, and the program does not run in a cluster",
                problem(missing)
            ),
            NAME_ONE
        ));
    }
    let source = "the service account of this pod".to_owned();
    match Config::incluster() {
        Ok(config) => Ok((config, source)),
        Err(error) => bail!(Advice::new(
            format!("reading {source}: {}", short_line(&error.to_string())),
            "mount the token of the service account in the pod (automountServiceAccountToken)"
        )),
    }
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == ErrorKind::NotFound,
        _ => false,
    }
}

fn problem(error: &KubeconfigError) -> String {
    let problem = match error {
        KubeconfigError::FindPath => "there is no home folder".into(),
        KubeconfigError::ReadConfig(error, path) => format!("{}: {error}", path.display()),
        // The snippet around the error may have a token.
        KubeconfigError::Parse(error) => format!("it is not YAML: {}", error.without_snippet()),
        other => other.to_string(),
    };
    format!("reading the kubeconfig: {}", short_line(&problem))
}
