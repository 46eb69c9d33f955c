//! Asks to store a checkpoint.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Appended;
use crate::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Generation, Lease,
    Metadata, ThreadId, Version,
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

/// What becomes of a put that keeps values of its parent, if the parent isn't there.
///
/// A put keeps the values of channels that have a version, but neither a value nor a new version.
///
/// # Examples
///
/// ```
/// use checkpointer::{
///     Checkpoint, CheckpointId, Checkpointer, Error, Metadata, MissingParent, Put, ThreadId, Version,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let (thread_id, metadata) = (ThreadId::new("support-4711")?, Metadata::default());
/// let pruned = CheckpointId::new("1f1e75c6")?;
/// let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
/// checkpoint.channel_versions.insert("draft".to_owned(), Version::Int(1));
///
/// let put = Put::new(&thread_id, &checkpoint, &metadata).parent(&pruned);
/// let refusal = checkpointer.put(put.clone()).await;
/// assert!(matches!(refusal, Err(Error::ParentNotFound { .. })));
/// checkpointer.put(put.missing_parent(MissingParent::Empty)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MissingParent {
    /// The put fails with [`Error::ParentNotFound`](crate::Error::ParentNotFound).
    #[default]
    Refused,
    /// The channels are empty. This is LangGraph's rule, for runtimes whose puts carry every value that
    /// there is. A put that [appends](Put::append) is refused all the same.
    ///
    /// The checkpoint names its parent all the same. A thread that was started again isn't affected: a
    /// put that names neither a generation nor a parent of this generation is refused as ever.
    Empty,
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
    /// What becomes of it if it keeps values of a parent that isn't there.
    pub missing_parent: MissingParent,
    /// The channels whose value is their parent's and further items.
    pub appended: BTreeMap<&'a str, Appended<'a>>,
    /// The channels whose whole list it brings, and to which further puts append.
    pub growing: BTreeSet<&'a str>,
    /// The head it expects.
    pub expected_head: ExpectedHead,
    /// The lease on the thread.
    pub lease: Option<&'a Lease>,
    /// What changes in the thread's own metadata, if the checkpoint is stored.
    pub thread_metadata: Option<&'a Map<String, Value>>,
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
            missing_parent: MissingParent::default(),
            appended: BTreeMap::new(),
            growing: BTreeSet::new(),
            expected_head: ExpectedHead::Any,
            lease: None,
            thread_metadata: None,
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

    /// Says what becomes of the put if it keeps values of a parent that isn't there. Defaults to
    /// [`MissingParent::Refused`].
    #[must_use]
    pub fn missing_parent(self, missing_parent: MissingParent) -> Self {
        Self {
            missing_parent,
            ..self
        }
    }

    /// Appends items to a channel's list: its value is the parent's, and `items` behind it. `after`
    /// says how many items the parent's value has. Defaults to no such channel.
    ///
    /// It is for lists that get long, such as a conversation: the caller needs to hold no more than
    /// what is new, and in PostgreSQL the client's part of the put doesn't grow with the list. What is
    /// stored is what a put of the whole list stores.
    ///
    /// The checkpoint has a version for the channel, but no value. Where the parent has no value of it,
    /// or the put no parent, the list begins: `after` is 0.
    ///
    /// `after` is compared with the parent's value, whose items aren't. So a caller whose own list
    /// differs from the stored one in an item stores its new items behind the stored ones.
    ///
    /// The program that has put the parent remembers what it takes to append. Otherwise the put reads the
    /// parent's list first: after a restart, after a put of the whole list that doesn't say that the list
    /// [grows](Self::grows), after a put within a transaction, and where [`cache_bytes`](crate::PostgresOptions::cache_bytes) don't suffice. It doesn't
    /// notice that another program has removed that parent since, or has put it again with another list.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::{Value, json};
    /// use checkpointer::{
    ///     Checkpoint, CheckpointTuple, Checkpointer, GetTuple, MemoryCheckpointer, Metadata, Put, Source,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// let checkpointer = MemoryCheckpointer::new();
    /// # let thread_id = checkpointer::ThreadId::new("support-4711")?;
    /// # let mut checkpoint = Checkpoint::new(checkpointer::CheckpointId::generate(None));
    /// # checkpoint.write(&checkpointer, [("messages", json!(["Where is my order?"]))]);
    /// # let metadata = Metadata::new(Source::Input, -1);
    /// # let address = checkpointer.put(Put::new(&thread_id, &checkpoint, &metadata)).await?;
    /// # let at = CheckpointTuple::new(address, checkpoint, metadata);
    /// // `at` has one message.
    /// let mut checkpoint = Checkpoint::child_of(&at);
    /// let changed = checkpoint.write(&checkpointer, [("messages", None::<Value>)]);
    /// let metadata = Metadata::new(Source::Loop, 0);
    /// let put = Put::after(&at.address, &checkpoint, &metadata).new_versions(&changed);
    /// let stored = checkpointer.put(put.append("messages", 1, &[json!("On its way.")])).await?;
    ///
    /// let stored = checkpointer.get_tuple(GetTuple::at(&stored)).await?;
    /// let values = stored.map(|stored| stored.checkpoint.channel_values).unwrap_or_default();
    /// assert_eq!(values["messages"], json!(["Where is my order?", "On its way."]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn append(mut self, channel: &'a str, after: usize, items: &'a [Value]) -> Self {
        self.appended.insert(channel, Appended { after, items });
        self
    }

    /// Says that further puts [append](Self::append) to a channel whose whole list this put brings. The
    /// program remembers what that takes, so that the next put needs not read the list. Defaults to no
    /// such channel.
    ///
    /// It is for the put after a read: the reader knows the whole list, and puts it once.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::{Value, json};
    /// use checkpointer::{Checkpoint, CheckpointTuple, Checkpointer, Metadata, Put, Source};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// # let thread_id = checkpointer::ThreadId::new("support-4711")?;
    /// let mut checkpoint = Checkpoint::new(checkpointer::CheckpointId::generate(None));
    /// let messages = json!(["Where is my order?"]);
    /// let changed = checkpoint.write(&checkpointer, [("messages", messages)]);
    /// let metadata = Metadata::new(Source::Input, -1);
    /// let put = Put::new(&thread_id, &checkpoint, &metadata).new_versions(&changed);
    /// let address = checkpointer.put(put.grows("messages")).await?;
    ///
    /// let at = CheckpointTuple::new(address, checkpoint, metadata);
    /// let mut checkpoint = Checkpoint::child_of(&at);
    /// let changed = checkpoint.write(&checkpointer, [("messages", None::<Value>)]);
    /// let metadata = Metadata::new(Source::Loop, 0);
    /// let put = Put::after(&at.address, &checkpoint, &metadata).new_versions(&changed);
    /// checkpointer.put(put.append("messages", 1, &[json!("On its way.")])).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn grows(mut self, channel: &'a str) -> Self {
        self.growing.insert(channel);
        self
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

    /// Changes the thread's own metadata in the same transaction, as
    /// [`update_thread_metadata`](crate::Checkpointer::update_thread_metadata) does: with the
    /// checkpoint, or not at all. Defaults to no change.
    ///
    /// In PostgreSQL, such a put takes a transaction of several statements, and other writes to the
    /// thread wait for it. It is for metadata that changes now and then.
    #[must_use]
    pub fn thread_metadata(self, changes: &'a Map<String, Value>) -> Self {
        Self {
            thread_metadata: Some(changes),
            ..self
        }
    }

    /// Whether it is refused if its parent isn't there.
    pub(crate) fn needs_parent(&self) -> bool {
        let is_refused = self.missing_parent == MissingParent::Refused;
        is_refused && self.parent.is_some() && self.unchanged().next().is_some()
    }

    /// The channels that have a version but no value, and didn't change.
    pub(crate) fn unchanged(&self) -> impl Iterator<Item = (&String, &Version)> {
        self.checkpoint
            .channel_versions
            .iter()
            .filter(|(channel, _)| {
                !self.checkpoint.channel_values.contains_key(channel)
                    && !self.new_versions.contains_key(*channel)
                    && !self.appended.contains_key(channel.as_str())
            })
    }

    /// Whether values of its channels are those of its parent, or begin with them.
    pub(crate) fn takes_from_parent(&self) -> bool {
        let takes = self.unchanged().next().is_some() || !self.appended.is_empty();
        self.parent.is_some() && takes
    }

    /// A channel for whose value the parent must be there; there may be more.
    pub(crate) fn inherited(&self) -> Option<&str> {
        let kept = match self.needs_parent() {
            true => self.unchanged().next(),
            false => None,
        };
        let kept = kept.map(|(channel, _)| channel.as_str());
        kept.or_else(|| {
            self.parent
                .and_then(|_| self.appended.keys().next().copied())
        })
    }
}
