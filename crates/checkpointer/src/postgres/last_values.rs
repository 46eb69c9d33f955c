//! What is known of the values put last, so that only what has changed is hashed and cut again.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::Value;

use super::by_bytes::ByBytes;
use super::cut::{Before, Cut};
use crate::tracked_list::Origin;
use crate::{ChannelValues, CheckpointNs, ThreadId};

/// About what a channel takes besides its names and its value.
const CHANNEL_BYTES: usize = 256;

/// The name of a channel, in all threads.
type Channel = (ThreadId, CheckpointNs, String);

/// Remembers the values of the channels put last, cut.
///
/// It only saves work: a put compares its values with those remembered. A value that is the one put last,
/// shared, needs no comparison, nor do the items that a [tracked list](crate::TrackedList) has in common with
/// it.
#[derive(Debug)]
pub(super) struct LastValues {
    channels: Mutex<Channels>,
}

type Channels = ByBytes<Channel, Known>;

/// The value of a channel that was put, cut.
#[derive(Debug)]
struct Known {
    cut: Cut,
    /// Keeps the place of the value, so that no other comes to be there, but not the value.
    value: Weak<Value>,
}

/// The values of a checkpoint, cut. They are remembered when this is dropped; until then other puts
/// find nothing known of their channels.
#[derive(Debug)]
pub(super) struct Cuts<'m> {
    values: &'m LastValues,
    /// In the order of the channels; none for a small value.
    cuts: Vec<Option<(Channel, Known)>>,
}

impl LastValues {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            channels: Mutex::new(ByBytes::new(max_bytes)),
        }
    }

    /// Cuts the values of channels.
    pub(super) fn cut(
        &self,
        thread_id: &ThreadId,
        checkpoint_ns: &CheckpointNs,
        values: &ChannelValues,
    ) -> Cuts<'_> {
        let cut = |(channel, value): (&String, &Arc<Value>)| {
            if !Cut::is_due(value) {
                return None;
            }
            let channel = (thread_id.clone(), checkpoint_ns.clone(), channel.clone());
            let known = self.take(&channel);
            let origin = values.origin(&channel.2);
            Some((channel, Known::of(value, origin, known)))
        };
        Cuts {
            values: self,
            cuts: values.iter_shared().map(cut).collect(),
        }
    }

    /// Forgets a thread.
    pub(super) fn forget(&self, thread_id: &ThreadId) {
        let forgotten = self.lock().take_all(|(thread, ..)| thread == thread_id);
        drop(forgotten);
    }

    fn take(&self, channel: &Channel) -> Option<Known> {
        self.lock().take(channel)
    }

    fn give_back(&self, channel: Channel, known: Known) {
        let bytes = bytes(&channel, &known.cut);
        // To drop a large value takes long, so the lock is given back first.
        let dropped = self.lock().put(channel, known, bytes);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Cuts a value, where another may have been before.
    fn of(value: &Arc<Value>, origin: Option<&Origin>, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.is_of(value) => before,
            _ => Self {
                cut: Cut::of_large(value, before.map(|before| before.cut_before(origin))),
                value: Arc::downgrade(value),
            },
        }
    }

    /// The cut of the value in whose place a value of this origin is now.
    fn cut_before(self, origin: Option<&Origin>) -> Before {
        let same = origin.map_or(0, |origin| origin.same_as(&self.value));
        Before::with_same(self.cut, same)
    }

    /// Whether it is of this very value. One that was changed is in another place.
    fn is_of(&self, value: &Arc<Value>) -> bool {
        self.value.as_ptr() == Arc::as_ptr(value)
    }
}

impl Cuts<'_> {
    /// The values in the order of their channels; none for a small one.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Cut>> {
        let cuts = self.cuts.iter();
        cuts.map(|cut| cut.as_ref().map(|(_, known)| &known.cut))
    }
}

impl Drop for Cuts<'_> {
    fn drop(&mut self) {
        for (channel, known) in self.cuts.drain(..).flatten() {
            self.values.give_back(channel, known);
        }
    }
}

/// About how much memory a channel takes.
fn bytes((thread_id, checkpoint_ns, channel): &Channel, cut: &Cut) -> usize {
    let names = thread_id.as_str().len() + checkpoint_ns.as_str().len() + channel.len();
    CHANNEL_BYTES + names + cut.memory()
}
