//! One writer at a time.

use std::sync::Arc;
use std::time::Duration;

use super::Thread;
use crate::{AcquireLease, Lease, LeaseGuard, Result};

/// The lease that saves carry: one of the two, or none.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Taken elsewhere.
    given: Option<Lease>,
    /// Renewed and released by this handle.
    held: Option<LeaseGuard>,
}

impl Carried {
    pub(super) fn lease(&self) -> Option<&Lease> {
        let held = self.held.as_ref().map(LeaseGuard::lease);
        held.or(self.given.as_ref())
    }

    fn hold(&mut self, guard: LeaseGuard) -> &LeaseGuard {
        self.given = None;
        self.held.insert(guard)
    }
}

impl<State> Thread<State> {
    /// Takes a lease on the thread, which every save then carries, and renews it until it is released
    /// or the handle is dropped: see [`LeaseGuard`]. If this program dies, others may take the thread
    /// once `ttl` is over. Load after it: what is read then, no other program changes as long as the
    /// lease lasts.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseHeld`](crate::Error::LeaseHeld) if another lease lasts, also if that is this
    /// handle's; [`Error::Unsupported`](crate::Error::Unsupported) if the checkpointer has no leases.
    ///
    /// # Panics
    ///
    /// As [`LeaseGuard::acquire`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, a lease that was taken is released in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use checkpointer::{Error, MemoryCheckpointer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = MemoryCheckpointer::new();
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// let lost = match thread.acquire_lease(Duration::from_secs(30)).await {
    ///     Ok(guard) => guard.lost(),
    ///     Err(Error::LeaseHeld { until, .. }) => {
    ///         println!("another program works on it until {until:?}");
    ///         return Ok(());
    ///     }
    ///     Err(error) => return Err(error),
    /// };
    /// let work = async {
    ///     let mut messages = thread.load().await?.unwrap_or_default();
    ///     messages.push("Where is my order?".to_owned());
    ///     thread.save(&messages).await
    /// };
    /// tokio::select! {
    ///     saved = work => println!("saved {}", saved?.checkpoint_id),
    ///     // Another program may be at it.
    ///     lost = lost => return Err(lost),
    /// }
    /// thread.release_lease().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_lease(&mut self, ttl: Duration) -> Result<&LeaseGuard> {
        let acquire = AcquireLease::new(&self.thread_id, ttl)?;
        let taking = LeaseGuard::acquire(Arc::clone(&self.checkpointer), acquire);
        let guard = taking.await?;
        Ok(self.lease.hold(guard))
    }

    /// Takes a lease as [`acquire_lease`](Self::acquire_lease) does, but waits for up to `timeout` until
    /// no other program has one: see [`LeaseGuard::wait`].
    ///
    /// # Errors
    ///
    /// As [`acquire_lease`](Self::acquire_lease).
    ///
    /// # Panics
    ///
    /// As [`LeaseGuard::wait`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, a lease that was taken is released in the background.
    pub async fn wait_for_lease(
        &mut self,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<&LeaseGuard> {
        let acquire = AcquireLease::new(&self.thread_id, ttl)?;
        let waiting = LeaseGuard::wait(Arc::clone(&self.checkpointer), acquire, timeout);
        let guard = waiting.await?;
        Ok(self.lease.hold(guard))
    }

    /// Carries a lease that was taken elsewhere, by another process or by force. It isn't renewed here,
    /// nor released when the handle is dropped. Defaults to none.
    #[must_use]
    pub fn with_lease(self, lease: Lease) -> Self {
        let lease = Carried {
            given: Some(lease),
            held: None,
        };
        Self { lease, ..self }
    }

    /// Returns the lease that saves carry. It may be lost.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.lease()
    }

    /// Returns the guard of the lease that this handle has taken.
    pub fn lease_guard(&self) -> Option<&LeaseGuard> {
        self.lease.held.as_ref()
    }

    /// Gives the lease back, if there is one: further saves carry none.
    ///
    /// # Errors
    ///
    /// Those of the database. The lease ends when its time is over then.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, a lease that this handle has taken is released in the background. One
    /// that was taken elsewhere may or may not have been given back.
    pub async fn release_lease(&mut self) -> Result<()> {
        let Carried { given, held } = std::mem::take(&mut self.lease);
        match (held, given) {
            (Some(guard), _) => guard.release().await,
            (None, Some(lease)) => self.checkpointer.release_lease(&lease).await,
            (None, None) => Ok(()),
        }
    }
}
