//! Bytes as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) fn to_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn from_text(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
