//! Copying a thread.

use std::sync::Arc;

use db::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::engine::Engine;
use super::refusal::{MAX_ROUNDS, busy, deleted, refusal};
use super::sql::{MadeCopy, ThreadsOfCopy};
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

/// A thread that was locked.
struct Locked<'r> {
    is_target: bool,
    deleted: bool,
    /// Whether a lease only keeps the place of a thread that isn't there yet.
    reserved: bool,
    /// The operation that made it, or deleted it.
    operation: Option<&'r str>,
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
        // Kept in the copy, and so made once: if the first attempt went through, the next one finds
        // its own work.
        let operation = Uuid::new_v4().to_string();
        for _ in 0..MAX_ROUNDS {
            let outcome = self
                .store
                .retry("copy a thread", || async {
                    let (database, operation) = (&self.store.database, &operation);
                    database
                        .transaction(async |tx| self.copy_in(tx, source, target, operation).await)
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

    async fn copy_in(
        &self,
        tx: &Transaction<'_>,
        source: &ThreadId,
        target: &ThreadId,
        operation: &str,
    ) -> Result<Outcome, db::Error> {
        let sql = &self.store.sql;
        let threads = ThreadsOfCopy {
            source: source.as_str(),
            target: target.as_str(),
        };
        let lock = sql.lock_for_copy.with(&threads);
        let rows = tx.query(&lock.statement, &lock.values).await?;
        if let Some(outcome) = outcome_before(source, target, operation, &rows) {
            return Ok(outcome);
        }
        let copy = MadeCopy {
            source: source.as_str(),
            target: target.as_str(),
            operation,
        };
        let make = sql.make_copy.with(&copy);
        if tx.execute(&make.statement, &make.values).await? == 0 {
            return Ok(Outcome::Surprised);
        }
        let copy = sql.copy_thread.with(&threads);
        tx.execute(&copy.statement, &copy.values).await?;
        Ok(Outcome::Copied)
    }
}

/// What a copy comes to by its threads alone, if there is nothing to copy.
fn outcome_before(
    source: &ThreadId,
    target: &ThreadId,
    operation: &str,
    rows: &[Row],
) -> Option<Outcome> {
    let mut has_source = false;
    for row in rows {
        let locked = Locked::read(row);
        if source == target || !locked.is_target {
            has_source = !locked.deleted;
            continue;
        }
        return Some(match locked {
            Locked { reserved: true, .. } => match refusal(target, false, row) {
                Some(refusal) => Outcome::TargetLeased(refusal),
                None => continue,
            },
            Locked { deleted: true, .. } => Outcome::TargetDeleted,
            Locked {
                operation: last, ..
            } if last == Some(operation) => Outcome::Copied,
            Locked { .. } => Outcome::TargetExists,
        });
    }
    match has_source {
        false => Some(Outcome::NoSource),
        true => (source == target).then_some(Outcome::Copied),
    }
}

impl<'r> Locked<'r> {
    fn read(row: &'r Row) -> Self {
        Self {
            is_target: row.get("is_target"),
            deleted: row.get("deleted"),
            reserved: row.get("reserved"),
            operation: row.get("operation"),
        }
    }
}
