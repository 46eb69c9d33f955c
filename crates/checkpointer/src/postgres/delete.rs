//! Deleting a thread.

use std::sync::Arc;

use db::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::engine::Engine;
use super::refusal::{deleted, refusal};
use super::sql::{DeletedThread, LockedThread};
use crate::{DeleteThread, Error, Generation, Removed, Result};

/// What a delete has come to.
enum Outcome {
    Gone(Removed),
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
        let turn = self.order.alone(&delete.thread_id).await;
        let engine = Arc::clone(self);
        self.finish(async move {
            let outcome = engine.delete_in_turn(&delete).await;
            drop(turn);
            engine.sweep_tombstones().await;
            outcome
        })
        .await
    }

    async fn delete_in_turn(&self, delete: &DeleteThread) -> Result<Removed> {
        let thread_id = &delete.thread_id;
        // Kept in the tombstone, and so made once: if the first attempt went through and the thread
        // was started again since, the next attempt leaves it alone.
        let operation = Uuid::new_v4().to_string();
        let outcome = self
            .store
            .retry("delete a thread", || async {
                let (database, operation) = (&self.store.database, &operation);
                database
                    .transaction(async |tx| self.delete_in(tx, delete, operation).await)
                    .await
            })
            .await?;
        self.store.chunks.forget(thread_id);
        match outcome {
            Outcome::Gone(removed) => Ok(removed),
            Outcome::AnotherGeneration => Err(deleted(thread_id)),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    async fn delete_in(
        &self,
        tx: &Transaction<'_>,
        delete: &DeleteThread,
        operation: &str,
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
            return Ok(Outcome::Gone(Removed::thread(0, 0)));
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
        let thread = DeletedThread {
            thread_id: thread_id.as_str(),
            operation,
        };
        let delete = self.store.sql.delete_thread.with(&thread);
        let row = tx.query_opt(&delete.statement, &delete.values).await?;
        let (checkpoints, writes) = row.as_ref().map(counts).unwrap_or_default();
        Ok(Outcome::Gone(Removed::thread(checkpoints, writes)))
    }
}

/// How many checkpoints and pending writes a statement has removed.
pub(super) fn counts(row: &Row) -> (u64, u64) {
    let count = |name| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
    (count("checkpoints"), count("writes"))
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
