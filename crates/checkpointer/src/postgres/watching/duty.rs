//! Whose turn it is to look: one task at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::watchers::Watchers;

/// Whether a task looks for the watchers.
#[derive(Debug, Clone, Default)]
pub(super) struct Duty {
    is_taken: Arc<Mutex<bool>>,
}

/// The task that looks. When it is dropped while there are watchers, their streams end.
#[derive(Debug)]
pub(super) struct OnDuty {
    duty: Duty,
    watchers: Arc<Watchers>,
    /// Whether it isn't needed any more. Another task may have the duty by then.
    is_over: bool,
}

impl Duty {
    /// Takes the duty, unless a task has it. That one sees a watcher that was added before.
    pub(super) fn take(&self, watchers: &Arc<Watchers>) -> Option<OnDuty> {
        let was_taken = std::mem::replace(&mut *self.lock(), true);
        (!was_taken).then(|| OnDuty {
            duty: self.clone(),
            watchers: Arc::clone(watchers),
            is_over: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnDuty {
    /// Whether there is a watcher. Else the duty is over, and the next watcher starts another task.
    pub(super) fn is_needed(&mut self) -> bool {
        let mut is_taken = self.duty.lock();
        self.is_over = self.watchers.are_none();
        *is_taken = !self.is_over;
        *is_taken
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        if !self.is_over {
            let mut is_taken = self.duty.lock();
            *is_taken = false;
            self.watchers.end();
        }
    }
}

#[cfg(test)]
mod tests;
