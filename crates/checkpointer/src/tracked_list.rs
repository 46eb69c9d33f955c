//! A list that knows what it has in common with the one that its owner put before.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use serde_json::Value;

/// A long list that its owner keeps from put to put, as the value of a channel.
///
/// A put compares a channel's value with the one put last, so that it cuts, hashes and sends only what
/// has changed. That takes a look at the whole value. Of a tracked list, which
/// [`ChannelValues::insert_list`](crate::ChannelValues::insert_list) makes the value, it needs to look only
/// at the items that weren't there before. So a put doesn't grow with its list, although it brings the
/// whole list: other than one that [appends](crate::Put::append), it says what is stored, and relies on
/// nothing that was stored before.
///
/// A value that was taken never changes: if it is still held, a change of the list copies it first.
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::{Value, json};
/// use checkpointer::{Checkpoint, CheckpointId, Checkpointer, Metadata, Put, ThreadId, TrackedList};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let (thread_id, metadata) = (ThreadId::new("support-4711")?, Metadata::default());
/// let mut messages = TrackedList::new();
/// for message in ["Where is my order?", "On its way."] {
///     messages.extend([json!(message)]);
///     let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
///     let changed = checkpoint.write(&checkpointer, [("messages", None::<Value>)]);
///     checkpoint.channel_values.insert_list("messages", &messages);
///     let put = Put::new(&thread_id, &checkpoint, &metadata).new_versions(&changed);
///     checkpointer.put(put).await?;
/// }
/// assert_eq!(messages.items(), ["Where is my order?", "On its way."]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TrackedList {
    /// An array.
    value: Arc<Value>,
    /// The value that it had when that was last known to others, and how many items at the front are the
    /// same since.
    before: Weak<Value>,
    same: usize,
}

/// What a value has in common with one before it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    value: Weak<Value>,
    before: Weak<Value>,
    same: usize,
}

impl TrackedList {
    /// Makes an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The items.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        self.value.as_array().map_or(&[], Vec::as_slice)
    }

    /// The list as a value.
    #[must_use]
    pub fn value(&self) -> &Arc<Value> {
        &self.value
    }

    /// Removes the items from a place on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.items().len() {
            self.change(|items| items.truncate(len));
            self.same = self.same.min(len);
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin {
            value: Arc::downgrade(&self.value),
            before: Weak::clone(&self.before),
            same: self.same,
        }
    }

    /// Changes the items. A value that others hold, or know by its place, stays as it is.
    fn change(&mut self, change: impl FnOnce(&mut Vec<Value>)) {
        if Arc::get_mut(&mut self.value).is_none() {
            self.before = Arc::downgrade(&self.value);
            self.same = self.items().len();
        }
        if let Value::Array(items) = Arc::make_mut(&mut self.value) {
            change(items);
        }
    }
}

impl Default for TrackedList {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<Value>> for TrackedList {
    fn from(items: Vec<Value>) -> Self {
        Self {
            value: Arc::new(Value::Array(items)),
            before: Weak::new(),
            same: 0,
        }
    }
}

impl Extend<Value> for TrackedList {
    fn extend<Items: IntoIterator<Item = Value>>(&mut self, items: Items) {
        self.change(|list| list.extend(items));
    }
}

impl Origin {
    /// Whether it is of this very value. One that was changed is in another place.
    pub(crate) fn is_of(&self, value: &Arc<Value>) -> bool {
        self.value.as_ptr() == Arc::as_ptr(value)
    }

    /// How many items at the front are those of another value, which was in this place.
    pub(crate) fn same_as(&self, place: &Weak<Value>) -> usize {
        match Weak::ptr_eq(&self.before, place) {
            true => self.same,
            false => 0,
        }
    }
}
