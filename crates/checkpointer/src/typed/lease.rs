//! One writer at a time.

use std::time::Duration;

use super::Thread;
use crate::{AcquireLease, Error, Lease, Result};

impl<State> Thread<State> {
    /// Takes a lease on the thread, which every save then carries: see [`Lease`]. Load after it:
    /// what is read then, no other program changes as long as the lease lasts.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseHeld`] if another lease lasts; [`Error::Unsupported`]
    /// if the checkpointer has no leases.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the lease may or may not have been taken, and then it lasts
    /// without a holder.
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
    /// match thread.acquire_lease(Duration::from_secs(30)).await {
    ///     Ok(_) => {}
    ///     Err(Error::LeaseHeld { until, .. }) => {
    ///         println!("another program works on it until {until:?}");
    ///         return Ok(());
    ///     }
    ///     Err(error) => return Err(error),
    /// }
    /// let mut messages = thread.load().await?.unwrap_or_default();
    /// messages.push("Where is my order?".to_owned());
    /// thread.save(&messages).await?;
    /// thread.release_lease().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_lease(&mut self, ttl: Duration) -> Result<&Lease> {
        let acquire = AcquireLease::new(&self.thread_id, ttl)?;
        let lease = self.checkpointer.acquire_lease(acquire).await?;
        Ok(self.lease.insert(lease))
    }

    /// Carries a lease that was taken elsewhere, by another process or by force. Defaults to none.
    #[must_use]
    pub fn with_lease(self, lease: Lease) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
    }

    /// Returns the lease that saves carry. It may be lost.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Lets the lease last for `ttl` from now.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] if it is no longer the thread's, or there is none.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the lease may or may not have been renewed. Calling again is
    /// harmless.
    pub async fn renew_lease(&mut self, ttl: Duration) -> Result<&Lease> {
        let Some(lease) = &self.lease else {
            return Err(Error::lease_lost(&self.thread_id));
        };
        let renewed = self.checkpointer.renew_lease(lease, ttl).await?;
        Ok(self.lease.insert(renewed))
    }

    /// Gives the lease back, if there is one: further saves carry none.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the lease may or may not have been given back. Calling again is
    /// harmless.
    pub async fn release_lease(&mut self) -> Result<()> {
        if let Some(lease) = &self.lease {
            self.checkpointer.release_lease(lease).await?;
        }
        self.lease = None;
        Ok(())
    }
}
