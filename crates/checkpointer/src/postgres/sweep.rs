//! Removing the tombstones of threads that were deleted long ago.

use db::GenericClient;

use super::engine::Engine;
use super::sql::SweptTombstones;

/// How many tombstones go with a deletion, which makes one: they don't pile up, and no deletion
/// takes long.
const SWEPT_AT_ONCE: i64 = 16;

impl Engine {
    /// Removes a few tombstones that are older than the retention. A failure is only logged, because
    /// the next deletion sweeps again.
    pub(super) async fn sweep_tombstones(&self) {
        let swept = SweptTombstones {
            micros: self.grace.tombstones,
            limit: SWEPT_AT_ONCE,
        };
        let asked = self.store.sql.sweep_tombstones.with(&swept);
        let swept = async {
            let connection = self.store.database.get().await?;
            connection.execute(&asked.statement, &asked.values).await
        };
        if let Err(error) = swept.await {
            tracing::debug!(error = %error.for_log(), "failed to sweep the tombstones of deleted threads");
        }
    }
}
