//! Reads that a standby answers by choice.

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, DeleteThread, GetTuple, List,
    ListThreads, Metadata, PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId,
};
use db::Database;
use futures_util::TryStreamExt as _;
use rig::Stop;
use rig::{TcpProxy, eventually, log};
use serde_json::{Value, json};
use settings::Settings;

use crate::pair::{Pair, connect, count};

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
    let tuples = checkpointer.list(List::thread(thread_id(name)));
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

    let observer = connect(&pair.standby.url()).await;
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
        .delete_thread(DeleteThread::new(thread_id("gone")))
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
    let nowhere = CheckpointAddress::new(thread_id("talk"), CheckpointId::generate(None));
    assert_eq!(get(&reader, &nowhere).await, None);
    let head = reader
        .get_tuple(GetTuple::head(thread_id("talk")))
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
            let observer = connect(&pair.standby.url()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_in_the_way_of_replication_is_sent_to_the_standby_again() {
    // More than the sockets take while nobody reads.
    const TEXTS: usize = 16;
    let pair = Pair::start_with(&[("max_standby_streaming_delay", "0")]).await;
    let checkpointer = set_up(&pair).await;
    let proxy = TcpProxy::before(&pair.standby.url());
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
    // One connection, so that the large answer comes on the one that has prepared the statement: on
    // another the answer to that would be held.
    let variables = [("DATABASE_URL", &*url), ("DB_POOL_MAX", "1")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings::from_iter(variables).unwrap();
    let reader = checkpointer.read_from(Database::connect(&settings).await.unwrap());
    let texts: Vec<_> = (0..TEXTS)
        .map(|text| format!("{text:08}").repeat(1 << 17))
        .collect();
    let large = put(&checkpointer, "large", json!(texts)).await;
    let small = put(&checkpointer, "small", json!("small")).await;
    pair.caught_up().await;
    reader
        .get_tuple(GetTuple::at(&small))
        .await
        .unwrap()
        .unwrap();

    let reading = async {
        let tuple = reader.get_tuple(GetTuple::at(&large)).await.unwrap();
        assert_eq!(
            tuple.unwrap().checkpoint.channel_values["value"],
            json!(texts)
        );
    };
    let cleaning = async {
        let observer = connect(&pair.standby.url()).await;
        eventually("the answer is under way", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
            count(&observer, sql).await == 1
        })
        .await;
        checkpointer
            .delete_thread(DeleteThread::new(thread_id("small")))
            .await
            .unwrap();
        let primary = connect(&pair.primary.url()).await;
        primary
            .batch_execute("VACUUM checkpointer.checkpoints")
            .await
            .unwrap();
        eventually("the read is in the way", async || {
            let sql = "SELECT sum(confl_snapshot)::int8 FROM pg_stat_database_conflicts";
            count(&observer, sql).await == 1
        })
        .await;
        proxy.release();
    };
    proxy.hold_answers();
    let text = log(async {
        tokio::join!(reading, cleaning);
    })
    .await;
    assert!(
        text.contains("a read had to make way for replication"),
        "{text}"
    );
    assert!(!text.contains("can't be read from"), "{text}");
}
