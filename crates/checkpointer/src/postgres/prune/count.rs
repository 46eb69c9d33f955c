//! What a removal would remove.

use super::plan::Plan;
use crate::postgres::delete::counts;
use crate::postgres::engine::Engine;
use crate::postgres::sql::{GoingCheckpoints, OneThread, OrphanedWrites};
use crate::{Removed, Result, ThreadId};

impl Engine {
    /// Counts what carrying out a plan would remove.
    pub(super) async fn count(&self, plan: &Plan) -> Result<Removed> {
        if !plan.leaves_chunks() {
            return Ok(Removed::default());
        }
        let names = |(number, place): &(usize, usize)| plan.names_of(*number, *place);
        let (removed_ns, removed_ids): (Vec<_>, Vec<_>) = plan.order.iter().map(names).unzip();
        let over = plan.over();
        let orphaned = OrphanedWrites {
            thread_id: plan.thread_id.as_str(),
            over_ns: &over,
            micros: self.grace.orphaned_writes,
        };
        let counted = GoingCheckpoints {
            removed_ns: &removed_ns,
            removed_ids: &removed_ids,
        };
        let asked = self.store.sql.count_removed.with((&orphaned, &counted));
        let row = self.store.query_opt("count checkpoints", asked).await?;
        Ok(row.as_ref().map(counts).unwrap_or_default())
    }

    /// Counts everything in a thread.
    pub(super) async fn count_thread(&self, thread_id: &ThreadId) -> Result<Removed> {
        let thread = OneThread {
            thread_id: thread_id.as_str(),
        };
        let asked = self.store.sql.count_thread.with(&thread);
        let row = self.store.query_opt("count a thread", asked).await?;
        let counted = row.as_ref().map(counts).unwrap_or_default();
        Ok(counted.of_thread())
    }
}
