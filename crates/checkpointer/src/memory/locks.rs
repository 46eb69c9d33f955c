//! Which transaction has locked which thread, and how it has changed the thread.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use tokio::sync::Notify;

use super::thread::Thread;
use super::{MemoryCheckpointer, Store};
use crate::{Error, Result, ThreadId};

/// A transaction, by the order in which they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TransactionId(u64);

/// The threads that a transaction has locked, as it has changed them; none is a thread that isn't
/// there.
pub(super) type Changed = BTreeMap<ThreadId, Option<Thread>>;

/// The open transactions.
#[derive(Default)]
pub(super) struct Locks {
    began: u64,
    open: BTreeMap<TransactionId, Changed>,
    released: Arc<Notify>,
}

impl Locks {
    pub(super) fn begin(&mut self) -> TransactionId {
        self.began += 1;
        let id = TransactionId(self.began);
        self.open.insert(id, Changed::new());
        id
    }

    /// The threads of an open transaction.
    pub(super) fn changed(&mut self, id: TransactionId) -> &mut Changed {
        self.open.entry(id).or_default()
    }

    /// Ends a transaction, and wakes the calls that wait for it.
    pub(super) fn end(&mut self, id: TransactionId) -> Changed {
        self.released.notify_waiters();
        self.open.remove(&id).unwrap_or_default()
    }

    /// What a write to a thread waits for: the end of another transaction.
    ///
    /// Of two transactions the older one waits for the younger one, and not the other way round,
    /// unless the younger one has locked nothing. So no two wait for each other.
    fn wait(&self, thread_id: &ThreadId, by: Option<TransactionId>) -> Result<Option<Arc<Notify>>> {
        let mut others = self.open.iter().filter(|(id, _)| Some(**id) != by);
        let Some((holder, _)) = others.find(|(_, changed)| changed.contains_key(thread_id)) else {
            return Ok(None);
        };
        match by {
            Some(by) if by > *holder && !self.open[&by].is_empty() => Err(Error::busy(thread_id)),
            _ => Ok(Some(Arc::clone(&self.released))),
        }
    }
}

impl MemoryCheckpointer {
    /// The store, for a write to a thread: once no transaction has locked the thread but the one
    /// that writes.
    pub(super) async fn open_to_write(
        &self,
        thread_id: &ThreadId,
        by: Option<TransactionId>,
    ) -> Result<MutexGuard<'_, Store>> {
        loop {
            let released = {
                let store = self.open()?;
                match store.locks.wait(thread_id, by)? {
                    None => return Ok(store),
                    // It hears of a release from now on, though it is polled later.
                    Some(released) => released.notified_owned(),
                }
            };
            released.await;
        }
    }
}
