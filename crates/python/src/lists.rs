//! The lists put last, so that a put serialises only the items that are new.
//!
//! A list is compared with what it was, item by item and part by part, and that is exact: an item that is
//! the same is serialised to the same bytes, and one that was changed in place, or that can't be compared,
//! is serialised again. What is remembered says nothing about what is stored. It only saves work.

mod known;
mod shapes;

use std::sync::{Mutex, MutexGuard, PoisonError};

use checkpointer::TrackedList;
use lru::LruCache;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList};

use self::known::Known;
pub(crate) use self::known::KnownList;

/// About what a list takes besides its items and its names.
const LIST_BYTES: usize = 256;

/// The name of a channel: its thread's, its namespace's, its own.
pub(crate) type Channel = (String, String, String);

/// Remembers the lists of the channels put last.
///
/// The lock is free after a fork: only holders of Python's lock take it, as a fork does.
#[derive(Debug)]
pub(crate) struct Lists {
    channels: Mutex<Channels>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Channels {
    by_name: LruCache<Channel, Known>,
    bytes: usize,
}

impl Lists {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            channels: Mutex::new(Channels {
                by_name: LruCache::unbounded(),
                bytes: 0,
            }),
            max_bytes,
        }
    }

    /// Compares the list of a channel with the one put last. Returns it with copies of its new items,
    /// which are to be serialised; none if it has items that can't be compared with later ones.
    pub(crate) fn follow<'py>(
        &self,
        channel: Channel,
        list: &Bound<'py, PyList>,
        messages: &Bound<'py, PyFrozenSet>,
    ) -> Option<(KnownList, Vec<Bound<'py, PyAny>>)> {
        let mut known = self.take(&channel).unwrap_or_default();
        let same = known.keep(list);
        let new = known.record(&list.get_slice(same, list.len()), messages)?;
        Some((KnownList::new(channel, known), new))
    }

    /// Remembers a list that is put, and returns its form as JSON.
    pub(crate) fn remember(&self, list: &KnownList) -> PyResult<TrackedList> {
        let (channel, known) = list.take().ok_or_else(|| {
            PyValueError::new_err("the new items of a list must be serialised once before a put")
        })?;
        let form = known.form();
        self.give_back(channel, known);
        Ok(form)
    }

    fn take(&self, channel: &Channel) -> Option<Known> {
        let mut channels = self.lock();
        let known = channels.by_name.pop(channel)?;
        channels.bytes -= bytes(channel, &known);
        Some(known)
    }

    fn give_back(&self, channel: Channel, known: Known) {
        let taken = bytes(&channel, &known);
        if taken > self.max_bytes {
            return;
        }
        let mut dropped = Vec::new();
        let mut channels = self.lock();
        channels.bytes += taken;
        dropped.extend(channels.by_name.push(channel, known));
        if let Some((channel, replaced)) = dropped.first() {
            channels.bytes -= bytes(channel, replaced);
        }
        while channels.bytes > self.max_bytes {
            let Some((channel, oldest)) = channels.by_name.pop_lru() else {
                break;
            };
            channels.bytes -= bytes(&channel, &oldest);
            dropped.push((channel, oldest));
        }
        // To drop large lists takes long, so the lock is given back first.
        drop(channels);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how much memory a channel takes.
fn bytes((thread_id, checkpoint_ns, name): &Channel, known: &Known) -> usize {
    LIST_BYTES + thread_id.len() + checkpoint_ns.len() + name.len() + known.bytes()
}
