//! A lease that renews itself as long as it is held.

use std::fmt;
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::hold::Hold;
use super::pauses::Pauses;
use super::renewal::Renewal;
use super::{AcquireLease, Lease, MAX_TTL};
use crate::{Checkpointer, Error, Result};

/// How long an attempt that has begun may take, however little time is left.
const ANSWER: Duration = Duration::from_secs(1);

/// How often a lease that comes late is renewed before it is handed out.
const RENEWALS: usize = 8;

/// A lease that is renewed in the background until it is released or dropped.
///
/// While it is held, other programs' writes to the thread fail: see [`Lease`]. Writes of the holder carry
/// [`lease`](Self::lease). If the holder's process dies, others may take the thread once the time to
/// live is over; so it says how long they wait then, and may be much shorter than the work takes. Half a
/// minute is a good choice.
///
/// # When it is lost
///
/// A guard is lost, for good, when another program has taken the lease
/// ([`AcquireLease::force`]), or when no renewal has succeeded within the time to live. Until then failures
/// of the database are tried again. The time is measured here, by the clock that can't be set, so that a
/// process that was stopped for too long finds its guard lost when it goes on. A machine that was
/// suspended as a whole learns of it from the database, at the next renewal.
///
/// A holder whose guard is lost stops its work: another program may be at it. Its writes would be refused
/// as soon as another program has taken the lease, but not what it does elsewhere, such as sending a
/// mail. [`Lease::number`] lets other stores refuse it, too. `docs/workers.md` shows workers that share a
/// queue and may be killed at any moment.
///
/// # Where it is renewed
///
/// On the [runtime](Checkpointer::runtime) of the checkpointer, or else on that of the caller, every
/// third of the time to live or a little earlier. A task that computes for long without an `.await` on a
/// runtime with one thread holds up renewals there.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use checkpointer::{AcquireLease, Checkpointer, LeaseGuard, Result};
///
/// # async fn work(checkpointer: &dyn Checkpointer, lease: &checkpointer::Lease) -> Result<()> {
/// #     assert_eq!(lease.thread_id.as_str(), "support-4711");
/// #     Ok(())
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let acquire = AcquireLease::new("support-4711", Duration::from_secs(30))?;
/// let guard = LeaseGuard::acquire(checkpointer.clone(), acquire).await?;
/// tokio::select! {
///     // Puts and pending writes carry the lease.
///     done = work(&checkpointer, guard.lease()) => done?,
///     lost = guard.lost() => return Err(lost),
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it releases the lease"]
pub struct LeaseGuard {
    checkpointer: Arc<dyn Checkpointer>,
    lease: Lease,
    hold: Arc<Hold>,
    runtime: Handle,
    is_released: bool,
    /// Ends with the guard.
    renewal: AbortOnDropHandle<()>,
}

impl LeaseGuard {
    /// Takes a lease on a thread, and renews it from then on.
    ///
    /// # Errors
    ///
    /// As [`Checkpointer::acquire_lease`]: [`Error::LeaseHeld`] if another lease lasts. After an outage
    /// the lease is renewed at once, since a part of its time is over; [`Error::LeaseLost`] if another
    /// program has taken it by then.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with timers, if the checkpointer has no
    /// [runtime](Checkpointer::runtime) of its own.
    ///
    /// # Cancel safety
    ///
    /// If dropped, a lease that was taken is released in the background.
    pub async fn acquire(checkpointer: impl Checkpointer, acquire: AcquireLease) -> Result<Self> {
        Self::take(Arc::new(checkpointer), acquire).await
    }

    /// Takes a lease on a thread as soon as no other program has one, or the database can be used again,
    /// but gives up after `timeout`. An attempt that has begun has a second for its answer in any case.
    ///
    /// It asks again and again, with pauses that grow to a second; when the lease of the other program is
    /// about to end, it asks then. Chance decides who of several that wait is next: each has its turn, but
    /// not in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseHeld`] if another lease still lasts after `timeout`, [`Error::Busy`] if no attempt
    /// had an answer by then; otherwise as [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with timers.
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
    /// use checkpointer::{AcquireLease, Error, LeaseGuard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// let acquire = || AcquireLease::new("support-4711", Duration::from_secs(30));
    /// let held = LeaseGuard::acquire(checkpointer.clone(), acquire()?).await?;
    ///
    /// let timeout = Duration::from_millis(20);
    /// let waited = LeaseGuard::wait(checkpointer.clone(), acquire()?, timeout).await;
    /// assert!(matches!(waited, Err(Error::LeaseHeld { .. })));
    ///
    /// drop(held);
    /// let guard = LeaseGuard::wait(checkpointer.clone(), acquire()?, timeout).await?;
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait(
        checkpointer: impl Checkpointer,
        acquire: AcquireLease,
        timeout: Duration,
    ) -> Result<Self> {
        let checkpointer: Arc<dyn Checkpointer> = Arc::new(checkpointer);
        let give_up = Instant::now().checked_add(timeout);
        let mut pauses = Pauses::new();
        let mut last = Error::Busy {
            thread_id: acquire.thread_id.clone(),
        };
        loop {
            let taking = Self::take(Arc::clone(&checkpointer), acquire.clone());
            let taken = match give_up {
                Some(at) => timeout_at(at.max(Instant::now() + ANSWER), taking).await,
                None => Ok(taking.await),
            };
            let error = match taken {
                Ok(Ok(guard)) => return Ok(guard),
                Ok(Err(error)) => error,
                // What is taken late is released.
                Err(_) => return Err(last),
            };
            let now = Instant::now();
            let pause = pauses.after(&error);
            let Some(pause) = pause.filter(|_| give_up.is_none_or(|at| now < at)) else {
                return Err(error);
            };
            last = error;
            let next = now + pause;
            sleep_until(give_up.map_or(next, |at| next.min(at))).await;
        }
    }

    /// Returns the lease, for the writes that must carry it. It is as it was taken: `until` doesn't
    /// change with the renewals, which the writes needn't know of.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether the lease is lost: another program may be writing to the thread. Once it is lost, it
    /// stays so.
    pub fn is_lost(&self) -> bool {
        self.hold.is_lost()
    }

    /// Waits until the lease is lost, or released. Returns an
    /// [`Error::LeaseLost`](crate::Error::LeaseLost), for those who pass it on.
    ///
    /// The future doesn't borrow the guard.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    pub fn lost(&self) -> impl Future<Output = Error> + Send + Unpin + use<> {
        let (hold, thread_id) = (Arc::clone(&self.hold), self.lease.thread_id.clone());
        Box::pin(async move {
            hold.lost().await;
            Error::lease_lost(&thread_id)
        })
    }

    /// Gives the lease back, so that others may take it at once. One that is lost is passed over.
    ///
    /// Dropping the guard does the same in the background, and only logs a failure. On PostgreSQL a
    /// close that begins after that waits for it.
    ///
    /// # Errors
    ///
    /// As [`Checkpointer::release_lease`]. The lease ends when its time is over then.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the lease is released in the background.
    pub async fn release(mut self) -> Result<()> {
        self.renewal.abort();
        let released = self.checkpointer.release_lease(&self.lease).await;
        self.is_released = true;
        released
    }

    /// Takes a lease in a task of its own: if the caller goes away, the guard is dropped when it is
    /// there.
    async fn take(checkpointer: Arc<dyn Checkpointer>, acquire: AcquireLease) -> Result<Self> {
        let runtime = checkpointer.runtime().unwrap_or_else(Handle::current);
        let taking = Self::taken(runtime.clone(), checkpointer, acquire).in_current_span();
        match runtime.spawn(taking).await {
            Ok(taken) => taken,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => panic::resume_unwind(panic),
                Err(_) => Err(Error::database("acquire a lease", db::Error::RuntimeEnded)),
            },
        }
    }

    async fn taken(
        runtime: Handle,
        checkpointer: Arc<dyn Checkpointer>,
        acquire: AcquireLease,
    ) -> Result<Self> {
        let ttl = acquire.ttl.min(MAX_TTL);
        // Before the database sets the end.
        let mut asked = Instant::now();
        let lease = checkpointer.acquire_lease(acquire).await?;
        // Attempts that failed, or a lock that was waited for, have used up a part of the time as it is
        // counted here, or all of it.
        let mut renewals = 0;
        while asked.elapsed() > ttl / 3 {
            asked = Instant::now();
            let renewed = match renewals < RENEWALS {
                true => checkpointer.renew_lease(&lease, ttl).await.map(drop),
                // It is lost as soon as it is there, each time.
                false => Err(Error::Busy {
                    thread_id: lease.thread_id.clone(),
                }),
            };
            if let Err(error) = renewed {
                release(checkpointer, lease, &runtime);
                return Err(error);
            }
            renewals += 1;
        }
        let hold = Arc::new(Hold::new(asked + ttl));
        let renewal = Renewal {
            checkpointer: Arc::clone(&checkpointer),
            lease: lease.clone(),
            ttl,
            hold: Arc::clone(&hold),
        };
        let renewal = AbortOnDropHandle::new(runtime.spawn(renewal.run(asked)));
        Ok(Self {
            checkpointer,
            lease,
            hold,
            runtime,
            is_released: false,
            renewal,
        })
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if self.is_released {
            return;
        }
        self.renewal.abort();
        let (checkpointer, lease) = (Arc::clone(&self.checkpointer), self.lease.clone());
        release(checkpointer, lease, &self.runtime);
    }
}

/// Releases a lease in the background.
fn release(checkpointer: Arc<dyn Checkpointer>, lease: Lease, runtime: &Handle) {
    let mut release = Box::pin(async move {
        if let Err(error) = checkpointer.release_lease(&lease).await {
            let thread_id = lease.thread_id.as_str();
            tracing::debug!(thread_id, error = %error.for_log(), "failed to release a lease");
        }
    });
    // It is polled once here, and has begun: a close that comes next waits for it.
    let entered = runtime.enter();
    let released = release.as_mut().now_or_never();
    drop(entered);
    if released.is_none() {
        runtime.spawn(release);
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseGuard")
            .field("lease", &self.lease)
            .field("is_lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
