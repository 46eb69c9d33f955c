//! Deleting a thread.

use std::sync::Arc;

use db::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::engine::Engine;
use super::prune::Asking;
use super::refusal::{deleted, refusal};
use super::sql::{DeletedThread, LockedThread};
use crate::{DeleteThread, Error, Generation, Removed, Result};

/// What a delete has come to.
enum Outcome {
    Gone(Removed),
    /// The thread isn't due any more.
    NotDue,
    AnotherGeneration,
    Refused(Error),
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
            let outcome = engine.delete_in_turn(&delete, asking.as_ref()).await;
            drop(turn);
            engine.sweep_tombstones().await;
            outcome
        })
        .await
    }

    async fn delete_in_turn(
        &self,
        delete: &DeleteThread,
        asking: Option<&Asking>,
    ) -> Result<Option<Removed>> {
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
        self.lists.forget(thread_id);
        match outcome {
            Outcome::Gone(removed) => Ok(Some(removed)),
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
            return Ok(Outcome::Gone(Removed::default()));
        };
        let locked = Locked::read(&row);
        if locked.operation == Some(operation) {
            return Ok(Outcome::Gone(Removed::default().of_thread()));
        }
        if locked.deleted {
            return Ok(Outcome::Gone(Removed::default()));
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
        };
        let delete = self.store.sql.delete_thread.with(&thread);
        let row = tx.query_opt(&delete.statement, &delete.values).await?;
        let removed = row.as_ref().map(counts).unwrap_or_default();
        Ok(Outcome::Gone(removed.of_thread()))
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
