//! Deleting a thread.

use std::sync::Arc;

use db::ToSql;
use uuid::Uuid;

use super::Inner;
use super::lease;
use super::put::deleted;
use super::retry::retry;
use crate::{DeleteThread, Error, Generation, Result};

/// How many marks go with a deletion, which makes one: so that they don't pile up, and nobody waits
/// long.
const SWEPT_AT_ONCE: i64 = 16;

/// What a delete has come to.
enum Outcome {
    Gone,
    AnotherGeneration,
    Refused(Error),
}

impl Inner {
    pub(super) async fn delete_thread(self: &Arc<Self>, delete: DeleteThread) -> Result<()> {
        let turn = self.order.alone(&delete.thread_id).await;
        let inner = Arc::clone(self);
        self.finish(async move {
            let outcome = inner.delete_in_turn(&delete).await;
            drop(turn);
            inner.sweep_tombstones().await;
            outcome
        })
        .await
    }

    /// Removes a few marks of threads that were deleted long ago. It is for nobody's sake in
    /// particular: where it fails, the next one does it.
    pub(super) async fn sweep_tombstones(&self) {
        let swept = async {
            let connection = self.database.get().await?;
            let parameters: [&(dyn ToSql + Sync); 2] = [
                /* micros */ &self.retention.tombstones,
                /* limit */ &SWEPT_AT_ONCE,
            ];
            connection
                .execute(&self.sql.sweep_tombstones, &parameters)
                .await
        };
        if let Err(error) = swept.await {
            tracing::debug!(error = %error.for_log(), "failed to sweep the marks of deleted threads");
        }
    }

    async fn delete_in_turn(&self, delete: &DeleteThread) -> Result<()> {
        let thread_id = &delete.thread_id;
        let lease = delete.lease.as_ref().map(|lease| &lease.token);
        // Kept in the tombstone: a retry whose first attempt went through leaves the thread alone
        // that somebody has started afresh since.
        let operation = Uuid::new_v4().to_string();
        let outcome = retry(self, "delete a thread", || async {
            self.database
                .transaction(async |tx| {
                    let locked = tx
                        .query_opt(&self.sql.lock_thread, &[&thread_id.as_str(), &lease])
                        .await?;
                    let Some(row) = locked else {
                        return Ok(Outcome::Gone);
                    };
                    let last: Option<&str> = row.get("operation");
                    if row.get("deleted") || last == Some(&operation) {
                        return Ok(Outcome::Gone);
                    }
                    if let Some(refusal) = lease::refusal(thread_id, lease.is_some(), &row) {
                        return Ok(Outcome::Refused(refusal));
                    }
                    let generation = Generation(row.get("generation"));
                    if delete.generation.is_some_and(|read| read != generation) {
                        return Ok(Outcome::AnotherGeneration);
                    }
                    tx.execute(
                        &self.sql.delete_thread,
                        &[
                            /* thread_id */ &thread_id.as_str(),
                            /* operation */ &operation,
                        ],
                    )
                    .await?;
                    Ok::<_, db::Error>(Outcome::Gone)
                })
                .await
        })
        .await?;
        self.cache.forget(thread_id);
        match outcome {
            Outcome::Gone => Ok(()),
            Outcome::AnotherGeneration => Err(deleted(thread_id)),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }
}
