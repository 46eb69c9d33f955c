//! What is done once a transaction is known to be committed.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Function = Box<dyn FnOnce() + Send>;

/// The functions to call after the commit, in their order.
#[derive(Default)]
pub(crate) struct AfterCommit(Mutex<Vec<Function>>);

impl AfterCommit {
    pub(crate) fn push(&self, function: Function) {
        self.functions().push(function);
    }

    /// Drops the functions that were pushed so far.
    pub(crate) fn clear(&self) {
        self.functions().clear();
    }

    /// Calls them: the transaction is committed.
    pub(crate) fn run(self) {
        let functions = self.0.into_inner();
        for function in functions.unwrap_or_else(PoisonError::into_inner) {
            function();
        }
    }

    fn functions(&self) -> MutexGuard<'_, Vec<Function>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AfterCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AfterCommit").finish_non_exhaustive()
    }
}
