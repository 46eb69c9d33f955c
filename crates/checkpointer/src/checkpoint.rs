//! A checkpoint, and what surrounds it when it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::{
    ChannelValues, CheckpointId, CheckpointNs, Checkpointer, IntoName, Metadata, Result, TaskId,
    ThreadId, Version,
};

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
    /// Nothing of it: only the checkpoint's id, format and time.
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
    /// parent's values, versions, versions seen and format. The values are shared, not copied.
    ///
    /// If the parent was read in part, its child can't be put either.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::json;
    /// use checkpointer::{Checkpoint, Checkpointer, Metadata, Put, Source};
    ///
    /// # use checkpointer::{CheckpointTuple, CheckpointAddress, Result};
    /// # async fn step(checkpointer: &dyn Checkpointer, at: &CheckpointTuple) -> Result<CheckpointAddress> {
    /// let mut checkpoint = Checkpoint::child_of(at);
    /// let changed = checkpoint.write(checkpointer, [("draft", json!("Dear customer"))]);
    ///
    /// let metadata = Metadata::new(Source::Loop, 1);
    /// let put = Put::after(&at.address, &checkpoint, &metadata).new_versions(&changed);
    /// checkpointer.put(put.expect_head(&at.address.checkpoint_id)).await
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

    /// Writes to channels: gives each its value, or none to empty it, and its next version. Returns
    /// the new versions, for [`Put::new_versions`](crate::Put::new_versions).
    ///
    /// A value is a [`Value`] or an [`Arc`] of one, such as that of a [`PendingWrite`], which is shared.
    /// Of several values for one channel the last one counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::json;
    /// use checkpointer::{Checkpoint, CheckpointId, MemoryCheckpointer};
    ///
    /// let checkpointer = MemoryCheckpointer::new();
    /// let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    /// checkpoint.write(&checkpointer, [("question", json!("Where is my order?"))]);
    ///
    /// let answer = [("answer", Some(json!("On its way"))), ("question", None)];
    /// let new_versions = checkpoint.write(&checkpointer, answer);
    /// assert_eq!(json!(checkpoint.channel_values), json!({ "answer": "On its way" }));
    /// assert_eq!(new_versions, checkpoint.channel_versions);
    /// ```
    pub fn write<Channel: Into<String>>(
        &mut self,
        by: &dyn Checkpointer,
        writes: impl IntoIterator<Item = (Channel, impl Into<ChannelWrite>)>,
    ) -> ChannelVersions {
        let mut new_versions = ChannelVersions::new();
        for (channel, value) in writes {
            let channel = channel.into();
            let next = by.next_version(self.channel_versions.get(&channel));
            new_versions.insert(channel.clone(), next);
            match value.into().0 {
                Some(value) => self.channel_values.insert_shared(channel, value),
                None => self.channel_values.remove(&channel),
            };
        }
        self.channel_versions.extend(new_versions.clone());
        new_versions
    }

    /// When the checkpoint was made, if [`ts`](Self::ts) says so by RFC 3339, with any offset from UTC.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{Checkpoint, CheckpointId};
    ///
    /// let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    /// assert!(checkpoint.made_at().is_some_and(|made_at| made_at.elapsed().is_ok()));
    ///
    /// checkpoint.ts = "2026-11-29T09:00:00+01:00".to_owned();
    /// let made_at = checkpoint.made_at();
    /// checkpoint.ts = "2026-11-29T08:00:00Z".to_owned();
    /// assert_eq!(checkpoint.made_at(), made_at);
    /// ```
    pub fn made_at(&self) -> Option<SystemTime> {
        let (time, ahead) = in_utc(&self.ts)?;
        let time = humantime::parse_rfc3339_weak(&time).ok()?;
        match ahead {
            Offset::Ahead(offset) => time.checked_sub(offset),
            Offset::Behind(offset) => time.checked_add(offset),
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

/// What [`Checkpoint::write`] gives a channel: a value, which others may hold as well, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelWrite(Option<Arc<Value>>);

impl From<Value> for ChannelWrite {
    fn from(value: Value) -> Self {
        Self(Some(Arc::new(value)))
    }
}

impl From<Arc<Value>> for ChannelWrite {
    fn from(value: Arc<Value>) -> Self {
        Self(Some(value))
    }
}

impl<Shared: Into<Arc<Value>>> From<Option<Shared>> for ChannelWrite {
    fn from(value: Option<Shared>) -> Self {
        Self(value.map(Into::into))
    }
}

/// How far a clock's time is from UTC.
enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

/// Splits a time into what a clock shows, as if it were in UTC, and its offset.
fn in_utc(ts: &str) -> Option<(String, Offset)> {
    let (date, time) = ts.split_at_checked("2026-11-29T".len())?;
    let Some(at) = time.find(['+', '-']) else {
        return Some((ts.to_owned(), Offset::Ahead(Duration::ZERO)));
    };
    let (time, offset) = time.split_at(at);
    let (sign, offset) = offset.split_at(1);
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset = Duration::from_secs(60 * (60 * u64::from(hours) + u64::from(minutes)));
    let time = format!("{date}{time}Z");
    match sign {
        "+" => Some((time, Offset::Ahead(offset))),
        _ => Some((time, Offset::Behind(offset))),
    }
}

/// How often a thread was started: 1, and one more after each deletion.
///
/// A call that brings along the generation it read is refused once the thread was deleted, even if
/// the thread was started again since.
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
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the id of the thread or of the checkpoint can't be one.
    pub fn new(
        thread_id: impl IntoName<ThreadId>,
        checkpoint_id: impl IntoName<CheckpointId>,
    ) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id: checkpoint_id.into_name()?,
            generation: None,
        })
    }

    /// Moves the address to another namespace. Defaults to the root namespace.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: impl Into<CheckpointNs>) -> Self {
        Self {
            checkpoint_ns: checkpoint_ns.into(),
            ..self
        }
    }

    /// Names the thread's generation. Defaults to any.
    #[must_use]
    pub fn generation(self, generation: Generation) -> Self {
        Self {
            generation: Some(generation),
            ..self
        }
    }

    /// The address of another checkpoint of the same thread, namespace and generation.
    #[must_use]
    pub fn sibling(&self, checkpoint_id: impl Into<CheckpointId>) -> Self {
        Self {
            checkpoint_id: checkpoint_id.into(),
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
    /// Where in the graph the task stands.
    pub task_path: String,
    /// Its index among the task's writes, which is below 0 for the special
    /// [`channels`](crate::channels).
    pub idx: i32,
    /// The channel it is for.
    pub channel: String,
    /// The value, which is shared as [`ChannelValues`] shares theirs.
    pub value: Arc<Value>,
}

impl PendingWrite {
    /// Makes a write of `task_id` to `channel`: the first of the task, which has no path.
    #[must_use]
    pub fn new(task_id: TaskId, channel: impl Into<String>, value: impl Into<Arc<Value>>) -> Self {
        Self {
            task_id,
            task_path: String::new(),
            idx: 0,
            channel: channel.into(),
            value: value.into(),
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
    /// Whether it is [pinned](crate::Checkpointer::set_pinned).
    pub pinned: bool,
}

impl CheckpointTuple {
    /// Makes a tuple without a parent and without pending writes, which isn't pinned.
    #[must_use]
    pub fn new(address: CheckpointAddress, checkpoint: Checkpoint, metadata: Metadata) -> Self {
        Self {
            address,
            checkpoint,
            metadata,
            parent_address: None,
            pending_writes: Vec::new(),
            pinned: false,
        }
    }
}

/// The writes from which a channel's value is rebuilt.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ChannelHistory {
    /// The writes since the seed, the oldest first, with the seed's own.
    pub writes: Vec<PendingWrite>,
    /// The nearest stored value among the ancestors, shared as [`ChannelValues`] shares theirs; none
    /// if the walk ended at the first checkpoint.
    pub seed: Option<Arc<Value>>,
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
    /// How often the thread was started.
    pub generation: Generation,
}

impl ThreadInfo {
    /// Makes the entry of a thread without metadata and without a head.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn new(
        thread_id: impl IntoName<ThreadId>,
        generation: Generation,
        created_at: SystemTime,
    ) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            metadata: Map::new(),
            created_at,
            updated_at: created_at,
            head: None,
            generation,
        })
    }
}

#[cfg(test)]
mod tests;
