//! Where the certificates of a server come from.

use std::fmt;

use super::resources::istio::Tls;

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Credential {
    /// A Secret.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A file in the pod, whose contents nobody tells.
    File(String),
    /// The workload's own certificate in the mesh, which shows no host.
    Workload,
    /// Another service that hands out certificates.
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

/// A credential as a server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CredentialText {
    /// By a `credentialName`.
    Name(String),
    /// A Secret for certain.
    Secret { namespace: String, name: String },
    /// By a file.
    File(String),
}

impl CredentialText {
    /// What a server of Istio's own Gateway names (Istio `pilot/pkg/model/gateway.go`,
    /// `mergeGateways`: the list goes before the single name).
    pub(crate) fn of_server(tls: &Tls) -> Vec<Self> {
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
        let listed = tls
            .tls_certificates
            .iter()
            .map(|pair| &pair.server_certificate);
        let files = listed.chain(std::iter::once(&tls.server_certificate));
        files
            .filter(|file| !file.is_empty())
            .cloned()
            .map(Self::File)
            .collect()
    }

    /// The credential for a workload of a namespace (Istio `pilot/pkg/model/credentials/resource.go`,
    /// `ToResourceName` and `ParseResourceName`).
    pub(crate) fn resolve(&self, workload_namespace: &str) -> Credential {
        let name = match self {
            Self::File(file) => return Credential::File(file.clone()),
            Self::Secret { namespace, name } => return secret(namespace, name),
            Self::Name(name) => name,
        };
        let (scheme, rest) = name.split_once("://").unwrap_or(("kubernetes", name));
        match (scheme, rest.split_once('/')) {
            ("builtin", _) => Credential::Workload,
            ("kubernetes" | "kubernetes-gateway", Some((namespace, name))) => {
                secret(namespace, name)
            }
            ("kubernetes", None) => secret(workload_namespace, rest),
            _ => Credential::Unknown(name.clone()),
        }
    }
}

fn secret(namespace: &str, name: &str) -> Credential {
    Credential::Secret {
        namespace: namespace.into(),
        name: name.into(),
    }
}
