//! What the page's own forms carry, so that no other site can send them.

use super::options::{Token, random};
use super::problem::Problem;

/// What each form carries. Only who can read the page knows it.
///
/// With a token it is made of that, so that it is the same in each process that serves the page.
pub(super) struct FormKey(String);

impl FormKey {
    pub(super) fn new(token: Option<&Token>) -> Self {
        let secret = token.map_or_else(random, |token| token.as_str().to_owned());
        let key = blake3::derive_key("checkpointer inspector: forms", secret.as_bytes());
        Self(blake3::Hash::from(key).to_hex().to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses a form that another site has made.
    pub(super) fn check(&self, sent: &str) -> Result<(), Problem> {
        // Hashes are compared in a time that says nothing of where they differ.
        if blake3::hash(sent.as_bytes()) == blake3::hash(self.0.as_bytes()) {
            Ok(())
        } else {
            Err(Problem::forged())
        }
    }
}
