//! Watching heads that other programs move, over lost connections and behind each kind of pool.

use std::collections::BTreeMap;
use std::time::Duration;

use checkpointer::{
    CheckpointId, CheckpointNs, Checkpointer, DeleteThread, Generation, HeadChange,
    PostgresCheckpointer, PostgresOptions, Result, ThreadId, Watch,
};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use serde_json::json;
use tokio::time::timeout;

use super::step::{Step, checkpointer, head, thread, two};
use rig::{TestDb, eventually};

type Changes = BoxStream<'static, Result<HeadChange>>;

/// How long a change may take to be told, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn next(changes: &mut Changes) -> HeadChange {
    let change = timeout(PATIENCE, changes.next()).await.unwrap();
    change.unwrap().unwrap()
}

async fn until(changes: &mut Changes, expected: &HeadChange) {
    while next(changes).await != *expected {}
}

async fn watch_all(checkpointer: &dyn Checkpointer) -> Changes {
    checkpointer.watch(Watch::all()).await.unwrap()
}

async fn watch_thread(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Changes {
    let watch = Watch::thread(thread_id).unwrap();
    checkpointer.watch(watch).await.unwrap()
}

async fn delete(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) {
    let delete = DeleteThread::new(thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
}

#[tokio::test]
async fn a_thousand_watchers_of_another_programs_threads_share_one_connection() {
    const WATCHERS: usize = 1000;
    let test = TestDb::without_schema().await;
    let writer = checkpointer(&test, &[]).await;
    for mode in ["session", "transaction"] {
        let variables = [("DB_POOL_MAX", "1"), ("DB_POOL_MODE", mode)];
        let database = test.connect(&variables).await;
        let watcher = PostgresCheckpointer::open(database.clone()).await.unwrap();
        let threads: Vec<_> = (0..WATCHERS / 2)
            .map(|number| thread(&format!("{mode} {number}")))
            .collect();
        let mut watched = Vec::new();
        for thread_id in threads.iter().chain(&threads) {
            watched.push(watch_thread(&watcher, thread_id));
        }
        let mut watched = join_all(watched).await;
        let mut all = watch_all(&watcher).await;
        let steps: Vec<_> = threads.iter().map(Step::first).collect();
        let heads = join_all(steps.iter().map(|step| step.put(&writer))).await;
        for (changes, head) in watched.iter_mut().zip(heads.iter().chain(&heads)) {
            assert_eq!(next(changes).await, HeadChange::Moved(head.clone()));
        }
        let mut told = BTreeMap::new();
        while told.len() < threads.len() {
            told.insert(next(&mut all).await.thread_id().clone(), ());
        }
        assert_eq!(database.state().connections, 1);
    }
}

#[tokio::test]
async fn what_changes_while_connections_are_lost_is_told() {
    let (test, [writer, watcher]) = two().await;
    let mine = test.connect(&[("DB_APPLICATION_NAME", "watcher")]).await;
    drop(watcher);
    let watcher = PostgresCheckpointer::open(mine).await.unwrap();
    let observer = test.observer().await;
    let thread_id = thread("seen after all");
    let mut one = watch_thread(&watcher, &thread_id).await;
    let mut all = watch_all(&watcher).await;
    let mut last = Step::first(&thread_id).put(&writer).await;
    for _ in 0..10 {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'watcher'";
        observer.execute(kill, &[]).await.unwrap();
        last = Step::after(&last).put(&writer).await;
        let moved = HeadChange::Moved(last.clone());
        until(&mut one, &moved).await;
        until(&mut all, &moved).await;
    }
    delete(&writer, &thread_id).await;
    let deleted = HeadChange::deleted(&thread_id, last.generation.unwrap());
    until(&mut one, &deleted).await;
    until(&mut all, &deleted).await;
}

#[tokio::test]
async fn a_head_is_told_however_late_its_transaction_commits() {
    let (test, [writer, watcher]) = two().await;
    let (late, later, other) = (thread("late"), thread("later"), thread("other"));
    for thread_id in [&late, &later, &other] {
        Step::first(thread_id).put(&writer).await;
    }
    let mut clients = Vec::new();
    // A savepoint has a transaction number of its own, of which a snapshot says nothing.
    for (thread_id, begin) in [(&late, "BEGIN"), (&later, "BEGIN; SAVEPOINT s")] {
        let client = test.observer().await;
        let moves = format!(
            "{begin}; UPDATE {}.heads SET checkpoint_id = 'put late', updated_at = now()
             WHERE thread_id = '{thread_id}'",
            test.schema()
        );
        client.batch_execute(&moves).await.unwrap();
        clients.push(client);
    }
    let mut one = watch_thread(&watcher, &later).await;
    next(&mut one).await;
    let mut all = watch_all(&watcher).await;
    let mut last = Step::first(&other).put(&writer).await;
    // Each is told by another look.
    for _ in 0..5 {
        last = Step::after(&last).put(&writer).await;
        until(&mut all, &HeadChange::Moved(last.clone())).await;
    }
    for (client, thread_id) in clients.iter().zip([&late, &later]) {
        client.batch_execute("COMMIT").await.unwrap();
        let mut told = next(&mut all).await;
        while told.thread_id() != thread_id {
            told = next(&mut all).await;
        }
        let HeadChange::Moved(address) = told else {
            panic!("{told:?}");
        };
        assert_eq!(address.checkpoint_id.as_str(), "put late");
    }
    let HeadChange::Moved(address) = next(&mut one).await else {
        panic!("the head has moved");
    };
    assert_eq!(address.checkpoint_id.as_str(), "put late");
}

#[tokio::test]
async fn a_long_transaction_makes_nothing_be_told_again_and_again() {
    let (test, [writer, watcher]) = two().await;
    let client = test.observer().await;
    let sql = format!(
        "BEGIN; CREATE TABLE {}.by_another (id bigint)",
        test.schema()
    );
    client.batch_execute(&sql).await.unwrap();
    let mut all = watch_all(&watcher).await;
    let threads = [thread("first"), thread("second"), thread("third")];
    let mut told = Vec::new();
    for thread_id in &threads {
        let step = Step::first(thread_id).put(&writer).await;
        told.push(next(&mut all).await);
        assert_eq!(told.last(), Some(&HeadChange::Moved(step)));
    }
}

/// The heads of threads, as a watcher has been told of them.
type Heads = BTreeMap<(ThreadId, CheckpointNs), (Option<Generation>, CheckpointId)>;

fn take_in(heads: &mut Heads, change: HeadChange) {
    let thread_id = change.thread_id().clone();
    match change {
        HeadChange::Moved(head) => {
            // A head of another generation says that the thread was deleted.
            heads.retain(|(of, _), (known, _)| *of != thread_id || *known == head.generation);
            let place = (thread_id, head.checkpoint_ns);
            heads.insert(place, (head.generation, head.checkpoint_id));
        }
        _ => heads.retain(|(of, _), _| *of != thread_id),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_in_all_changes_knows_the_heads() {
    let (test, [one, other]) = two().await;
    let options = PostgresOptions::default().watch_interval(Duration::from_millis(1));
    let watcher = options.open(test.connect(&[]).await).await.unwrap();
    let threads: Vec<_> = (0..8).map(|number| thread(&format!("t{number}"))).collect();
    let mut watched = vec![watch_all(&watcher).await];
    for thread_id in &threads {
        watched.push(watch_thread(&watcher, thread_id).await);
    }
    let work = async |by: &PostgresCheckpointer| {
        for _ in 0..150 {
            let thread_id = &threads[fastrand::usize(..threads.len())];
            let ns = ["", "sub"][fastrand::usize(..2)];
            match fastrand::u8(..10) {
                0 => delete(by, thread_id).await,
                // A put may be refused: its thread was deleted.
                _ => drop(Step::first(thread_id).in_ns(ns).try_put(by).await),
            }
        }
    };
    let working = async {
        tokio::join!(work(&one), work(&other));
        // The last change of each thread, by which the watchers know that they have seen all.
        let mut markers = Vec::new();
        for thread_id in &threads {
            delete(&one, thread_id).await;
            Step::first(thread_id).put(&one).await;
            let marker = Step::first(thread_id).in_ns("marker");
            let marker = marker.metadata(
                "parents",
                json!({ "": head(&one, thread_id).await.unwrap().as_str() }),
            );
            markers.push(HeadChange::Moved(marker.put(&one).await));
        }
        markers
    };
    let markers = working.await;
    let mut by_all = Heads::new();
    let mut missing = markers.clone();
    while !missing.is_empty() {
        let change = next(&mut watched[0]).await;
        missing.retain(|marker| *marker != change);
        take_in(&mut by_all, change);
    }
    let mut by_thread = Heads::new();
    for (changes, marker) in watched[1..].iter_mut().zip(&markers) {
        loop {
            let change = next(changes).await;
            let is_last = change == *marker;
            take_in(&mut by_thread, change);
            if is_last {
                break;
            }
        }
    }
    for thread_id in &threads {
        let place = (thread_id.clone(), CheckpointNs::ROOT);
        let known = by_thread.get(&place).map(|(_, id)| id.clone());
        assert_eq!(known, head(&one, thread_id).await);
    }
    assert_eq!(by_thread, by_all);
}

#[tokio::test]
async fn nothing_is_left_of_streams_that_were_dropped() {
    let test = TestDb::without_schema().await;
    let writer = checkpointer(&test, &[]).await;
    let database = test.connect(&[("DB_APPLICATION_NAME", "dropped")]).await;
    let watcher = PostgresCheckpointer::open(database.clone()).await.unwrap();
    let thread_id = thread("watched");
    let streams = [
        watch_thread(&watcher, &thread_id).await,
        watch_all(&watcher).await,
    ];
    // The looks go on without any other handle.
    drop(watcher);
    drop(database);
    let [mut one, all] = streams;
    drop(all);
    let head = Step::first(&thread_id).put(&writer).await;
    assert_eq!(next(&mut one).await, HeadChange::Moved(head));
    drop(one);
    let observer = test.observer().await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dropped'";
    eventually("the pool is gone with the last stream", async || {
        let row = observer.query_one(count, &[]).await.unwrap();
        row.get::<_, i64>(0) == 0
    })
    .await;
}

#[tokio::test]
async fn a_close_of_the_database_ends_the_streams() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[]).await;
    let watcher = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let all = watch_all(&watcher).await;
    let one = watch_thread(&watcher, &thread("watched")).await;
    database.close(PATIENCE).await.unwrap();
    for changes in [all, one] {
        let rest = timeout(PATIENCE, changes.collect::<Vec<_>>()).await;
        assert!(rest.unwrap().is_empty());
    }
}

#[tokio::test]
async fn streams_end_with_the_database_although_no_checkpointer_is_left() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[]).await;
    let watcher = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let all = watch_all(&watcher).await;
    drop(watcher);
    database.close(PATIENCE).await.unwrap();
    let rest = timeout(PATIENCE, all.collect::<Vec<_>>()).await;
    assert!(rest.unwrap().is_empty());
}

#[tokio::test]
async fn a_watch_that_cannot_begin_says_why() {
    let test = TestDb::without_schema().await;
    let variables = [("DB_RETRY_TIMEOUT", "0s")];
    let watcher = checkpointer(&test, &variables).await;
    let sql = format!("DROP TABLE {}.heads CASCADE", test.schema());
    test.observer().await.batch_execute(&sql).await.unwrap();
    let error = watcher.watch(Watch::all()).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "failed to watch");
}
