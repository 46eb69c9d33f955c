//! Deleting a thread.

use db::GenericClient;
use std::sync::Arc;

use uuid::Uuid;

use super::engine::Engine;
use super::refusal::{deleted, refusal};
use crate::{DeleteThread, Error, Generation, Result};

/// What a delete has come to.
enum Outcome {
    Gone,
    AnotherGeneration,
    Refused(Error),
}

impl Engine {
    pub(super) async fn delete_thread(self: &Arc<Self>, delete: DeleteThread) -> Result<()> {
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

    async fn delete_in_turn(&self, delete: &DeleteThread) -> Result<()> {
        let thread_id = &delete.thread_id;
        let lease = delete.lease.as_ref().map(|lease| &lease.token);
        // Kept in the tombstone: a retry whose first attempt went through leaves the thread alone
        // that somebody has started afresh since.
        let operation = Uuid::new_v4().to_string();
        let outcome = self
            .store
            .retry("delete a thread", || async {
                self.store
                    .database
                    .transaction(async |tx| {
                        let locked = tx
                            .query_opt(&self.store.sql.lock_thread, &[&thread_id.as_str(), &lease])
                            .await?;
                        let Some(row) = locked else {
                            return Ok(Outcome::Gone);
                        };
                        let last: Option<&str> = row.get("operation");
                        if row.get("deleted") || last == Some(&operation) {
                            return Ok(Outcome::Gone);
                        }
                        if let Some(refusal) = refusal(thread_id, lease.is_some(), &row) {
                            return Ok(Outcome::Refused(refusal));
                        }
                        let generation = Generation(row.get("generation"));
                        if delete.generation.is_some_and(|read| read != generation) {
                            return Ok(Outcome::AnotherGeneration);
                        }
                        tx.execute(
                            &self.store.sql.delete_thread,
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
        self.store.cache.forget(thread_id);
        match outcome {
            Outcome::Gone => Ok(()),
            Outcome::AnotherGeneration => Err(deleted(thread_id)),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }
}
