//! Guards on a checkpointer in memory, whose renewals are made to fail. Time is the test's: it goes on
//! when everything waits.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, advance, sleep};

use crate::{
    AcquireLease, CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, Error, GetTuple,
    Lease, LeaseGuard, List, ListThreads, MemoryCheckpointer, Put, PutWrites, Result, ThreadId,
    ThreadInfo,
};

const TTL: Duration = Duration::from_secs(30);

/// What comes of renewals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewals {
    Succeed,
    Fail,
    /// No answer comes.
    Hang,
    /// The answer comes after that time.
    Take(Duration),
}

/// Leases for a store, by the test's clock.
#[derive(Debug, Clone)]
struct Leases {
    memory: MemoryCheckpointer,
    /// How long a lease that is asked for isn't there yet.
    outage: Arc<Mutex<Duration>>,
    renewals: Arc<Mutex<Renewals>>,
    renewed: Arc<AtomicUsize>,
}

impl Leases {
    fn new() -> Self {
        Self {
            memory: MemoryCheckpointer::new(),
            outage: Arc::default(),
            renewals: Arc::new(Mutex::new(Renewals::Succeed)),
            renewed: Arc::default(),
        }
    }

    fn outage(&self, time: Duration) {
        *self.outage.lock().unwrap() = time;
    }

    fn renewals(&self, renewals: Renewals) {
        *self.renewals.lock().unwrap() = renewals;
    }

    fn renewed(&self) -> usize {
        self.renewed.load(Ordering::SeqCst)
    }

    async fn acquire(&self) -> LeaseGuard {
        LeaseGuard::acquire(self.clone(), asked()).await.unwrap()
    }

    /// Takes the lease from its holder.
    async fn take_over(&self) -> Lease {
        self.memory.acquire_lease(asked().force()).await.unwrap()
    }
}

fn asked() -> AcquireLease {
    AcquireLease::new("support-4711", TTL).unwrap()
}

fn unreachable() -> Error {
    let source = db::Error::ConnectionLost {
        statement: "renew".to_owned(),
        source: None,
    };
    Error::database("renew a lease", source)
}

#[async_trait]
impl Checkpointer for Leases {
    async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let outage = *self.outage.lock().unwrap();
        sleep(outage).await;
        self.memory.acquire_lease(acquire).await
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let renewals = *self.renewals.lock().unwrap();
        match renewals {
            Renewals::Succeed => {}
            Renewals::Fail => return Err(unreachable()),
            Renewals::Hang => std::future::pending().await,
            Renewals::Take(time) => sleep(time).await,
        }
        self.renewed.fetch_add(1, Ordering::SeqCst);
        self.memory.renew_lease(lease, ttl).await
    }

    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.memory.put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.memory.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.memory.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.memory.list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.memory.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.memory.threads(query)
    }

    async fn close(&self) -> Result<()> {
        self.memory.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.memory)
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_again_and_again() {
    let leases = Leases::new();
    let guard = leases.acquire().await;
    sleep(10 * TTL).await;
    assert!(!guard.is_lost());
    assert!((30..=40).contains(&leases.renewed()), "{leases:?}");
    guard.release().await.unwrap();
    let before = leases.renewed();
    sleep(10 * TTL).await;
    assert_eq!(leases.renewed(), before);
}

#[tokio::test(start_paused = true)]
async fn failures_are_survived_as_long_as_its_time_is_not_over() {
    let leases = Leases::new();
    let guard = leases.acquire().await;
    for _ in 0..5 {
        leases.renewals(Renewals::Fail);
        sleep(TTL / 3).await;
        leases.renewals(Renewals::Succeed);
        sleep(TTL / 2).await;
        assert!(!guard.is_lost());
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_lost_once_no_renewal_has_succeeded_in_time() {
    for fault in [Renewals::Fail, Renewals::Hang] {
        let leases = Leases::new();
        let began = Instant::now();
        let guard = leases.acquire().await;
        leases.renewals(fault);
        let lost = guard.lost().await;
        assert!(matches!(lost, Error::LeaseLost { .. }), "{lost:?}");
        assert!(guard.is_lost());
        assert_eq!(began.elapsed().as_secs(), TTL.as_secs(), "{fault:?}");
        // It stays lost, although a renewal might succeed.
        leases.renewals(Renewals::Succeed);
        sleep(TTL).await;
        assert!(guard.is_lost());
        assert_eq!(leases.renewed(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_when_a_renewal_was_asked_for() {
    let leases = Leases::new();
    let began = Instant::now();
    let guard = leases.acquire().await;
    leases.renewals(Renewals::Take(TTL / 2));
    // The first renewal is under way, and is the last that succeeds.
    sleep(TTL / 3).await;
    leases.renewals(Renewals::Fail);
    guard.lost().await;
    assert_eq!(leases.renewed(), 1);
    let held = began.elapsed();
    assert!(
        held > TTL && held <= TTL + TTL / 3 + Duration::from_millis(1),
        "{held:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_for_too_long_finds_it_lost_at_once() {
    let leases = Leases::new();
    let guard = leases.acquire().await;
    let lost = guard.lost();
    // Nothing runs meanwhile, as in a process that was stopped.
    advance(TTL).await;
    assert!(guard.is_lost());
    lost.await;
    assert_eq!(leases.renewed(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_another_program_has_taken_is_lost_at_the_next_renewal() {
    let leases = Leases::new();
    let began = Instant::now();
    let guard = leases.acquire().await;
    let successor = leases.take_over().await;
    guard.lost().await;
    assert!(began.elapsed() <= TTL / 2);
    drop(guard);
    // The one that took its place is still there.
    let renewed = leases.memory.renew_lease(&successor, TTL).await;
    renewed.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_whose_checkpointer_was_closed_is_lost() {
    let leases = Leases::new();
    let guard = leases.acquire().await;
    leases.close().await.unwrap();
    guard.lost().await;
}

#[test]
fn one_whose_runtime_has_ended_is_lost_and_is_dropped_without_a_panic() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    };
    let leases = Leases::new();
    let first = runtime();
    let guard = first.block_on(leases.acquire());
    drop(first);
    assert!(guard.is_lost());
    drop(guard);
    let again = runtime().block_on(leases.acquire());
    assert!(!again.lease().token.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_released_when_it_is_dropped() {
    let leases = Leases::new();
    let guard = leases.acquire().await;
    let lost = guard.lost();
    drop(guard);
    let next = leases.acquire().await;
    assert_eq!(next.lease().number, 2);
    lost.await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_taken_for_a_caller_that_is_gone_is_released() {
    let leases = Leases::new();
    let taking = LeaseGuard::acquire(leases.clone(), asked());
    // Polled once, and dropped.
    assert!(taking.now_or_never().is_none());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(leases.acquire().await.lease().number, 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_takes_it_soon_after_it_was_released() {
    let leases = Leases::new();
    let guard = leases.acquire().await;
    let waiting = LeaseGuard::wait(leases.clone(), asked(), 100 * TTL);
    let waiting = tokio::spawn(waiting);
    sleep(10 * TTL).await;
    assert!(!waiting.is_finished());
    let released = Instant::now();
    guard.release().await.unwrap();
    let next = waiting.await.unwrap().unwrap();
    assert!(released.elapsed() <= Duration::from_secs(1));
    assert_eq!(next.lease().number, 2);
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_have_their_turn() {
    const WAITING: usize = 20;
    let leases = Leases::new();
    let guard = leases.acquire().await;
    let began = Instant::now();
    let waiting = (0..WAITING).map(|_| {
        let leases = leases.clone();
        tokio::spawn(async move {
            let guard = LeaseGuard::wait(leases, asked(), 100 * TTL).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            assert!(!guard.is_lost());
            guard.release().await.unwrap();
        })
    });
    let waiting: Vec<_> = waiting.collect();
    guard.release().await.unwrap();
    for waited in waiting {
        waited.await.unwrap();
    }
    // A second each, and up to one for the next to come.
    assert!(began.elapsed() <= Duration::from_secs(2 * WAITING as u64));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_gives_up_at_its_time() {
    let leases = Leases::new();
    let _guard = leases.acquire().await;
    for timeout in [Duration::ZERO, TTL / 7, 3 * TTL] {
        let began = Instant::now();
        let refused = LeaseGuard::wait(leases.clone(), asked(), timeout).await;
        assert!(
            matches!(refused, Err(Error::LeaseHeld { .. })),
            "{refused:?}"
        );
        assert_eq!(began.elapsed().as_secs(), timeout.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_taken_after_an_outage_lasts() {
    let leases = Leases::new();
    leases.outage(TTL + Duration::from_secs(1));
    let guard = leases.acquire().await;
    assert!(!guard.is_lost());
    assert_eq!(leases.renewed(), 1);
    sleep(10 * TTL).await;
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn one_whose_first_renewal_comes_too_late_is_renewed_until_one_does_not() {
    let leases = Leases::new();
    leases.outage(TTL);
    leases.renewals(Renewals::Take(TTL));
    let acquiring = tokio::spawn(LeaseGuard::acquire(leases.clone(), asked()));
    sleep(3 * TTL + TTL / 2).await;
    leases.renewals(Renewals::Succeed);
    let guard = acquiring.await.unwrap().unwrap();
    assert!(!guard.is_lost());
    assert_eq!(leases.renewed(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_whose_renewals_all_come_too_late_is_released() {
    let leases = Leases::new();
    leases.outage(TTL);
    leases.renewals(Renewals::Take(TTL));
    let failed = LeaseGuard::acquire(leases.clone(), asked()).await;
    assert!(matches!(failed, Err(Error::Busy { .. })), "{failed:?}");
    sleep(Duration::from_millis(1)).await;
    leases.outage(Duration::ZERO);
    leases.renewals(Renewals::Succeed);
    assert_eq!(leases.acquire().await.lease().number, 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_taken_late_and_cannot_be_renewed_is_released() {
    let leases = Leases::new();
    leases.outage(TTL);
    leases.renewals(Renewals::Fail);
    let failed = LeaseGuard::acquire(leases.clone(), asked()).await;
    assert!(matches!(failed, Err(Error::Database { .. })), "{failed:?}");
    sleep(Duration::from_millis(1)).await;
    leases.outage(Duration::ZERO);
    assert_eq!(leases.acquire().await.lease().number, 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_gives_up_at_its_time_without_an_answer() {
    let leases = Leases::new();
    leases.outage(100 * TTL);
    let began = Instant::now();
    let timeout = Duration::from_secs(5);
    let late = LeaseGuard::wait(leases.clone(), asked(), timeout).await;
    assert!(matches!(late, Err(Error::Busy { .. })), "{late:?}");
    assert_eq!(began.elapsed().as_secs(), timeout.as_secs());
    // What is taken after all is released.
    sleep(100 * TTL).await;
    leases.outage(Duration::ZERO);
    assert_eq!(leases.acquire().await.lease().number, 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_tells_of_the_last_answer_if_a_later_one_does_not_come() {
    let leases = Leases::new();
    let _guard = leases.acquire().await;
    let waiting = LeaseGuard::wait(leases.clone(), asked(), TTL);
    let waiting = tokio::spawn(waiting);
    sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    leases.outage(100 * TTL);
    let refused = waiting.await.unwrap();
    assert!(
        matches!(refused, Err(Error::LeaseHeld { .. })),
        "{refused:?}"
    );
    assert!(began.elapsed() <= TTL + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_does_not_wait_for_what_never_ends() {
    let leases = Leases::new();
    leases.close().await.unwrap();
    let refused = LeaseGuard::wait(leases, asked(), Duration::MAX).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
}

#[tokio::test]
async fn one_that_waits_asks_when_the_other_ends() {
    use super::super::pauses::Pauses;

    let held = |rest| Error::LeaseHeld {
        thread_id: ThreadId::new("support-4711").unwrap(),
        until: SystemTime::now() + rest,
    };
    let mut pauses = Pauses::new();
    // Grown to a second.
    for _ in 0..20 {
        pauses.after(&held(TTL)).unwrap();
    }
    let soon = Duration::from_millis(20);
    let about_to_end = held(soon);
    assert!(pauses.after(&about_to_end).unwrap() <= soon + Duration::from_millis(100));
    // It should have ended, and hasn't: the clocks differ.
    let longest = (0..50).map(|_| pauses.after(&about_to_end).unwrap()).max();
    assert!(longest.unwrap() > Duration::from_millis(500));
}
