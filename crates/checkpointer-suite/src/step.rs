//! Checkpoints to put, and ways to look at what is stored: for the cases, and for cases of your
//! own.
//!
//! A function here panics where the checkpointer does something else than what its name says.

use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};

use checkpointer::{
    AcquireLease, ChannelHistory, ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId,
    CheckpointNs, CheckpointTuple, Checkpointer, DeleteThread, Error, ExpectedHead, Generation,
    GetChannelHistory, GetTuple, Lease, List, Metadata, MissingParent, PendingWrite, Prune,
    PruneStrategy, Put, PutWrites, Removed, Result, Source, TaskId, ThreadId, Version,
};

/// A thread that no other case uses.
pub(crate) fn fresh_thread() -> ThreadId {
    ThreadId::new(format!("suite-{}", uuid::Uuid::new_v4())).unwrap()
}

/// A word that no other case uses, to find this case's checkpoints by.
pub(crate) fn fresh_word() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A namespace.
pub(crate) fn ns(name: &str) -> CheckpointNs {
    CheckpointNs::new(name).unwrap()
}

/// A checkpoint id.
pub(crate) fn id(name: &str) -> CheckpointId {
    CheckpointId::new(name).unwrap()
}

/// The keys and values of a JSON object.
pub fn map(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn versions(object: Value) -> ChannelVersions {
    let versions = map(object).into_iter();
    let versions = versions.map(|(name, value)| (name, Version::from_json(&value).unwrap()));
    versions.collect()
}

/// A checkpoint to put, with a new id and without channels.
#[derive(Debug, Clone)]
#[must_use]
pub struct Step {
    thread_id: ThreadId,
    checkpoint_ns: CheckpointNs,
    parent: Option<CheckpointId>,
    generation: Option<Generation>,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its metadata.
    pub metadata: Metadata,
    new_versions: ChannelVersions,
    missing_parent: MissingParent,
    appended: Vec<(String, usize, Vec<Value>)>,
    growing: Vec<String>,
    expected_head: ExpectedHead,
    lease: Option<Lease>,
}

impl Step {
    /// Begins a thread, in the root namespace.
    pub fn first(thread_id: &ThreadId) -> Self {
        Self {
            thread_id: thread_id.clone(),
            checkpoint_ns: CheckpointNs::ROOT,
            parent: None,
            generation: None,
            checkpoint: Checkpoint::new(CheckpointId::generate(None)),
            metadata: Metadata::new(Source::Loop, 0),
            new_versions: ChannelVersions::new(),
            missing_parent: MissingParent::default(),
            appended: Vec::new(),
            growing: Vec::new(),
            expected_head: ExpectedHead::Any,
            lease: None,
        }
    }

    /// Follows a checkpoint, in its namespace and generation.
    pub fn after(parent: &CheckpointAddress) -> Self {
        let id = CheckpointId::generate(Some(&parent.checkpoint_id));
        Self {
            checkpoint_ns: parent.checkpoint_ns.clone(),
            parent: Some(parent.checkpoint_id.clone()),
            generation: parent.generation,
            checkpoint: Checkpoint::new(id),
            ..Self::first(&parent.thread_id)
        }
    }

    /// Puts it into a namespace.
    pub fn in_ns(self, name: &str) -> Self {
        let checkpoint_ns = ns(name);
        Self {
            checkpoint_ns,
            ..self
        }
    }

    /// Sets the id.
    pub fn id(mut self, name: &str) -> Self {
        self.checkpoint.id = id(name);
        self
    }

    /// Sets the parent.
    pub fn parent(self, parent: CheckpointId) -> Self {
        Self {
            parent: Some(parent),
            ..self
        }
    }

    /// Has no parent.
    pub fn without_parent(self) -> Self {
        Self {
            parent: None,
            ..self
        }
    }

    /// Leaves the generation of the parent unnamed.
    pub fn without_generation(self) -> Self {
        Self {
            generation: None,
            ..self
        }
    }

    /// Sets the channels, each of a version of its own and changed.
    pub fn values(mut self, values: Value) -> Self {
        let values = map(values);
        let version = Version::from(self.checkpoint.id.as_str());
        let versions = values.keys().map(|name| (name.clone(), version.clone()));
        self.new_versions = versions.collect();
        self.checkpoint.channel_versions = self.new_versions.clone();
        self.checkpoint.channel_values = values.into_iter().collect();
        self
    }

    /// Sets the versions of the channels. Which of them changed, [`changed`](Self::changed) says.
    pub fn versions(mut self, of_channels: Value) -> Self {
        self.checkpoint.channel_versions = versions(of_channels);
        self
    }

    /// Says which channels changed, by the versions they have.
    pub fn changed<const N: usize>(mut self, channels: [&str; N]) -> Self {
        let versions = &self.checkpoint.channel_versions;
        let changed = channels.map(|name| (name.to_owned(), versions[name].clone()));
        self.new_versions = changed.into();
        self
    }

    /// Appends items to a channel's list after `after` items, which gives it a version of its own. Comes
    /// after [`values`](Self::values) and [`changed`](Self::changed), which set those of the others.
    ///
    /// # Panics
    ///
    /// If the items are no array.
    pub fn append(mut self, channel: &str, after: usize, items: Value) -> Self {
        let Value::Array(items) = items else {
            panic!("{items} is no array");
        };
        let version = Version::from(self.checkpoint.id.as_str());
        let versions = &mut self.checkpoint.channel_versions;
        versions.insert(channel.to_owned(), version.clone());
        self.new_versions.insert(channel.to_owned(), version);
        self.appended.push((channel.to_owned(), after, items));
        self
    }

    /// Says that the next steps append to a channel's list, which it brings.
    pub fn grows(mut self, channel: &str) -> Self {
        self.growing.push(channel.to_owned());
        self
    }

    /// Adds an entry to the metadata.
    pub fn metadata(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata = self.metadata.with(key, value);
        self
    }

    /// Has empty channels where its parent isn't there.
    pub fn empty_without_its_parent(self) -> Self {
        Self {
            missing_parent: MissingParent::Empty,
            ..self
        }
    }

    /// Expects a head.
    pub fn expect_head(self, head: &CheckpointAddress) -> Self {
        Self {
            expected_head: ExpectedHead::Is(Some(head.checkpoint_id.clone())),
            ..self
        }
    }

    /// Expects that there is no head.
    pub fn expect_no_head(self) -> Self {
        Self {
            expected_head: ExpectedHead::Is(None),
            ..self
        }
    }

    /// Brings a lease along.
    pub fn lease(self, lease: &Lease) -> Self {
        Self {
            lease: Some(lease.clone()),
            ..self
        }
    }

    /// The address that the checkpoint gets, in any generation.
    pub fn address(&self) -> CheckpointAddress {
        CheckpointAddress::new(self.thread_id.clone(), self.checkpoint.id.clone())
            .unwrap()
            .in_ns(self.checkpoint_ns.clone())
    }

    /// Puts it.
    ///
    /// # Errors
    ///
    /// What the checkpointer says.
    ///
    /// # Cancel safety
    ///
    /// As [`Checkpointer::put`].
    pub async fn try_put(&self, checkpointer: &dyn Checkpointer) -> Result<CheckpointAddress> {
        checkpointer.put(self.request()).await
    }

    /// What asks to put it.
    #[must_use]
    pub fn request(&self) -> Put<'_> {
        let mut put = Put::new(&self.thread_id, &self.checkpoint, &self.metadata)
            .in_ns(&self.checkpoint_ns)
            .new_versions(&self.new_versions);
        put.parent = self.parent.as_ref();
        put.generation = self.generation;
        put.missing_parent = self.missing_parent;
        put.expected_head = self.expected_head.clone();
        put.lease = self.lease.as_ref();
        for (channel, after, items) in &self.appended {
            put = put.append(channel, *after, items);
        }
        for channel in &self.growing {
            put = put.grows(channel);
        }
        put
    }

    /// Puts it where that must succeed.
    ///
    /// # Cancel safety
    ///
    /// As [`Checkpointer::put`].
    pub async fn put(&self, checkpointer: &dyn Checkpointer) -> CheckpointAddress {
        self.try_put(checkpointer).await.unwrap()
    }
}

/// Puts `count` checkpoints in a row, each with its number in the channel `n` and as its step.
pub(crate) async fn put_chain(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    count: usize,
) -> Vec<CheckpointAddress> {
    let mut chain: Vec<CheckpointAddress> = Vec::new();
    for n in 0..count {
        let step = chain
            .last()
            .map_or_else(|| Step::first(thread_id), Step::after);
        let step = step.values(json!({ "n": n })).metadata("step", n);
        chain.push(step.put(checkpointer).await);
    }
    chain
}

/// Stores writes of a task.
pub(crate) async fn try_write(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    task_path: &str,
    writes: Value,
) -> Result<()> {
    try_write_leased(checkpointer, address, task, task_path, writes, None).await
}

/// Stores writes of a task that may carry a lease.
pub(crate) async fn try_write_leased(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    task_path: &str,
    writes: Value,
    lease: Option<&Lease>,
) -> Result<()> {
    let task_id = TaskId::new(task).unwrap();
    let writes = writes.as_array().unwrap().iter();
    let writes: Vec<(String, Value)> = writes
        .map(|write| (write[0].as_str().unwrap().to_owned(), write[1].clone()))
        .collect();
    let mut writes = PutWrites::new(address, &task_id, &writes).task_path(task_path);
    writes.lease = lease;
    checkpointer.put_writes(writes).await
}

/// Stores writes of a task without a path: `[[channel, value], …]`.
pub(crate) async fn write(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    writes: Value,
) {
    let written = try_write(checkpointer, address, task, "", writes).await;
    written.unwrap();
}

/// Reads a checkpoint that must be there.
///
/// # Cancel safety
///
/// Only reads.
pub async fn get(checkpointer: &dyn Checkpointer, address: &CheckpointAddress) -> CheckpointTuple {
    let found = find(checkpointer, GetTuple::at(address)).await;
    found.unwrap_or_else(|| panic!("checkpoint `{}` isn't there", address.checkpoint_id))
}

/// Reads a checkpoint that may be there.
pub(crate) async fn find(
    checkpointer: &dyn Checkpointer,
    query: GetTuple,
) -> Option<CheckpointTuple> {
    checkpointer.get_tuple(query).await.unwrap()
}

/// The id of the head of a thread's root namespace.
///
/// # Cancel safety
///
/// Only reads.
pub async fn head(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Option<CheckpointId> {
    let head = find(checkpointer, GetTuple::head(thread_id).unwrap()).await;
    head.map(|head| head.address.checkpoint_id)
}

/// Lists checkpoints.
pub(crate) async fn list(checkpointer: &dyn Checkpointer, query: List) -> Vec<CheckpointTuple> {
    checkpointer.list(query).try_collect().await.unwrap()
}

/// Lists the ids of a thread's checkpoints.
///
/// # Cancel safety
///
/// Only reads.
pub async fn ids(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Vec<CheckpointId> {
    let listed = list(checkpointer, List::thread(thread_id).unwrap()).await;
    ids_of(&listed)
}

/// The ids of what was listed.
pub(crate) fn ids_of(listed: &[CheckpointTuple]) -> Vec<CheckpointId> {
    let ids = listed.iter().map(|tuple| &tuple.address.checkpoint_id);
    ids.cloned().collect()
}

/// The values of the channels.
pub fn values(tuple: &CheckpointTuple) -> Value {
    tuple.checkpoint.channel_values.clone().into()
}

/// The pending writes: `[[task, channel, value], …]`.
pub(crate) fn pending(tuple: &CheckpointTuple) -> Value {
    writes(&tuple.pending_writes)
}

/// Writes: `[[task, channel, value], …]`.
pub(crate) fn writes(writes: &[PendingWrite]) -> Value {
    let writes = writes.iter();
    let writes = writes.map(|write| json!([write.task_id.as_str(), write.channel, *write.value]));
    writes.collect()
}

/// The history of one channel.
pub(crate) async fn history(
    checkpointer: &dyn Checkpointer,
    target: GetTuple,
    channel: &str,
) -> ChannelHistory {
    let query = GetChannelHistory::new(target, vec![channel.to_owned()]).unwrap();
    let mut histories = checkpointer.channel_history(query).await.unwrap();
    let history = histories.remove(channel);
    history.unwrap_or_else(|| panic!("`{channel}` was asked for and isn't answered"))
}

/// Deletes a thread, whatever generation it is in.
pub(crate) async fn delete(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) {
    let delete = DeleteThread::new(thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
}

/// Keeps the latest checkpoints of a thread.
pub(crate) async fn prune(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) {
    let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
}

/// Whether a call was refused because the thread was deleted.
pub(crate) fn is_deleted<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::ThreadDeleted { .. }))
}

/// How long a lease lasts whose time isn't over in a test.
pub(crate) const LONG: Duration = Duration::from_secs(60 * 60);

/// Takes a lease that no other has.
pub(crate) async fn acquire(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    ttl: Duration,
) -> Lease {
    let acquired = checkpointer.acquire_lease(AcquireLease::new(thread_id, ttl).unwrap());
    acquired.await.unwrap()
}

/// Whether a call was refused because another has a lease.
pub(crate) fn is_held<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::LeaseHeld { .. }))
}

/// Whether a call was refused because its lease is lost.
pub(crate) fn is_lost<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::LeaseLost { .. }))
}
