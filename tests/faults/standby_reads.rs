//! Reads that a standby answers by choice.

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, DeleteThread, GetTuple, List,
    ListThreads, Metadata, PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId,
};
use db::Database;
use futures_util::TryStreamExt as _;
use rig::{Stop, client, eventually, log};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::pair::{Pair, count};

fn thread_id(name: &str) -> ThreadId {
    ThreadId::new(name).unwrap()
}

async fn put(checkpointer: &PostgresCheckpointer, name: &str, value: Value) -> CheckpointAddress {
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    checkpoint.channel_values.insert("value".to_owned(), value);
    let metadata = Metadata::new(Source::Loop, 1);
    let thread_id = thread_id(name);
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    checkpointer.put(put).await.unwrap()
}

/// The ids of a thread's checkpoints, the newest first.
async fn listed(checkpointer: &PostgresCheckpointer, name: &str) -> Vec<CheckpointId> {
    let tuples = checkpointer.list(List::thread(thread_id(name)).unwrap());
    let tuples: Vec<_> = tuples.try_collect().await.unwrap();
    tuples
        .into_iter()
        .map(|tuple| tuple.address.checkpoint_id)
        .collect()
}

async fn threads(checkpointer: &PostgresCheckpointer) -> Vec<String> {
    let threads: Vec<_> = checkpointer
        .threads(ListThreads::all())
        .try_collect()
        .await
        .unwrap();
    let mut ids: Vec<_> = threads
        .iter()
        .map(|thread| thread.thread_id.to_string())
        .collect();
    ids.sort();
    ids
}

async fn set_up(pair: &Pair) -> PostgresCheckpointer {
    let database = Database::connect(&pair.settings("primary", &[]))
        .await
        .unwrap();
    PostgresCheckpointer::setup(database).await.unwrap()
}

#[tokio::test]
async fn what_may_be_old_is_read_from_the_standby_and_the_rest_from_the_primary() {
    let pair = Pair::start().await;
    let checkpointer = set_up(&pair).await;
    let standby = Database::connect(&pair.settings("standby", &[]))
        .await
        .unwrap();
    let reader = checkpointer.read_from(standby);
    let first = put(&checkpointer, "talk", json!("first")).await;
    put(&checkpointer, "gone", json!("gone")).await;
    pair.caught_up().await;

    let observer = client(&pair.standby.url()).await.unwrap();
    observer
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    eventually("the standby stands still", async || {
        let sql =
            "SELECT count(*) FROM pg_get_wal_replay_pause_state() AS state WHERE state = 'paused'";
        count(&observer, sql).await == 1
    })
    .await;
    // Through the handle that reads: every write goes to the primary.
    let second = put(&reader, "talk", json!("second")).await;
    let task_id = TaskId::new("task").unwrap();
    let writes = [("out".to_owned(), json!("output"))];
    reader
        .put_writes(PutWrites::new(&first, &task_id, &writes))
        .await
        .unwrap();
    reader
        .delete_thread(DeleteThread::new(thread_id("gone")).unwrap())
        .await
        .unwrap();
    put(&reader, "new", json!("new")).await;

    let ids = [&second, &first].map(|address| address.checkpoint_id.clone());
    assert_eq!(listed(&checkpointer, "talk").await, ids);
    assert_eq!(listed(&reader, "talk").await, ids[1..]);
    assert_eq!(threads(&checkpointer).await, ["new", "talk"]);
    assert_eq!(threads(&reader).await, ["gone", "talk"]);
    let get = async |reader: &PostgresCheckpointer, address: &CheckpointAddress| {
        reader.get_tuple(GetTuple::at(address)).await.unwrap()
    };
    let known = get(&checkpointer, &first).await.unwrap();
    assert_eq!(known.pending_writes.len(), 1);
    let known = get(&reader, &first).await.unwrap();
    assert_eq!(known.pending_writes.len(), 0, "they aren't there yet");
    assert_eq!(
        get(&reader, &second).await,
        get(&checkpointer, &second).await
    );
    assert!(
        get(&reader, &second).await.is_some(),
        "the primary is asked"
    );
    let nowhere = CheckpointAddress::new(thread_id("talk"), CheckpointId::generate(None)).unwrap();
    assert_eq!(get(&reader, &nowhere).await, None);
    let head = reader
        .get_tuple(GetTuple::head(thread_id("talk")).unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.address.checkpoint_id, second.checkpoint_id);

    observer
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    pair.caught_up().await;
    assert_eq!(listed(&reader, "talk").await, ids);
    assert_eq!(threads(&reader).await, ["new", "talk"]);
    assert_eq!(get(&reader, &first).await, get(&checkpointer, &first).await);
}

#[tokio::test]
async fn a_standby_that_is_down_is_named_once_and_used_again_when_it_is_back() {
    let pair = Pair::start().await;
    let checkpointer = set_up(&pair).await;
    let brief = [("DB_ACQUIRE_TIMEOUT", "2s")];
    let standby = Database::connect(&pair.settings("standby", &brief))
        .await
        .unwrap();
    let reader = checkpointer.read_from(standby);
    let first = put(&checkpointer, "talk", json!("first")).await;
    pair.caught_up().await;
    assert_eq!(
        listed(&reader, "talk").await,
        std::slice::from_ref(&first.checkpoint_id)
    );

    pair.standby.stop(Stop::Immediate).await.unwrap();
    let second = put(&checkpointer, "talk", json!("second")).await;
    let ids = [&second, &first].map(|address| address.checkpoint_id.clone());
    let text = log(async {
        for _ in 0..20 {
            assert_eq!(listed(&reader, "talk").await, ids);
        }
    })
    .await;
    assert_eq!(
        text.matches("the standby can't be read from").count(),
        1,
        "{text}"
    );

    pair.standby.start_again().await.unwrap();
    let text = log(async {
        eventually("the standby is read from again", async || {
            listed(&reader, "talk").await;
            let observer = client(&pair.standby.url()).await.unwrap();
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%checkpointer::list%'";
            count(&observer, sql).await > 1
        })
        .await;
    })
    .await;
    assert_eq!(
        text.matches("the standby answers again").count(),
        1,
        "{text}"
    );
    assert!(!text.contains("can't be read from"), "{text}");
}

#[tokio::test]
async fn a_read_that_is_in_the_way_of_replication_is_sent_to_the_standby_again() {
    let pair = Pair::start_with(&[("max_standby_streaming_delay", "0")]).await;
    let checkpointer = set_up(&pair).await;
    // One connection, so that the statement that was prepared is the one that waits.
    let settings = pair.settings("standby", &[("DB_POOL_MAX", "1")]);
    let standby = Database::connect(&settings).await.unwrap();
    let reader = checkpointer.read_from(standby);
    let kept = put(&checkpointer, "kept", json!("kept")).await;
    pair.caught_up().await;
    let observer = client(&pair.standby.url()).await.unwrap();
    let primary = client(&pair.primary.url()).await.unwrap();
    // The read waits for this lock on the standby, too.
    let locking = client(&pair.primary.url()).await.unwrap();
    let lock = "BEGIN; LOCK TABLE checkpointer.pending_writes IN ACCESS EXCLUSIVE MODE";
    locking.batch_execute(lock).await.unwrap();
    pair.caught_up().await;

    let reading = async {
        reader
            .get_tuple(GetTuple::at(&kept))
            .await
            .unwrap()
            .unwrap()
    };
    let replicating = async {
        let first = waiting_since(&observer, "").await;
        // By now the read has a lock on this table, which replication has to take away from it.
        let lock = "BEGIN; LOCK TABLE checkpointer.checkpoints IN ACCESS EXCLUSIVE MODE; COMMIT";
        primary.batch_execute(lock).await.unwrap();
        waiting_since(&observer, &first).await;
        locking.batch_execute("COMMIT").await.unwrap();
    };
    let text = log(async {
        let (tuple, ()) = tokio::join!(reading, replicating);
        assert_eq!(tuple.checkpoint.channel_values["value"], json!("kept"));
    })
    .await;
    let made_way = "a read had to make way for replication";
    assert_eq!(text.matches(made_way).count(), 1, "{text}");
    assert!(!text.contains("can't be read from"), "{text}");
}

/// Waits for a read that waits for a lock and was sent at another time than `earlier`; returns
/// when.
async fn waiting_since(observer: &Client, earlier: &str) -> String {
    let sql = "SELECT query_start::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let mut since = String::new();
    eventually("a read waits for the lock", async || {
        let row = observer.query_opt(sql, &[]).await.unwrap();
        since = row.map_or_else(String::new, |row| row.get(0));
        !since.is_empty() && since != earlier
    })
    .await;
    since
}
