//! The lease on a thread while it is imported.

use std::time::{Duration, Instant};

use checkpointer::{AcquireLease, Checkpointer, Error, Lease, Result, ThreadId};
use tokio::time::sleep;

/// A thread that no one else writes to, if the checkpointer has leases.
#[derive(Debug)]
pub(super) struct Leased<'a> {
    checkpointer: &'a dyn Checkpointer,
    ttl: Duration,
    lease: Option<Lease>,
    renewed: Instant,
}

impl<'a> Leased<'a> {
    /// Takes a lease. One that an import has left behind is over soon.
    pub(super) async fn acquire(
        checkpointer: &'a dyn Checkpointer,
        thread_id: &ThreadId,
        ttl: Duration,
    ) -> Result<Self> {
        let started = Instant::now();
        loop {
            let acquire = AcquireLease::new(thread_id, ttl)?;
            let lease = match checkpointer.acquire_lease(acquire).await {
                Err(Error::LeaseHeld { .. }) if started.elapsed() < ttl.saturating_mul(2) => {
                    sleep((ttl / 20).max(Duration::from_millis(1))).await;
                    continue;
                }
                Err(Error::Unsupported { .. }) => None,
                lease => Some(lease?),
            };
            return Ok(Self {
                checkpointer,
                ttl,
                lease,
                renewed: Instant::now(),
            });
        }
    }

    /// The lease, renewed if a third of its time is over.
    pub(super) async fn lease(&mut self) -> Result<Option<&Lease>> {
        if let Some(lease) = &self.lease
            && self.renewed.elapsed() > self.ttl / 3
        {
            let renewed = Instant::now();
            self.lease = Some(self.checkpointer.renew_lease(lease, self.ttl).await?);
            self.renewed = renewed;
        }
        Ok(self.lease.as_ref())
    }

    pub(super) async fn release(self) -> Result<()> {
        match &self.lease {
            Some(lease) => self.checkpointer.release_lease(lease).await,
            None => Ok(()),
        }
    }
}
