//! Gateways and routes that istiod generates from the Gateway API and from Ingresses.

pub(crate) mod attachments;
mod gateway_api;
mod ingress;

use std::fmt;

use super::mesh::MeshSettings;
use super::resources::{ResourceName, Resources};
use super::routes::Binding;
use super::server::{GatewayConfig, ServerId};

/// A server for which istiod does not build a filter chain on any workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprogrammed {
    pub server: ServerId,
    pub reason: UnprogrammedReason,
}

/// The reason why a listener of the Gateway API has no filter chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnprogrammedReason {
    /// Another listener of the Gateway has the same port and host.
    SameHost {
        /// The host of both listeners; empty for TCP and UDP.
        host: String,
        winner: ServerId,
    },
    /// No ReferenceGrant allows the namespace to use the Secret.
    NotGranted { secret: ResourceName },
    /// The input contains Secrets of the namespace, but not this one, or not with a certificate and a key.
    NoSecret { secret: ResourceName },
    /// The certificate of the Secret is damaged, or the private key does not match it.
    BadSecret { secret: ResourceName },
    /// istiod accepts two certificates for a listener.
    TooManyCertificates { count: usize },
    /// A reference to a certificate has another kind than Secret.
    NotASecret { name: String },
    /// The Gateway does not allow listeners of the namespace of the ListenerSet.
    NotAllowed { gateway: ResourceName },
}

impl fmt::Display for Unprogrammed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.server)?;
        match &self.reason {
            UnprogrammedReason::SameHost { host, winner } => write!(f, "{host} is in {winner}"),
            UnprogrammedReason::NotGranted { secret } => {
                write!(f, "no ReferenceGrant for {secret}")
            }
            UnprogrammedReason::NoSecret { secret } => write!(f, "there is no {secret}"),
            UnprogrammedReason::BadSecret { secret } => {
                write!(
                    f,
                    "{secret} has a damaged certificate, or a private key that does not match it"
                )
            }
            UnprogrammedReason::TooManyCertificates { count } => {
                write!(f, "it has {count} certificateRefs, istiod accepts 2")
            }
            UnprogrammedReason::NotASecret { name } => {
                write!(f, "its certificateRef {name} does not refer to a Secret")
            }
            UnprogrammedReason::NotAllowed { gateway } => {
                write!(f, "{gateway} allows no listeners of the namespace")
            }
        }
    }
}

/// A resource that no istiod reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    pub resource: ResourceName,
    pub reason: IgnoredReason,
}

/// Why istiod ignores a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoredReason {
    /// Another controller handles its GatewayClass or `IngressClass`; empty for an Ingress without one.
    Class(String),
    /// Its label `istio.io/rev` is a tag, and istiod compares it with the name of its revision.
    Tag { tag: String, revision: String },
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = &self.resource;
        match &self.reason {
            IgnoredReason::Class(class) => write!(
                f,
                "{resource}: the input does not assign its class {class:?} to Istio"
            ),
            IgnoredReason::Tag { tag, revision } => write!(
                f,
                "{resource}: its label istio.io/rev is the tag {tag:?}, which istiod does not read for this kind; \
                 the revision is {revision:?}"
            ),
        }
    }
}

/// What istiod generates from resources that are not Istio's own.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    pub(crate) gateways: Vec<GatewayConfig>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) unprogrammed: Vec<Unprogrammed>,
    pub(crate) ignored: Vec<Ignored>,
}

pub(crate) fn generate(resources: &Resources, settings: &MeshSettings) -> Generated {
    let mut generated = Generated::default();
    // Routes attach to listeners, so the listeners come first.
    let parents = gateway_api::listeners(resources, settings, &mut generated);
    generated
        .bindings
        .extend(attachments::bindings(&resources.routes, &parents));
    ingress::convert(resources, settings, &mut generated);

    // The order of the input has no meaning and must not show in the output.
    generated
        .unprogrammed
        .sort_by(|a, b| a.server.cmp(&b.server));
    generated
        .ignored
        .sort_by(|a, b| a.resource.cmp(&b.resource));
    generated
}
