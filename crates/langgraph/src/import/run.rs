//! One import under way.

use std::sync::{Mutex, PoisonError};

use checkpointer::PostgresCheckpointer;
use futures_util::{TryStreamExt, stream};

use super::report::{Counts, Place, Reason, Report};
use super::tables::Tables;
use super::thread;
use crate::{Error, Result};

/// How many threads are imported at the same time at most, each in a transaction.
const AT_ONCE: usize = 8;

/// What an import works with.
pub(super) struct Run<'a> {
    pub(super) tables: Tables,
    pub(super) target: &'a PostgresCheckpointer,
    pub(super) account: Mutex<Account<'a>>,
}

/// What was done so far, and who wants to know.
pub(super) struct Account<'a> {
    pub(super) report: Report,
    pub(super) progress: &'a mut (dyn FnMut(&Report) + Send),
}

/// Why something wasn't imported, and what ends with it.
#[derive(Debug)]
pub(super) enum Failure {
    /// A checkpoint, or the writes of a task.
    Item(Reason),
    /// The thread.
    Thread(Reason),
    /// The transaction: the server has failed at a statement, which may pass.
    Server(db::Error),
    /// The import.
    All(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::All(error)
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Item(reason)
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        Self::Server(error)
    }
}

impl From<checkpointer::Error> for Failure {
    fn from(error: checkpointer::Error) -> Self {
        use checkpointer::Error as Store;
        match error {
            Store::InvalidName { .. }
            | Store::Unstorable { .. }
            | Store::MalformedCheckpoint { .. } => Self::Item(Reason::Refused(error)),
            Store::ThreadDeleted { .. } => Self::Thread(Reason::Deleted),
            Store::LeaseHeld { .. }
            | Store::Conflict { .. }
            | Store::ThreadFull { .. }
            | Store::Busy { .. } => Self::Thread(Reason::Refused(error)),
            Store::Database { source, .. } => Self::Server(source),
            source => Self::All(Error::Store { source }),
        }
    }
}

impl Run<'_> {
    /// Imports all threads, and tells each time when one is done.
    pub(super) async fn all(self) -> Result<Report> {
        let tables = &self.tables;
        let names = stream::try_unfold(None, async |last: Option<String>| {
            let next = tables.next_thread(last.as_deref()).await?;
            Ok::<_, Error>(next.map(|name| (name.clone(), Some(name))))
        });
        let import = |name: String| self.thread(name);
        names
            .try_for_each_concurrent(self.at_once(), import)
            .await?;
        let account = self.account.into_inner();
        Ok(account.unwrap_or_else(PoisonError::into_inner).report)
    }

    /// How many threads are imported at the same time. One connection is left to read by, if the source
    /// is the target's pool.
    fn at_once(&self) -> usize {
        let connections = self.target.database().pool_max() as usize;
        connections.saturating_sub(1).clamp(1, AT_ONCE)
    }

    async fn thread(&self, name: String) -> Result<()> {
        let mut present = false;
        match thread::import(self, &name).await {
            Ok(imported) => present = !imported,
            Err(Failure::Item(reason) | Failure::Thread(reason)) => self.lose(&name, None, reason),
            Err(Failure::Server(source)) => {
                let source = checkpointer::Error::database("import a thread", source);
                return Err(Error::Store { source });
            }
            Err(Failure::All(error)) => return Err(error),
        }
        self.count(|report| {
            report.threads += 1;
            report.present += u64::from(present);
        });
        self.tell();
        Ok(())
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Report)) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut account.report);
    }

    pub(super) fn lose(&self, thread_id: &str, place: Option<Place>, reason: Reason) {
        self.count(|report| report.lose(thread_id, place, reason));
    }

    /// Takes back what was counted of a thread whose transaction was rolled back.
    pub(super) fn forget(&self, thread_id: &str, counts: Counts) {
        self.count(|report| {
            counts.take_from(report);
            report.losses.retain(|loss| loss.thread_id != thread_id);
        });
    }

    pub(super) fn tell(&self) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let Account { report, progress } = &mut *account;
        progress(report);
    }
}
