//! The resources of one kind, page by page.

use gateway::Resources;
use gateway::documents::{self, DocumentFault};
use gateway::resources::Origin;
use kube::core::Request;
use kube::core::params::ListParams;
use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::Server;
use super::failure::Failure;
use super::kinds::ListedKind;

/// The size of a page, as in kubectl.
const PAGE: u32 = 500;

/// The resources of one kind.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) resources: Resources,
    /// The resources that do not match the definition of their kind.
    pub(super) faults: Vec<DocumentFault>,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    /// The token for the next page; empty on the last page.
    #[serde(default, rename = "continue")]
    next: String,
}

/// Lists a kind in a namespace, or in all namespaces. Only what [`Resources`] need of a page is kept, so
/// the private keys of Secrets are dropped at once. `empty` decides whether manifests are kept.
pub(super) async fn list(
    server: &Server,
    kind: &ListedKind,
    version: &str,
    namespace: Option<&str>,
    empty: &Resources,
) -> Result<Listed, Failure> {
    let request = Request::new(path(kind, version, namespace));
    let mut listed = Listed::new(empty);
    let mut parameters = ListParams {
        limit: Some(PAGE),
        ..ListParams::default()
    };
    if !kind.fields.is_empty() {
        parameters.field_selector = Some(kind.fields.to_owned());
    }
    if !kind.labels.is_empty() {
        parameters.label_selector = Some(kind.labels.to_owned());
    }
    let mut may_restart = true;
    loop {
        let page = match page(server, &request, &parameters).await {
            // The API server drops the state of a list after some minutes, and then the list has to
            // start again (Kubernetes API concepts, "410 Gone responses").
            Err(Failure::Expired) if may_restart && parameters.continue_token.is_some() => {
                may_restart = false;
                listed = Listed::new(empty);
                parameters.continue_token = None;
                continue;
            }
            page => page?,
        };
        for item in page.items.unwrap_or_default() {
            listed.add(kind, version, item);
        }
        if page.metadata.next.is_empty() {
            return Ok(listed);
        }
        parameters.continue_token = Some(page.metadata.next);
    }
}

fn path(kind: &ListedKind, version: &str, namespace: Option<&str>) -> String {
    let root = if kind.group.is_empty() {
        "/api".into()
    } else {
        format!("/apis/{}", kind.group)
    };
    let namespace = namespace
        .map(|name| format!("/namespaces/{name}"))
        .unwrap_or_default();
    format!("{root}/{version}{namespace}/{}", kind.plural)
}

async fn page(
    server: &Server,
    request: &Request,
    parameters: &ListParams,
) -> Result<Page, Failure> {
    let request = request
        .list(parameters)
        .map_err(|error| Failure::other(&error))?;
    // `Client::request` would log a text that it cannot read, and the text may have Secrets.
    let text = server.bounded(server.client.request_text(request)).await?;
    serde_json::from_str(&text).map_err(|error| {
        let kind = error.classify();
        Failure::Other(format!(
            "the answer is not a list of resources ({kind:?} error)"
        ))
    })
}

impl Listed {
    fn new(empty: &Resources) -> Self {
        Self {
            resources: empty.clone(),
            faults: Vec::new(),
        }
    }

    fn add(&mut self, kind: &ListedKind, version: &str, mut item: Value) {
        // Items of a list lack apiVersion and kind: only the list has them.
        if let Some(fields) = item.as_object_mut() {
            let api_version = if kind.group.is_empty() {
                version.to_owned()
            } else {
                format!("{}/{version}", kind.group)
            };
            fields.insert("apiVersion".into(), json!(api_version));
            fields.insert("kind".into(), json!(kind.name));
        }
        let added = documents::add(&Origin::default(), item, &mut self.resources);
        self.faults.extend(added.err());
    }
}
