//! What is asked of a checkpointer: structs with constructors, so that they can grow.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Generation, Lease,
    Metadata, Result, TaskId, ThreadId, ThreadInfo, Version,
};

/// Which head a put expects to find: its guard against other writers.
///
/// The head is the checkpoint put last. It is something else than the parent: a fork's parent is an
/// old checkpoint, and the head it moves is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ExpectedHead {
    /// Any: the put isn't guarded.
    #[default]
    Any,
    /// This checkpoint, or none at all.
    Is(Option<CheckpointId>),
}

/// Asks to store a checkpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Put<'a> {
    /// The thread.
    pub thread_id: &'a ThreadId,
    /// The namespace.
    pub checkpoint_ns: Cow<'a, CheckpointNs>,
    /// The checkpoint it follows.
    pub parent: Option<&'a CheckpointId>,
    /// The generation the thread was read in.
    pub generation: Option<Generation>,
    /// The checkpoint itself.
    pub checkpoint: &'a Checkpoint,
    /// What is said about it.
    pub metadata: &'a Metadata,
    /// The channels the step changed: one without a value is empty now. One that has a version, but
    /// neither a value nor a new version, keeps its parent's value if that has the same version.
    pub new_versions: Cow<'a, ChannelVersions>,
    /// The head it expects.
    pub expected_head: ExpectedHead,
    /// The lease on the thread.
    pub lease: Option<&'a Lease>,
}

impl<'a> Put<'a> {
    /// Stores the first checkpoint of a thread in the root namespace.
    #[must_use]
    pub fn new(
        thread_id: &'a ThreadId,
        checkpoint: &'a Checkpoint,
        metadata: &'a Metadata,
    ) -> Self {
        Self {
            thread_id,
            checkpoint_ns: Cow::Owned(CheckpointNs::ROOT),
            parent: None,
            generation: None,
            checkpoint,
            metadata,
            new_versions: Cow::Owned(ChannelVersions::new()),
            expected_head: ExpectedHead::Any,
            lease: None,
        }
    }

    /// Stores a checkpoint that follows `parent`, in the parent's thread, namespace and generation.
    #[must_use]
    pub fn after(
        parent: &'a CheckpointAddress,
        checkpoint: &'a Checkpoint,
        metadata: &'a Metadata,
    ) -> Self {
        Self {
            checkpoint_ns: Cow::Borrowed(&parent.checkpoint_ns),
            parent: Some(&parent.checkpoint_id),
            generation: parent.generation,
            ..Self::new(&parent.thread_id, checkpoint, metadata)
        }
    }

    /// Names the namespace. Defaults to the root namespace.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: &'a CheckpointNs) -> Self {
        Self {
            checkpoint_ns: Cow::Borrowed(checkpoint_ns),
            ..self
        }
    }

    /// Names the parent. Defaults to none.
    #[must_use]
    pub fn parent(self, parent: Option<&'a CheckpointId>) -> Self {
        Self { parent, ..self }
    }

    /// Names the generation the thread was read in. Defaults to any.
    #[must_use]
    pub fn generation(self, generation: Option<Generation>) -> Self {
        Self { generation, ..self }
    }

    /// Names the channels that changed. Defaults to none.
    ///
    /// Whoever holds the whole state may name all: then no value is taken from the parent, and the
    /// put doesn't need it to be there.
    #[must_use]
    pub fn new_versions(self, new_versions: &'a ChannelVersions) -> Self {
        Self {
            new_versions: Cow::Borrowed(new_versions),
            ..self
        }
    }

    /// Guards the put: it succeeds only if the head is `head`. Defaults to no guard.
    #[must_use]
    pub fn expect_head(self, head: Option<&CheckpointId>) -> Self {
        Self {
            expected_head: ExpectedHead::Is(head.cloned()),
            ..self
        }
    }

    /// Carries the lease on the thread. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: Option<&'a Lease>) -> Self {
        Self { lease, ..self }
    }

    /// The channels that have a version but no value, and didn't change.
    pub(crate) fn unchanged(&self) -> impl Iterator<Item = (&String, &Version)> {
        self.checkpoint
            .channel_versions
            .iter()
            .filter(|(channel, _)| {
                !self.checkpoint.channel_values.contains_key(*channel)
                    && !self.new_versions.contains_key(*channel)
            })
    }
}

/// Asks to store the outputs of a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutWrites<'a> {
    /// The checkpoint the task ran on; it may be stored later.
    pub address: &'a CheckpointAddress,
    /// The task.
    pub task_id: &'a TaskId,
    /// Where in the graph the task stands; writes are ordered by it.
    pub task_path: &'a str,
    /// Channels and values, in the task's order.
    pub writes: &'a [(String, Value)],
    /// The lease on the thread.
    pub lease: Option<&'a Lease>,
}

impl<'a> PutWrites<'a> {
    /// Stores `writes` of the task `task_id`.
    #[must_use]
    pub fn new(
        address: &'a CheckpointAddress,
        task_id: &'a TaskId,
        writes: &'a [(String, Value)],
    ) -> Self {
        Self {
            address,
            task_id,
            task_path: "",
            writes,
            lease: None,
        }
    }

    /// Names the task's path. Defaults to the empty path.
    #[must_use]
    pub fn task_path(self, task_path: &'a str) -> Self {
        Self { task_path, ..self }
    }

    /// Carries the lease on the thread. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: Option<&'a Lease>) -> Self {
        Self { lease, ..self }
    }
}

/// How much of each checkpoint to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Projection {
    /// Everything.
    #[default]
    All,
    /// Everything but the pending writes, and of the values these channels only.
    Channels(Vec<String>),
    /// Ids and metadata.
    Metadata,
}

/// Asks for one checkpoint: a thread's head, or the one with an id.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GetTuple {
    /// The thread.
    pub thread_id: ThreadId,
    /// The namespace.
    pub checkpoint_ns: CheckpointNs,
    /// The checkpoint; the head if there is none.
    pub checkpoint_id: Option<CheckpointId>,
    /// How much of it.
    pub projection: Projection,
}

impl GetTuple {
    /// Reads the head of the thread's root namespace.
    #[must_use]
    pub fn head(thread_id: impl Into<ThreadId>) -> Self {
        Self {
            thread_id: thread_id.into(),
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id: None,
            projection: Projection::All,
        }
    }

    /// Reads the checkpoint at an address.
    #[must_use]
    pub fn at(address: &CheckpointAddress) -> Self {
        Self {
            thread_id: address.thread_id.clone(),
            checkpoint_ns: address.checkpoint_ns.clone(),
            checkpoint_id: Some(address.checkpoint_id.clone()),
            projection: Projection::All,
        }
    }

    /// Names the namespace. Defaults to the root namespace.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: CheckpointNs) -> Self {
        Self {
            checkpoint_ns,
            ..self
        }
    }

    /// Names the checkpoint. Defaults to the head.
    #[must_use]
    pub fn checkpoint_id(self, checkpoint_id: Option<CheckpointId>) -> Self {
        Self {
            checkpoint_id,
            ..self
        }
    }

    /// Chooses how much is read. Defaults to everything.
    #[must_use]
    pub fn project(self, projection: Projection) -> Self {
        Self { projection, ..self }
    }
}

/// Asks for checkpoints by id, the greatest first.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct List {
    /// Of this thread only.
    pub thread_id: Option<ThreadId>,
    /// Of this namespace only.
    pub checkpoint_ns: Option<CheckpointNs>,
    /// This checkpoint only.
    pub checkpoint_id: Option<CheckpointId>,
    /// Only those whose metadata contains this, as `@>` of PostgreSQL's JSONB has it.
    pub filter: Option<Map<String, Value>>,
    /// Only those whose id is smaller.
    pub before: Option<CheckpointId>,
    /// At most so many.
    pub limit: Option<usize>,
    /// How much of each.
    pub projection: Projection,
}

impl List {
    /// Lists the checkpoints of all threads and namespaces.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Lists the checkpoints of one thread, in all its namespaces.
    #[must_use]
    pub fn thread(thread_id: impl Into<ThreadId>) -> Self {
        Self {
            thread_id: Some(thread_id.into()),
            ..Self::default()
        }
    }

    /// Keeps to one namespace. Defaults to all.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: CheckpointNs) -> Self {
        Self {
            checkpoint_ns: Some(checkpoint_ns),
            ..self
        }
    }

    /// Keeps to one id. Defaults to all.
    #[must_use]
    pub fn checkpoint_id(self, checkpoint_id: CheckpointId) -> Self {
        Self {
            checkpoint_id: Some(checkpoint_id),
            ..self
        }
    }

    /// Keeps to metadata that contains `filter`. Defaults to all.
    #[must_use]
    pub fn filter(self, filter: Map<String, Value>) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }

    /// Keeps to ids smaller than `before`. Defaults to all.
    #[must_use]
    pub fn before(self, before: CheckpointId) -> Self {
        Self {
            before: Some(before),
            ..self
        }
    }

    /// Ends after `limit` checkpoints; 0 is none. Defaults to no end.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Chooses how much is read of each. Defaults to everything.
    #[must_use]
    pub fn project(self, projection: Projection) -> Self {
        Self { projection, ..self }
    }
}

/// Asks to delete a thread.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// The generation to delete; any if there is none.
    pub generation: Option<Generation>,
    /// The lease on the thread.
    pub lease: Option<Lease>,
}

impl DeleteThread {
    /// Deletes the thread in whatever generation it is.
    #[must_use]
    pub fn new(thread_id: impl Into<ThreadId>) -> Self {
        Self {
            thread_id: thread_id.into(),
            generation: None,
            lease: None,
        }
    }

    /// Deletes only the generation that was read; one started afresh since stays. Defaults to any.
    #[must_use]
    pub fn generation(self, generation: Option<Generation>) -> Self {
        Self { generation, ..self }
    }

    /// Carries the lease on the thread, which goes on. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: Option<&Lease>) -> Self {
        Self {
            lease: lease.cloned(),
            ..self
        }
    }
}

/// Asks for threads, the one that changed last first.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListThreads {
    /// Only those whose thread metadata contains this, as `@>` of PostgreSQL's JSONB has it.
    pub filter: Option<Map<String, Value>>,
    /// Only those that come after this one.
    pub after: Option<ThreadInfo>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl ListThreads {
    /// Lists all threads.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Keeps to thread metadata that contains `filter`. Defaults to all.
    #[must_use]
    pub fn filter(self, filter: Map<String, Value>) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }

    /// Goes on after the last thread of the page before. Defaults to the start.
    #[must_use]
    pub fn after(self, last: ThreadInfo) -> Self {
        Self {
            after: Some(last),
            ..self
        }
    }

    /// Ends after `limit` threads; 0 is none. Defaults to no end.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }
}

/// What a prune leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PruneStrategy {
    /// The latest checkpoint of each namespace, with what it needs.
    KeepLatest,
    /// Nothing: like deleting each thread.
    Delete,
}

/// Asks to remove old checkpoints of threads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prune {
    /// The threads; a missing one is passed over.
    pub thread_ids: Vec<ThreadId>,
    /// What is left.
    pub strategy: PruneStrategy,
}

impl Prune {
    /// Prunes `thread_ids`.
    #[must_use]
    pub fn new(thread_ids: Vec<ThreadId>, strategy: PruneStrategy) -> Self {
        Self {
            thread_ids,
            strategy,
        }
    }
}

/// Asks for the writes from which channels are rebuilt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GetChannelHistory {
    /// The checkpoint whose channels they are; the head if there is no id.
    pub target: GetTuple,
    /// The channels.
    pub channels: Vec<String>,
}

impl GetChannelHistory {
    /// Reads the history of `channels` as of the checkpoint `target`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if a channel's name can't be one.
    pub fn new(target: GetTuple, channels: Vec<String>) -> Result<Self> {
        for channel in &channels {
            crate::ids::check_channel(channel)?;
        }
        Ok(Self { target, channels })
    }
}
