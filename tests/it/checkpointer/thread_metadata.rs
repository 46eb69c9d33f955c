//! Metadata of a thread that changes with a put, beside other writers.

use std::pin::pin;

use checkpointer::serde_json::{Map, Value, json};
use checkpointer::{
    Checkpoint, CheckpointId, CheckpointNs, Checkpointer, Error, Metadata, PostgresCheckpointer,
    Put, SaveOptions, Source, ThreadId,
};
use futures_util::future::try_join_all;
use futures_util::poll;

use rig::TestDb;

fn changes(key: &str) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), json!(true))])
}

/// Puts checkpoints into a namespace of its own, each with a key of metadata.
async fn labelled(
    checkpointer: &PostgresCheckpointer,
    thread_id: &ThreadId,
    name: &str,
) -> checkpointer::Result<()> {
    let ns = CheckpointNs::new(name)?;
    for number in 0..10 {
        let checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let metadata = Metadata::new(Source::Loop, number);
        let changes = changes(&format!("{name}-{number}"));
        let put = Put::new(thread_id, &checkpoint, &metadata).in_ns(&ns);
        checkpointer.put(put.thread_metadata(&changes)).await?;
        checkpointer
            .put(Put::new(thread_id, &checkpoint, &metadata).in_ns(&ns))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn puts_of_many_programs_that_change_metadata_all_count() {
    let test = TestDb::new().await;
    let thread_id = ThreadId::new("labelled").unwrap();
    let mut programs = Vec::new();
    for _ in 0..3 {
        let database = test.connect(&[]).await;
        programs.push(PostgresCheckpointer::setup(database).await.unwrap());
    }
    let names: Vec<String> = (0..6).map(|number| format!("ns-{number}")).collect();
    let callers = names.iter().enumerate();
    let callers = callers.map(|(number, name)| labelled(&programs[number % 3], &thread_id, name));
    try_join_all(callers).await.unwrap();
    let thread = programs[0].thread_info(&thread_id).await.unwrap().unwrap();
    assert_eq!(thread.metadata.len(), 60);
}

#[tokio::test]
async fn metadata_within_a_transaction_of_the_callers_is_set_by_its_commit() {
    let test = TestDb::new().await;
    let database = test.connect(&[]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let thread_id = ThreadId::new("within").unwrap();
    for commits in [false, true] {
        let checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let metadata = Metadata::default();
        let changes = changes("open");
        let outcome = database
            .transaction(async |tx| {
                let put = Put::new(&thread_id, &checkpoint, &metadata);
                let put = put.thread_metadata(&changes);
                checkpointer.put_within(tx.into(), put).await?;
                commits.then_some(()).ok_or(Error::Closed)
            })
            .await;
        assert_eq!(outcome.is_ok(), commits, "{outcome:?}");
        let thread = checkpointer.thread_info(&thread_id).await.unwrap();
        let expected = commits.then_some(changes);
        assert_eq!(thread.map(|thread| thread.metadata), expected);
    }
}

#[tokio::test]
async fn a_typed_save_labels_its_thread() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let mut thread = checkpointer.thread::<Vec<u64>>("typed").unwrap();
    for (state, options) in [
        (
            vec![1],
            SaveOptions::new().thread_metadata("status", "open"),
        ),
        (vec![1, 2], SaveOptions::new().metadata("run_id", "run-17")),
        (
            vec![1, 2, 3],
            SaveOptions::new().thread_metadata("owner", "ann"),
        ),
    ] {
        thread.save_with(&state, options).await.unwrap();
    }
    let known = checkpointer.thread_info(thread.thread_id()).await.unwrap();
    let metadata = known.unwrap().metadata;
    assert_eq!(
        Value::Object(metadata),
        json!({ "status": "open", "owner": "ann" })
    );
    assert_eq!(thread.load().await.unwrap(), Some(vec![1, 2, 3]));
}

#[tokio::test]
async fn a_put_that_waits_for_its_turn_when_a_close_begins_is_refused() {
    let test = TestDb::new().await;
    let database = test.connect(&[]).await;
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let thread_id = ThreadId::new("closed").unwrap();
    let observer = test.observer().await;
    let lock = format!("BEGIN; LOCK TABLE {}.checkpoints", test.schema());
    observer.batch_execute(&lock).await.unwrap();
    let (program, its_thread) = (checkpointer.clone(), thread_id.clone());
    let before = tokio::spawn(async move {
        let checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let metadata = Metadata::new(Source::Input, -1);
        let put = Put::new(&its_thread, &checkpoint, &metadata);
        program.put(put).await
    });
    test.until_blocked(1).await;

    let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let (metadata, changes) = (Metadata::new(Source::Loop, 0), changes("title"));
    let put = Put::new(&thread_id, &checkpoint, &metadata).thread_metadata(&changes);
    let mut waits = pin!(checkpointer.put(put));
    assert!(poll!(waits.as_mut()).is_pending());
    let mut close = pin!(checkpointer.close());
    assert!(poll!(close.as_mut()).is_pending());
    observer.batch_execute("COMMIT").await.unwrap();
    before.await.unwrap().unwrap();
    close.await.unwrap();
    let refused = waits.await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
}
