//! Removing the chunks of a thread that nothing refers to, in steps that are short for those who wait.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use db::{GenericClient, Transaction};

use super::mark::{Begun, Mark};
use super::pace::Pace;
use crate::codec::ContentHash;
use crate::postgres::engine::Engine;
use crate::postgres::refusal::busy;
use crate::postgres::sql::{EndedSweep, FoundChunks, LockedThread, SweptThread};
use crate::{Removed, Result, ThreadId};

/// How often a sweep begins at most, because another server has taken over.
const MAX_BEGINNINGS: usize = 8;

/// What a step has come to.
enum Swept {
    /// So many bytes were removed, of a thread that is live or not, and for so long writers to it had to wait.
    Bytes {
        bytes: u64,
        live: bool,
        held: Duration,
    },
    /// Nothing was removed, because what was found was found on another server.
    AnotherServer,
}

impl Engine {
    /// Sweeps the chunks of a thread.
    pub(in crate::postgres) async fn sweep_chunks(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        removed: &mut Removed,
    ) -> Result<()> {
        let (mut after, mut pace) = (ContentHash::from_bytes([0; 16]), Pace::new());
        for _ in 0..MAX_BEGINNINGS {
            let begun = self.begin_sweep(thread_id).await?;
            let swept = self.sweep_after(thread_id, begun, &mut after, &mut pace, removed);
            if swept.await?.is_break() {
                self.store.chunks.forget(thread_id);
                return Ok(());
            }
        }
        Err(busy(thread_id))
    }

    /// Sweeps the chunks after one, to the end unless another server has taken over.
    async fn sweep_after(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        begun: Begun,
        after: &mut ContentHash,
        pace: &mut Pace,
        removed: &mut Removed,
    ) -> Result<ControlFlow<()>> {
        loop {
            let Some(mark) = self.find_unneeded(thread_id, begun, *after).await? else {
                return Ok(ControlFlow::Continue(()));
            };
            let (mark, mut done) = (Arc::new(mark), 0);
            while done < mark.found.len() {
                let part = done..mark.found.len().min(done + pace.size());
                match self
                    .sweep_step(thread_id, begun, &mark, part.clone())
                    .await?
                {
                    Swept::Bytes { bytes, live, held } => {
                        removed.bytes += bytes;
                        let pause = pace.pause_after(held);
                        if live {
                            tokio::time::sleep(pause).await;
                        }
                    }
                    Swept::AnotherServer => return Ok(ControlFlow::Continue(())),
                }
                done = part.end;
                *after = mark.found[done - 1];
            }
            if mark.is_last() {
                self.end_sweep(thread_id, begun).await?;
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Removes a part of the chunks that were found, in the thread's turn.
    async fn sweep_step(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        begun: Begun,
        mark: &Arc<Mark>,
        part: Range<usize>,
    ) -> Result<Swept> {
        let turn = self.order.alone(thread_id).await;
        let (engine, thread_id, mark) = (Arc::clone(self), thread_id.clone(), Arc::clone(mark));
        self.finish(async move {
            let found = FoundChunks {
                found: &mark.found[part],
                oldest: mark.oldest,
                server: begun.server,
            };
            let swept = engine
                .store
                .retry("sweep chunks", || async {
                    let database = &engine.store.database;
                    database
                        .transaction(async |tx| engine.sweep_in(tx, &thread_id, &found).await)
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
        thread_id: &ThreadId,
        found: &FoundChunks<'_>,
    ) -> Result<Swept, db::Error> {
        let sql = &self.store.sql;
        let thread = LockedThread {
            thread_id: thread_id.as_str(),
            lease: None,
        };
        let lock = sql.lock_thread.with(&thread);
        let Some(row) = tx.query_opt(&lock.statement, &lock.values).await? else {
            // Without the row there is no lock, and another program may be making the thread.
            return Ok(Swept::Bytes {
                bytes: 0,
                live: false,
                held: Duration::ZERO,
            });
        };
        let since = Instant::now();
        let live = !row.get::<_, bool>("deleted");
        let thread = SweptThread {
            thread_id: thread_id.as_str(),
        };
        let sweep = sql.sweep_chunks.with((&thread, found));
        let row = tx.query_one(&sweep.statement, &sweep.values).await?;
        let bytes = u64::try_from(row.get::<_, i64>("bytes")).unwrap_or(0);
        Ok(match row.get("same_server") {
            true => Swept::Bytes {
                bytes,
                live,
                held: since.elapsed(),
            },
            false => Swept::AnotherServer,
        })
    }

    async fn end_sweep(&self, thread_id: &ThreadId, begun: Begun) -> Result<()> {
        let thread = SweptThread {
            thread_id: thread_id.as_str(),
        };
        let ended = EndedSweep { noted: begun.noted };
        let end = self.store.sql.end_sweep.with((&thread, &ended));
        self.store.execute("end a sweep", end).await
    }
}
