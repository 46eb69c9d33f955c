//! The kinds of things that can be wrong with what is stored.

use std::fmt;

/// What kind of thing is wrong with what is stored of a thread.
///
/// `docs/verify.md` says of each what it means, where it comes from and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// Rows name a thread that has no row of its own, so no call can read them. The repair makes that
    /// row again. If there are neither checkpoints nor pending writes, it removes the rest.
    ThreadMissing,
    /// The thread's own row says what can't be, or its metadata can't be read.
    ThreadUnreadable,
    /// The thread is taken to have a head and has none, so no list shows it. The repair lists it.
    ThreadUnlisted,
    /// The thread was deleted, and rows of it were left. The repair removes them.
    RowsOfDeletedThread,
    /// A namespace has checkpoints and no head. The repair makes the checkpoint put last the head.
    HeadMissing,
    /// The head of a namespace names a checkpoint that isn't there.
    HeadWithoutCheckpoint,
    /// The head of a namespace isn't the checkpoint that was put last.
    HeadNotLast,
    /// A namespace counts fewer puts than it has seen. The repair raises the count.
    HeadCountTooLow,
    /// A checkpoint names a parent that isn't there. It may never have been stored: a put may name any
    /// parent.
    ParentMissing,
    /// A checkpoint, or one of its pending writes, can't be read.
    CheckpointUnreadable,
    /// A pending write can't be read, and its checkpoint isn't there.
    WriteUnreadable,
    /// Pending writes have waited too long for their checkpoint. The repair removes them.
    WritesWithoutCheckpoint,
    /// A chunk doesn't hold what its hash says.
    ChunkDamaged,
    /// A chunk that something needs refers to one that isn't there.
    ChunkMissing,
    /// Nothing refers to some chunks: they only take room. A put that replaces a checkpoint leaves such
    /// chunks. The repair removes them, if everything else of the thread can be read.
    ChunksUnneeded,
}

impl FindingKind {
    /// Returns its name for logs and answers, such as `head_missing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThreadMissing => "thread_missing",
            Self::ThreadUnreadable => "thread_unreadable",
            Self::ThreadUnlisted => "thread_unlisted",
            Self::RowsOfDeletedThread => "rows_of_deleted_thread",
            Self::HeadMissing => "head_missing",
            Self::HeadWithoutCheckpoint => "head_without_checkpoint",
            Self::HeadNotLast => "head_not_last",
            Self::HeadCountTooLow => "head_count_too_low",
            Self::ParentMissing => "parent_missing",
            Self::CheckpointUnreadable => "checkpoint_unreadable",
            Self::WriteUnreadable => "write_unreadable",
            Self::WritesWithoutCheckpoint => "writes_without_checkpoint",
            Self::ChunkDamaged => "chunk_damaged",
            Self::ChunkMissing => "chunk_missing",
            Self::ChunksUnneeded => "chunks_unneeded",
        }
    }

    /// Whether something that was stored is lost, hidden or wrong. Otherwise it only takes room.
    pub fn is_damage(self) -> bool {
        !matches!(self, Self::WritesWithoutCheckpoint | Self::ChunksUnneeded)
    }

    /// Whether [`Verify::repair`](crate::Verify::repair) repairs it.
    pub fn is_repairable(self) -> bool {
        match self {
            Self::ThreadMissing
            | Self::ThreadUnlisted
            | Self::RowsOfDeletedThread
            | Self::HeadMissing
            | Self::HeadCountTooLow
            | Self::WritesWithoutCheckpoint
            | Self::ChunksUnneeded => true,
            Self::ThreadUnreadable
            | Self::HeadWithoutCheckpoint
            | Self::HeadNotLast
            | Self::ParentMissing
            | Self::CheckpointUnreadable
            | Self::WriteUnreadable
            | Self::ChunkDamaged
            | Self::ChunkMissing => false,
        }
    }

    /// Says what to do about it, in one sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::ThreadMissing => "repair: the thread's row is made again, without its metadata",
            Self::ThreadUnreadable => {
                "set the thread's metadata again, or restore its row from a backup"
            }
            Self::ThreadUnlisted => "repair: the thread is listed again",
            Self::RowsOfDeletedThread => "repair: the rows that the deletion left are removed",
            Self::HeadMissing => "repair: the checkpoint put last becomes the head",
            Self::HeadWithoutCheckpoint => {
                "restore the checkpoint from a backup, or put one whose parent is the last that is there"
            }
            Self::HeadNotLast => "put a checkpoint whose parent is the one to go on from",
            Self::HeadCountTooLow => "repair: the count is raised",
            Self::ParentMissing => {
                "nothing, if the parent was never stored; else restore it from a backup"
            }
            Self::CheckpointUnreadable => {
                "restore the thread from a backup, or go on from a checkpoint that can be read"
            }
            Self::WriteUnreadable => "restore it from a backup, or let the task run again",
            Self::WritesWithoutCheckpoint => "repair: they are removed",
            Self::ChunkDamaged | Self::ChunkMissing => {
                "restore the thread's chunks from a backup; until then some checkpoints can't be read"
            }
            Self::ChunksUnneeded => "repair: they are removed",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
