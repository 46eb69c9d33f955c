//! What a downloaded file must be like.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Sha256, Sha512};

/// A digest of a file, as its registry writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    /// In hexadecimal digits.
    Sha256(&'static str),
    /// In base 64.
    Sha512(&'static str),
}

impl Digest {
    /// Succeeds if the file has this digest.
    pub(super) fn check(self, file: &Path) -> anyhow::Result<()> {
        let (expected, found) = match self {
            Self::Sha256(expected) => (expected, hex(&digest::<Sha256>(file)?)),
            Self::Sha512(expected) => (expected, STANDARD.encode(digest::<Sha512>(file)?)),
        };
        ensure!(
            found == expected,
            "the file isn't the expected one: its digest is {found} instead of {expected}"
        );
        Ok(())
    }
}

fn digest<D: sha2::Digest>(file: &Path) -> anyhow::Result<Vec<u8>> {
    let content = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(D::digest(content).to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
