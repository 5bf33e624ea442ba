//! The certificates of listeners: whether they exist, and whether a listener may use them.

use std::collections::{HashMap, HashSet};

use super::{UnprogrammedReason, secret_name};
use crate::certificates::Contents;
use crate::credential::CredentialText;
use crate::resources::gateway_api::{GrantFrom, Reference, ReferenceGrant};
use crate::resources::kind::{GATEWAY_API, GATEWAY_API_EXPERIMENTAL};
use crate::resources::secret::Secret;
use crate::resources::{Kind, Resources};

/// The number of certificates that istiod accepts in one listener (Istio `buildTLS`).
const MAX_CERTIFICATES: usize = 2;

/// The Secrets and `ReferenceGrants` of the input.
pub(super) struct Certificates<'r> {
    /// The state of each Secret, by namespace and name.
    states: HashMap<(&'r str, &'r str), State>,
    /// The namespaces that have Secrets in the input.
    known: HashSet<&'r str>,
    /// The grants by the namespace that they open.
    grants: HashMap<&'r str, Vec<&'r ReferenceGrant>>,
}

/// The state of the certificate in a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Usable,
    /// There is no certificate.
    Incomplete,
    /// The certificate is damaged or the key does not match: Go's `tls.X509KeyPair` refuses the pair.
    Malformed,
}

impl State {
    fn from_secret(secret: &Secret) -> Self {
        // A Secret without a key counts: the key was removed from the input, as it should be.
        if secret.certificate.is_none() {
            return Self::Incomplete;
        }
        // istiod checks the pair before it sends it to Envoy, and does not program the listener.
        let is_broken = matches!(Contents::from_secret(secret), Contents::Broken);
        if is_broken || secret.key_fits == Some(false) {
            return Self::Malformed;
        }
        Self::Usable
    }
}

impl<'r> Certificates<'r> {
    pub(super) fn new(resources: &'r Resources) -> Self {
        let mut found = Self {
            states: HashMap::new(),
            known: HashSet::new(),
            grants: HashMap::new(),
        };
        for secret in &resources.secrets {
            let metadata = &secret.metadata;
            found.states.insert(
                (&metadata.namespace, &metadata.name),
                State::from_secret(secret),
            );
            found.known.insert(&metadata.namespace);
        }
        for grant in &resources.reference_grants {
            found
                .grants
                .entry(&grant.metadata.namespace)
                .or_default()
                .push(grant);
        }
        found
    }

    /// The certificates of a listener, which is in a resource of a kind and namespace. istiod programs the
    /// listener if it can use one of them (Istio `buildTLS`).
    ///
    /// # Errors
    /// istiod can use none of them; the error is the reason for the first one.
    pub(super) fn resolve(
        &self,
        references: &[Reference],
        kind: Kind,
        namespace: &str,
    ) -> Result<Vec<CredentialText>, UnprogrammedReason> {
        // istiod rejects the listener before it looks for the Secrets.
        if references.len() > MAX_CERTIFICATES {
            return Err(UnprogrammedReason::TooManyCertificates {
                count: references.len(),
            });
        }
        let mut usable = Vec::new();
        let mut first_error = None;
        for reference in references {
            match self.usable(reference, kind, namespace) {
                Ok(credential) => usable.push(credential),
                Err(reason) => first_error = first_error.or(Some(reason)),
            }
        }
        match first_error {
            Some(reason) if usable.is_empty() => Err(reason),
            Some(_) | None => Ok(usable),
        }
    }

    fn usable(
        &self,
        reference: &Reference,
        kind: Kind,
        own: &str,
    ) -> Result<CredentialText, UnprogrammedReason> {
        let is_secret = reference.group.as_deref().is_none_or(str::is_empty)
            && reference
                .kind
                .as_deref()
                .is_none_or(|kind| kind == Kind::Secret.name());
        if !is_secret {
            return Err(UnprogrammedReason::NotASecret {
                name: reference.name.clone(),
            });
        }
        let namespace = reference.namespace.as_deref().unwrap_or(own);
        let name = reference.name.as_str();
        let secret = secret_name(namespace, name);
        let is_complete = match self.states.get(&(namespace, name)) {
            Some(State::Malformed) => return Err(UnprogrammedReason::BadSecret { secret }),
            Some(State::Usable) => true,
            Some(State::Incomplete) => false,
            // Users often leave out Secrets. If the input has none of the namespace, assume that the
            // cluster has this one.
            None => !self.known.contains(namespace),
        };
        if !is_complete {
            return Err(UnprogrammedReason::NoSecret { secret });
        }
        // A Secret of another namespace needs a ReferenceGrant there.
        if namespace != own && !self.is_granted(reference, kind, own, namespace) {
            return Err(UnprogrammedReason::NotGranted { secret });
        }
        Ok(CredentialText::Secret {
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    /// Whether a grant in `namespace` allows resources of a kind in `own` to refer to the Secret.
    fn is_granted(&self, reference: &Reference, kind: Kind, own: &str, namespace: &str) -> bool {
        // A grant is in the namespace of the Secret. One entry of `from` and one of `to` must match.
        self.grants
            .get(namespace)
            .into_iter()
            .flatten()
            .any(|grant| {
                let is_from = grant
                    .spec
                    .from
                    .iter()
                    .any(|from| is_from_kind(from, kind) && from.namespace == own);
                let is_to = grant.spec.to.iter().any(|to| {
                    to.group.is_empty()
                        && to.kind == Kind::Secret.name()
                        && to.name.as_ref().is_none_or(|name| *name == reference.name)
                });
                is_from && is_to
            })
    }
}

/// Whether a grant is for references in resources of a kind (Istio `ReferenceGrantsCollection`).
fn is_from_kind(from: &GrantFrom, kind: Kind) -> bool {
    match from.group.as_str() {
        GATEWAY_API => from.kind == kind.name(),
        GATEWAY_API_EXPERIMENTAL => kind == Kind::ListenerSet && from.kind == "XListenerSet",
        _ => false,
    }
}
