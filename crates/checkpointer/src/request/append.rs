//! What a channel's list grows by.

use serde_json::Value;

/// Items by which a channel's list grows: see [`Put::append`](crate::Put::append).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Appended<'a> {
    /// How many items the parent's value has.
    pub after: usize,
    /// The further items.
    pub items: &'a [Value],
}
