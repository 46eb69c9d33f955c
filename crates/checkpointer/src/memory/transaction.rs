//! Transactions in the memory of this process.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::locks::TransactionId;
use super::thread::Thread;
use super::{FaultyCall, MemoryCheckpointer, Store};
use crate::{CheckpointTuple, GetTuple, HeadChange, OpenTransaction, Result, ThreadId};

/// A transaction of a [`MemoryCheckpointer`], in the place of one of PostgreSQL: what is put within
/// it takes effect with its commit, all or nothing. If it is dropped, it is rolled back.
///
/// Other writes to its threads wait for its end. Where two transactions would wait for each other,
/// one fails with [`Error::Busy`](crate::Error::Busy), which is transient.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let mut orders = checkpointer.thread::<Vec<String>>("orders")?;
/// let mut stock = checkpointer.thread::<u32>("stock")?;
///
/// let tx = checkpointer.begin()?;
/// orders.save_within(&tx, &vec!["a kettle".to_owned()]).await?;
/// stock.save_within(&tx, &41).await?;
/// tx.commit();
///
/// assert_eq!(stock.load().await?, Some(41));
/// # Ok(())
/// # }
/// ```
pub struct MemoryTransaction {
    checkpointer: MemoryCheckpointer,
    id: TransactionId,
}

impl MemoryCheckpointer {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed) after a close.
    pub fn begin(&self) -> Result<MemoryTransaction> {
        let id = self.open()?.locks.begin();
        let checkpointer = self.clone();
        Ok(MemoryTransaction { checkpointer, id })
    }

    /// Writes to a thread within a transaction, which locks the thread.
    pub(super) async fn write_within<T>(
        &self,
        transaction: OpenTransaction<'_>,
        thread_id: &ThreadId,
        write: impl FnOnce(&mut Store) -> Result<T>,
    ) -> Result<T> {
        let id = self.id_of(transaction)?;
        let mut store = self.open_to_write(thread_id, Some(id)).await?;
        store.within(id, thread_id, write)
    }

    /// Reads a checkpoint as a transaction sees it.
    pub(super) fn read_within(
        &self,
        transaction: OpenTransaction<'_>,
        query: &GetTuple,
    ) -> Result<Option<CheckpointTuple>> {
        let id = self.id_of(transaction)?;
        let mut store = self.open()?;
        let has_changed = store.locks.changed(id).contains_key(&query.thread_id);
        store.call(FaultyCall::GetTuple, |store, _| {
            Ok(match has_changed {
                true => store.within(id, &query.thread_id, |store| store.get_tuple(query)),
                false => store.get_tuple(query),
            })
        })
    }

    /// The id of a transaction of this store's.
    fn id_of(&self, transaction: OpenTransaction<'_>) -> Result<TransactionId> {
        let own = transaction.in_memory()?;
        match Arc::ptr_eq(&own.checkpointer.store, &self.store) {
            true => Ok(own.id),
            false => Err(OpenTransaction::unsuitable()),
        }
    }
}

impl MemoryTransaction {
    /// Makes what was put within the transaction take effect.
    pub fn commit(self) {
        let mut store = self.checkpointer.lock();
        for (thread_id, thread) in store.locks.end(self.id) {
            let Some(thread) = thread else { continue };
            let before = store.threads.get(&thread_id);
            let before = before.map_or_else(Vec::new, |before| before.heads(&thread_id));
            for head in thread.heads(&thread_id) {
                if !before.contains(&head) {
                    store.watchers.tell(&HeadChange::Moved(head));
                }
            }
            store.threads.insert(thread_id, thread);
        }
    }
}

impl Drop for MemoryTransaction {
    fn drop(&mut self) {
        self.checkpointer.lock().locks.end(self.id);
    }
}

impl fmt::Debug for MemoryTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransaction")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Lets something be done with a thread as a transaction has changed it. What is done becomes a
    /// part of the transaction; it isn't told to watchers before the commit.
    fn within<T>(
        &mut self,
        id: TransactionId,
        thread_id: &ThreadId,
        act: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let committed = self.threads.remove(thread_id);
        let changed = self.locks.changed(id).remove(thread_id);
        self.keep(thread_id, changed.unwrap_or_else(|| committed.clone()));
        let watchers = mem::take(&mut self.watchers);
        let done = act(self);
        self.watchers = watchers;
        let changed = self.threads.remove(thread_id);
        self.locks.changed(id).insert(thread_id.clone(), changed);
        self.keep(thread_id, committed);
        done
    }

    fn keep(&mut self, thread_id: &ThreadId, thread: Option<Thread>) {
        if let Some(thread) = thread {
            self.threads.insert(thread_id.clone(), thread);
        }
    }
}
