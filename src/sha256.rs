//! SHA-256 as hexadecimal digits.

use sha2::{Digest, Sha256};

/// The SHA-256 of `bytes`, in hex.
pub fn of(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// Bytes as hexadecimal digits.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
