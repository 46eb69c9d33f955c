//! Which chunks the client believes to be stored.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::view::View;
use crate::ThreadId;
use crate::codec::ContentHash;

/// What a hash costs, with its share of the table it is kept in.
const HASH_BYTES: usize = 32;

/// What a thread costs, with its id.
const THREAD_BYTES: usize = 192;

/// Remembers, for the threads used last, their state and the chunks they hold.
///
/// It only saves work: each statement checks what it relies on.
#[derive(Debug)]
pub(super) struct StoredChunks {
    threads: Mutex<Threads>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Threads {
    by_id: LruCache<ThreadId, Known>,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    view: View,
    hashes: HashSet<ContentHash>,
}

impl StoredChunks {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            threads: Mutex::new(Threads {
                by_id: LruCache::unbounded(),
                bytes: 0,
            }),
            max_bytes,
        }
    }

    /// The thread's state, if it is known.
    pub(super) fn view(&self, thread_id: &ThreadId) -> Option<View> {
        self.lock().by_id.get(thread_id).map(|known| known.view)
    }

    /// Whether a chunk is stored, as far as is known of the thread in that state.
    pub(super) fn has(&self, thread_id: &ThreadId, view: View, hash: &ContentHash) -> bool {
        let threads = self.lock();
        let known = threads.by_id.peek(thread_id);
        known.is_some_and(|known| known.view == view && known.hashes.contains(hash))
    }

    /// Notes what a committed statement, or a read, has shown.
    pub(super) fn note(
        &self,
        thread_id: &ThreadId,
        view: View,
        hashes: impl Iterator<Item = ContentHash>,
    ) {
        let mut threads = self.lock();
        let Threads { by_id, bytes } = &mut *threads;
        let known = by_id.get_or_insert_mut(thread_id.clone(), || {
            *bytes += THREAD_BYTES + thread_id.as_str().len();
            Known {
                view,
                hashes: HashSet::new(),
            }
        });
        let newer = (view.generation, view.gc) > (known.view.generation, known.view.gc);
        if newer {
            *bytes -= known.hashes.len() * HASH_BYTES;
            *known = Known {
                view,
                hashes: HashSet::new(),
            };
        } else if view != known.view {
            // The answer is older than what is known: what it saw may be gone.
            return;
        }
        let before = known.hashes.len();
        known.hashes.extend(hashes);
        *bytes += (known.hashes.len() - before) * HASH_BYTES;
        if known.hashes.len() * HASH_BYTES > self.max_bytes {
            // It alone would displace all other threads, and then itself.
            *bytes -= known.hashes.len() * HASH_BYTES;
            known.hashes = HashSet::new();
        }
        while *bytes > self.max_bytes {
            let Some((thread_id, known)) = by_id.pop_lru() else {
                break;
            };
            *bytes -= THREAD_BYTES + thread_id.as_str().len() + known.hashes.len() * HASH_BYTES;
        }
    }

    /// Forgets a thread.
    pub(super) fn forget(&self, thread_id: &ThreadId) {
        let mut threads = self.lock();
        if let Some(known) = threads.by_id.pop(thread_id) {
            threads.bytes -=
                THREAD_BYTES + thread_id.as_str().len() + known.hashes.len() * HASH_BYTES;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
