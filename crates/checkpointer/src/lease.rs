//! Leases: one writer of a thread at a time, for those who want that.

mod guard;
mod hold;
mod pauses;
mod renewal;

use std::fmt;
use std::time::{Duration, SystemTime};

pub use guard::LeaseGuard;

use crate::{IntoName, Result, ThreadId};

/// The longest time to live: longer ones are cut to it.
pub(crate) const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A lease on a thread, which its holder's writes carry.
///
/// A [`LeaseGuard`] has one that renews itself, and is what most programs want.
///
/// While it lasts, the writes of others are refused:
///
/// - [`put`](crate::Checkpointer::put), [`put_writes`](crate::Checkpointer::put_writes) and
///   [`delete_thread`](crate::Checkpointer::delete_thread) without a lease, and a
///   [`prune`](crate::Checkpointer::prune) that deletes, fail with
///   [`Error::LeaseHeld`](crate::Error::LeaseHeld) until its time is over;
/// - those with another lease fail with [`Error::LeaseLost`](crate::Error::LeaseLost), for good.
///
/// A lease is lost when another one was taken since, or when it was released. When its time is over,
/// others may take one; until they do, its holder goes on, also after a delay or an outage of the
/// database. All times are by the database's clock.
///
/// Reading is free. So is what works beside any writer: a prune that keeps the latest,
/// [`delete_for_runs`](crate::Checkpointer::delete_for_runs), a copy of the thread to elsewhere,
/// and the thread's own metadata. A lease guards against other writers, not against the holder's
/// own: where those may race, guard the puts as well
/// ([`Put::expect_head`](crate::Put::expect_head)).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use checkpointer::{AcquireLease, Checkpoint, CheckpointId, Checkpointer, Error, Metadata, Put, Source, ThreadId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let thread_id = ThreadId::new("support-4711")?;
/// let ttl = Duration::from_secs(30);
/// let lease = checkpointer.acquire_lease(AcquireLease::new("support-4711", ttl)?).await?;
///
/// let checkpoint = Checkpoint::new(CheckpointId::generate(None));
/// let metadata = Metadata::new(Source::Input, -1);
/// let put = Put::new(&thread_id, &checkpoint, &metadata);
/// checkpointer.put(put.clone().lease(&lease)).await?;
/// assert!(matches!(checkpointer.put(put).await, Err(Error::LeaseHeld { .. })));
///
/// // Now and then, well before the time is over.
/// let lease = checkpointer.renew_lease(&lease, ttl).await?;
/// checkpointer.release_lease(&lease).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The thread.
    pub thread_id: ThreadId,
    /// Greater than that of every lease that was taken on the thread before: for others who fence
    /// off late writers, such as a file store that the agent writes to. It begins again at 1 once
    /// the tombstone of a deleted thread has expired, which counts from the deletion, and where
    /// nothing but leases was on the thread, once the last one is over for as long.
    pub number: i64,
    /// Tells it from every other lease, and is the right to write: no `Debug` shows it.
    pub token: String,
    /// When its time is over, by the database's clock. A lease that was renewed has it later.
    pub until: SystemTime,
}

impl Lease {
    /// Makes a lease from what is known of it: one that another process took, or one that a
    /// checkpointer gives out.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn new(
        thread_id: impl IntoName<ThreadId>,
        number: i64,
        token: impl Into<String>,
        until: SystemTime,
    ) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            number,
            token: token.into(),
            until,
        })
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("thread_id", &self.thread_id)
            .field("number", &self.number)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// Asks for a lease on a thread, which may not exist yet, or be deleted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcquireLease {
    /// The thread.
    pub thread_id: ThreadId,
    /// How long it lasts, unless it is renewed; a hundred years at most.
    pub ttl: Duration,
    /// Whether a lease that another holds is broken.
    pub force: bool,
}

impl AcquireLease {
    /// Asks for a lease that lasts for `ttl`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn new(thread_id: impl IntoName<ThreadId>, ttl: Duration) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            ttl,
            force: false,
        })
    }

    /// Breaks the lease that another holds, whose writes are then refused. Defaults to breaking
    /// nothing: the call fails with [`Error::LeaseHeld`](crate::Error::LeaseHeld).
    #[must_use]
    pub fn force(self) -> Self {
        Self {
            force: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
