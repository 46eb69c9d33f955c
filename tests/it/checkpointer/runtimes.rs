//! One checkpointer, used from several Tokio runtimes.

use std::pin::pin;
use std::thread;
use std::time::Duration;

use checkpointer::{CheckpointAddress, Checkpointer, Error, PostgresCheckpointer};
use futures_util::FutureExt;
use futures_util::future::join_all;
use rig::{TestDb, chain};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::step::{self, Step, get};

/// How many threads write at the same moment.
const THREADS: usize = 40;

const LONG: Duration = Duration::from_secs(30);

/// The runtime of a database, which always runs.
fn home() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// The runtime of a worker, which ends when it is dropped.
fn other() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A checkpointer, and the first checkpoints of its threads.
async fn started() -> (TestDb, PostgresCheckpointer, Vec<CheckpointAddress>) {
    let test = TestDb::without_schema().await;
    let checkpointer = step::checkpointer(&test, &[]).await;
    let mut heads = Vec::new();
    for number in 0..THREADS {
        let first = Step::first(&step::thread(&format!("thread-{number}")));
        heads.push(first.values(json!({ "n": 1 })).put(&checkpointer).await);
    }
    (test, checkpointer, heads)
}

fn next(head: &CheckpointAddress, id: &str) -> Step {
    Step::after(head).id(id).values(json!({ "n": 2 }))
}

/// Holds up everything that writes, until it rolls back.
async fn hold_up(test: &TestDb) -> Client {
    let observer = test.observer().await;
    let schema = test.schema();
    let lock = format!("BEGIN; LOCK TABLE {schema}.threads IN EXCLUSIVE MODE");
    observer.batch_execute(&lock).await.unwrap();
    observer
}

/// Puts checkpoints on a runtime that ends while all of them are under way.
fn abandon(test: &TestDb, checkpointer: &PostgresCheckpointer, puts: Vec<Step>) {
    let runtime = other();
    runtime.block_on(async {
        for put in puts {
            let checkpointer = checkpointer.clone();
            tokio::spawn(async move { put.try_put(&checkpointer).await });
        }
        // Each is polled, and hands its write over.
        yield_now().await;
        test.until_blocked(1).await;
    });
}

#[test]
fn puts_go_on_when_the_runtime_of_their_callers_ends() {
    let home = home();
    let (test, checkpointer, heads) = home.block_on(started());
    let blocker = home.block_on(hold_up(&test));
    let steps: Vec<_> = heads.iter().map(|head| next(head, "2")).collect();
    abandon(&test, &checkpointer, steps.clone());

    home.block_on(async {
        let after: Vec<_> = steps
            .iter()
            .map(|step| next(&step.address(), "3"))
            .collect();
        let puts = after.iter().map(|step| step.try_put(&checkpointer));
        let (outcomes, ()) = tokio::join!(timeout(LONG, join_all(puts)), async {
            blocker.batch_execute("ROLLBACK").await.unwrap();
        });
        for outcome in outcomes.expect("the puts of the other runtime go on") {
            outcome.unwrap();
        }
        for step in steps.iter().chain(&after) {
            get(&checkpointer, &step.address()).await;
        }
        timeout(LONG, checkpointer.close()).await.unwrap().unwrap();
    });
}

#[test]
fn close_waits_for_the_puts_of_a_runtime_that_ended_and_reports_them() {
    let home = home();
    let (test, checkpointer, heads) = home.block_on(started());
    let sql = format!(
        "ALTER TABLE {}.checkpoints ADD CONSTRAINT no_bad_ones CHECK (checkpoint_id <> 'bad')",
        test.schema()
    );
    let blocker = home.block_on(async {
        test.observer().await.batch_execute(&sql).await.unwrap();
        hold_up(&test).await
    });
    let step = |(number, head)| next(head, if number < 3 { "bad" } else { "2" });
    let steps: Vec<_> = heads.iter().enumerate().map(step).collect();
    abandon(&test, &checkpointer, steps.clone());

    home.block_on(async {
        let mut close = pin!(checkpointer.close());
        assert!(close.as_mut().now_or_never().is_none());
        blocker.batch_execute("ROLLBACK").await.unwrap();
        let error = timeout(LONG, close).await.unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::CloseFailed { others, .. } if others.len() == 2),
            "{}",
            chain(&error)
        );
        let reader = step::checkpointer(&test, &[]).await;
        for step in &steps[3..] {
            get(&reader, &step.address()).await;
        }
    });
}

#[test]
fn no_put_fails_because_the_runtime_of_another_ends() {
    let home = home();
    let (_test, checkpointer, _) = home.block_on(started());
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let checkpointer = checkpointer.clone();
            thread::spawn(move || work(&checkpointer, worker))
        })
        .collect();
    let mut acknowledged = Vec::new();
    for worker in workers {
        acknowledged.extend(worker.join().unwrap());
    }
    home.block_on(async {
        for address in &acknowledged {
            get(&checkpointer, address).await;
        }
        timeout(LONG, checkpointer.close()).await.unwrap().unwrap();
    });
}

/// What a worker does on a few runtimes, one after the other: each has puts under way when it ends.
fn work(checkpointer: &PostgresCheckpointer, worker: usize) -> Vec<CheckpointAddress> {
    let mut acknowledged = Vec::new();
    for life in 0..6 {
        let threads = (0..4).map(|n| step::thread(&format!("{worker}-{life}-{n}")));
        let threads: Vec<_> = threads.collect();
        let runtime = other();
        runtime.block_on(async {
            let firsts = threads.iter().map(Step::first);
            let mut puts: Vec<_> = firsts.map(|step| step.values(json!({ "n": 1 }))).collect();
            for _ in 0..=worker {
                let done = join_all(puts.iter().map(|put| put.try_put(checkpointer)));
                let done = timeout(LONG, done).await.expect("no put hangs");
                let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
                puts = done.iter().map(Step::after).collect();
                acknowledged.extend(done);
            }
            for put in puts {
                let checkpointer = checkpointer.clone();
                tokio::spawn(async move { put.try_put(&checkpointer).await });
            }
            yield_now().await;
        });
    }
    acknowledged
}

#[test]
fn a_put_fails_at_once_when_the_runtime_of_the_database_has_ended() {
    let home = home();
    let (test, checkpointer, heads) = home.block_on(started());
    let other = other();
    let blocker = other.block_on(hold_up(&test));
    other.block_on(async {
        let puts: Vec<_> = heads.iter().map(|head| next(head, "2")).collect();
        let puts = join_all(puts.iter().map(|put| put.try_put(&checkpointer)));
        let (outcomes, ()) = tokio::join!(timeout(LONG, puts), async {
            test.until_blocked(1).await;
            home.shutdown_background();
        });
        drop(blocker);
        for outcome in outcomes.expect("no put hangs") {
            assert!(
                matches!(outcome, Err(Error::Database { .. })),
                "{outcome:?}"
            );
        }
        let late = timeout(LONG, next(&heads[0], "3").try_put(&checkpointer)).await;
        let late = late.unwrap().unwrap_err();
        let Error::Database { source, .. } = &late else {
            panic!("{}", chain(&late));
        };
        assert!(
            matches!(source, db::Error::RuntimeEnded),
            "{}",
            chain(&late)
        );
        timeout(LONG, checkpointer.close()).await.unwrap().unwrap();
    });
}
