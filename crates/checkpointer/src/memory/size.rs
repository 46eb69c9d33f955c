//! How much a thread takes, as if it were stored as text.

use std::collections::{BTreeMap, BTreeSet};

use super::thread::{Thread, json_bytes};
use crate::codec::{self, ContentHash};
use crate::{ThreadId, ThreadSize};

/// A value that several checkpoints and channels may have.
#[derive(Default)]
struct Shared<'t> {
    bytes: u64,
    channels: BTreeSet<&'t str>,
}

impl Thread {
    /// How much it takes: each value counts once.
    pub(super) fn size(&self, thread_id: &ThreadId) -> ThreadSize {
        let mut size = ThreadSize::new(thread_id.clone());
        let counts = self.counts();
        (size.checkpoints, size.pending_writes) = (counts.checkpoints, counts.writes);
        let mut values: BTreeMap<ContentHash, Shared<'_>> = BTreeMap::new();
        for namespace in self.namespaces.values() {
            size.bytes += namespace.bytes_besides_values();
            for (channel, value) in namespace.values() {
                let shared = values.entry(codec::hash(value)).or_default();
                shared.bytes = json_bytes(value);
                shared.channels.insert(channel);
            }
        }
        size.chunks = values.len() as u64;
        for Shared { bytes, channels } in values.into_values() {
            size.bytes += bytes;
            let is_shared = channels.len() > 1;
            for channel in channels {
                let of_channel = size.channels.entry(channel.to_owned()).or_default();
                of_channel.chunks += 1;
                match is_shared {
                    true => of_channel.shared_bytes += bytes,
                    false => of_channel.own_bytes += bytes,
                }
            }
        }
        size
    }
}
