//! The errors with which a [`Checkpointer`](crate::Checkpointer) answers, for those who write one.

use std::time::SystemTime;

use crate::{CheckpointAddress, CheckpointId, Error, ExpectedHead, Put, ThreadId};

impl Error {
    /// Makes a [`Conflict`](Self::Conflict): `put` expects another head than `head`.
    #[must_use]
    pub fn conflict(put: &Put<'_>, head: Option<CheckpointId>) -> Self {
        let expected = match &put.expected_head {
            ExpectedHead::Is(expected) => expected.clone(),
            ExpectedHead::Any => None,
        };
        Self::Conflict {
            thread_id: put.thread_id.clone(),
            checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
            expected,
            head,
        }
    }

    /// Makes a [`ParentNotFound`](Self::ParentNotFound): `put` keeps its parent's value of
    /// `channel`, and that parent isn't stored.
    #[must_use]
    pub fn parent_not_found(put: &Put<'_>, parent: &CheckpointId, channel: &str) -> Self {
        Self::ParentNotFound {
            thread_id: put.thread_id.clone(),
            checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
            parent_checkpoint_id: parent.clone(),
            channel: channel.to_owned(),
        }
    }

    /// Makes an [`AppendMismatch`](Self::AppendMismatch): the parent's value of `channel` has `found`
    /// items, or isn't a list. [`Put::appended_values`](crate::Put::appended_values) finds one.
    #[must_use]
    pub fn append_mismatch(put: &Put<'_>, channel: &str, found: Option<usize>) -> Self {
        Self::AppendMismatch {
            thread_id: put.thread_id.clone(),
            checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
            channel: channel.to_owned(),
            after: put
                .appended
                .get(channel)
                .map_or(0, |appended| appended.after),
            found,
        }
    }

    /// Makes a [`PartialCheckpoint`](Self::PartialCheckpoint).
    /// [`Put::check`](crate::Put::check) finds one.
    #[must_use]
    pub fn partial_checkpoint(checkpoint_id: &CheckpointId) -> Self {
        let checkpoint_id = checkpoint_id.clone();
        Self::PartialCheckpoint { checkpoint_id }
    }

    /// Makes a [`ThreadDeleted`](Self::ThreadDeleted).
    #[must_use]
    pub fn thread_deleted(thread_id: &ThreadId) -> Self {
        let thread_id = thread_id.clone();
        Self::ThreadDeleted { thread_id }
    }

    /// Makes a [`ThreadNotFound`](Self::ThreadNotFound).
    #[must_use]
    pub fn thread_not_found(thread_id: &ThreadId) -> Self {
        let thread_id = thread_id.clone();
        Self::ThreadNotFound { thread_id }
    }

    /// Makes a [`CheckpointNotFound`](Self::CheckpointNotFound).
    #[must_use]
    pub fn checkpoint_not_found(address: &CheckpointAddress) -> Self {
        Self::CheckpointNotFound {
            thread_id: address.thread_id.clone(),
            checkpoint_ns: address.checkpoint_ns.clone(),
            checkpoint_id: address.checkpoint_id.clone(),
        }
    }

    /// Makes a [`ThreadExists`](Self::ThreadExists).
    #[must_use]
    pub fn thread_exists(thread_id: &ThreadId) -> Self {
        let thread_id = thread_id.clone();
        Self::ThreadExists { thread_id }
    }

    /// Makes a [`ThreadFull`](Self::ThreadFull): with what is written it would have `bytes`, and it may have
    /// as many as `limit` says.
    #[must_use]
    pub fn thread_full(thread_id: &ThreadId, bytes: u64, limit: u64) -> Self {
        Self::ThreadFull {
            thread_id: thread_id.clone(),
            bytes,
            limit,
        }
    }

    /// Makes a [`LeaseHeld`](Self::LeaseHeld), by a lease that ends at `until`.
    #[must_use]
    pub fn lease_held(thread_id: &ThreadId, until: SystemTime) -> Self {
        let thread_id = thread_id.clone();
        Self::LeaseHeld { thread_id, until }
    }

    /// Makes a [`LeaseLost`](Self::LeaseLost).
    #[must_use]
    pub fn lease_lost(thread_id: &ThreadId) -> Self {
        let thread_id = thread_id.clone();
        Self::LeaseLost { thread_id }
    }

    /// Makes a [`Busy`](Self::Busy).
    #[must_use]
    pub fn busy(thread_id: &ThreadId) -> Self {
        let thread_id = thread_id.clone();
        Self::Busy { thread_id }
    }

    /// Makes an [`Unsupported`](Self::Unsupported) of the method `operation`.
    #[must_use]
    pub fn unsupported(operation: &'static str) -> Self {
        Self::Unsupported { operation }
    }

    /// Makes an [`Unstorable`](Self::Unstorable): `place` says which value it is, `path` where in
    /// the value, and `reason` what is wrong there.
    #[must_use]
    pub fn unstorable(thread_id: &ThreadId, place: &str, path: &str, reason: &str) -> Self {
        Self::Unstorable {
            thread_id: thread_id.clone(),
            place: place.to_owned(),
            path: path.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Makes a [`Corrupt`](Self::Corrupt): `what` names what is missing or can't be decoded.
    #[must_use]
    pub fn corrupt(thread_id: &ThreadId, what: &str) -> Self {
        Self::Corrupt {
            thread_id: thread_id.clone(),
            what: what.to_owned(),
        }
    }

    /// Makes a [`Database`](Self::Database): `operation` completes "failed to …".
    #[must_use]
    pub fn database(operation: &'static str, source: db::Error) -> Self {
        Self::Database { operation, source }
    }
}
