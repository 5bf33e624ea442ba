//! Gateways and routes that istiod generates from other resources.

mod attachments;
mod gateway_api;
mod ingress;

use std::fmt;

use super::resources::{ResourceName, Resources};
use super::routes::Binding;
use super::server::{Candidate, ServerId};

/// A server without a filter chain, on whatever workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprogrammed {
    /// The server.
    pub server: ServerId,
    /// Why.
    pub reason: UnprogrammedReason,
}

/// Why a listener of the Gateway API has no filter chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnprogrammedReason {
    /// Another listener of the Gateway has its port and host.
    SameHost {
        /// The host.
        host: String,
        /// The other listener.
        winner: ServerId,
    },
    /// Nobody granted the namespace the use of a Secret.
    NotGranted {
        /// The Secret.
        secret: ResourceName,
    },
    /// The input has Secrets of the namespace, but not this one, or not with a certificate.
    NoSecret {
        /// The Secret.
        secret: ResourceName,
    },
    /// The certificate of a Secret cannot be read, or the key beside it is not its own.
    BadSecret {
        /// The Secret.
        secret: ResourceName,
    },
    /// The Gateway allows no listeners of the namespace.
    NotAllowed {
        /// The Gateway.
        gateway: ResourceName,
    },
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
                    "{secret} has no certificate that can be read and whose key is beside it"
                )
            }
            UnprogrammedReason::NotAllowed { gateway } => {
                write!(f, "{gateway} allows no listeners of the namespace")
            }
        }
    }
}

/// A resource that istiod leaves to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The resource.
    pub resource: ResourceName,
    /// Its class.
    pub class: String,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, class } = self;
        write!(
            f,
            "{resource}: its class {class:?} is not istiod's, as far as the input tells"
        )
    }
}

/// What comes of resources that are not Istio's own.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) unprogrammed: Vec<Unprogrammed>,
    pub(crate) ignored: Vec<Ignored>,
}

pub(crate) fn generate(resources: &Resources) -> Generated {
    let mut generated = Generated::default();
    let parents = gateway_api::listeners(resources, &mut generated);
    generated
        .bindings
        .extend(attachments::bindings(&resources.routes, &parents));
    ingress::convert(resources, &mut generated);
    generated
        .unprogrammed
        .sort_by(|a, b| a.server.cmp(&b.server));
    generated
        .ignored
        .sort_by(|a, b| a.resource.cmp(&b.resource));
    generated
}
