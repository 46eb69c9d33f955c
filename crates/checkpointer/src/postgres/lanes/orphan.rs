//! A put that wasn't stored, and whose caller is gone.

use super::Outgoing;
use crate::postgres::look::LookFor;
use crate::postgres::outgoing::Body;
use crate::postgres::refusal::busy;
use crate::postgres::store::Store;
use crate::{CheckpointId, CheckpointNs, Error, ExpectedHead, ThreadId};

/// What is known of a put whose caller would have looked at the thread.
pub(super) struct Orphan {
    thread_id: ThreadId,
    ns: CheckpointNs,
    id: CheckpointId,
    parent: Option<CheckpointId>,
    expected: ExpectedHead,
}

impl Orphan {
    /// None if it isn't a put.
    pub(super) fn of(write: &Outgoing) -> Option<Self> {
        let Body::Checkpoint(put) = &write.body else {
            return None;
        };
        Some(Self {
            thread_id: write.thread_id.clone(),
            ns: put.ns.clone(),
            id: put.id.clone(),
            parent: put.parent.clone(),
            expected: put.expected.clone(),
        })
    }

    /// Looks at the thread, and says why the checkpoint isn't stored; none if it is, by an attempt
    /// whose answer was lost.
    pub(super) async fn failure(self, store: &Store) -> Option<Error> {
        let asked = LookFor {
            thread_id: &self.thread_id,
            checkpoint_ns: &self.ns,
            checkpoint_id: &self.id,
            parent: self.parent.as_ref(),
            lease: None,
        };
        let seen = match store.look(asked).await {
            Ok(look) => look.thread,
            Err(error) => return Some(error),
        };
        if seen.as_ref().is_some_and(|seen| seen.stored) {
            return None;
        }
        let head = seen.and_then(|seen| seen.head);
        Some(match self.expected {
            ExpectedHead::Is(expected) if expected != head => Error::Conflict {
                thread_id: self.thread_id,
                checkpoint_ns: self.ns,
                expected,
                head,
            },
            _ => busy(&self.thread_id),
        })
    }
}
