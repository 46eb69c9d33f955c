//! The lists that puts append to, so that the next put needs no more than what is new.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::cut::List;
use super::view::View;
use crate::{ChannelValues, ChannelVersions, CheckpointId, CheckpointNs, Put, ThreadId, Version};

/// About what a list takes besides its contents and its names.
const LIST_BYTES: usize = 512;

/// Remembers, of the threads used last, the lists that puts append to, as they are at the checkpoint
/// put last in each namespace.
///
/// A put takes its lists out, and gives them back once it is stored, both in its turn. So each list is the
/// value of the checkpoint that it names, unless another program puts that checkpoint again.
#[derive(Debug)]
pub(super) struct Lists {
    threads: Mutex<Threads>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Threads {
    by_id: LruCache<ThreadId, BTreeMap<CheckpointNs, At>>,
    bytes: usize,
}

/// The lists of a checkpoint.
#[derive(Debug)]
struct At {
    generation: i64,
    checkpoint_id: CheckpointId,
    channels: BTreeMap<String, Known>,
}

/// A list with its channel's version.
#[derive(Debug)]
struct Known {
    version: Option<Version>,
    list: List,
}

/// The lists of a checkpoint that is put.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Those that it appends to, with what it appends; none before they are read.
    appended: Option<BTreeMap<String, List>>,
    /// Those that it stores as a whole and that are to [grow](Put::grows).
    whole: BTreeMap<String, List>,
    /// The versions that it gives them.
    versions: ChannelVersions,
    /// Those that it leaves as they are.
    kept: BTreeMap<String, Known>,
}

impl Lists {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            threads: Mutex::new(Threads {
                by_id: LruCache::unbounded(),
                bytes: 0,
            }),
            max_bytes,
        }
    }

    /// Takes the lists of a put's parent, and appends what the put does.
    pub(super) fn take(&self, put: &Put<'_>) -> Growing {
        let mut known = self.take_known(put);
        let appended = put.appended.iter().map(|(channel, appended)| {
            let Known { list, .. } = known.remove(*channel)?;
            let is_meant = list.len() == appended.after;
            is_meant.then(|| ((*channel).to_owned(), list.append(appended.items)))
        });
        let appended = appended.collect();
        let mut kept = BTreeMap::new();
        // Without its parent it would store them empty.
        if !known.is_empty() && put.needs_parent() {
            for (channel, version) in put.unchanged() {
                if let Some((channel, known)) = known.remove_entry(channel)
                    && (known.version.as_ref()).is_some_and(|before| before.is_same(version))
                {
                    kept.insert(channel, known);
                }
            }
        }
        let versions = &put.checkpoint.channel_versions;
        let changed = put.appended.keys().chain(&put.growing);
        let versions = changed.filter_map(|channel| {
            let version = versions.get(*channel)?.clone();
            Some(((*channel).to_owned(), version))
        });
        Growing {
            appended,
            whole: BTreeMap::new(),
            versions: versions.collect(),
            kept,
        }
    }

    fn take_known(&self, put: &Put<'_>) -> BTreeMap<String, Known> {
        let Some(at) = self.lock().take(put.thread_id, &put.checkpoint_ns) else {
            return BTreeMap::new();
        };
        let is_parent = Some(&at.checkpoint_id) == put.parent
            && (put.generation).is_none_or(|read| read.0 == at.generation);
        match is_parent {
            true => at.channels,
            false => BTreeMap::new(),
        }
    }

    /// Remembers the lists of a checkpoint that is stored.
    pub(super) fn keep(
        &self,
        thread_id: &ThreadId,
        checkpoint_ns: &CheckpointNs,
        checkpoint_id: &CheckpointId,
        view: View,
        growing: Growing,
    ) {
        let Growing {
            appended,
            whole,
            mut versions,
            kept: mut channels,
        } = growing;
        for (channel, list) in appended.into_iter().flatten().chain(whole) {
            let version = versions.remove(&channel);
            let list = list.stored();
            channels.insert(channel, Known { version, list });
        }
        if channels.is_empty() {
            return;
        }
        let at = At {
            generation: view.generation,
            checkpoint_id: checkpoint_id.clone(),
            channels,
        };
        if at.memory(thread_id, checkpoint_ns) > self.max_bytes {
            // It would displace all others, and then itself.
            return;
        }
        let mut threads = self.lock();
        threads.insert(thread_id, checkpoint_ns, at);
        threads.shrink_to(self.max_bytes);
    }

    /// Forgets a thread of which something was removed.
    pub(super) fn forget(&self, thread_id: &ThreadId) {
        self.lock().forget(thread_id);
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Threads {
    fn take(&mut self, thread_id: &ThreadId, checkpoint_ns: &CheckpointNs) -> Option<At> {
        let namespaces = self.by_id.get_mut(thread_id)?;
        let at = namespaces.remove(checkpoint_ns)?;
        let is_empty = namespaces.is_empty();
        self.bytes -= at.memory(thread_id, checkpoint_ns);
        if is_empty {
            self.by_id.pop(thread_id);
        }
        Some(at)
    }

    fn insert(&mut self, thread_id: &ThreadId, checkpoint_ns: &CheckpointNs, at: At) {
        self.bytes += at.memory(thread_id, checkpoint_ns);
        let namespaces = self
            .by_id
            .get_or_insert_mut(thread_id.clone(), BTreeMap::new);
        if let Some(replaced) = namespaces.insert(checkpoint_ns.clone(), at) {
            self.bytes -= replaced.memory(thread_id, checkpoint_ns);
        }
    }

    fn shrink_to(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes {
            let Some((thread_id, namespaces)) = self.by_id.pop_lru() else {
                break;
            };
            self.bytes -= memory(&thread_id, &namespaces);
        }
    }

    fn forget(&mut self, thread_id: &ThreadId) {
        if let Some(namespaces) = self.by_id.pop(thread_id) {
            self.bytes -= memory(thread_id, &namespaces);
        }
    }
}

impl At {
    /// About how much memory it takes, with its names.
    fn memory(&self, thread_id: &ThreadId, checkpoint_ns: &CheckpointNs) -> usize {
        let channels = self.channels.iter();
        let channels = channels.map(|(name, known)| LIST_BYTES + name.len() + known.list.memory());
        thread_id.as_str().len() + checkpoint_ns.as_str().len() + channels.sum::<usize>()
    }
}

/// About how much memory a thread takes.
fn memory(thread_id: &ThreadId, namespaces: &BTreeMap<CheckpointNs, At>) -> usize {
    let namespaces = namespaces.iter();
    namespaces.map(|(ns, at)| at.memory(thread_id, ns)).sum()
}

impl Growing {
    /// The lists that the put appends to; none if they must be read.
    pub(super) fn appended(&self) -> Option<&BTreeMap<String, List>> {
        self.appended.as_ref()
    }

    /// Takes the lists as they were read, with what the put appends.
    pub(super) fn take_read(&mut self, lists: ChannelValues) {
        let lists = lists.into_iter();
        let lists = lists.map(|(channel, list)| (channel, List::of(Arc::unwrap_or_clone(list))));
        self.appended = Some(lists.collect());
    }

    /// Adds lists that the put stores as a whole.
    pub(super) fn add(&mut self, lists: impl Iterator<Item = (String, List)>) {
        self.whole.extend(lists);
    }
}
