//! Copying a thread.

use db::GenericClient;
use std::sync::Arc;

use uuid::Uuid;

use super::engine::Engine;
use super::refusal::{MAX_ROUNDS, busy, deleted, refusal};
use crate::{Error, Result, ThreadId};

/// What a copy has come to.
enum Outcome {
    Copied,
    NoSource,
    TargetExists,
    TargetDeleted,
    TargetLeased(Error),
    /// The target came between the look and the copy.
    Surprised,
}

impl Engine {
    pub(super) async fn copy_thread(
        self: &Arc<Self>,
        source: &ThreadId,
        target: &ThreadId,
    ) -> Result<()> {
        // Both turns, in the order of the ids: two copies in opposite directions wait for each
        // other in turn.
        let (first, second) = (source.min(target), source.max(target));
        let first_turn = self.order.alone(first).await;
        let second_turn = match first == second {
            true => None,
            false => Some(self.order.alone(second).await),
        };
        let engine = Arc::clone(self);
        let (source, target) = (source.clone(), target.clone());
        self.finish(async move {
            let outcome = engine.copy_in_turn(&source, &target).await;
            drop((first_turn, second_turn));
            outcome
        })
        .await
    }

    async fn copy_in_turn(&self, source: &ThreadId, target: &ThreadId) -> Result<()> {
        // Kept in the copy: a retry whose first attempt went through finds its own work.
        let operation = Uuid::new_v4().to_string();
        for _ in 0..MAX_ROUNDS {
            let outcome = self
                .store
                .retry("copy a thread", || async {
                    self.store
                        .database
                        .transaction(async |tx| {
                            let (from, to) = (source.as_str(), target.as_str());
                            let rows = tx
                                .query(&self.store.sql.lock_for_copy, &[&from, &to])
                                .await?;
                            let mut has_source = false;
                            for row in &rows {
                                let last: Option<&str> = row.get("operation");
                                let reserved: bool = row.get("reserved");
                                match (row.get("is_target"), row.get("deleted")) {
                                    (true, deleted) if source == target => has_source = !deleted,
                                    (true, true) if reserved => {
                                        if let Some(refusal) = refusal(target, false, row) {
                                            return Ok(Outcome::TargetLeased(refusal));
                                        }
                                    }
                                    (true, true) => return Ok(Outcome::TargetDeleted),
                                    (true, false) if last == Some(&operation) => {
                                        return Ok(Outcome::Copied);
                                    }
                                    (true, false) => return Ok(Outcome::TargetExists),
                                    (false, deleted) => has_source = !deleted,
                                }
                            }
                            if !has_source {
                                return Ok(Outcome::NoSource);
                            }
                            if source == target {
                                return Ok(Outcome::Copied);
                            }
                            let made = tx
                                .execute(&self.store.sql.make_copy, &[&from, &to, &operation])
                                .await?;
                            if made == 0 {
                                return Ok(Outcome::Surprised);
                            }
                            tx.execute(&self.store.sql.copy_thread, &[&from, &to])
                                .await?;
                            Ok::<_, db::Error>(Outcome::Copied)
                        })
                        .await
                })
                .await?;
            return match outcome {
                Outcome::Copied => Ok(()),
                Outcome::NoSource => Err(Error::ThreadNotFound {
                    thread_id: source.clone(),
                }),
                Outcome::TargetExists => Err(Error::ThreadExists {
                    thread_id: target.clone(),
                }),
                Outcome::TargetDeleted => Err(deleted(target)),
                Outcome::TargetLeased(refusal) => Err(refusal),
                Outcome::Surprised => continue,
            };
        }
        Err(busy(target))
    }
}
