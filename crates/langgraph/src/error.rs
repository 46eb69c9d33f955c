//! What can go wrong.

use crate::Malformed;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// JSON isn't the form of a value of LangGraph, or of a later version of the form.
    #[error("stored JSON isn't the form of a value of LangGraph")]
    MalformedValue {
        /// What is wrong with it.
        source: Malformed,
    },
}
