//! Watching over a server that goes down and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use checkpointer::{
    CheckpointAddress, Checkpointer, HeadChange, PostgresCheckpointer, Result, ThreadId, Watch,
};
use db::Database;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rig::{PrivateServer, Stop, settings_for};
use tokio::time::timeout;

/// How long a change may take to be told, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many threads change before each restart, and as many after it.
const THREADS: usize = 10;

type Changes = BoxStream<'static, Result<HeadChange>>;

async fn connect(server: &PrivateServer, mode: &str) -> PostgresCheckpointer {
    let variables = [
        ("DB_POOL_MODE", mode),
        // However long a busy machine takes.
        ("DB_RETRY_TIMEOUT", "10min"),
        ("DB_RETRY_ATTEMPTS", "10000"),
    ];
    let settings = settings_for(&server.url(), &variables);
    let database = Database::connect(&settings).await.unwrap();
    PostgresCheckpointer::setup(database).await.unwrap()
}

async fn save(checkpointer: &PostgresCheckpointer, thread_id: &str) -> CheckpointAddress {
    let mut thread = checkpointer.thread::<u32>(thread_id).unwrap();
    let state = thread.load().await.unwrap().unwrap_or_default();
    thread.save(&(state + 1)).await.unwrap()
}

/// Waits until each thread's last head was told.
async fn until_told(changes: &mut Changes, mut heads: BTreeMap<ThreadId, CheckpointAddress>) {
    while !heads.is_empty() {
        let change = timeout(PATIENCE, changes.next()).await;
        if let HeadChange::Moved(head) = change.expect("a head wasn't told").unwrap().unwrap()
            && heads.get(&head.thread_id) == Some(&head)
        {
            heads.remove(&head.thread_id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_over_restarts_of_the_server_loses_nothing() {
    for mode in ["session", "transaction"] {
        let server = PrivateServer::start(&[]).await.unwrap();
        let (writer, watcher) = (connect(&server, mode).await, connect(&server, mode).await);
        let mut all = watcher.watch(Watch::all()).await.unwrap();
        let watch = Watch::thread("thread 0").unwrap();
        let mut one = watcher.watch(watch).await.unwrap();
        for stop in [Stop::Fast, Stop::Immediate] {
            let mut heads = BTreeMap::new();
            for number in 0..THREADS {
                let head = save(&writer, &format!("thread {number}")).await;
                heads.insert(head.thread_id.clone(), head);
            }
            // Under way while the server stops.
            let under_way = tokio::spawn({
                let writer = writer.clone();
                async move { save(&writer, "thread 0").await }
            });
            server.stop(stop).await.unwrap();
            server.start_again().await.unwrap();
            let head = under_way.await.unwrap();
            heads.insert(head.thread_id.clone(), head.clone());
            for number in THREADS..2 * THREADS {
                let head = save(&writer, &format!("thread {number}")).await;
                heads.insert(head.thread_id.clone(), head);
            }
            until_told(&mut all, heads).await;
            until_told(&mut one, BTreeMap::from([(head.thread_id.clone(), head)])).await;
        }
    }
}
