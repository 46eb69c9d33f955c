//! What is asked of a checkpointer: structs with constructors, so that they can grow.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Generation,
    IntoName, Lease, Metadata, Result, TaskId, ThreadId, ThreadInfo, Version, ids,
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
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
/// use checkpointer::{
///     Checkpoint, CheckpointId, CheckpointTuple, Checkpointer, Metadata, Put, Source, ThreadId,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// // The input of a run. If the thread has a head already, this fails with `Conflict`.
/// let thread_id = ThreadId::new("support-4711")?;
/// let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
/// let changed = checkpoint.write(&checkpointer, [("question", json!("Where is my order?"))]);
/// let metadata = Metadata::new(Source::Input, -1);
/// let put = Put::new(&thread_id, &checkpoint, &metadata).new_versions(&changed);
/// let first = checkpointer.put(put.expect_no_head()).await?;
///
/// // A step, which follows the checkpoint that it began with.
/// let at = CheckpointTuple::new(first, checkpoint, metadata);
/// let mut checkpoint = Checkpoint::child_of(&at);
/// let changed = checkpoint.write(&checkpointer, [("answer", json!("On its way."))]);
/// let metadata = Metadata::new(Source::Loop, 0);
/// let put = Put::after(&at.address, &checkpoint, &metadata).new_versions(&changed);
/// checkpointer.put(put.expect_head(&at.address.checkpoint_id)).await?;
/// # Ok(())
/// # }
/// ```
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
    pub fn in_ns(self, checkpoint_ns: impl Into<Cow<'a, CheckpointNs>>) -> Self {
        Self {
            checkpoint_ns: checkpoint_ns.into(),
            ..self
        }
    }

    /// Names the parent. Defaults to none.
    #[must_use]
    pub fn parent(self, parent: &'a CheckpointId) -> Self {
        Self {
            parent: Some(parent),
            ..self
        }
    }

    /// Names the generation the thread was read in. Defaults to any.
    #[must_use]
    pub fn generation(self, generation: Generation) -> Self {
        Self {
            generation: Some(generation),
            ..self
        }
    }

    /// Names the channels that changed. Defaults to none.
    ///
    /// A put that brings the whole state may name all channels: then no value is taken from the parent,
    /// and the put succeeds although the parent was pruned.
    #[must_use]
    pub fn new_versions(self, new_versions: &'a ChannelVersions) -> Self {
        Self {
            new_versions: Cow::Borrowed(new_versions),
            ..self
        }
    }

    /// Guards the put: it succeeds only if the head is `head`. Defaults to no guard.
    #[must_use]
    pub fn expect_head(self, head: impl Into<CheckpointId>) -> Self {
        Self {
            expected_head: ExpectedHead::Is(Some(head.into())),
            ..self
        }
    }

    /// Guards the put: it succeeds only if there is no head. Defaults to no guard.
    #[must_use]
    pub fn expect_no_head(self) -> Self {
        Self {
            expected_head: ExpectedHead::Is(None),
            ..self
        }
    }

    /// Carries the lease on the thread. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: &'a Lease) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
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
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
/// use checkpointer::{CheckpointTuple, Checkpointer, PutWrites, Result, TaskId};
///
/// /// Runs a task, unless its output is stored already.
/// async fn run(
///     checkpointer: &dyn Checkpointer,
///     at: &CheckpointTuple,
///     task_id: &TaskId,
/// ) -> Result<()> {
///     if at.pending_writes.iter().any(|write| write.task_id == *task_id) {
///         return Ok(());
///     }
///     let writes = [("draft".to_owned(), json!("Dear customer"))];
///     checkpointer.put_writes(PutWrites::new(&at.address, task_id, &writes)).await
/// }
/// ```
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
    pub fn lease(self, lease: &'a Lease) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
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
    /// Ids, metadata, formats and times.
    Metadata,
}

impl Projection {
    /// Reads everything but the pending writes, and of the values these channels only.
    pub fn channels(channels: impl IntoIterator<Item: Into<String>>) -> Self {
        Self::Channels(channels.into_iter().map(Into::into).collect())
    }
}

/// Asks for one checkpoint: a thread's head, or the one with an id.
///
/// # Examples
///
/// ```
/// use checkpointer::{Checkpointer, GetTuple, Projection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// let head = checkpointer.get_tuple(GetTuple::head("support-4711")?).await?;
///
/// if let Some(head) = head {
///     let query = GetTuple::at(&head.address).project(Projection::Metadata);
///     let again = checkpointer.get_tuple(query).await?;
///     println!("step {:?}, stored at {}", head.metadata.step(), head.checkpoint.ts);
///     assert_eq!(again.map(|again| again.metadata), Some(head.metadata));
/// }
/// # Ok(())
/// # }
/// ```
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
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn head(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id: None,
            projection: Projection::All,
        })
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
    pub fn in_ns(self, checkpoint_ns: impl Into<CheckpointNs>) -> Self {
        Self {
            checkpoint_ns: checkpoint_ns.into(),
            ..self
        }
    }

    /// Names the checkpoint. Defaults to the head.
    #[must_use]
    pub fn checkpoint_id(self, checkpoint_id: impl Into<CheckpointId>) -> Self {
        Self {
            checkpoint_id: Some(checkpoint_id.into()),
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
///
/// # Examples
///
/// ```
/// use checkpointer::futures_util::TryStreamExt;
/// use checkpointer::{CheckpointNs, Checkpointer, List, Projection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// // The last twenty steps of the root graph.
/// let list = List::thread("support-4711")?.in_ns(CheckpointNs::ROOT).limit(20);
/// let mut steps = checkpointer.list(list.clone().project(Projection::Metadata));
/// let mut last = None;
/// while let Some(step) = steps.try_next().await? {
///     println!("{} {:?}", step.checkpoint.ts, step.metadata.step());
///     last = Some(step.address.checkpoint_id);
/// }
///
/// // The page after them.
/// if let Some(last) = last {
///     let older: Vec<_> = checkpointer.list(list.before(last)).try_collect().await?;
///     assert!(older.is_empty());
/// }
/// # Ok(())
/// # }
/// ```
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
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn thread(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: Some(thread_id.into_name()?),
            ..Self::default()
        })
    }

    /// Keeps to one namespace. Defaults to all.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: impl Into<CheckpointNs>) -> Self {
        Self {
            checkpoint_ns: Some(checkpoint_ns.into()),
            ..self
        }
    }

    /// Keeps to one id. Defaults to all.
    #[must_use]
    pub fn checkpoint_id(self, checkpoint_id: impl Into<CheckpointId>) -> Self {
        Self {
            checkpoint_id: Some(checkpoint_id.into()),
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
    pub fn before(self, before: impl Into<CheckpointId>) -> Self {
        Self {
            before: Some(before.into()),
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
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn new(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            generation: None,
            lease: None,
        })
    }

    /// Deletes only this generation, the one that was read: a thread that was started again since
    /// stays. Defaults to any.
    #[must_use]
    pub fn generation(self, generation: Generation) -> Self {
        Self {
            generation: Some(generation),
            ..self
        }
    }

    /// Carries the lease on the thread, which outlives the thread. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: &Lease) -> Self {
        Self {
            lease: Some(lease.clone()),
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
///
/// # Examples
///
/// ```
/// use checkpointer::{Checkpointer, Prune, PruneStrategy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let threads = ["support-4711", "support-4712"];
/// let removed = checkpointer.prune(Prune::new(threads, PruneStrategy::KeepLatest)?).await?;
/// removed.complete()?;
/// # Ok(())
/// # }
/// ```
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
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if an id of a thread can't be one.
    pub fn new(
        thread_ids: impl IntoIterator<Item: IntoName<ThreadId>>,
        strategy: PruneStrategy,
    ) -> Result<Self> {
        Ok(Self {
            thread_ids: thread_ids
                .into_iter()
                .map(IntoName::into_name)
                .collect::<Result<_>>()?,
            strategy,
        })
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
    pub fn new(target: GetTuple, channels: impl IntoIterator<Item: Into<String>>) -> Result<Self> {
        let channels: Vec<String> = channels.into_iter().map(Into::into).collect();
        for channel in &channels {
            ids::check_channel(channel)?;
        }
        Ok(Self { target, channels })
    }
}
