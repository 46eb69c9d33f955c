//! A list that grows at its end, and knows whether it did anything else.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(test)]
mod tests;

/// By this name the serializer of a state knows a log. No other sees it, as JSON has no names.
const NAME: &str = "$checkpointer::private::Log";

/// A list in the state of a [`Thread`](crate::Thread) that grows at its end: a save looks at no more than
/// what is new.
///
/// It is for conversations that get long. In a `Vec` a save also sends only what is new, but finds that
/// out by looking at all of it. A log is stored as a `Vec` is, so a field may become the one or the other
/// at any time.
///
/// It derefs to a slice, and its items can be changed only through [`make_mut`](Self::make_mut), after
/// which the next save looks at all of them. So does the first save of a log that was loaded, cloned or
/// made anew. Items that change through a shared reference, such as a `Mutex`, don't belong into a log: it
/// doesn't notice, and what is stored stays as it was.
///
/// # Examples
///
/// ```
/// use checkpointer::Log;
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Support {
///     messages: Log<String>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let mut thread = checkpointer.thread::<Support>("support-4711")?;
/// let mut state = thread.load().await?.unwrap_or_default();
/// for message in ["Where is my order?", "On its way.", "Thanks!"] {
///     state.messages.push(message.to_owned());
///     thread.save(&state).await?;
/// }
/// assert_eq!(state.messages.len(), 3);
/// # Ok(())
/// # }
/// ```
pub struct Log<T> {
    items: Vec<T>,
    id: LogId,
}

/// Tells apart logs, and what a log was before it changed elsewhere than at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogId(u64);

impl LogId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

thread_local! {
    /// The log that is handed to a serializer next.
    static TOLD: Cell<Option<LogId>> = const { Cell::new(None) };
}

/// The log that a serializer was handed, if that is what a newtype of this name is.
pub(super) fn told(name: &str) -> Option<LogId> {
    match name == NAME {
        true => TOLD.take(),
        false => None,
    }
}

impl<T> Log<T> {
    /// Makes an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Gives access to all items, to change or remove them. The next save looks at all of them.
    pub fn make_mut(&mut self) -> &mut Vec<T> {
        self.id = LogId::new();
        &mut self.items
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for Log<T> {
    fn from(items: Vec<T>) -> Self {
        Self {
            items,
            id: LogId::new(),
        }
    }
}

impl<T> From<Log<T>> for Vec<T> {
    fn from(log: Log<T>) -> Self {
        log.items
    }
}

/// A clone may grow otherwise, so it is another log.
impl<T: Clone> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self::from(self.items.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Log<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Log<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<T: Eq> Eq for Log<T> {}

impl<T> Deref for Log<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> Extend<T> for Log<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.items.extend(items);
    }
}

impl<T> FromIterator<T> for Log<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::from(Vec::from_iter(items))
    }
}

impl<T> IntoIterator for Log<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Log<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<T: Serialize> Serialize for Log<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TOLD.set(Some(self.id));
        serializer.serialize_newtype_struct(NAME, &self.items)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Log<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}
