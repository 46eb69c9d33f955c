//! Database.
/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;
impl Error {
    /// stub
    pub fn is_transient(&self) -> bool {
        false
    }
    /// stub
    pub fn is_outcome_unknown(&self) -> bool {
        false
    }
}
