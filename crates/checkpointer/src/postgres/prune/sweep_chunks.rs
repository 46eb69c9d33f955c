//! Removing the chunks that nothing needs any more, and the writes whose checkpoint won't come.

use std::sync::Arc;

use db::{GenericClient, Transaction};

use super::plan::Plan;
use crate::codec::ContentHash;
use crate::postgres::delete::counts;
use crate::postgres::engine::Engine;
use crate::postgres::meter;
use crate::postgres::sql::{FoundWrites, LockedThread, OrphanedWrites, SweptChunks, SweptThread};
use crate::{Removed, Result};

/// How many chunks a step removes at most.
const SWEPT_AT_ONCE: i64 = 2_000;

/// Writes whose checkpoint won't come.
#[derive(Debug, Default)]
struct Found {
    over: Vec<String>,
    namespaces: Vec<String>,
    ids: Vec<String>,
}

/// What a step of a sweep has come to.
struct Swept {
    removed: Removed,
    /// After which chunk the next step goes on; none if this was the last one.
    next: Option<ContentHash>,
}

impl Engine {
    /// Sweeps a thread, step by step.
    pub(super) async fn sweep_thread(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        removed: &mut Removed,
    ) -> Result<()> {
        let found = Arc::new(self.orphaned_writes(plan).await?);
        let mut after = Some(ContentHash::from_bytes([0; 16]));
        while let Some(from) = after {
            let swept = self.sweep_step(plan, &found, from).await?;
            meter::removed(&swept.removed);
            removed.count(&swept.removed);
            after = swept.next;
        }
        self.store.chunks.forget(&plan.thread_id);
        Ok(())
    }

    async fn orphaned_writes(&self, plan: &Plan) -> Result<Found> {
        let over = plan.over();
        let orphaned = OrphanedWrites {
            thread_id: plan.thread_id.as_str(),
            over_ns: &over,
            micros: self.grace.orphaned_writes,
        };
        let asked = self.store.sql.find_orphaned_writes.with(&orphaned);
        let rows = self.store.query("find orphaned writes", asked).await?;
        let rows = rows.iter();
        let (namespaces, ids) = rows
            .map(|row| (row.get("checkpoint_ns"), row.get("checkpoint_id")))
            .unzip();
        Ok(Found {
            over,
            namespaces,
            ids,
        })
    }

    async fn sweep_step(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        found: &Arc<Found>,
        after: ContentHash,
    ) -> Result<Swept> {
        let turn = self.order.alone(&plan.thread_id).await;
        let (engine, plan, found) = (Arc::clone(self), Arc::clone(plan), Arc::clone(found));
        self.finish(async move {
            let swept = engine
                .store
                .retry("sweep chunks", || async {
                    let database = &engine.store.database;
                    database
                        .transaction(async |tx| engine.sweep_in(tx, &plan, &found, after).await)
                        .await
                })
                .await;
            drop(turn);
            swept
        })
        .await
    }

    async fn sweep_in(
        &self,
        tx: &Transaction<'_>,
        plan: &Plan,
        found: &Found,
        after: ContentHash,
    ) -> Result<Swept, db::Error> {
        let sql = &self.store.sql;
        let thread = LockedThread {
            thread_id: plan.thread_id.as_str(),
            lease: None,
        };
        let lock = sql.lock_thread.with(&thread);
        tx.execute(&lock.statement, &lock.values).await?;
        let mut removed = self.remove_orphaned(tx, plan, found).await?;
        let thread = SweptThread {
            thread_id: plan.thread_id.as_str(),
        };
        let chunks = SweptChunks {
            after,
            limit: SWEPT_AT_ONCE,
        };
        let sweep = sql.sweep_chunks.with((&thread, &chunks));
        let row = tx.query_opt(&sweep.statement, &sweep.values).await?;
        let (chunks, bytes, last): (i64, i64, Option<&[u8]>) = match &row {
            Some(row) => (row.get("chunks"), row.get("bytes"), row.get("last")),
            None => (0, 0, None),
        };
        removed.bytes += u64::try_from(bytes).unwrap_or(0);
        let next = last.filter(|_| chunks == SWEPT_AT_ONCE).and_then(hash);
        if next.is_none() {
            let end = sql.end_sweep.with(&thread);
            tx.execute(&end.statement, &end.values).await?;
        }
        Ok(Swept { removed, next })
    }

    async fn remove_orphaned(
        &self,
        tx: &Transaction<'_>,
        plan: &Plan,
        found: &Found,
    ) -> Result<Removed, db::Error> {
        if found.ids.is_empty() {
            return Ok(Removed::default());
        }
        let writes = FoundWrites {
            thread_id: plan.thread_id.as_str(),
            over_ns: &found.over,
            found_ns: &found.namespaces,
            found_ids: &found.ids,
        };
        let remove = self.store.sql.remove_orphaned_writes.with(&writes);
        let row = tx.query_opt(&remove.statement, &remove.values).await?;
        Ok(row.as_ref().map(counts).unwrap_or_default())
    }
}

fn hash(stored: &[u8]) -> Option<ContentHash> {
    stored.try_into().ok().map(ContentHash::from_bytes)
}
