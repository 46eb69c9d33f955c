//! Removing pending writes whose checkpoint won't come.

use std::sync::Arc;

use db::{GenericClient, Transaction};

use crate::postgres::delete::counts;
use crate::postgres::engine::Engine;
use crate::postgres::sql::{FoundWrites, LockedThread, OrphanedWrites};
use crate::{Removed, Result, ThreadId};

/// Writes whose checkpoint won't come.
#[derive(Debug)]
struct Orphans {
    thread_id: ThreadId,
    generation: i64,
    /// The namespaces that are over.
    over: Vec<String>,
    namespaces: Vec<String>,
    ids: Vec<String>,
}

impl Engine {
    /// Removes the pending writes of a generation of a thread that have waited for too long, or whose
    /// namespace is `over`.
    pub(in crate::postgres) async fn remove_orphans(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        generation: i64,
        over: Vec<String>,
    ) -> Result<Removed> {
        let orphans = Arc::new(self.find_orphans(thread_id, generation, over).await?);
        if orphans.ids.is_empty() {
            return Ok(Removed::default());
        }
        let turn = self.order.alone(thread_id).await;
        let engine = Arc::clone(self);
        self.finish(async move {
            let removed = engine
                .store
                .retry("remove orphaned writes", || async {
                    let database = &engine.store.database;
                    database
                        .transaction(async |tx| engine.remove_orphans_in(tx, &orphans).await)
                        .await
                })
                .await;
            drop(turn);
            removed
        })
        .await
    }

    async fn find_orphans(
        &self,
        thread_id: &ThreadId,
        generation: i64,
        over: Vec<String>,
    ) -> Result<Orphans> {
        let orphaned = OrphanedWrites {
            thread_id: thread_id.as_str(),
            over_ns: &over,
            micros: self.grace.orphaned_writes,
        };
        let asked = self.store.sql.find_orphaned_writes.with(&orphaned);
        let rows = self.store.query("find orphaned writes", asked).await?;
        let (namespaces, ids) = (rows.iter())
            .map(|row| (row.get("checkpoint_ns"), row.get("checkpoint_id")))
            .unzip();
        Ok(Orphans {
            thread_id: thread_id.clone(),
            generation,
            over,
            namespaces,
            ids,
        })
    }

    async fn remove_orphans_in(
        &self,
        tx: &Transaction<'_>,
        orphans: &Orphans,
    ) -> Result<Removed, db::Error> {
        let thread = LockedThread {
            thread_id: orphans.thread_id.as_str(),
            lease: None,
        };
        let lock = self.store.sql.lock_thread.with(&thread);
        let row = tx.query_opt(&lock.statement, &lock.values).await?;
        // A thread that was started again has other writes.
        if row.is_none_or(|row| row.get::<_, i64>("generation") != orphans.generation) {
            return Ok(Removed::default());
        }
        let writes = FoundWrites {
            thread_id: orphans.thread_id.as_str(),
            over_ns: &orphans.over,
            micros: self.grace.orphaned_writes,
            found_ns: &orphans.namespaces,
            found_ids: &orphans.ids,
        };
        let remove = self.store.sql.remove_orphaned_writes.with(&writes);
        let row = tx.query_opt(&remove.statement, &remove.values).await?;
        Ok(row.as_ref().map(counts).unwrap_or_default())
    }
}
