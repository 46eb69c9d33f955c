//! Threads whose state is a Rust type.

mod channels;
mod checked;
mod fields;
mod fork_into;
mod history;
mod lease;
mod lists;
mod log;
mod notes;
mod open;
mod save;
mod save_options;
mod shape;
mod stored_state;
mod to_value;
mod update;
mod within;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple,
    Checkpointer, Error, ExpectedHead, GetTuple, Lease, Metadata, Projection, Put, Result, Source,
    ThreadId,
};
use channels::{Channels, Further};
pub use history::History;
use lease::Carried;
use lists::Lists;
pub use log::Log;
pub use save_options::SaveOptions;
use shape::Shape;
use stored_state::StoredState;
use update::Last;
use within::Uncommitted;

/// A thread whose state is a `State`.
///
/// The top-level fields of a struct become channels. Any other type, a struct with flattened fields
/// among them, is stored in one channel, `__root__`.
///
/// Saving is guarded: if another program has saved since the last [`load`](Self::load) or
/// [`save`](Self::save) of this handle, a save fails with [`Conflict`](Error::Conflict) and stores
/// nothing. [`acquire_lease`](Self::acquire_lease) keeps others from saving at all, as long as the handle
/// lives.
///
/// # When the type changes
///
/// [`versioned`](Self::versioned) reads what was saved before the type changed.
///
/// While an older program runs beside a newer one, the stored state has fields that the older type
/// doesn't know. If the type is a struct that derives `Deserialize` and flattens nothing, a save keeps
/// these as they were loaded. A save replaces any other state as a whole, such as a tagged enum, or a type
/// with a `Deserialize` written by hand.
///
/// A field that the type knows, but doesn't serialize, as by `skip_serializing_if`, leaves the state. A
/// field that was removed from the type for good stays in the state until an upgrade of
/// [`versioned`](Self::versioned) removes it, or until a save of a thread that was opened with
/// [`owning_all_fields`](Self::owning_all_fields).
///
/// To rename a field, serde's `alias` is enough only if no program of the older type runs any more: such a
/// program keeps the new field as one that it doesn't know, and saves its own beside it. The newer type
/// then fails to read both. While programs of both types run, raise the version.
///
/// # What can be saved
///
/// A save refuses what JSON would change: a float that isn't finite, an integer beyond 64 bits, an object
/// with one key twice, as by a flattened map that has the name of a field.
///
/// A save also refuses what the type can't read because of its shape, such as a field that
/// `skip_serializing_if` leaves out and that has no default, and a `Some` that would be loaded as `None`,
/// such as `Some(Value::Null)`. To find out, it reads a state back when a state of the type first has that
/// shape in this process: a kind of value at a place in the type, or a set of a struct's fields. Up to
/// 10,000 of these are remembered for each type; after that, nothing is read back. What is left out of a
/// struct that flattens another type is noticed only in a state that is read back for another reason. A
/// value that the type's own checks refuse, as of `#[serde(try_from)]`, may be saved, and then can't be
/// loaded.
///
/// # How a thread grows
///
/// A save appends to a list that is a field of the state, or the state itself, and only grew since this
/// handle has saved it: it makes JSON of the new items, and sends those. To find out whether a `Vec` only
/// grew, it hashes what serde says of all items; a [`Log`] knows it. [`update`](Self::update) also keeps
/// the state for the next update. The first save after a load, a fork, a save in a transaction or one with
/// [metadata of the thread](SaveOptions::thread_metadata) makes JSON of the whole list, as does each save of
/// a list whose other items changed, or that takes more than about 150 MB. Either way the save stores the
/// same.
///
/// Each save stores the chunks of a large value that changed. The order of an array's items counts: a
/// `HashSet` comes back in another order, and so the next save after a load stores it anew. A `BTreeSet`,
/// or a set that keeps the order of insertion, isn't stored again. Neither is a `HashMap`, because objects
/// have no order.
///
/// A `Vec<u8>` is an array of numbers: about four times its bytes as JSON, and twelve times in PostgreSQL
/// before that compresses it. A text, such as Base64, takes a third more than the bytes, but is stored as
/// a whole whenever it changes.
///
/// # Examples
///
/// ```
/// use checkpointer::{MemoryCheckpointer};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Support {
///     messages: Vec<String>,
///     escalated: bool,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// let checkpointer = MemoryCheckpointer::new();
/// let mut thread = checkpointer.thread::<Support>("support-4711")?;
///
/// let mut state = thread.load().await?.unwrap_or_default();
/// state.messages.push("Where is my order?".to_owned());
/// thread.save(&state).await?;
///
/// thread.update(|state| state.escalated = true).await?;
/// # Ok(())
/// # }
/// ```
pub struct Thread<State> {
    checkpointer: Arc<dyn Checkpointer>,
    thread_id: ThreadId,
    shape: Shape,
    position: Position,
    /// A save whose outcome isn't known.
    attempt: Option<Arc<Attempt>>,
    /// The last saves in transactions of the caller's that may or may not be committed, each after
    /// the one before it.
    uncommitted: Vec<Uncommitted>,
    /// What saves carry.
    lease: Carried,
    /// Whether a save drops the fields that the type doesn't know.
    owns_all: bool,
    /// What the last update has saved.
    last: Option<Last<State>>,
}

/// What the next save follows.
#[derive(Debug, Clone, Default)]
struct Position {
    parent: Option<Parent>,
    /// The head that must still be there.
    head: Option<CheckpointId>,
}

#[derive(Debug, Clone)]
struct Parent {
    address: CheckpointAddress,
    step: i64,
    versions: ChannelVersions,
    channels: channels::Hashes,
    /// Its lists, if this handle has saved them.
    lists: Lists,
    /// Its fields that the type doesn't know.
    unknown: Channels,
    source: Source,
    /// Whether the state is stored in the version of the type.
    is_current: bool,
}

/// A save with its id, so that sending it again has the effect of one save.
#[derive(Debug, Clone)]
struct Attempt {
    checkpoint: Checkpoint,
    /// The lists that it appends to.
    longer: BTreeMap<String, Further>,
    metadata: Metadata,
    /// What changes in the thread's own.
    thread_metadata: Map<String, Value>,
    new_versions: ChannelVersions,
    from: Position,
    to: Parent,
}

impl<State> Thread<State> {
    /// Names the version of the state's type, and reads older ones with `upgrade`. Defaults to
    /// version 0, which nothing is older than.
    ///
    /// A change that serde bridges needs no version, such as a new field with `#[serde(default)]`.
    /// For any other, raise the version by one. Each save keeps it, as `state_version` in the
    /// checkpoint's metadata; a state that was saved without a version, or put by a graph runtime,
    /// has version 0. An older state goes through `upgrade` whenever it is read, with its version:
    /// an object of its fields, or whatever else a state is that isn't a struct. Stored checkpoints
    /// stay as they are, and the next save has the new shape. The upgrade must remove what the new type
    /// no longer has: a save keeps fields that the type doesn't know.
    ///
    /// A renamed field needs a version while programs of both types run, also if the new type has an
    /// `alias` for it: the older program would keep the new field, and save its own beside it.
    ///
    /// A state of a newer version is refused with [`Error::StateTooNew`]. If `upgrade` fails, or leaves
    /// what doesn't fit, the call fails with [`Error::StateMismatch`]. An error of `serde_json` is told
    /// there without the values that it quotes; any other is the `source`, as `upgrade` made it, so
    /// that a program's log shows no more of a state than its own `upgrade` says.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{MemoryCheckpointer};
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::{Value, json};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct FirstRelease {
    ///     question: String,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Support {
    ///     messages: Vec<String>,
    ///     urgency: u8,
    /// }
    ///
    /// fn upgrade(from: u32, mut state: Value) -> serde_json::Result<Value> {
    ///     if from < 1 {
    ///         // Remove what the new type no longer has.
    ///         let question = state.as_object_mut().and_then(|fields| fields.remove("question"));
    ///         state["messages"] = json!([question]);
    ///     }
    ///     if from < 2 {
    ///         state["urgency"] = json!(1);
    ///     }
    ///     Ok(state)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = MemoryCheckpointer::new();
    /// # let question = "Where is my order?".to_owned();
    /// # checkpointer.thread("support-4711")?.save(&FirstRelease { question }).await?;
    /// let thread = checkpointer.thread::<Support>("support-4711")?;
    /// let mut thread = thread.versioned(2, upgrade);
    /// if let Some(mut state) = thread.load().await? {
    ///     assert_eq!(state.messages, ["Where is my order?"]);
    ///     state.urgency += 1;
    ///     thread.save(&state).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn versioned<E>(
        self,
        version: u32,
        upgrade: impl Fn(u32, Value) -> Result<Value, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self {
            shape: Shape::new(version, upgrade),
            ..self
        }
    }

    /// Drops, with each save, the fields that the type doesn't know. Defaults to keeping them: another
    /// version of the program may know them.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Newer {
    ///     messages: Vec<String>,
    ///     approved_by: Option<String>,
    /// }
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Older {
    ///     messages: Vec<String>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// let mut newer = checkpointer.thread::<Newer>("support-4711")?;
    /// let approved_by = Some("Ada".to_owned());
    /// newer.save(&Newer { messages: vec![], approved_by }).await?;
    ///
    /// let mut older = checkpointer.thread::<Older>("support-4711")?;
    /// older.update(|state| state.messages.push("Thanks!".to_owned())).await?;
    /// assert!(newer.load().await?.is_some_and(|state| state.approved_by.is_some()));
    ///
    /// let mut alone = checkpointer.thread::<Older>("support-4711")?.owning_all_fields();
    /// alone.update(|state| state.messages.clear()).await?;
    /// assert!(newer.load().await?.is_some_and(|state| state.approved_by.is_none()));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn owning_all_fields(self) -> Self {
        Self {
            owns_all: true,
            ..self
        }
    }

    /// Returns the thread's id.
    pub fn thread_id(&self) -> &ThreadId {
        &self.thread_id
    }

    /// Returns the checkpoint that was loaded or saved last. A save in a transaction of the caller's
    /// counts from its commit on, or, if that isn't known, from the next call on.
    pub fn checkpoint_id(&self) -> Option<&CheckpointId> {
        let committed = self
            .uncommitted
            .iter()
            .rev()
            .find_map(Uncommitted::committed);
        let address = match committed {
            Some(address) => address,
            None => &self.position.parent.as_ref()?.address,
        };
        Some(&address.checkpoint_id)
    }

    async fn tuple(&self, checkpoint_id: &CheckpointId) -> Result<CheckpointTuple> {
        let query = GetTuple::head(&self.thread_id)?.checkpoint_id(checkpoint_id);
        let found = self.checkpointer.get_tuple(query).await?;
        found.ok_or_else(|| Error::CheckpointNotFound {
            thread_id: self.thread_id.clone(),
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id: checkpoint_id.clone(),
        })
    }

    /// Ends the uncertainty about the last saves.
    async fn settle(&mut self) -> Result<()> {
        self.settle_uncommitted().await?;
        self.send_again().await
    }

    /// Sends a save whose outcome isn't known again, as it was.
    async fn send_again(&mut self) -> Result<()> {
        if let Some(attempt) = self.attempt.clone() {
            self.send(attempt).await?;
        }
        Ok(())
    }

    /// Sends a save, and keeps it until its outcome is known.
    async fn send(&mut self, attempt: Arc<Attempt>) -> Result<CheckpointAddress> {
        let again = self.attempt.replace(Arc::clone(&attempt)).is_some();
        let put = attempt.put(&self.thread_id, self.lease());
        let outcome = self.checkpointer.put(put).await;
        let unknown = |error: &Error| {
            // What keeps the database from storing it now says nothing about the first time.
            let undecided = matches!(error, Error::Database { .. } | Error::Busy { .. });
            error.is_outcome_unknown() || again && undecided
        };
        if !outcome.as_ref().is_err_and(unknown) {
            self.attempt = None;
        }
        let address = outcome?;
        self.position = attempt.stored_as(&address);
        Ok(address)
    }
}

impl Attempt {
    fn put<'a>(&'a self, thread_id: &'a ThreadId, lease: Option<&'a Lease>) -> Put<'a> {
        let mut put =
            Put::new(thread_id, &self.checkpoint, &self.metadata).new_versions(&self.new_versions);
        put.expected_head = ExpectedHead::Is(self.from.head.clone());
        put.lease = lease;
        if !self.thread_metadata.is_empty() {
            put.thread_metadata = Some(&self.thread_metadata);
        }
        if let Some(Parent { address, .. }) = &self.from.parent {
            put.parent = Some(&address.checkpoint_id);
            put.generation = address.generation;
        }
        let longer = self.longer.iter();
        put = longer.fold(put, |put, (channel, further)| {
            put.append(channel, further.after, &further.items)
        });
        let lists = self.to.lists.keys();
        let whole = lists.filter(|list| !self.longer.contains_key(*list));
        whole.fold(put, |put, list| put.grows(list))
    }

    /// What the next save follows once this one is stored.
    fn stored_as(&self, address: &CheckpointAddress) -> Position {
        Position {
            head: Some(address.checkpoint_id.clone()),
            parent: Some(Parent {
                address: address.clone(),
                ..self.to.clone()
            }),
        }
    }
}

impl<State: Serialize + DeserializeOwned> Thread<State> {
    /// Reads the state at the head; none if the thread has none. The next save follows it.
    ///
    /// # Errors
    ///
    /// [`Error::StateMismatch`] if the state doesn't fit the type, [`Error::StateTooNew`] if a
    /// newer program saved it. If the outcome of the last save isn't known, it is sent again first:
    /// then the errors of [`save`](Self::save).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the handle is as before, or as after the last save.
    pub async fn load(&mut self) -> Result<Option<State>> {
        match self.send_again().await {
            // Lost to another program: what that has stored is loaded now.
            Ok(())
            | Err(
                Error::Conflict { .. }
                | Error::ThreadDeleted { .. }
                | Error::AppendMismatch { .. }
                | Error::ParentNotFound { .. }
                | Error::LeaseHeld { .. }
                | Error::LeaseLost { .. },
            ) => {}
            Err(error) => return Err(error),
        }
        let query = GetTuple::head(&self.thread_id)?;
        let tuple = self.checkpointer.get_tuple(query).await?;
        self.take_head(tuple)
    }

    /// Reads the state at a checkpoint. What the next save follows stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointNotFound`]; [`Error::StateMismatch`] if the state doesn't fit the type,
    /// [`Error::StateTooNew`] if a newer program saved it.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    pub async fn at(&self, checkpoint_id: &CheckpointId) -> Result<State> {
        let tuple = self.tuple(checkpoint_id).await?;
        let (_, state) = self.open(tuple, Source::Update)?;
        Ok(state)
    }

    /// Goes back to a checkpoint, to write from there: the next save follows it and becomes the
    /// head. What was saved after it stays, in a branch of its own.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::at). If the outcome of the last save isn't known, it is sent again first:
    /// then the errors of [`save`](Self::save).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the handle is as before, or as after the last save.
    pub async fn fork(&mut self, checkpoint_id: &CheckpointId) -> Result<State> {
        self.last = None;
        self.settle().await?;
        let tuple = self.tuple(checkpoint_id).await?;
        let head = match &self.position.head {
            Some(head) => Some(head.clone()),
            None => {
                let query = GetTuple::head(&self.thread_id)?.project(Projection::Metadata);
                let head = self.checkpointer.get_tuple(query).await?;
                head.map(|head| head.address.checkpoint_id)
            }
        };
        let (parent, state) = self.open(tuple, Source::Fork)?;
        self.position = Position {
            parent: Some(parent),
            head,
        };
        Ok(state)
    }

    /// Reads the state at the head, which the next save follows.
    fn take_head(&mut self, head: Option<CheckpointTuple>) -> Result<Option<State>> {
        let mut position = Position::default();
        let mut state = None;
        if let Some(tuple) = head {
            position.head = Some(tuple.address.checkpoint_id.clone());
            let (parent, read) = self.open(tuple, Source::Update)?;
            position.parent = Some(parent);
            state = Some(read);
        }
        self.position = position;
        self.uncommitted.clear();
        self.last = None;
        Ok(state)
    }

    /// Reads a checkpoint's state, and what a save after it needs to know. `source` is what such a
    /// save says of itself.
    fn open(&self, tuple: CheckpointTuple, source: Source) -> Result<(Parent, State)> {
        let values = tuple.checkpoint.channel_values;
        let channels = channels::hashes(&values);
        let state = StoredState::new(values);
        let is_current = self.shape.is_current(&tuple.metadata);
        let state = self.shape.current(&tuple.address, &tuple.metadata, state)?;
        let unknown = match self.owns_all {
            true => Channels::default(),
            false => channels::unknown::<State>(&state),
        };
        let state = shape::read(&tuple.address, &state)?;
        let parent = Parent {
            address: tuple.address,
            step: tuple.metadata.step().unwrap_or(-1),
            versions: tuple.checkpoint.channel_versions,
            channels,
            lists: Lists::new(),
            unknown,
            source,
            is_current,
        };
        Ok((parent, state))
    }
}

impl<State> fmt::Debug for Thread<State> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("thread_id", &self.thread_id)
            .field("checkpoint_id", &self.checkpoint_id())
            .finish_non_exhaustive()
    }
}
