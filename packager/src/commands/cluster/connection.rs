//! The API server that a kubeconfig names, or that of the cluster that this runs in.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Result, bail};
use gateway::advice::Advice;
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::time::timeout;

use super::failure::{Failure, one_line};

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long an answer may take, with what is tried again.
const ANSWERING: Duration = Duration::from_mins(1);
/// How long a command for credentials may take: it may ask its user to log in.
const LOGGING_IN: Duration = Duration::from_mins(3);

/// An API server.
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) url: String,
    /// Where its address and the credentials are from.
    source: String,
}

impl Server {
    /// Prepares for the API server of a context, the current one by default. It may be asked for
    /// nothing yet.
    pub(super) async fn connect(context: Option<&str>) -> Result<Self> {
        // It fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (mut config, source) = config(context).await?;
        config.connect_timeout = Some(CONNECTING);
        config.read_timeout = Some(ANSWERING);
        config.write_timeout = Some(ANSWERING);
        let url = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        // It runs the command for credentials, where there is one.
        let client = tokio::task::spawn_blocking(move || Client::try_from(config));
        let failed = |problem: String| {
            let hint = "see whether kubectl gets them";
            Advice::new(
                format!("getting credentials for {url}, by {source}: {problem}"),
                hint,
            )
        };
        let client = match timeout(LOGGING_IN, client).await {
            Err(_) => bail!(failed(format!("nothing in {} s", LOGGING_IN.as_secs()))),
            Ok(Err(error)) => bail!(failed(one_line(&error.to_string()))),
            Ok(Ok(Err(error))) => match Failure::from(error) {
                Failure::Other(problem) | Failure::Unreachable(problem) => bail!(failed(problem)),
                failure => bail!(failed(format!("{failure:?}"))),
            },
            Ok(Ok(Ok(client))) => client,
        };
        Ok(Self {
            client,
            url,
            source,
        })
    }

    /// What to say of a step that failed.
    pub(super) fn failed(&self, step: &str, failure: Failure) -> anyhow::Error {
        let (problem, hint) = failure.explain(&self.source);
        Advice::new(format!("{step} of {}: {problem}", self.url), hint).into()
    }

    /// Waits for an answer, not for ever.
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

/// What is known of an API server, and by what.
async fn config(context: Option<&str>) -> Result<(Config, String)> {
    let kubeconfig = match Kubeconfig::read() {
        Ok(kubeconfig) => kubeconfig,
        Err(error) if is_missing(&error) && context.is_none() => return in_cluster(&error),
        Err(error) => bail!(Advice::new(problem(&error), NAME_ONE)),
    };
    let known: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|known| known.name.as_str())
        .collect();
    let known = if known.is_empty() {
        "it has none".into()
    } else {
        known.join(", ")
    };
    let Some(context) = context.or(kubeconfig.current_context.as_deref()) else {
        let hint = format!("name one with --context: {known}");
        bail!(Advice::new(
            "reading the kubeconfig: it has no current context",
            hint
        ));
    };
    let context = context.to_owned();
    if !kubeconfig
        .contexts
        .iter()
        .any(|known| known.name == context)
    {
        let message = format!("reading the kubeconfig: it has no context {context:?}");
        bail!(Advice::new(message, format!("its contexts: {known}")));
    }
    let has_proxy = has_proxy(&kubeconfig, &context);
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        ..Default::default()
    };
    let source = format!("context {context:?} of the kubeconfig");
    match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(mut config) => {
            if !has_proxy {
                // kube looks for the proxy itself in `NO_PROXY`, not for the API server.
                let proxy = Matcher::from_env().intercept(&config.cluster_url);
                let found = config.proxy_url.take();
                config.proxy_url = proxy.map(|proxy| found.unwrap_or_else(|| proxy.uri().clone()));
            }
            Ok((config, source))
        }
        Err(error) => {
            let hint = "kubectl config view --minify shows what the context is";
            bail!(Advice::new(format!("{}, {source}", problem(&error)), hint))
        }
    }
}

/// Whether a context says which proxy leads to its cluster.
fn has_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let context = kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == context);
    let name = context
        .and_then(|named| named.context.as_ref())
        .map(|context| &context.cluster);
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|named| Some(&named.name) == name);
    let cluster = cluster.and_then(|named| named.cluster.as_ref());
    cluster.is_some_and(|cluster| cluster.proxy_url.is_some())
}

const NAME_ONE: &str = "name a kubeconfig with the environment variable KUBECONFIG, or give files";

/// What pods are told of their cluster.
fn in_cluster(missing: &KubeconfigError) -> Result<(Config, String)> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        bail!(Advice::new(
            format!("{}, and this runs in no cluster", problem(missing)),
            NAME_ONE
        ));
    }
    let source = "the service account of this pod".to_owned();
    match Config::incluster() {
        Ok(config) => Ok((config, source)),
        Err(error) => bail!(Advice::new(
            format!("reading {source}: {}", one_line(&error.to_string())),
            "let the pod have the token of its service account (automountServiceAccountToken)"
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
        KubeconfigError::FindPath => "there is no home folder with one".into(),
        KubeconfigError::ReadConfig(error, path) => format!("{}: {error}", path.display()),
        // The text around the error may be a token.
        KubeconfigError::Parse(error) => format!("it is no YAML: {}", error.without_snippet()),
        other => other.to_string(),
    };
    format!("reading the kubeconfig: {}", one_line(&problem))
}
