//! A checkpoint, and what surrounds it when it is read.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::{CheckpointId, CheckpointNs, Metadata, TaskId, ThreadId, Version};

/// The values of the channels, by the channel's name.
pub type ChannelValues = BTreeMap<String, Value>;

/// The versions of channels, by the channel's name.
pub type ChannelVersions = BTreeMap<String, Version>;

/// The state of a graph after a step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The format the graph runtime gave it; LangGraph writes 4.
    pub v: i64,
    /// Its id, unique in its thread and namespace.
    pub id: CheckpointId,
    /// When it was made, as the graph runtime wrote it.
    pub ts: String,
    /// The state: a checkpoint is what its values say.
    pub channel_values: ChannelValues,
    /// The version of every channel that was ever written.
    pub channel_versions: ChannelVersions,
    /// Which channel versions each node has seen.
    pub versions_seen: BTreeMap<String, ChannelVersions>,
    /// The channels the last step changed, where the runtime says so.
    pub updated_channels: Option<Vec<String>>,
    /// Whatever else the runtime keeps in a checkpoint.
    pub extra: Map<String, Value>,
    loaded: Loaded,
}

/// How much of a checkpoint's state was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loaded {
    /// Everything.
    All,
    /// The channels that were asked for; the rest may exist.
    SomeChannels,
    /// The id only.
    Nothing,
}

impl Checkpoint {
    /// The format LangGraph writes today.
    pub const CURRENT_V: i64 = 4;

    /// Makes an empty checkpoint, made now.
    #[must_use]
    pub fn new(id: CheckpointId) -> Self {
        Self {
            v: Self::CURRENT_V,
            id,
            ts: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            channel_values: ChannelValues::new(),
            channel_versions: ChannelVersions::new(),
            versions_seen: BTreeMap::new(),
            updated_channels: None,
            extra: Map::new(),
            loaded: Loaded::All,
        }
    }

    /// Makes the checkpoint that follows `parent`, with a new id and nothing changed yet: the
    /// parent's values, versions, versions seen and format.
    ///
    /// If the parent was read in part, its child can't be put either.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{ChannelVersions, Checkpoint, Checkpointer, Metadata, Put, Source};
    ///
    /// # use checkpointer::{CheckpointTuple, CheckpointAddress, Result};
    /// # async fn step(checkpointer: &dyn Checkpointer, at: &CheckpointTuple) -> Result<CheckpointAddress> {
    /// let mut checkpoint = Checkpoint::child_of(at);
    /// let version = checkpointer.next_version(checkpoint.channel_versions.get("draft"));
    /// let changed = ChannelVersions::from([("draft".to_owned(), version)]);
    /// checkpoint.channel_versions.extend(changed.clone());
    /// checkpoint.channel_values.insert("draft".to_owned(), "Dear customer".into());
    ///
    /// let metadata = Metadata::new(Source::Loop, 1);
    /// let put = Put::after(&at.address, &checkpoint, &metadata).new_versions(&changed);
    /// checkpointer.put(put.expect_head(Some(&at.address.checkpoint_id))).await
    /// # }
    /// ```
    #[must_use]
    pub fn child_of(parent: &CheckpointTuple) -> Self {
        let before = &parent.checkpoint;
        Self {
            v: before.v,
            channel_values: before.channel_values.clone(),
            channel_versions: before.channel_versions.clone(),
            versions_seen: before.versions_seen.clone(),
            loaded: before.loaded,
            ..Self::new(CheckpointId::generate(Some(&parent.address.checkpoint_id)))
        }
    }

    /// Says how much of the state was read.
    ///
    /// Only a checkpoint of which everything was read can be put again.
    pub fn loaded(&self) -> Loaded {
        self.loaded
    }

    /// Marks how much of the state was read, for those who write a checkpointer. Defaults to all.
    #[must_use]
    pub fn with_loaded(self, loaded: Loaded) -> Self {
        Self { loaded, ..self }
    }
}

/// Which of the thread's lives a checkpoint belongs to: 1, and one more after each deletion.
///
/// A call that brings along the generation it read is refused once the thread was deleted, even if
/// somebody has started it afresh since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i64);

/// The address of a stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CheckpointAddress {
    /// Its thread.
    pub thread_id: ThreadId,
    /// Its namespace.
    pub checkpoint_ns: CheckpointNs,
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// The thread's generation, where it is known.
    pub generation: Option<Generation>,
}

impl CheckpointAddress {
    /// Addresses a checkpoint in the root namespace, in whatever generation the thread is.
    #[must_use]
    pub fn new(thread_id: ThreadId, checkpoint_id: CheckpointId) -> Self {
        Self {
            thread_id,
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id,
            generation: None,
        }
    }

    /// Moves the address to another namespace. Defaults to the root namespace.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: CheckpointNs) -> Self {
        Self {
            checkpoint_ns,
            ..self
        }
    }

    /// The address of another checkpoint of the same thread, namespace and generation.
    #[must_use]
    pub fn sibling(&self, checkpoint_id: CheckpointId) -> Self {
        Self {
            checkpoint_id,
            ..self.clone()
        }
    }
}

/// A task's output, stored before the next checkpoint exists.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PendingWrite {
    /// The task that wrote it.
    pub task_id: TaskId,
    /// The channel it is for.
    pub channel: String,
    /// The value.
    pub value: Value,
}

impl PendingWrite {
    /// Makes a write of `task_id` to `channel`.
    #[must_use]
    pub fn new(task_id: TaskId, channel: impl Into<String>, value: Value) -> Self {
        Self {
            task_id,
            channel: channel.into(),
            value,
        }
    }
}

/// A checkpoint with everything that belongs to it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckpointTuple {
    /// Where it is stored.
    pub address: CheckpointAddress,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// What was said about it when it was put.
    pub metadata: Metadata,
    /// Its parent, which may have been pruned since.
    pub parent_address: Option<CheckpointAddress>,
    /// The outputs of the tasks that ran on it, by task path, task and index. Read only with
    /// [`Projection::All`](crate::Projection::All).
    pub pending_writes: Vec<PendingWrite>,
}

impl CheckpointTuple {
    /// Makes a tuple without a parent and without pending writes.
    #[must_use]
    pub fn new(address: CheckpointAddress, checkpoint: Checkpoint, metadata: Metadata) -> Self {
        Self {
            address,
            checkpoint,
            metadata,
            parent_address: None,
            pending_writes: Vec::new(),
        }
    }
}

/// The writes from which a channel's value is rebuilt.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ChannelHistory {
    /// The writes since the seed, the oldest first, with the seed's own.
    pub writes: Vec<PendingWrite>,
    /// The nearest stored value among the ancestors; none if the walk ended at the first
    /// checkpoint.
    pub seed: Option<Value>,
}

/// What is known of a thread.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The thread.
    pub thread_id: ThreadId,
    /// The user's own metadata of the thread.
    pub metadata: Map<String, Value>,
    /// When it was first written to.
    pub created_at: SystemTime,
    /// When a head of it last moved.
    pub updated_at: SystemTime,
    /// The head in the root namespace.
    pub head: Option<CheckpointId>,
    /// Which life of the thread this is.
    pub generation: Generation,
}

impl ThreadInfo {
    /// Makes the entry of a thread without metadata and without a head.
    #[must_use]
    pub fn new(thread_id: ThreadId, generation: Generation, created_at: SystemTime) -> Self {
        Self {
            thread_id,
            metadata: Map::new(),
            created_at,
            updated_at: created_at,
            head: None,
            generation,
        }
    }
}

#[cfg(test)]
mod tests;
