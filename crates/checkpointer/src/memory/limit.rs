//! A limit of bytes per thread.

use super::Store;
use crate::{Error, Result, ThreadId};

impl Store {
    /// Changes a thread, unless it would be larger than the limit and than it is.
    pub(super) fn change_within_limit<T>(
        &mut self,
        thread_id: &ThreadId,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<T> {
        let Some(limit) = self.max_thread_bytes else {
            return Ok(change(self));
        };
        let before = self.threads.get(thread_id).cloned();
        let bytes_before = self.bytes_of(thread_id);
        let changed = change(self);
        let bytes = self.bytes_of(thread_id);
        if bytes <= limit.max(bytes_before) {
            return Ok(changed);
        }
        match before {
            Some(thread) => self.threads.insert(thread_id.clone(), thread),
            None => self.threads.remove(thread_id),
        };
        Err(Error::thread_full(thread_id, bytes, limit))
    }

    fn bytes_of(&self, thread_id: &ThreadId) -> u64 {
        let thread = self.threads.get(thread_id);
        thread.map_or(0, |thread| thread.size(thread_id).bytes)
    }
}
