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
use super::kinds::Kind;

/// How many resources are asked for at once, as kubectl does.
const PAGE: u32 = 500;

/// What was listed.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) resources: Resources,
    /// The resources that are not what their kind says.
    pub(super) faults: Vec<DocumentFault>,
}

/// A part of a list.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    /// What to ask with for the next page; empty after the last.
    #[serde(default, rename = "continue")]
    next: String,
}

/// Lists a kind in a namespace, or in all of them. A page is let go when the next is asked for, so
/// that of Secrets only what [`Resources`] have of them stays. They are added to none, which says
/// whether their manifests are kept.
pub(super) async fn list(
    server: &Server,
    kind: &Kind,
    version: &str,
    namespace: Option<&str>,
    empty: &Resources,
) -> Result<Listed, Failure> {
    let request = Request::new(path(kind, version, namespace));
    let empty = || Listed {
        resources: empty.clone(),
        faults: Vec::new(),
    };
    let mut listed = empty();
    let mut parameters = ListParams {
        limit: Some(PAGE),
        ..ListParams::default()
    };
    if !kind.fields.is_empty() {
        parameters.field_selector = Some(kind.fields.to_owned());
    }
    let mut may_restart = true;
    loop {
        let page = match page(server, &request, &parameters).await {
            // The API server forgot the state that the list was of, which it does after some
            // minutes (Kubernetes API concepts, "410 Gone responses").
            Err(Failure::Expired) if may_restart && parameters.continue_token.is_some() => {
                may_restart = false;
                listed = empty();
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

fn path(kind: &Kind, version: &str, namespace: Option<&str>) -> String {
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
    // Not `Client::request`, which logs a text that it cannot read, and this may be one of Secrets.
    let text = server.bounded(server.client.request_text(request)).await?;
    serde_json::from_str(&text).map_err(|error| {
        let kind = error.classify();
        Failure::Other(format!(
            "it answers with what is no list of resources ({kind:?} error)"
        ))
    })
}

impl Listed {
    fn add(&mut self, kind: &Kind, version: &str, mut item: Value) {
        // The items of a list do not say what they are: the list does.
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
