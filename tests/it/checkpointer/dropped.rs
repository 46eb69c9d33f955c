//! Every call may be dropped at each of its await points.

use std::time::Duration;

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Error, GetChannelHistory, GetTuple, List,
    ListThreads, PostgresCheckpointer, Prune, PruneStrategy, Removed,
};
use db::Database;
use futures_util::TryStreamExt;
use serde_json::json;

use super::lost_answers::{dump, fixed, three};
use super::step::{Step, get, ids, large, map, thread, try_write};
use rig::{TestDb, at_every_poll, eventually};

const MODES: [&str; 2] = ["session", "transaction"];

/// A checkpointer with two connections, so that one left behind would show.
async fn started(mode: &str) -> (TestDb, Database, PostgresCheckpointer) {
    let test = TestDb::without_schema().await;
    let database = test
        .connect(&[("DB_POOL_MODE", mode), ("DB_POOL_MAX", "2")])
        .await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    (test, database, checkpointer)
}

/// Drops a call that writes at each of its polls, repeating it until it is done, and compares what
/// it leaves behind with what one call does.
async fn check(call: impl AsyncFn(&PostgresCheckpointer, &[CheckpointAddress; 3])) {
    for mode in MODES {
        let (calm, _, checkpointer) = started(mode).await;
        let configs = three(&checkpointer, "thread").await;
        call(&checkpointer, &configs).await;

        let (test, database, checkpointer) = started(mode).await;
        let configs = three(&checkpointer, "thread").await;
        at_every_poll(
            async || call(&checkpointer, &configs).await,
            async || database.ping().await.unwrap(),
        )
        .await;
        // A removal that was dropped goes on, until a close.
        let unswept = format!("SELECT count(*) FROM {}.unswept", test.schema());
        let observer = test.observer().await;
        eventually("no thread is to be swept", async || {
            let row = observer.query_one(&unswept, &[]).await.unwrap();
            row.get::<_, i64>(0) == 0
        })
        .await;
        checkpointer.close().await.unwrap();
        assert_eq!(dump(&test).await, dump(&calm).await, "in mode {mode}");
        assert_eq!(database.state().waiting, 0);
    }
}

/// Drops a call that reads at each of its polls.
async fn check_read(call: impl AsyncFn(&PostgresCheckpointer, &[CheckpointAddress; 3])) {
    for mode in MODES {
        let (_test, database, checkpointer) = started(mode).await;
        let configs = three(&checkpointer, "thread").await;
        at_every_poll(
            async || call(&checkpointer, &configs).await,
            async || database.ping().await.unwrap(),
        )
        .await;
        // A connection may still be cleaned while another is lent.
        eventually("no connection is in use", async || {
            let state = database.state();
            (state.in_use, state.waiting) == (0, 0)
        })
        .await;
    }
}

#[tokio::test]
async fn puts_may_be_dropped() {
    check(async |checkpointer, [_, _, last]| {
        let step = fixed(Step::after(last), "next");
        step.put(checkpointer).await;
    })
    .await;
    check(async |checkpointer, [_, _, last]| {
        let step = fixed(Step::after(last), "next").expect_head(last);
        step.put(checkpointer).await;
    })
    .await;
    check(async |checkpointer, _| {
        let first = fixed(Step::first(&thread("other")), "first").expect_no_head();
        first.put(checkpointer).await;
    })
    .await;
    check(async |checkpointer, [_, _, last]| {
        let step = fixed(Step::after(last), "next").expect_head(last);
        let labels = map(json!({ "title": "kettles" }));
        let put = step.request().thread_metadata(&labels);
        checkpointer.put(put).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn pending_writes_may_be_dropped() {
    check(async |checkpointer, [_, _, last]| {
        let written = try_write(checkpointer, last, "next task", &large(3)).await;
        written.unwrap();
    })
    .await;
}

#[tokio::test]
async fn deletes_may_be_dropped() {
    check(async |checkpointer, [_, _, last]| {
        let delete = DeleteThread::new(&last.thread_id).unwrap();
        let delete = delete.generation(last.generation.unwrap());
        checkpointer.delete_thread(delete).await.unwrap();
    })
    .await;
    check(async |checkpointer, _| {
        let runs = ["run-0".to_owned(), "run-2".to_owned()];
        checkpointer
            .delete_for_runs(&runs)
            .await
            .and_then(Removed::complete)
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn copies_may_be_dropped() {
    check(async |checkpointer, [_, _, last]| {
        match checkpointer
            .copy_thread(&last.thread_id, &thread("copy"))
            .await
        {
            Ok(()) | Err(Error::ThreadExists { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn prunes_may_be_dropped() {
    check(async |checkpointer, [_, _, last]| {
        let prune = Prune::new(vec![last.thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
        checkpointer
            .prune(prune)
            .await
            .and_then(Removed::complete)
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn changes_of_a_threads_metadata_may_be_dropped() {
    check(async |checkpointer, [_, _, last]| {
        let metadata = map(json!({ "title": "kettles" }));
        let set = checkpointer
            .set_thread_metadata(&last.thread_id, metadata)
            .await;
        set.unwrap();
    })
    .await;
}

#[tokio::test]
async fn reads_may_be_dropped() {
    check_read(async |checkpointer, [first, _, _]| {
        get(checkpointer, first).await;
    })
    .await;
    check_read(async |checkpointer, [first, _, _]| {
        let listed = checkpointer.list(List::thread(&first.thread_id).unwrap());
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        assert_eq!(listed.len(), 3);
    })
    .await;
    check_read(async |checkpointer, _| {
        let listed = checkpointer.threads(ListThreads::all());
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
    })
    .await;
    check_read(async |checkpointer, [_, _, last]| {
        let channels = vec!["a".to_owned()];
        let query = GetChannelHistory::new(GetTuple::at(last), channels).unwrap();
        checkpointer.channel_history(query).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn setting_up_opening_and_closing_may_be_dropped() {
    for mode in MODES {
        let test = TestDb::without_schema().await;
        let database = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let sound = async || database.ping().await.unwrap();
        let setup = async || PostgresCheckpointer::setup(database.clone()).await.unwrap();
        at_every_poll(setup, sound).await;
        let open = async || PostgresCheckpointer::open(database.clone()).await.unwrap();
        let checkpointer = at_every_poll(open, sound).await;
        at_every_poll(async || checkpointer.close().await.unwrap(), sound).await;
    }
}

#[tokio::test]
async fn calls_of_a_typed_thread_may_be_dropped() {
    for mode in MODES {
        let (_test, database, checkpointer) = started(mode).await;
        let sound = async || database.ping().await.unwrap();
        let mut typed = checkpointer.thread::<Vec<u32>>("typed").unwrap();
        at_every_poll(async || drop(typed.save(&vec![1]).await.unwrap()), sound).await;
        at_every_poll(
            async || assert_eq!(typed.load().await.unwrap(), Some(vec![1])),
            sound,
        )
        .await;
        let updated = at_every_poll(
            async || typed.update(|state| state.push(2)).await.unwrap().clone(),
            sound,
        )
        .await;
        // A call that was dropped may have been done.
        assert_eq!(updated[0], 1);
        assert!(updated[1..].iter().all(|n| *n == 2) && updated.len() > 1);
        let first = ids(&checkpointer, &thread("typed")).await.pop().unwrap();
        at_every_poll(
            async || assert_eq!(typed.at(&first).await.unwrap(), [1]),
            sound,
        )
        .await;
        at_every_poll(
            async || assert_eq!(typed.fork(&first).await.unwrap(), [1]),
            sound,
        )
        .await;
        typed.save(&vec![3]).await.unwrap();

        // Nothing was done twice: every checkpoint but the fork has the one before it as its
        // parent.
        let listed = checkpointer.list(List::thread(thread("typed")).unwrap());
        let mut listed: Vec<_> = listed.try_collect().await.unwrap();
        listed.reverse();
        let fork = listed.pop().unwrap();
        let parents = listed.iter().map(|tuple| {
            let parent = tuple.parent_address.as_ref();
            parent.map(|parent| parent.checkpoint_id.clone())
        });
        let before = listed
            .iter()
            .map(|tuple| tuple.address.checkpoint_id.clone());
        let before = std::iter::once(None).chain(before.map(Some));
        assert!(parents.eq(before.take(listed.len())));
        assert_eq!(fork.parent_address.unwrap().checkpoint_id, first);
    }
}

#[tokio::test]
async fn a_put_that_was_dropped_is_stored_before_the_database_closes() {
    let labels = map(json!({ "title": "kettles" }));
    for (mode, labels) in MODES
        .map(|mode| [(mode, None), (mode, Some(&labels))])
        .concat()
    {
        let (test, database, checkpointer) = started(mode).await;
        let labels = labels.cloned();
        let observer = test.observer().await;
        let table = format!("{}.checkpoints", test.schema());
        let lock = format!("BEGIN; LOCK TABLE {table}");
        observer.batch_execute(&lock).await.unwrap();
        let put = tokio::spawn(async move {
            let step = Step::first(&thread("dropped"));
            let put = match &labels {
                Some(labels) => step.request().thread_metadata(labels),
                None => step.request(),
            };
            checkpointer.put(put).await.unwrap();
        });
        test.until_blocked(1).await;
        put.abort();
        put.await.unwrap_err();

        let (closed, released) = tokio::join!(
            database.close(Duration::from_secs(60)),
            observer.batch_execute("COMMIT"),
        );
        closed.unwrap();
        released.unwrap();
        let count = format!("SELECT count(*) FROM {table}");
        let stored: i64 = observer.query_one(&count, &[]).await.unwrap().get(0);
        assert_eq!(stored, 1);
    }
}
