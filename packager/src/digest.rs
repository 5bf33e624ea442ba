//! Digests as OCI writes them.

use sha2::{Digest, Sha256};

/// The SHA-256 of bytes as `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
