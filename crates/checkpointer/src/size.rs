//! How much is stored.

use std::collections::BTreeMap;

use crate::ThreadId;

/// How much a thread takes where it is stored.
///
/// In PostgreSQL, bytes are those of the values in the rows, compressed as they are, without what the
/// server adds for each row, for indexes and for rows that are dead and not yet cleaned up. A large value
/// is stored in chunks, each once, whichever checkpoints, channels and pending writes share it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadSize {
    /// The thread.
    pub thread_id: ThreadId,
    /// How many bytes it has: values, and what checkpoints and pending writes say besides.
    pub bytes: u64,
    /// How many checkpoints it has.
    pub checkpoints: u64,
    /// How many pending writes it has.
    pub pending_writes: u64,
    /// How many chunks it has.
    pub chunks: u64,
    /// How much each channel has.
    pub channels: BTreeMap<String, ChannelSize>,
}

/// How much the values of a channel take, in all checkpoints and pending writes of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChannelSize {
    /// Bytes that this channel alone has. They would go with it.
    pub own_bytes: u64,
    /// Bytes of chunks that other channels have as well.
    pub shared_bytes: u64,
    /// How many chunks it has, shared ones included.
    pub chunks: u64,
}

/// How much the tables of a schema take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaSize {
    /// What each table takes, by its name.
    pub tables: BTreeMap<String, TableSize>,
}

/// How much a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSize {
    /// On disk, with its indexes.
    pub bytes: u64,
    /// About how many rows it has, as the server's statistics say: 0 if it has none yet.
    pub rows: u64,
}

impl ThreadSize {
    /// Makes the size of a thread that has nothing.
    #[must_use]
    pub fn new(thread_id: ThreadId) -> Self {
        Self {
            thread_id,
            bytes: 0,
            checkpoints: 0,
            pending_writes: 0,
            chunks: 0,
            channels: BTreeMap::new(),
        }
    }
}

impl SchemaSize {
    /// Returns the bytes of all tables.
    pub fn bytes(&self) -> u64 {
        self.tables.values().map(|table| table.bytes).sum()
    }
}
