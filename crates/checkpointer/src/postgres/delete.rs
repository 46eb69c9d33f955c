//! Deleting a thread.

use std::sync::Arc;

use db::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::engine::Engine;
use super::prune::Asking;
use super::refusal::{deleted, refusal};
use super::sql::{DeletedThread, LockedThread};
use crate::{DeleteThread, Error, Generation, Removed, Result};

/// Up to how many chunks a deletion removes at once. Of a larger thread they are swept in steps, so that
/// a writer that starts the thread again waits for none of it.
const FEW_CHUNKS: i64 = 1_000;

/// What a delete has come to.
enum Outcome {
    Gone(Deleted),
    /// The thread isn't due any more.
    NotDue,
    AnotherGeneration,
    Refused(Error),
}

/// A thread that is deleted.
#[derive(Debug, Default)]
struct Deleted {
    removed: Removed,
    /// Whether it may have chunks that have yet to be swept.
    leaves_chunks: bool,
}

/// The thread that was locked.
struct Locked<'r> {
    generation: Generation,
    deleted: bool,
    /// The operation that made it, or deleted it.
    operation: Option<&'r str>,
}

impl Engine {
    pub(super) async fn delete_thread(self: &Arc<Self>, delete: DeleteThread) -> Result<Removed> {
        let removed = self.delete_thread_if(delete, None).await?;
        Ok(removed.unwrap_or_default())
    }

    /// Deletes a thread if a policy wants that under the lock; none if it doesn't.
    pub(super) async fn delete_thread_if(
        self: &Arc<Self>,
        delete: DeleteThread,
        asking: Option<Asking>,
    ) -> Result<Option<Removed>> {
        let turn = self.order.alone(&delete.thread_id).await;
        let engine = Arc::clone(self);
        self.finish(async move {
            let mut outcome = engine.delete_in_turn(&delete, asking.as_ref()).await;
            drop(turn);
            if let Ok(Some(deleted)) = &mut outcome
                && deleted.leaves_chunks
            {
                let rest = engine.sweep_rest(&delete.thread_id).await;
                deleted.removed.count(&rest);
            }
            engine.sweep_tombstones().await;
            Ok(outcome?.map(|deleted| deleted.removed))
        })
        .await
    }

    async fn delete_in_turn(
        &self,
        delete: &DeleteThread,
        asking: Option<&Asking>,
    ) -> Result<Option<Deleted>> {
        let thread_id = &delete.thread_id;
        // Kept in the tombstone, and so made once: if the first attempt went through and the thread
        // was started again since, the next attempt leaves it alone.
        let operation = Uuid::new_v4().to_string();
        let outcome = self
            .store
            .retry("delete a thread", || async {
                let (database, operation) = (&self.store.database, &operation);
                database
                    .transaction(async |tx| self.delete_in(tx, delete, operation, asking).await)
                    .await
            })
            .await?;
        self.store.chunks.forget(thread_id);
        self.store.lists.forget(thread_id);
        match outcome {
            Outcome::Gone(deleted) => {
                // One that is due by a policy was hardly used lately, and to look for it takes long.
                if asking.is_none() {
                    self.store.last_reads.forget(thread_id);
                    self.last_values.forget(thread_id);
                }
                Ok(Some(deleted))
            }
            Outcome::NotDue => Ok(None),
            Outcome::AnotherGeneration => Err(deleted(thread_id)),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    async fn delete_in(
        &self,
        tx: &Transaction<'_>,
        delete: &DeleteThread,
        operation: &str,
        asking: Option<&Asking>,
    ) -> Result<Outcome, db::Error> {
        let thread_id = &delete.thread_id;
        let thread = LockedThread {
            thread_id: thread_id.as_str(),
            lease: delete.lease.as_ref().map(|lease| lease.token.as_str()),
        };
        let lock = self.store.sql.lock_thread.with(&thread);
        let Some(row) = tx.query_opt(&lock.statement, &lock.values).await? else {
            return Ok(Outcome::Gone(Deleted::default()));
        };
        let locked = Locked::read(&row);
        if locked.operation == Some(operation) {
            return Ok(Outcome::Gone(Deleted {
                removed: Removed::default().of_thread(),
                leaves_chunks: true,
            }));
        }
        if locked.deleted {
            return Ok(Outcome::Gone(Deleted::default()));
        }
        if let Some(refusal) = refusal(thread_id, delete.lease.is_some(), &row) {
            return Ok(Outcome::Refused(refusal));
        }
        if delete
            .generation
            .is_some_and(|read| read != locked.generation)
        {
            return Ok(Outcome::AnotherGeneration);
        }
        if let Some(asking) = asking {
            let judged = asking.judge(&self.store.sql, tx, thread_id).await?;
            if !judged.as_ref().is_some_and(Asking::deletes) {
                return Ok(Outcome::NotDue);
            }
        }
        let thread = DeletedThread {
            thread_id: thread_id.as_str(),
            operation,
            most: FEW_CHUNKS,
        };
        let delete = self.store.sql.delete_thread.with(&thread);
        let row = tx.query_one(&delete.statement, &delete.values).await?;
        Ok(Outcome::Gone(Deleted {
            removed: counts(&row).of_thread(),
            leaves_chunks: row.get("leaves_chunks"),
        }))
    }
}

/// How many checkpoints and pending writes a statement has removed, and how many bytes.
pub(super) fn counts(row: &Row) -> Removed {
    let count = |name| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
    Removed {
        checkpoints: count("checkpoints"),
        writes: count("writes"),
        bytes: count("bytes"),
        ..Removed::default()
    }
}

impl<'r> Locked<'r> {
    fn read(row: &'r Row) -> Self {
        Self {
            generation: Generation(row.get("generation")),
            deleted: row.get("deleted"),
            operation: row.get("operation"),
        }
    }
}
