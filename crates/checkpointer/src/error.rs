//! What can go wrong, and what to do about it.

mod answers;
mod kind;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::codec::Refused;
use crate::{CheckpointId, CheckpointNs, NameProblem, ThreadId};

pub use kind::ErrorKind;

/// The result of a call to a checkpointer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error from a checkpointer.
///
/// `Display` says what failed, and [`source`](std::error::Error::source) why. To decide what to do,
/// match the variant, or the [`kind`](Self::kind), of which there are few. To log all causes, use
/// [`for_log`](Self::for_log).
///
/// Variants and their fields may be added. The functions of the same names make the errors with which
/// a [`Checkpointer`](crate::Checkpointer) answers, for those who write one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name can't be stored. Choose another.
    #[error("the {kind} {problem}")]
    #[non_exhaustive]
    InvalidName {
        /// Which name: `thread_id`, `checkpoint_ns`, `checkpoint_id`, `task_id`, `task_path`,
        /// `channel`.
        kind: &'static str,
        /// What is wrong with it.
        problem: NameProblem,
    },
    /// A value can't be stored. Nothing was sent.
    #[error("{place} of thread `{thread_id}` can't be stored: at `{path}`: {reason}")]
    #[non_exhaustive]
    Unstorable {
        /// The thread.
        thread_id: ThreadId,
        /// What held the value: a channel, the metadata, the checkpoint's own fields.
        place: String,
        /// Where in the value.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// A checkpoint that was read in part can't be put: what wasn't read would be lost. Read it
    /// with [`Projection::All`](crate::Projection::All).
    #[error("checkpoint `{checkpoint_id}` was read in part and can't be put back; read all of it")]
    #[non_exhaustive]
    PartialCheckpoint {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
    },
    /// JSON that was to be a checkpoint is none.
    #[error("{} must be {expected}", checkpoint_field(.field))]
    #[non_exhaustive]
    MalformedCheckpoint {
        /// The field, with a dot before a name inside of it; empty for the checkpoint itself.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An exported thread can't be read. What was stored of it is deleted again.
    #[error("line {line} of the export {what}")]
    #[non_exhaustive]
    MalformedExport {
        /// The line, the first being 1.
        line: u64,
        /// What is wrong with it. It quotes no value.
        what: String,
    },
    /// The head isn't the one that the put expects: another put came in between, or the thread
    /// wasn't loaded. Load, and decide.
    #[error(
        "the head of thread `{thread_id}`{} is {}, {}",
        in_ns(.checkpoint_ns), id_or_none(.head), not_expected(.expected)
    )]
    #[non_exhaustive]
    Conflict {
        /// The thread.
        thread_id: ThreadId,
        /// The namespace.
        checkpoint_ns: CheckpointNs,
        /// The head that was expected.
        expected: Option<CheckpointId>,
        /// The head it lost to.
        head: Option<CheckpointId>,
    },
    /// The thread was deleted. Only a first checkpoint starts it again.
    #[error("thread `{thread_id}` was deleted; only a first checkpoint starts it again")]
    #[non_exhaustive]
    ThreadDeleted {
        /// The thread.
        thread_id: ThreadId,
    },
    /// Another program has a lease on the thread. Wait, or break it
    /// ([`AcquireLease::force`](crate::AcquireLease::force)).
    #[error("thread `{thread_id}` is leased to another program until {}", time(.until))]
    #[non_exhaustive]
    LeaseHeld {
        /// The thread.
        thread_id: ThreadId,
        /// When the lease is over unless it is renewed, by the database's clock.
        until: SystemTime,
    },
    /// The lease is no longer the thread's, for good, or a [`LeaseGuard`](crate::LeaseGuard) couldn't renew
    /// it in time: another program may be writing now. Stop, or take another one and load again.
    #[error(
        "the lease on thread `{thread_id}` is lost: another program has taken one, or it was released, or \
         not renewed in time"
    )]
    #[non_exhaustive]
    LeaseLost {
        /// The thread.
        thread_id: ThreadId,
    },
    /// There is no such thread.
    #[error("there is no thread `{thread_id}`")]
    #[non_exhaustive]
    ThreadNotFound {
        /// The thread.
        thread_id: ThreadId,
    },
    /// There is such a thread already.
    #[error("thread `{thread_id}` exists already")]
    #[non_exhaustive]
    ThreadExists {
        /// The thread.
        thread_id: ThreadId,
    },
    /// The write would make the thread larger than a thread may be. Nothing of it is stored. Prune the
    /// thread, or delete it.
    #[error(
        "thread `{thread_id}` would have {bytes} bytes, and at most {limit} are allowed; prune or delete it"
    )]
    #[non_exhaustive]
    ThreadFull {
        /// The thread.
        thread_id: ThreadId,
        /// How many bytes it would have.
        bytes: u64,
        /// How many it may have.
        limit: u64,
    },
    /// There is no such checkpoint.
    #[error("there is no checkpoint `{checkpoint_id}` in thread `{thread_id}`{}", in_ns(.checkpoint_ns))]
    #[non_exhaustive]
    CheckpointNotFound {
        /// The thread.
        thread_id: ThreadId,
        /// The namespace.
        checkpoint_ns: CheckpointNs,
        /// The checkpoint.
        checkpoint_id: CheckpointId,
    },
    /// A put leaves out channels that keep their parent's values, and there is no parent: it was
    /// pruned, lost in a failover, or never stored. Put every value, and name all channels in
    /// [`Put::new_versions`](crate::Put::new_versions), the empty ones too; or have such channels empty,
    /// by [`MissingParent::Empty`](crate::MissingParent::Empty).
    #[error(
        "a put leaves out channel `{channel}`, but the parent whose value it keeps, \
         `{parent_checkpoint_id}`, isn't in thread `{thread_id}`{}; put every value, and name empty \
         channels in `new_versions`",
        in_ns(.checkpoint_ns)
    )]
    #[non_exhaustive]
    ParentNotFound {
        /// The thread.
        thread_id: ThreadId,
        /// The namespace.
        checkpoint_ns: CheckpointNs,
        /// The parent.
        parent_checkpoint_id: CheckpointId,
        /// A channel that was left out; there may be more.
        channel: String,
    },
    /// A put appends to a list that isn't as the put says: load, and append to what is there.
    #[error(
        "a put appends to channel `{channel}` of thread `{thread_id}`{} after {after} items, but its \
         parent's value {}; load the parent",
        in_ns(.checkpoint_ns), items(.found)
    )]
    #[non_exhaustive]
    AppendMismatch {
        /// The thread.
        thread_id: ThreadId,
        /// The namespace.
        checkpoint_ns: CheckpointNs,
        /// The channel.
        channel: String,
        /// How many items the put takes the parent's value to have.
        after: usize,
        /// How many it has; none if it isn't a list.
        found: Option<usize>,
    },
    /// This checkpointer can't do that.
    #[error("this checkpointer doesn't support `{operation}`")]
    #[non_exhaustive]
    Unsupported {
        /// The call.
        operation: &'static str,
    },
    /// What is stored can't be read. The raw rows stay as they are.
    #[error("stored content of thread `{thread_id}` can't be read: {what}")]
    #[non_exhaustive]
    Corrupt {
        /// The thread.
        thread_id: ThreadId,
        /// What is missing or can't be decoded, by name.
        what: String,
    },
    /// A typed state can't be made into channels. Nothing was sent.
    #[error("the state of thread `{thread_id}` can't be saved: at `{path}`: {reason}")]
    #[non_exhaustive]
    UnstorableState {
        /// The thread.
        thread_id: ThreadId,
        /// The field.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// The stored state doesn't fit the type. Nothing is lost: the checkpoint has its raw values.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{CheckpointAddress, Checkpointer, Error, GetTuple, MemoryCheckpointer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = MemoryCheckpointer::new();
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// thread.save(&vec!["Where is my order?".to_owned()]).await?;
    ///
    /// let error = checkpointer.thread::<Vec<u64>>("support-4711")?.load().await.unwrap_err();
    /// assert!(error.to_string().ends_with("at `[0]`: expected u64"));
    ///
    /// if let Error::StateMismatch { thread_id, checkpoint_id, .. } = error {
    ///     let address = CheckpointAddress::new(thread_id, checkpoint_id)?;
    ///     let raw = checkpointer.get_tuple(GetTuple::at(&address)).await?;
    ///     println!("{:?}", raw.map(|raw| raw.checkpoint.channel_values));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[error(
        "checkpoint `{checkpoint_id}` of thread `{thread_id}` doesn't fit the state's type: at `{path}`: {reason}"
    )]
    #[non_exhaustive]
    StateMismatch {
        /// The thread.
        thread_id: ThreadId,
        /// The checkpoint, in the root namespace.
        checkpoint_id: CheckpointId,
        /// The field.
        path: String,
        /// What the type expects there. It quotes no value.
        reason: String,
        /// The error that [`Thread::versioned`](crate::Thread::versioned)'s upgrade returned, unless it
        /// was one of `serde_json`: then `reason` says what it was.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A newer program saved the state. This one doesn't guess what it means.
    #[error(
        "checkpoint `{checkpoint_id}` of thread `{thread_id}` holds a state of version {version}; this program knows up to {known}"
    )]
    #[non_exhaustive]
    StateTooNew {
        /// The thread.
        thread_id: ThreadId,
        /// The checkpoint, in the root namespace.
        checkpoint_id: CheckpointId,
        /// The version of the stored state.
        version: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// The thread kept changing, or stayed locked, while a write to it was tried or waited for another one.
    #[error(
        "thread `{thread_id}` kept changing or stayed locked while it was written to; try again"
    )]
    #[non_exhaustive]
    Busy {
        /// The thread.
        thread_id: ThreadId,
    },
    /// The checkpointer was closed.
    #[error("the checkpointer was closed")]
    Closed,
    /// Writes that were sent while the checkpointer was closed have failed, and no caller learns of it:
    /// their futures were dropped.
    #[error("{} of the writes that were still to be sent failed", 1 + .others.len())]
    #[non_exhaustive]
    CloseFailed {
        /// The first failure.
        source: Box<Error>,
        /// The further ones.
        others: Vec<Error>,
    },
    /// The database can't hold the state.
    #[error("the database can't be used: {reason}")]
    #[non_exhaustive]
    UnsuitableDatabase {
        /// What is wrong with it.
        reason: String,
    },
    /// The database failed.
    #[error("failed to {operation}")]
    #[non_exhaustive]
    Database {
        /// What was under way.
        operation: &'static str,
        /// Why it failed.
        source: db::Error,
    },
}

/// For the body of a transaction that runs the caller's statements and stores checkpoints.
impl From<db::Error> for Error {
    fn from(source: db::Error) -> Self {
        Self::database("run a transaction", source)
    }
}

impl Error {
    /// A value was refused before it was sent.
    pub(crate) fn refused(thread_id: &ThreadId, place: &str, refused: &Refused) -> Self {
        let (path, reason) = (refused.path.to_string(), refused.reason.to_string());
        Self::unstorable(thread_id, place, &path, &reason)
    }

    /// Whether the same call may succeed later. Then the [`kind`](Self::kind) is
    /// [`Unavailable`](ErrorKind::Unavailable).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Database { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// The error with all its causes on one line, as it may be logged: see [`db::Chain`].
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::Error;
    ///
    /// let error = Error::database("put a checkpoint", checkpointer::db::Error::Closed);
    /// let line = error.for_log().to_string();
    /// assert!(line.starts_with("failed to put a checkpoint: the database is closed"));
    /// ```
    pub fn for_log(&self) -> impl fmt::Display {
        db::Chain::new(self)
    }

    /// Whether the call may have taken effect although it failed. Repeating it is harmless, but for
    /// the calls that [`Checkpointer`](crate::Checkpointer) names.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.is_outcome_unknown())
    }
}

fn in_ns(checkpoint_ns: &CheckpointNs) -> String {
    if checkpoint_ns.is_root() {
        String::new()
    } else {
        format!(", namespace `{checkpoint_ns}`")
    }
}

/// The time in UTC. What can't be one, such as infinity, is the last one that can.
fn time(at: &SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis((*at).clamp(UNIX_EPOCH, last)).to_string()
}

fn not_expected(expected: &Option<CheckpointId>) -> String {
    match expected {
        Some(id) => format!("not `{id}`; it has moved since it was read: load again"),
        None => "and none was expected; another program has begun the thread: load it".to_owned(),
    }
}

fn items(found: &Option<usize>) -> String {
    match found {
        Some(found) => format!("has {found}"),
        None => "isn't a list".to_owned(),
    }
}

fn id_or_none(id: &Option<CheckpointId>) -> String {
    id.as_ref()
        .map_or_else(|| "none".to_owned(), |id| format!("`{id}`"))
}

fn checkpoint_field(field: &str) -> String {
    if field.is_empty() {
        "a checkpoint".to_owned()
    } else {
        format!("the checkpoint's `{field}`")
    }
}

#[cfg(test)]
mod tests;
