//! What all handles of a checkpointer share, and the frame of every call.

use std::sync::Arc;

use super::call::Call;
use super::lanes::{Begun, Lanes};
use super::last_values::LastValues;
use super::options::Grace;
use super::order::Order;
use super::refusal::cut_off;
use super::store::Store;
use super::watching::Watching;
use super::within::Within;
use crate::{OpenTransaction, Result};

/// What does the work of a checkpointer. Each operation adds its method in a file of its own.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) store: Arc<Store>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) order: Order,
    pub(super) last_values: LastValues,
    pub(super) grace: Grace,
    /// Whether late writes start a deleted thread again.
    pub(super) forgets_deleted: bool,
    pub(super) watching: Watching,
}

impl Engine {
    /// Begins a call, unless it comes after a close.
    pub(super) fn begin(&self) -> Result<Begun<'_>> {
        self.store.check_open()?;
        Ok(self.lanes.begin())
    }

    /// The tables as a transaction of the caller's sees them.
    pub(super) fn within<'a>(&'a self, transaction: OpenTransaction<'a>) -> Result<Within<'a>> {
        Ok(Within {
            store: &self.store,
            transaction: transaction.in_postgres()?,
        })
    }

    /// Runs a write to its end, even if the caller is dropped: until then it keeps its turn.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let call = Call::current();
        let write = async move { Call::work_for(call.as_ref(), write).await };
        let task = {
            // Until the task has a token of its own: a close doesn't wait for this future, which may
            // never be polled again.
            let _admitted = self.store.admit()?;
            self.store.spawn(write)
        };
        match task.await {
            Ok(outcome) => outcome,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(cut_off("finish a write", "COMMIT")),
            },
        }
    }
}
