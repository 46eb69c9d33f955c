//! The names that address stored state, checked when they are made.

use std::borrow::Cow;
use std::fmt;

use crate::{Error, Result};

/// What can be given where a name is asked for: the name itself, a reference to it, or text, which is
/// checked.
///
/// # Examples
///
/// ```
/// use checkpointer::{GetTuple, ThreadId};
///
/// let thread_id = ThreadId::new("support-4711")?;
/// GetTuple::head(&thread_id)?;
/// GetTuple::head("support-4711")?;
/// GetTuple::head(format!("support-{}", 4711))?;
/// assert!(GetTuple::head("").is_err());
/// # Ok::<(), checkpointer::Error>(())
/// ```
pub trait IntoName<Name> {
    /// Makes the name.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] if the text can't be one.
    fn into_name(self) -> Result<Name>;
}

/// Defines a name: a string that is checked once and is then known to fit a key.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $range:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The greatest length in bytes of UTF-8.
            pub const MAX_BYTES: usize = *$range.end();

            /// Checks a name.
            ///
            /// # Errors
            ///
            /// [`Error::InvalidName`] if it is too short, too long or holds U+0000.
            pub fn new(name: impl Into<String>) -> Result<Self> {
                check($kind, name.into(), $range).map(Self)
            }

            /// Takes a name that is known to be good: one read back, or made here.
            pub(crate) fn trusted(name: String) -> Self {
                Self(name)
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<&Self> for $name {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        impl IntoName<$name> for $name {
            fn into_name(self) -> Result<$name> {
                Ok(self)
            }
        }

        impl IntoName<$name> for &$name {
            fn into_name(self) -> Result<$name> {
                Ok(self.clone())
            }
        }

        impl IntoName<$name> for &str {
            fn into_name(self) -> Result<$name> {
                $name::new(self)
            }
        }

        impl IntoName<$name> for String {
            fn into_name(self) -> Result<$name> {
                $name::new(self)
            }
        }

        impl IntoName<$name> for &String {
            fn into_name(self) -> Result<$name> {
                $name::new(self)
            }
        }

        impl From<$name> for Cow<'_, $name> {
            fn from(name: $name) -> Self {
                Cow::Owned(name)
            }
        }

        impl<'a> From<&'a $name> for Cow<'a, $name> {
            fn from(name: &'a $name) -> Self {
                Cow::Borrowed(name)
            }
        }
    };
}

name! {
    /// One conversation or job: 1 to 512 bytes, no U+0000.
    ThreadId, "thread_id", 1..=512
}

name! {
    /// A subgraph's namespace, empty for the root graph: up to 2,048 bytes, no U+0000. With the ids of
    /// a checkpoint and of a task it has at most 2,120.
    ///
    /// Each namespace of a thread has checkpoints and a head of its own. LangGraph names a subgraph's
    /// namespace after the node that calls it, with the id of the calling task if each call is to have
    /// a state of its own, as in `node:task`; levels are joined by `|`. A prune takes a namespace with
    /// a `:` as belonging to one call: it goes with the checkpoint that the call was made from.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{CheckpointNs, GetTuple};
    ///
    /// let subgraph = CheckpointNs::new("research:task-1|summarize")?;
    /// let query = GetTuple::head("support-4711")?.in_ns(&subgraph);
    /// assert!(!query.checkpoint_ns.is_root());
    /// assert!(CheckpointNs::ROOT.is_root());
    /// # Ok::<(), checkpointer::Error>(())
    /// ```
    CheckpointNs, "checkpoint_ns", 0..=2048
}

name! {
    /// One checkpoint of a thread and namespace: 1 to 256 bytes, no U+0000.
    ///
    /// Ids are ordered by their bytes. [`CheckpointId::generate`] makes ids that sort by time and
    /// always after their parent's.
    CheckpointId, "checkpoint_id", 1..=256
}

name! {
    /// One task of a step: 1 to 256 bytes, no U+0000.
    ///
    /// A task's pending writes are stored under its id. A runtime that plans a step again after a crash
    /// must give each task the id that it had before, and so finds the outputs that are stored: make
    /// the id from the checkpoint, the node and the task's place in the step, not at random.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{CheckpointId, TaskId};
    ///
    /// let step = CheckpointId::new("1f1e75c6-c0de-6b1a-8e9d-3f2a1b4c5d6e")?;
    /// let task_id = TaskId::new(format!("{step}/draft/0"))?;
    /// assert_eq!(task_id.as_str(), "1f1e75c6-c0de-6b1a-8e9d-3f2a1b4c5d6e/draft/0");
    /// # Ok::<(), checkpointer::Error>(())
    /// ```
    TaskId, "task_id", 1..=256
}

impl CheckpointNs {
    /// The namespace of the root graph.
    pub const ROOT: Self = Self(String::new());

    /// Whether this is the namespace of the root graph.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for CheckpointNs {
    fn default() -> Self {
        Self::ROOT
    }
}

/// How many bytes a namespace and the ids of a checkpoint and of a task may have together. With the id of
/// the thread they are the key of a row, and PostgreSQL's indexes take 2,704 bytes.
const MAX_KEY_BYTES: usize = 2120;

/// Checks that a namespace leaves room for the ids of a checkpoint, and of a task, in the key of a row.
pub(crate) fn check_key(ns: &CheckpointNs, id: &CheckpointId, task: Option<&TaskId>) -> Result<()> {
    // Ids that others have stored may be longer than those that are checked.
    let ids = id.0.len() + task.map_or(0, |task| task.0.len());
    check_str(
        "checkpoint_ns",
        &ns.0,
        0..=MAX_KEY_BYTES.saturating_sub(ids),
    )
}

/// The longest name of a channel, in bytes: it isn't part of a key. LangGraph's name of a channel in which nodes
/// are joined has the names of all of them.
pub(crate) const MAX_CHANNEL_BYTES: usize = 4096;

/// Checks the name of a channel; the empty name is one.
pub(crate) fn check_channel(name: &str) -> Result<()> {
    check_str("channel", name, 0..=MAX_CHANNEL_BYTES)
}

/// The longest path of a task, in bytes: it isn't part of a key.
pub(crate) const MAX_TASK_PATH_BYTES: usize = 4096;

/// Checks the path of a task.
pub(crate) fn check_task_path(path: &str) -> Result<()> {
    check_str("task_path", path, 0..=MAX_TASK_PATH_BYTES)
}

fn check(
    kind: &'static str,
    name: String,
    bytes: std::ops::RangeInclusive<usize>,
) -> Result<String> {
    check_str(kind, &name, bytes).map(|()| name)
}

fn check_str(kind: &'static str, name: &str, bytes: std::ops::RangeInclusive<usize>) -> Result<()> {
    let problem = if name.len() < *bytes.start() {
        NameProblem::Empty
    } else if name.len() > *bytes.end() {
        NameProblem::TooLong {
            bytes: name.len(),
            max: *bytes.end(),
        }
    } else if name.contains('\0') {
        NameProblem::Nul
    } else {
        return Ok(());
    };
    Err(Error::InvalidName { kind, problem })
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameProblem {
    /// It is empty.
    Empty,
    /// It is longer than a key can hold.
    TooLong {
        /// Its length.
        bytes: usize,
        /// The greatest length.
        max: usize,
    },
    /// It holds U+0000, which PostgreSQL can't store in text.
    Nul,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { bytes, max } => {
                write!(f, "has {bytes} bytes, at most {max} are allowed")
            }
            Self::Nul => f.write_str("contains U+0000, which PostgreSQL can't store"),
        }
    }
}

#[cfg(test)]
mod tests;
