//! Leases that renew themselves, on a server and over connections that break.

use std::time::{Duration, SystemTime};

use checkpointer::{AcquireLease, Checkpointer, Error, LeaseGuard, PostgresCheckpointer, Result};
use db::Database;
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::step::{Step, checkpointer, ids, thread};
use rig::{TcpProxy, TestDb, at_every_poll, eventually};

const MODES: [&str; 2] = ["session", "transaction"];

/// Long enough for a renewal on a machine that has much to do.
const TTL: Duration = Duration::from_secs(3);

/// How long a lease lasts whose time isn't over in a test.
const LONG: Duration = Duration::from_secs(60 * 60);

const THREAD: &str = "guarded";

fn asked(ttl: Duration) -> AcquireLease {
    AcquireLease::new(THREAD, ttl).unwrap()
}

async fn acquire(checkpointer: &PostgresCheckpointer, ttl: Duration) -> LeaseGuard {
    let acquired = LeaseGuard::acquire(checkpointer.clone(), asked(ttl));
    acquired.await.unwrap()
}

/// Two programs.
async fn two(mode: &str) -> (TestDb, [PostgresCheckpointer; 2]) {
    let test = TestDb::without_schema().await;
    let mode = [("DB_POOL_MODE", mode)];
    let first = checkpointer(&test, &mode).await;
    let second = checkpointer(&test, &mode).await;
    (test, [first, second])
}

/// When the thread's lease ends; none if there is none.
async fn until(test: &TestDb) -> Option<SystemTime> {
    let sql = format!("SELECT lease_until FROM {}.threads", test.schema());
    let row = test.observer().await.query_one(&sql, &[]).await.unwrap();
    row.get(0)
}

async fn until_renewed(test: &TestDb, after: SystemTime) {
    eventually("the lease was renewed", async || {
        until(test).await.is_some_and(|until| until > after)
    })
    .await;
}

fn is_held<T: std::fmt::Debug>(refusal: &Result<T>) -> bool {
    matches!(refusal, Err(Error::LeaseHeld { .. }))
}

#[tokio::test]
async fn it_lasts_over_several_times_its_time_and_is_given_back() {
    for mode in MODES {
        let (test, [holder, other]) = two(mode).await;
        let guard = acquire(&holder, TTL).await;
        until_renewed(&test, guard.lease().until + 2 * TTL).await;
        assert!(!guard.is_lost());
        let refused = LeaseGuard::acquire(other.clone(), asked(TTL)).await;
        assert!(is_held(&refused), "{refused:?}");
        let first = Step::first(&thread(THREAD));
        let refused = first.try_put(&other).await;
        assert!(is_held(&refused), "{refused:?}");
        // With the lease as it was taken.
        first.lease(guard.lease()).put(&holder).await;
        guard.release().await.unwrap();
        assert_eq!(acquire(&other, TTL).await.lease().number, 2);
    }
}

#[tokio::test]
async fn a_close_waits_until_what_was_dropped_before_it_is_released() {
    for mode in MODES {
        let (test, [_, other]) = two(mode).await;
        let database = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let holder = PostgresCheckpointer::open(database.clone()).await.unwrap();
        let guard = acquire(&holder, LONG).await;
        drop(guard);
        database.close(TTL).await.unwrap();
        assert_eq!(acquire(&other, LONG).await.lease().number, 2);
    }
}

#[tokio::test]
async fn one_that_is_taken_by_force_is_lost_and_writes_nothing_more() {
    for mode in MODES {
        let (_test, [holder, other]) = two(mode).await;
        let guard = acquire(&holder, TTL).await;
        let (is_lost, first) = (guard.lost(), Step::first(&thread(THREAD)));
        let successor = LeaseGuard::acquire(other.clone(), asked(LONG).force());
        let successor = successor.await.unwrap();
        let lost = is_lost.await;
        assert!(matches!(lost, Error::LeaseLost { .. }), "{lost:?}");
        let refused = first.clone().lease(guard.lease()).try_put(&holder).await;
        assert!(
            matches!(refused, Err(Error::LeaseLost { .. })),
            "{refused:?}"
        );
        guard.release().await.unwrap();
        assert!(!successor.is_lost());
        first.lease(successor.lease()).put(&other).await;
        assert_eq!(ids(&other, &thread(THREAD)).await.len(), 1);
    }
}

#[tokio::test]
async fn cut_connections_are_survived_and_a_silent_network_is_not() {
    for mode in MODES {
        let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
        let settings = test.settings_through(&proxy, &[("DB_POOL_MODE", mode)]);
        let database = Database::connect(&settings).await.unwrap();
        let holder = PostgresCheckpointer::setup(database).await.unwrap();
        let guard = acquire(&holder, TTL).await;
        let mut before = guard.lease().until;
        for _ in 0..3 {
            proxy.cut();
            until_renewed(&test, before).await;
            before = until(&test).await.unwrap();
        }
        assert!(!guard.is_lost());

        proxy.stall();
        let stalled = Instant::now();
        guard.lost().await;
        // It may have been renewed shortly before.
        let took = stalled.elapsed();
        assert!(took > TTL / 2 && took < 2 * TTL, "{took:?}");
        // The thread is another's as soon as the database says so, too.
        let other = PostgresCheckpointer::open(test.connect(&[]).await).await;
        let next = LeaseGuard::wait(other.unwrap(), asked(TTL), 10 * TTL);
        assert_eq!(next.await.unwrap().lease().number, 2);
        proxy.release();
    }
}

#[test]
fn it_outlives_the_runtime_that_asked_for_it() {
    let builder = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (home, other) = (builder(), builder());
    let test = home.block_on(TestDb::without_schema());
    let holder = home.block_on(checkpointer(&test, &[]));
    let guard = other.block_on(acquire(&holder, TTL));
    other.shutdown_background();
    home.block_on(until_renewed(&test, guard.lease().until + TTL));
    assert!(!guard.is_lost());
    // Outside of any runtime.
    drop(guard);
    home.block_on(eventually("the lease was released", async || {
        until(&test).await.is_none()
    }));
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_lease_behind() {
    for mode in MODES {
        let test = TestDb::without_schema().await;
        let database = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let holder = PostgresCheckpointer::setup(database.clone()).await.unwrap();
        at_every_poll(
            async || {
                let guard = LeaseGuard::wait(holder.clone(), asked(LONG), LONG).await;
                guard.unwrap().release().await.unwrap();
            },
            async || database.ping().await.unwrap(),
        )
        .await;
        eventually("the lease was released", async || {
            until(&test).await.is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn one_that_waits_comes_when_the_holder_is_gone() {
    let (_test, [holder, other]) = two("session").await;
    // A holder that has died: it neither renews nor releases.
    let died = holder.acquire_lease(asked(TTL)).await.unwrap();
    let waited = Instant::now();
    let guard = LeaseGuard::wait(other, asked(TTL), 10 * TTL).await.unwrap();
    assert_eq!(guard.lease().number, died.number + 1);
    assert!(waited.elapsed() > TTL / 2, "{:?}", waited.elapsed());
}
