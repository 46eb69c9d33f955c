//! What speaks to the server: the database with its statements, and what is known to be stored.
//!
//! It knows no operation. Whatever is sent to the server goes through here.

use std::sync::Arc;

use db::Database;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::last_reads::LastReads;
use super::lists::Lists;
use super::sql::Sql;
use super::stored_chunks::StoredChunks;
use crate::{Error, Result};

/// The database of a checkpointer.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) database: Database,
    pub(super) sql: Sql,
    pub(super) chunks: StoredChunks,
    pub(super) lists: Lists,
    pub(super) last_reads: LastReads,
    pub(super) closing: CancellationToken,
    tasks: TaskTracker,
}

/// How many bytes of memory go to what is remembered: to the chunks that are stored, to the lists that puts
/// append to, to the lists read last, and to the values put last.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) chunks: usize,
    pub(super) lists: usize,
    pub(super) reads: usize,
    pub(super) values: usize,
}

impl Store {
    pub(super) fn new(database: Database, sql: Sql, shares: &Shares) -> Arc<Self> {
        Arc::new(Self {
            database,
            sql,
            chunks: StoredChunks::new(shares.chunks),
            lists: Lists::new(shares.lists),
            last_reads: LastReads::new(shares.reads),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Refuses a call after `close`.
    pub(super) fn check_open(&self) -> Result<()> {
        if self.is_closing() {
            return Err(Error::Closed);
        }
        Ok(())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Admits a write: `close` waits until the token is dropped.
    pub(super) fn admit(&self) -> Result<TaskTrackerToken> {
        // The token comes first: a close in between waits for it, or is noticed below.
        let admitted = self.tasks.token();
        self.check_open()?;
        Ok(admitted)
    }

    /// Starts a task that `close` waits for, on the database's runtime: the caller's may end
    /// before.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn_on(task, self.runtime())
    }

    /// The runtime on which writes go on when their callers are gone.
    pub(super) fn runtime(&self) -> &Handle {
        self.database.runtime()
    }

    /// Whether the caller is on that runtime, too.
    pub(super) fn is_at_home(&self) -> bool {
        Handle::try_current().is_ok_and(|here| here.id() == self.runtime().id())
    }

    /// Admits no further write.
    pub(super) fn begin_close(&self) {
        self.closing.cancel();
        self.tasks.close();
    }

    /// Waits for the writes that were admitted.
    pub(super) async fn wait_for_writes(&self) {
        self.tasks.wait().await;
    }
}
