//! Removing old checkpoints, and those of runs.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Inner;
use super::jsonb::Jsonb;
use super::list::encode_filter;
use super::retry::retry;
use crate::{DeleteThread, Prune, PruneStrategy, Result, ThreadId};

/// What is removed from a thread.
#[derive(Debug)]
enum Removal {
    /// All but what the heads need.
    Old,
    /// Checkpoints whose metadata contains one of these.
    Runs(Arc<[Vec<u8>]>),
}

impl Inner {
    pub(super) async fn prune(self: &Arc<Self>, prune: Prune) -> Result<()> {
        self.check_open()?;
        for thread_id in prune.thread_ids {
            match prune.strategy {
                PruneStrategy::Delete => self.delete_thread(DeleteThread::new(thread_id)).await?,
                PruneStrategy::KeepLatest => self.thin(thread_id, Removal::Old).await?,
            }
        }
        Ok(())
    }

    pub(super) async fn delete_for_runs(self: &Arc<Self>, run_ids: &[String]) -> Result<()> {
        self.check_open()?;
        // A run whose id can't be stored is in no metadata.
        let runs: Arc<[Vec<u8>]> = run_ids
            .iter()
            .filter_map(|run_id| {
                let filter = Map::from_iter([("run_id".to_owned(), Value::from(run_id.as_str()))]);
                encode_filter(Some(&filter)).flatten()
            })
            .collect();
        if runs.is_empty() {
            return Ok(());
        }
        let threads = retry("find the threads of runs", || async {
            let runs: Vec<Jsonb<'_>> = runs.iter().map(|run| Jsonb(run)).collect();
            let connection = self.database.get().await?;
            connection.query(&self.sql.threads_of_runs, &[&runs]).await
        })
        .await?;
        for row in threads {
            let thread_id = ThreadId::trusted(row.get("thread_id"));
            self.thin(thread_id, Removal::Runs(Arc::clone(&runs)))
                .await?;
        }
        Ok(())
    }

    /// Removes some of a thread's checkpoints, in its turn.
    async fn thin(self: &Arc<Self>, thread_id: ThreadId, removal: Removal) -> Result<()> {
        let turn = self.order.alone(&thread_id).await;
        let inner = Arc::clone(self);
        self.finish(async move {
            let outcome = inner.thin_in_turn(&thread_id, &removal).await;
            drop(turn);
            outcome
        })
        .await
    }

    async fn thin_in_turn(&self, thread_id: &ThreadId, removal: &Removal) -> Result<()> {
        retry("remove checkpoints", || async {
            self.database
                .transaction(async |tx| {
                    let id = thread_id.as_str();
                    tx.execute(&self.sql.lock_thread, &[&id]).await?;
                    let removed = match removal {
                        Removal::Old => tx.execute(&self.sql.prune, &[&id]).await?,
                        Removal::Runs(runs) => {
                            let runs: Vec<Jsonb<'_>> = runs.iter().map(|run| Jsonb(run)).collect();
                            tx.execute(&self.sql.delete_runs, &[&id, &runs]).await?
                        }
                    };
                    if removed > 0 {
                        tx.execute(&self.sql.sweep_chunks, &[&id]).await?;
                    }
                    Ok::<_, db::Error>(())
                })
                .await
        })
        .await?;
        self.cache.forget(thread_id);
        Ok(())
    }
}
