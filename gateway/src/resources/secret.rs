//! Secrets with certificates, and the `Certificate` of cert-manager, which describes a Secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rule::HostPattern;
use serde::Deserialize;

use super::{Metadata, nullable};
use crate::certificate::key_fits;

/// The beginning of a PEM text.
const PEM: &str = "-----BEGIN";

/// The beginning of a PEM text in base64.
const ENCODED_PEM: &str = "LS0tLS1CRUdJTi";

/// A Secret. Its private key is compared with the certificate and not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    pub metadata: Metadata,
    /// The certificate chain in PEM: `cert`, or `tls.crt`. A placeholder, such as `<removed>`, is not PEM.
    pub certificate: Option<Vec<u8>>,
    /// Whether the private key matches the certificate; `None` if either cannot be read. A file often has
    /// the certificate only, because the key was removed or encrypted.
    pub key_fits: Option<bool>,
}

/// The text form of a Secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretText {
    metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    data: SecretData,
    #[serde(default, deserialize_with = "nullable")]
    string_data: SecretData,
}

#[derive(Default, Deserialize)]
struct SecretData {
    #[serde(default, rename = "tls.crt")]
    tls_crt: Option<String>,
    #[serde(default)]
    cert: Option<String>,
    #[serde(default, rename = "tls.key")]
    tls_key: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

/// The error for a value of a Secret that is not base64.
#[derive(Debug)]
pub(crate) struct NotBase64;

/// A certificate and its private key, as a Secret has them.
#[derive(Default)]
struct Pair {
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl TryFrom<SecretText> for Secret {
    type Error = NotBase64;

    fn try_from(text: SecretText) -> Result<Self, NotBase64> {
        let SecretText {
            metadata,
            data,
            string_data,
        } = text;
        let generic = Pair {
            certificate: value(string_data.cert, data.cert)?,
            key: value(string_data.key, data.key)?,
        };
        let tls = Pair {
            certificate: value(string_data.tls_crt, data.tls_crt)?,
            key: value(string_data.tls_key, data.tls_key)?,
        };
        let Pair { certificate, key } = used_pair(generic, tls);
        // The key is dropped at the end of this function: the model never contains private keys.
        let key_fits = match (&certificate, &key) {
            (Some(certificate), Some(key)) => key_fits(certificate, key),
            (Some(_) | None, _) => None,
        };
        Ok(Self {
            metadata,
            certificate,
            key_fits,
        })
    }
}

/// The pair that istiod uses: `cert` and `key` if both have values, else `tls.crt` and `tls.key` (Istio
/// `pilot/pkg/credentials/kube/secrets.go`, `ExtractCertInfo`).
fn used_pair(generic: Pair, tls: Pair) -> Pair {
    if generic.is_complete() {
        return generic;
    }
    // istiod uses no Secret without a key, so a missing key was removed from the input.
    if tls.is_complete() || generic.certificate.is_none() {
        return tls;
    }
    generic
}

impl Pair {
    fn is_complete(&self) -> bool {
        self.certificate.is_some() && self.key.is_some()
    }
}

/// The value of a key of a Secret; `None` for an empty one. `stringData` takes precedence over `data`, which
/// is in base64 (Kubernetes `Secret.stringData`).
fn value(plain: Option<String>, encoded: Option<String>) -> Result<Option<Vec<u8>>, NotBase64> {
    // An invalid value is an error even if `stringData` replaces it, as in Kubernetes.
    let decoded = match encoded {
        Some(text) => Some(decode(text)?),
        None => None,
    };
    Ok(plain
        .map(String::into_bytes)
        .or(decoded)
        .filter(|value| !value.is_empty()))
}

/// The content of a value in base64, or a placeholder as it is written.
fn decode(text: String) -> Result<Vec<u8>, NotBase64> {
    // YAML can wrap a long value: the decoder of the API server skips line ends (Go `encoding/base64`).
    let joined: String = text.split_whitespace().collect();
    match STANDARD.decode(&joined) {
        Ok(decoded) => Ok(decoded),
        // A text that looks like a certificate is a mistake, which the API server refuses too.
        Err(_) if joined.starts_with(ENCODED_PEM) || text.contains(PEM) => Err(NotBase64),
        // Anything else replaces a value that the cluster has: `<removed>`, or `ENC[…]` of sops.
        Err(_) => Ok(text.into_bytes()),
    }
}

/// A `Certificate` of cert-manager (`cert-manager.io/v1`), which makes cert-manager write a Secret.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IssuedCertificate {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: IssuedCertificateSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedCertificateSpec {
    /// The Secret in the namespace of the `Certificate`.
    #[serde(default, deserialize_with = "nullable")]
    pub secret_name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub dns_names: Vec<String>,
}

impl IssuedCertificate {
    /// The DNS names of the certificate, as far as clients accept them.
    #[must_use]
    pub fn names(&self) -> Vec<HostPattern> {
        let mut names: Vec<HostPattern> = self
            .spec
            .dns_names
            .iter()
            .filter_map(|name| HostPattern::try_from(name.as_str()).ok())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{Secret, SecretText};

    /// The certificate of a Secret with these lines of `data` and `stringData`.
    fn certificate(fields: &str) -> Result<Option<String>, ()> {
        let text: SecretText =
            serde_saphyr::from_str(&format!("metadata: {{name: w}}\n{fields}")).unwrap();
        let secret = Secret::try_from(text).map_err(|_| ())?;
        Ok(secret
            .certificate
            .map(|octets| String::from_utf8_lossy(&octets).into_owned()))
    }

    fn encoded(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[track_caller]
    fn check(fields: &str, expected: Option<&str>) {
        assert_eq!(
            certificate(fields),
            Ok(expected.map(str::to_owned)),
            "{fields}"
        );
    }

    #[test]
    fn the_older_keys_win_if_both_have_values() {
        for (fields, expected) in [
            ("stringData: {cert: a, key: k, tls.crt: b, tls.key: l}", "a"),
            (
                "stringData: {cert: a, key: '', tls.crt: b, tls.key: l}",
                "b",
            ),
            ("stringData: {cert: a, tls.crt: b, tls.key: l}", "b"),
            ("stringData: {cert: a, key: k, tls.crt: b}", "a"),
            ("stringData: {tls.crt: b, tls.key: l}", "b"),
            // Without any key the input does not show which pair the cluster has.
            ("stringData: {cert: a, tls.crt: b}", "a"),
            ("stringData: {tls.crt: b}", "b"),
        ] {
            check(fields, Some(expected));
        }
        check("stringData: {tls.key: l}", None);
        check("stringData: {tls.crt: '', tls.key: l}", None);
    }

    #[test]
    fn base64_can_have_line_ends() {
        let wrapped = encoded("-----BEGIN CERTIFICATE-----");
        let (first, second) = wrapped.split_at(10);
        check(
            &format!("data:\n  tls.crt: |\n    {first}\n    {second}\n"),
            Some("-----BEGIN CERTIFICATE-----"),
        );
    }

    #[test]
    fn placeholders_are_not_errors() {
        let good = encoded("-----BEGIN CERTIFICATE-----");
        check(
            &format!("data: {{tls.crt: {good}, tls.key: '<removed>'}}"),
            Some("-----BEGIN CERTIFICATE-----"),
        );
        let sops = "ENC[AES256_GCM,data:3f+a,iv:x=,tag:y==,type:str]";
        check(&format!("data: {{tls.crt: '{sops}'}}"), Some(sops));
        // Cut off, and PEM without base64.
        let cut = good.get(..good.len() - 3).unwrap();
        assert_eq!(certificate(&format!("data: {{tls.crt: {cut}}}")), Err(()));
        assert_eq!(
            certificate("data: {tls.crt: '-----BEGIN CERTIFICATE-----'}"),
            Err(())
        );
    }
}
