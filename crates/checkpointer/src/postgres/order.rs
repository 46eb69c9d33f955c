//! The order of writes to one thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::ThreadId;

/// Keeps a thread's writes in the order in which they were first polled. Pending writes may overtake
/// each other, but a put waits for everything before it, and everything after it waits for the put.
#[derive(Debug, Default)]
pub(super) struct Order {
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    by_id: HashMap<ThreadId, Weak<RwLock<()>>>,
    /// How many there were after the last sweep.
    swept: usize,
}

/// A write's permission to write to its thread, held until its outcome is known.
#[derive(Debug)]
#[expect(dead_code, reason = "the guards are held, never read")]
pub(super) enum Turn {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Order {
    /// Waits for the turn of a put, or of another write that must not be overtaken.
    pub(super) async fn alone(&self, thread_id: &ThreadId) -> Turn {
        Turn::Alone(self.lock_of(thread_id).write_owned().await)
    }

    /// Waits for the turn of pending writes.
    pub(super) async fn shared(&self, thread_id: &ThreadId) -> Turn {
        Turn::Shared(self.lock_of(thread_id).read_owned().await)
    }

    fn lock_of(&self, thread_id: &ThreadId) -> Arc<RwLock<()>> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = threads.by_id.get(thread_id).and_then(Weak::upgrade) {
            return lock;
        }
        if threads.by_id.len() >= 2 * threads.swept + 64 {
            threads.by_id.retain(|_, lock| lock.strong_count() > 0);
            threads.swept = threads.by_id.len();
        }
        let lock = Arc::default();
        threads
            .by_id
            .insert(thread_id.clone(), Arc::downgrade(&lock));
        lock
    }
}
