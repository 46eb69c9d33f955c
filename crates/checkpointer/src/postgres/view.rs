//! The state of a thread.

use db::Row;

/// The state of a thread when this program last saw it.
///
/// A delete raises the generation, and everything that removes chunks raises `gc`: as long as both
/// are the same, the thread is there and holds the chunks that it held. The later state is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    pub(super) generation: i64,
    pub(super) gc: i64,
}

impl View {
    /// Reads the state from an answer.
    pub(super) fn read(row: &Row) -> Self {
        Self {
            generation: row.get("generation"),
            gc: row.get("gc"),
        }
    }
}
