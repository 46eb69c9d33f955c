//! What is kept of threads, and for how long.

use std::time::Duration;

use serde_json::{Map, Value};

/// A policy: which checkpoints of a thread stay, and when a thread is deleted.
///
/// A checkpoint stays if one of the rules that were chosen keeps it:
///
/// - [`keep_last`](Self::keep_last): it is among the last of its namespace, in the order in which they
///   were put;
/// - [`newer_than`](Self::newer_than): it was put less than an age ago, by the database's clock;
/// - [`fork_tips`](Self::fork_tips): no stored checkpoint has it as its parent.
///
/// Whatever is chosen, these stay: the head of each namespace, each checkpoint that is
/// [pinned](crate::Checkpointer::set_pinned), and what one that stays is rebuilt from. A namespace
/// with a `:` belongs to one call of a subgraph. It goes as a whole with the root graph's checkpoint
/// that it belongs to, but for its pinned checkpoints.
///
/// A thread with a pinned checkpoint isn't deleted by a policy.
///
/// # Examples
///
/// The last ten checkpoints and those of thirty days; a thread that rests for a year is deleted.
///
/// ```
/// use std::time::Duration;
///
/// use checkpointer::{Checkpointer, Prune, Retention};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let policy = Retention::keep_last(10).newer_than(30 * DAY).delete_after(365 * DAY);
/// let would_go = checkpointer.prune(Prune::due(policy).dry_run(true)).await?;
/// println!("{} checkpoints would go, {} bytes", would_go.checkpoints, would_go.bytes);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct Retention {
    /// How many of the last checkpoints of each namespace stay.
    pub last: usize,
    /// The age up to which a checkpoint stays.
    pub newer_than: Option<Duration>,
    /// Whether checkpoints stay that are the parent of no other.
    pub fork_tips: bool,
    /// How long a thread may be unchanged before it is deleted.
    pub delete_after: Option<Duration>,
    /// Only threads whose metadata contains this are touched.
    pub only: Option<Map<String, Value>>,
    /// Threads whose metadata contains one of these aren't touched.
    pub except: Vec<Map<String, Value>>,
}

impl Retention {
    /// Keeps the last `checkpoints` of each namespace. With 1, or 0, these are the heads.
    pub fn keep_last(checkpoints: usize) -> Self {
        Self {
            last: checkpoints.max(1),
            newer_than: None,
            fork_tips: false,
            delete_after: None,
            only: None,
            except: Vec::new(),
        }
    }

    /// Keeps every checkpoint: for a policy that only deletes threads.
    pub fn keep_all() -> Self {
        Self::keep_last(usize::MAX)
    }

    /// Keeps also what was put less than `age` ago. Defaults to no age.
    pub fn newer_than(self, age: Duration) -> Self {
        Self {
            newer_than: Some(age),
            ..self
        }
    }

    /// Keeps also the tip of each fork: every checkpoint that no stored one has as its parent.
    /// Defaults to no tips but the heads.
    pub fn fork_tips(self) -> Self {
        Self {
            fork_tips: true,
            ..self
        }
    }

    /// Deletes a thread that is unchanged for longer than `age`: no head of it has moved since.
    /// Defaults to deleting none.
    ///
    /// A thread with a pinned checkpoint stays, and so does one on which a program has a lease, which
    /// fails with [`Error::LeaseHeld`](crate::Error::LeaseHeld). One that has no head isn't touched.
    pub fn delete_after(self, age: Duration) -> Self {
        Self {
            delete_after: Some(age),
            ..self
        }
    }

    /// Keeps to threads whose metadata contains `metadata`, as `@>` of PostgreSQL's JSONB has it.
    /// Defaults to all.
    pub fn only(self, metadata: Map<String, Value>) -> Self {
        Self {
            only: Some(metadata),
            ..self
        }
    }

    /// Leaves threads alone whose metadata contains `metadata`; called again, those also that contain what it
    /// is called with then. Defaults to none.
    pub fn except(mut self, metadata: Map<String, Value>) -> Self {
        self.except.push(metadata);
        self
    }

    /// Whether it may remove checkpoints of a thread that stays.
    pub(crate) fn thins(&self) -> bool {
        self.last < usize::MAX
    }
}
