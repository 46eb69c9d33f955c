//! A put that outlives its caller.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    ChannelVersions, Checkpoint, CheckpointId, CheckpointNs, ExpectedHead, Generation, Lease,
    Metadata, MissingParent, Put, ThreadId,
};

/// What a put asks for, without what it borrows. The values of channels are shared.
pub(super) struct OwnedPut {
    thread_id: ThreadId,
    checkpoint_ns: CheckpointNs,
    parent: Option<CheckpointId>,
    generation: Option<Generation>,
    checkpoint: Checkpoint,
    metadata: Metadata,
    new_versions: ChannelVersions,
    missing_parent: MissingParent,
    /// Channels with how many items their lists have, and what is appended.
    appended: Vec<(String, usize, Vec<Value>)>,
    growing: Vec<String>,
    expected_head: ExpectedHead,
    lease: Option<Lease>,
    thread_metadata: Option<Map<String, Value>>,
}

impl OwnedPut {
    pub(super) fn of(put: &Put<'_>) -> Self {
        let appended = put.appended.iter().map(|(channel, appended)| {
            let items = appended.items.to_vec();
            ((*channel).to_owned(), appended.after, items)
        });
        let growing = put.growing.iter().map(|channel| (*channel).to_owned());
        Self {
            thread_id: put.thread_id.clone(),
            checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
            parent: put.parent.cloned(),
            generation: put.generation,
            checkpoint: put.checkpoint.clone(),
            metadata: put.metadata.clone(),
            new_versions: put.new_versions.clone().into_owned(),
            missing_parent: put.missing_parent,
            appended: appended.collect(),
            growing: growing.collect(),
            expected_head: put.expected_head.clone(),
            lease: put.lease.cloned(),
            thread_metadata: put.thread_metadata.cloned(),
        }
    }

    pub(super) fn request(&self) -> Put<'_> {
        let mut put = Put::new(&self.thread_id, &self.checkpoint, &self.metadata);
        put.checkpoint_ns = Cow::Borrowed(&self.checkpoint_ns);
        put.parent = self.parent.as_ref();
        put.generation = self.generation;
        put.new_versions = Cow::Borrowed(&self.new_versions);
        put.missing_parent = self.missing_parent;
        put.expected_head = self.expected_head.clone();
        put.lease = self.lease.as_ref();
        put.thread_metadata = self.thread_metadata.as_ref();
        for (channel, after, items) in &self.appended {
            put = put.append(channel, *after, items);
        }
        for channel in &self.growing {
            put = put.grows(channel);
        }
        put
    }
}
