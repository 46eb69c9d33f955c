//! One import under way.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use checkpointer::Checkpointer;
use futures_util::{TryStreamExt, stream};

use super::report::{Place, Reason, Report};
use super::tables::Tables;
use super::thread::Thread;
use crate::{Error, Result};

/// How many threads are imported at the same time.
const AT_ONCE: usize = 8;

/// What an import works with.
pub(super) struct Run<'a> {
    pub(super) tables: Tables,
    pub(super) checkpointer: &'a dyn Checkpointer,
    pub(super) lease_ttl: Duration,
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
    /// What is left of the thread.
    Thread(Reason),
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

impl From<checkpointer::Error> for Failure {
    fn from(error: checkpointer::Error) -> Self {
        use checkpointer::Error as Store;
        match error {
            Store::InvalidName { .. }
            | Store::Unstorable { .. }
            | Store::MalformedCheckpoint { .. } => Self::Item(Reason::Refused(error)),
            Store::ThreadDeleted { .. } | Store::LeaseHeld { .. } | Store::LeaseLost { .. } => {
                Self::Thread(Reason::Refused(error))
            }
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
        names.try_for_each_concurrent(AT_ONCE, import).await?;
        let account = self.account.into_inner();
        Ok(account.unwrap_or_else(PoisonError::into_inner).report)
    }

    async fn thread(&self, name: String) -> Result<()> {
        match Thread::import(self, &name).await {
            Ok(()) => {}
            Err(Failure::Item(reason) | Failure::Thread(reason)) => self.lose(&name, None, reason),
            Err(Failure::All(error)) => return Err(error),
        }
        self.count(|report| report.threads += 1);
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

    pub(super) fn tell(&self) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let Account { report, progress } = &mut *account;
        progress(report);
    }
}
