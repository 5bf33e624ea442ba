//! Whether the certificates of a listener are there and may be used.

use std::collections::{HashMap, HashSet};

use super::{UnprogrammedReason, secret_name};
use crate::certificates::Contents;
use crate::credential::CredentialText;
use crate::resources::Resources;
use crate::resources::gateway_api::{Reference, ReferenceGrant};
use crate::resources::kubernetes::Secret;

/// The Secrets and grants of the input.
pub(super) struct Certificates<'r> {
    /// What a Secret has.
    state: HashMap<(&'r str, &'r str), State>,
    /// The namespaces whose Secrets are in the input.
    known: HashSet<&'r str>,
    grants: HashMap<&'r str, Vec<&'r ReferenceGrant>>,
}

/// What is in a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Usable,
    /// The certificate or the key is missing.
    Incomplete,
    /// Go's `tls.X509KeyPair` takes no such pair.
    Malformed,
}

impl State {
    fn of(secret: &Secret) -> Self {
        if secret.certificate.is_none() || !secret.has_key {
            return Self::Incomplete;
        }
        let is_broken = matches!(Contents::of(secret), Contents::Broken);
        if is_broken || secret.key_fits == Some(false) {
            Self::Malformed
        } else {
            Self::Usable
        }
    }
}

impl<'r> Certificates<'r> {
    pub(super) fn new(resources: &'r Resources) -> Self {
        let mut found = Self {
            state: HashMap::new(),
            known: HashSet::new(),
            grants: HashMap::new(),
        };
        for secret in &resources.secrets {
            let metadata = &secret.metadata;
            found
                .state
                .insert((&metadata.namespace, &metadata.name), State::of(secret));
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

    /// Where the certificates come from. One that can be used is enough (Istio `buildTLS`).
    ///
    /// # Errors
    /// None can be used; why the first cannot.
    pub(super) fn resolve(
        &self,
        references: &[Reference],
        kind: &str,
        namespace: &str,
    ) -> Result<Vec<CredentialText>, UnprogrammedReason> {
        let mut usable = Vec::new();
        let mut refused = None;
        for reference in references {
            match self.usable(reference, kind, namespace) {
                Ok(credential) => usable.push(credential),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        match refused {
            Some(reason) if usable.is_empty() => Err(reason),
            _ => Ok(usable),
        }
    }

    fn usable(
        &self,
        reference: &Reference,
        kind: &str,
        own: &str,
    ) -> Result<CredentialText, UnprogrammedReason> {
        let namespace = reference.namespace.as_deref().unwrap_or(own);
        let name = reference.name.as_str();
        let secret = secret_name(namespace, name);
        let is_complete = match self.state.get(&(namespace, name)) {
            Some(State::Malformed) => return Err(UnprogrammedReason::BadSecret { secret }),
            Some(state) => *state == State::Usable,
            // Input without any Secret of the namespace is input without Secrets.
            None => !self.known.contains(namespace),
        };
        if !is_complete {
            return Err(UnprogrammedReason::NoSecret { secret });
        }
        if namespace != own && !self.is_granted(reference, kind, own, namespace) {
            return Err(UnprogrammedReason::NotGranted { secret });
        }
        Ok(CredentialText::Secret {
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    fn is_granted(&self, reference: &Reference, kind: &str, own: &str, namespace: &str) -> bool {
        let grants = self.grants.get(namespace).into_iter().flatten();
        grants.into_iter().any(|grant| {
            let mut from = grant.spec.from.iter();
            let mut to = grant.spec.to.iter().filter(|to| to.kind == "Secret");
            from.any(|from| from.kind == kind && from.namespace == own)
                && to.any(|to| to.name.as_ref().is_none_or(|name| *name == reference.name))
        })
    }
}
