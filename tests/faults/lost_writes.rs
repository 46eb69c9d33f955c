//! A standby that takes over without having had the last writes: nothing can bring those back, but
//! what is put afterwards is whole, whatever the checkpointer believes to be stored.

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer as _, DeleteThread, Error, GetTuple,
    List, Metadata, PostgresCheckpointer, Prune, PruneStrategy, Put, PutWrites, Removed, Source,
    TaskId, Thread, ThreadId,
};
use db::Database;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use rig::Stop;
use serde_json::{Value, json};

use crate::pair::Pair;

/// How many graph runs there are: enough for their puts to share transactions.
const RUNS: usize = 16;

type Items = Vec<String>;

/// Items that are stored in pieces, of which longer lists have the same.
fn items(count: usize) -> Items {
    (0..count)
        .map(|item| format!("item {item}. ").repeat(40))
        .collect()
}

fn thread_id(name: &str) -> ThreadId {
    ThreadId::new(name).unwrap()
}

async fn put(
    checkpointer: &PostgresCheckpointer,
    name: &str,
    parent: Option<&CheckpointAddress>,
    values: Value,
) -> Result<CheckpointAddress, Error> {
    let parent_id = parent.map(|parent| &parent.checkpoint_id);
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(parent_id));
    checkpoint.channel_values.insert("items".to_owned(), values);
    let metadata = Metadata::new(Source::Loop, 1);
    let thread_id = thread_id(name);
    let put = match parent {
        Some(parent) => Put::after(parent, &checkpoint, &metadata),
        None => Put::new(&thread_id, &checkpoint, &metadata),
    };
    checkpointer.put(put).await
}

async fn put_writes(
    checkpointer: &PostgresCheckpointer,
    address: &CheckpointAddress,
    value: Value,
) -> Result<(), Error> {
    let task_id = TaskId::new("task").unwrap();
    let writes = [("items".to_owned(), value)];
    checkpointer
        .put_writes(PutWrites::new(address, &task_id, &writes))
        .await
}

/// The state as a new program reads it, which remembers nothing.
async fn read(pair: &Pair, name: &str) -> Option<Items> {
    let other = connect(pair).await;
    let mut thread = other.thread::<Items>(name).unwrap();
    thread.load().await.unwrap()
}

async fn connect(pair: &Pair) -> PostgresCheckpointer {
    let settings = pair.settings("read-write", &[]);
    let database = Database::connect(&settings).await.unwrap();
    PostgresCheckpointer::setup(database).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_primary_never_got_is_noticed_and_sent_again() {
    let pair = Pair::start().await;
    let checkpointer = connect(&pair).await;
    let open = |name: &str| -> Thread<Items> { checkpointer.thread(name).unwrap() };

    // What both servers have.
    let [mut saved, mut deleted, mut pruned] = ["saved", "deleted", "pruned"].map(open);
    for thread in [&mut saved, &mut deleted, &mut pruned] {
        thread.save(&items(10)).await.unwrap();
        thread.save(&items(20)).await.unwrap();
    }
    let kept = saved.checkpoint_id().cloned();
    let runs: Vec<String> = (0..RUNS).map(|run| format!("run-{run}")).collect();
    let put_all = async |parents: &[Option<CheckpointAddress>], count: usize| {
        let puts = runs.iter().zip(parents);
        let puts =
            puts.map(|(run, parent)| put(&checkpointer, run, parent.as_ref(), json!(items(count))));
        let puts = join_all(puts).await.into_iter();
        puts.map(|put| Some(put.unwrap())).collect::<Vec<_>>()
    };
    let started = put_all(&vec![None; RUNS], 20).await;

    // What only the old one has.
    pair.caught_up().await;
    pair.stop_replication().await;
    saved.save(&items(100)).await.unwrap();
    let lost = saved.checkpoint_id().cloned();
    checkpointer
        .delete_thread(DeleteThread::new(thread_id("deleted")).unwrap())
        .await
        .unwrap();
    let mut deleted = open("deleted");
    deleted.save(&items(100)).await.unwrap();
    let prune = Prune::new(vec![thread_id("pruned")], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    pruned.save(&items(100)).await.unwrap();
    let mut fresh = open("fresh");
    fresh.save(&items(100)).await.unwrap();
    let gone = put_all(&started, 100).await;
    for address in gone.iter().flatten() {
        put_writes(&checkpointer, address, json!(items(110)))
            .await
            .unwrap();
    }
    let fresh_run = put(&checkpointer, "fresh-run", None, json!(items(100)))
        .await
        .unwrap();

    pair.primary.stop(Stop::Immediate).await.unwrap();
    pair.standby.promote().await.unwrap();

    // A guarded put is told that the head isn't what it was, and what it is.
    let error = saved.save(&items(101)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Conflict { expected, head, .. }
            if *expected == lost && *head == kept),
        "{error}"
    );
    let error = pruned.save(&items(101)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    // The life of the thread that is gone, and the thread that never was.
    for thread in [&mut deleted, &mut fresh] {
        let error = thread.save(&items(101)).await.unwrap_err();
        assert!(matches!(error, Error::ThreadDeleted { .. }), "{error}");
    }
    for (thread, left) in [
        (&mut saved, Some(items(20))),
        (&mut deleted, Some(items(20))),
        (&mut pruned, Some(items(20))),
        (&mut fresh, None),
    ] {
        assert_eq!(thread.load().await.unwrap(), left);
        // Most of it is in pieces that were stored, and are no more.
        thread.save(&items(102)).await.unwrap();
        let name = thread.thread_id().as_str();
        assert_eq!(read(&pair, name).await, Some(items(102)), "{name}");
    }

    // A graph run goes on from what it has in memory. All of it is sent again.
    let next = put_all(&gone, 101).await;
    for address in next.iter().chain(&gone).flatten() {
        put_writes(&checkpointer, address, json!(items(110)))
            .await
            .unwrap();
    }
    let other = connect(&pair).await;
    for address in next.iter().flatten() {
        let tuple = other
            .get_tuple(GetTuple::at(address))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(tuple.checkpoint.channel_values["items"], json!(items(101)));
        assert_eq!(*tuple.pending_writes[0].value, json!(items(110)));
    }
    for refused in [
        put(
            &checkpointer,
            "fresh-run",
            Some(&fresh_run),
            json!(items(101)),
        )
        .await
        .map(|_| ()),
        put_writes(&checkpointer, &fresh_run, json!(items(101))).await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::ThreadDeleted { .. }), "{error}");
    }

    // Nothing that is there refers to anything that isn't.
    let all: Vec<_> = other.list(List::all()).try_collect().await.unwrap();
    assert_eq!(all.len(), 3 + 3 + 3 + 1 + 2 * RUNS);
}
