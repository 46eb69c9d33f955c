//! What was used last, up to a number of bytes.

#[cfg(test)]
mod tests;

use std::hash::Hash;

use lru::LruCache;

/// Keeps the values that were used last.
///
/// What makes room for others is returned: to drop it may take long, and no lock is to be held meanwhile.
#[derive(Debug)]
pub(super) struct ByBytes<Key: Hash + Eq, Value> {
    /// The values, and how many bytes each takes.
    entries: LruCache<Key, (Value, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl<Key: Hash + Eq, Value> ByBytes<Key, Value> {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            max_bytes,
        }
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// How many bytes the values take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<&Value> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, key: &Key) -> Option<Value> {
        let (value, bytes) = self.entries.pop(key)?;
        self.bytes -= bytes;
        Some(value)
    }

    /// Takes out all values whose keys are such. It looks at each key.
    #[must_use = "it is to be dropped without a lock"]
    pub(super) fn take_all(&mut self, is_such: impl Fn(&Key) -> bool) -> Vec<Value>
    where
        Key: Clone,
    {
        let keys = self.entries.iter().map(|(key, _)| key);
        let keys: Vec<_> = keys.filter(|key| is_such(key)).cloned().collect();
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// Keeps a value that takes so many bytes. Returns what was in its place, and what has made room for it. One
    /// that is too large by itself is returned, too, and makes none of the others go.
    #[must_use = "it is to be dropped without a lock"]
    pub(super) fn put(&mut self, key: Key, value: Value, bytes: usize) -> Vec<Value> {
        let mut dropped = Vec::from_iter(self.take(&key));
        if bytes > self.max_bytes {
            dropped.push(value);
            return dropped;
        }
        while self.bytes > self.max_bytes - bytes {
            let Some((_, (oldest, bytes))) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= bytes;
            dropped.push(oldest);
        }
        self.bytes += bytes;
        self.entries.put(key, (value, bytes));
        dropped
    }
}
