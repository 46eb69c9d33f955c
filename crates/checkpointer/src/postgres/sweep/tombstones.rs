//! Removing the tombstones of threads that were deleted long ago.

use std::sync::Arc;

use db::GenericClient;

use super::CUT_SHORT_AFTER;
use crate::ThreadId;
use crate::postgres::engine::Engine;
use crate::postgres::sql::{SweptTombstones, micros};

/// How many tombstones go with a deletion, which makes one: they don't pile up, and no deletion
/// takes long.
const SWEPT_AT_ONCE: i64 = 16;

impl Engine {
    /// Removes a few tombstones that are older than the retention. In the background, it goes on with a
    /// deletion that was cut short. A failure is only logged, because the next deletion sweeps again.
    pub(in crate::postgres) async fn sweep_tombstones(self: &Arc<Self>) {
        let swept = SweptTombstones {
            micros: self.grace.tombstones,
            limit: SWEPT_AT_ONCE,
            silent: micros(CUT_SHORT_AFTER),
        };
        let asked = self.store.sql.sweep_tombstones.with(&swept);
        let swept = async {
            let connection = self.store.database.get().await?;
            connection.query_opt(&asked.statement, &asked.values).await
        };
        match swept.await {
            Ok(None) => {}
            Ok(Some(row)) => self.sweep_in_background(ThreadId::trusted(row.get("thread_id"))),
            Err(error) => {
                tracing::debug!(error = %error.for_log(), "failed to sweep the tombstones of deleted threads");
            }
        }
    }

    fn sweep_in_background(self: &Arc<Self>, thread_id: ThreadId) {
        let engine = Arc::clone(self);
        let sweeping = async move { engine.sweep_rest(&thread_id).await };
        drop(self.store.spawn(sweeping));
    }
}
