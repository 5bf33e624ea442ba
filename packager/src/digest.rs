//! Digests as OCI writes them.

use sha2::{Digest, Sha256};

/// `sha256:` and the SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
