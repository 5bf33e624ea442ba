//! The sources of the certificates of a server.

use std::fmt;

use super::resources::istio::Tls;
use super::resources::{Kind, ResourceName};

/// The source of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Credential {
    Secret {
        namespace: String,
        name: String,
    },
    /// A file in the gateway pod. Its content is unknown.
    File(String),
    /// The workload's own certificate in the mesh, which does not name a host.
    Workload,
    /// A secret of another provider, such as `sds://name`.
    Unknown(String),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { namespace, name } => write!(f, "Secret {namespace}/{name}"),
            Self::File(file) => write!(f, "file {file}"),
            Self::Workload => f.write_str("the certificate of the mesh"),
            Self::Unknown(name) => write!(f, "credential {name}"),
        }
    }
}

/// A source of a certificate, as a server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CredentialText {
    Name(String),
    /// A Secret, by namespace and name.
    Secret {
        namespace: String,
        name: String,
    },
    File(String),
}

impl Credential {
    /// The Secret; `None` for another source of certificates.
    #[must_use]
    pub fn secret(&self) -> Option<ResourceName> {
        match self {
            Self::Secret { namespace, name } => Some(ResourceName {
                kind: Kind::Secret,
                namespace: namespace.clone(),
                name: name.clone(),
            }),
            Self::File(_) | Self::Workload | Self::Unknown(_) => None,
        }
    }
}

impl CredentialText {
    /// The sources that a server of Istio's own Gateway names (Istio `pilot/pkg/model/gateway.go`,
    /// `mergeGateways`).
    pub(crate) fn from_tls(tls: &Tls) -> Vec<Self> {
        // The list of names takes precedence over the single name, and both over files.
        if !tls.credential_names.is_empty() {
            return tls
                .credential_names
                .iter()
                .cloned()
                .map(Self::Name)
                .collect();
        }
        if !tls.credential_name.is_empty() {
            return vec![Self::Name(tls.credential_name.clone())];
        }
        tls.tls_certificates
            .iter()
            .map(|pair| &pair.server_certificate)
            .chain([&tls.server_certificate])
            .filter(|file| !file.is_empty())
            .cloned()
            .map(Self::File)
            .collect()
    }

    /// The credential for a workload of a namespace (Istio `pilot/pkg/model/credentials/resource.go`,
    /// `ToResourceName` and `ParseResourceName`).
    ///
    /// # Errors
    /// istiod does not give the Secret to the workload; the error is the Secret.
    pub(crate) fn resolve(&self, workload_namespace: &str) -> Result<Credential, ResourceName> {
        let name = match self {
            Self::File(file) => return Ok(Credential::File(file.clone())),
            // Secrets of the Gateway API are checked against ReferenceGrants before.
            Self::Secret { namespace, name } => return Ok(secret(namespace, name)),
            Self::Name(name) => name,
        };
        // A name without a scheme is a Secret, by default of the namespace of the workload.
        let (scheme, rest) = name.split_once("://").unwrap_or(("kubernetes", name));
        match (scheme, rest.split_once('/')) {
            ("builtin", _) => Ok(Credential::Workload),
            // istiod gives a workload no Secret of another namespace, whatever the namespace of the Gateway is
            // (Istio `pilot/pkg/xds/sds.go`, `filterAuthorizedResources`).
            ("kubernetes", Some((namespace, name))) if namespace != workload_namespace => {
                Err(ResourceName {
                    kind: Kind::Secret,
                    namespace: namespace.into(),
                    name: name.into(),
                })
            }
            ("kubernetes" | "kubernetes-gateway", Some((namespace, name))) => {
                Ok(secret(namespace, name))
            }
            // istiod reads the Secret in the namespace of the gateway pods, not of the Gateway.
            ("kubernetes", None) => Ok(secret(workload_namespace, rest)),
            _ => Ok(Credential::Unknown(name.clone())),
        }
    }
}

fn secret(namespace: &str, name: &str) -> Credential {
    Credential::Secret {
        namespace: namespace.into(),
        name: name.into(),
    }
}
