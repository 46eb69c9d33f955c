//! What is known of the values put last, so that only what has changed is hashed and cut again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde_json::Value;

use super::cut::Cut;
use crate::{CheckpointNs, ThreadId};

/// About what a channel takes besides its names and its value.
const CHANNEL_BYTES: usize = 256;

/// The name of a channel, in all threads.
type Channel = (ThreadId, CheckpointNs, String);

/// Remembers the values of the channels put last, cut.
///
/// It only saves work: what is remembered is compared with what is put.
#[derive(Debug)]
pub(super) struct LastValues {
    channels: Mutex<Channels>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Channels {
    by_name: LruCache<Channel, Cut>,
    bytes: usize,
}

/// The values of a checkpoint, cut. They are remembered when this is dropped; until then other puts
/// find nothing known of their channels.
#[derive(Debug)]
pub(super) struct Cuts<'m> {
    values: &'m LastValues,
    /// In the order of the channels; none for a small value.
    cuts: Vec<Option<(Channel, Cut)>>,
}

impl LastValues {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            channels: Mutex::new(Channels {
                by_name: LruCache::unbounded(),
                bytes: 0,
            }),
            max_bytes,
        }
    }

    /// Cuts the values of channels.
    pub(super) fn cut(
        &self,
        thread_id: &ThreadId,
        checkpoint_ns: &CheckpointNs,
        values: &BTreeMap<String, Value>,
    ) -> Cuts<'_> {
        let cut = |(channel, value): (&String, &Value)| {
            let channel = || (thread_id.clone(), checkpoint_ns.clone(), channel.clone());
            let cut = Cut::of_channel(value, || self.take(&channel()))?;
            Some((channel(), cut))
        };
        Cuts {
            values: self,
            cuts: values.iter().map(cut).collect(),
        }
    }

    fn take(&self, channel: &Channel) -> Option<Cut> {
        let mut channels = self.lock();
        let cut = channels.by_name.pop(channel)?;
        channels.bytes -= bytes(channel, &cut);
        Some(cut)
    }

    fn give_back(&self, channel: Channel, cut: Cut) {
        let taken = bytes(&channel, &cut);
        if taken > self.max_bytes {
            return;
        }
        let mut channels = self.lock();
        channels.bytes += taken;
        if let Some((channel, replaced)) = channels.by_name.push(channel, cut) {
            channels.bytes -= bytes(&channel, &replaced);
        }
        while channels.bytes > self.max_bytes {
            let Some((channel, oldest)) = channels.by_name.pop_lru() else {
                break;
            };
            channels.bytes -= bytes(&channel, &oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cuts<'_> {
    /// The values in the order of their channels; none for a small one.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Cut>> {
        let cuts = self.cuts.iter();
        cuts.map(|cut| cut.as_ref().map(|(_, cut)| cut))
    }
}

impl Drop for Cuts<'_> {
    fn drop(&mut self) {
        for (channel, cut) in self.cuts.drain(..).flatten() {
            self.values.give_back(channel, cut);
        }
    }
}

/// About how much memory a channel takes.
fn bytes((thread_id, checkpoint_ns, channel): &Channel, cut: &Cut) -> usize {
    let names = thread_id.as_str().len() + checkpoint_ns.as_str().len() + channel.len();
    CHANNEL_BYTES + names + cut.memory()
}
