//! Removing what removals have left: chunks, writes whose checkpoint won't come, and tombstones.

mod chunks;
mod mark;
mod orphans;
mod pace;
mod tombstones;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::meter;
use super::sql::{SweptThread, UnsweptPage, micros};
use crate::{Removed, Result, ThreadId};

/// For how long a removal may do nothing before others take it for cut short.
pub(super) const CUT_SHORT_AFTER: Duration = Duration::from_secs(60);

/// A thread whose removal was cut short.
pub(super) struct Unswept {
    pub(super) thread_id: ThreadId,
    live: bool,
}

impl Engine {
    /// Finds threads whose removal had been cut short when something `began`, those first that have waited for
    /// longest.
    pub(super) async fn unswept(&self, began: Instant, limit: i64) -> Result<Vec<Unswept>> {
        let page = UnsweptPage {
            silent: micros(CUT_SHORT_AFTER + began.elapsed()),
            limit,
        };
        let asked = self.store.sql.unswept.with(&page);
        let rows = self.store.query("find threads to sweep", asked).await?;
        let unswept = rows.iter().map(|row| Unswept {
            thread_id: ThreadId::trusted(row.get("thread_id")),
            live: row.get("live"),
        });
        Ok(unswept.collect())
    }

    /// Sweeps one of them: what is left of it may be what was to be deleted. If that fails, it waits behind the
    /// others.
    pub(super) async fn sweep_unswept(
        self: &Arc<Self>,
        Unswept { thread_id, live }: Unswept,
        all: &mut Removed,
    ) -> ControlFlow<()> {
        let mut removed = Removed::default();
        let swept = match live {
            true => self.remove_nothing(&thread_id, &mut removed).await,
            false => self.sweep_deleted(&thread_id, &mut removed).await,
        };
        if swept.is_err() {
            self.postpone_sweep(&thread_id).await;
        }
        all.add_swept(thread_id, &removed, swept)
    }

    /// Is sent once: what has failed may have been the server.
    async fn postpone_sweep(&self, thread_id: &ThreadId) {
        let thread = SweptThread {
            thread_id: thread_id.as_str(),
        };
        let postpone = self.store.sql.postpone_sweep.with(&thread);
        if let Err(error) = self.store.query_once(postpone).await {
            let thread_id = thread_id.as_str();
            tracing::debug!(thread_id, error = %error.for_log(), "failed to postpone a sweep");
        }
    }

    /// Sweeps a thread that was just deleted, and returns what was removed. A failure is only logged: the
    /// thread is deleted, and what is left of it is noted.
    pub(super) async fn sweep_rest(self: &Arc<Self>, thread_id: &ThreadId) -> Removed {
        let mut removed = Removed::default();
        if let Err(error) = self.sweep_chunks(thread_id, &mut removed).await {
            let thread_id = thread_id.as_str();
            tracing::debug!(thread_id, error = %error.for_log(), "chunks of a deleted thread are left");
        }
        removed
    }

    /// Sweeps a deleted thread. If the caller is dropped, it goes on to the end, unless a close comes
    /// before.
    pub(super) async fn sweep_deleted(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        removed: &mut Removed,
    ) -> Result<()> {
        let (engine, thread_id) = (Arc::clone(self), thread_id.clone());
        let sweeping = async move {
            let mut removed = Removed::default();
            let outcome = engine.sweep_chunks(&thread_id, &mut removed).await;
            meter::removed(&removed);
            Ok((removed, outcome))
        };
        let (part, outcome) = self.finish(sweeping).await?;
        removed.count(&part);
        outcome
    }
}
