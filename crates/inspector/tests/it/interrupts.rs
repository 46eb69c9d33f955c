//! Ctrl-C.

use std::fs;

use checkpointer::futures_util::TryStreamExt;
use checkpointer::{Checkpointer, List};
use rig::eventually;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::program::{Program, Ran, finished, head, signal, with_support_thread};

#[tokio::test]
async fn a_watch_ends_with_it() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let mut watch = program.start(&["watch", "support-4711", "--json"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("moved"));
    signal(&watch, "-INT").await;
    let ran = finished(watch).await;
    assert_eq!((ran.code, &*ran.stderr), (130, ""));
}

#[tokio::test]
async fn a_deletion_that_waits_is_done_or_not_done() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;

    // Another session has the thread's row, so that the deletion waits in the server.
    let mut observer = program.test.observer().await;
    let blocker = observer.transaction().await.unwrap();
    let lock = format!("SELECT FROM {}.threads FOR UPDATE", program.test.schema());
    blocker.batch_execute(&lock).await.unwrap();
    let delete = program.start(&["delete", "support-4711", "--yes"]);
    let looker = program.test.observer().await;
    eventually("the deletion waits", async || {
        program
            .test
            .backends(&looker, "wait_event_type = 'Lock'")
            .await
            > 0
    })
    .await;
    signal(&delete, "-INT").await;
    blocker.commit().await.unwrap();
    let ran = finished(delete).await;
    assert_eq!(ran.code, 130, "{ran:?}");

    let left = head(&checkpointer, "support-4711").await;
    let listed = checkpointer.list(List::thread("support-4711").unwrap());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    assert_eq!(listed.len(), if left.is_some() { 4 } else { 0 });
}

/// Another session has a table, so that what reads or changes it waits in the server.
async fn interrupted_while_it_waits(program: &Program, table: &str, args: &[&str]) -> Ran {
    let mut observer = program.test.observer().await;
    let blocker = observer.transaction().await.unwrap();
    let lock = format!("LOCK TABLE {}.{table}", program.test.schema());
    blocker.batch_execute(&lock).await.unwrap();
    let started = program.start(args);
    let looker = program.test.observer().await;
    eventually("it waits", async || {
        program
            .test
            .backends(&looker, "wait_event_type = 'Lock'")
            .await
            > 0
    })
    .await;
    signal(&started, "-INT").await;
    blocker.commit().await.unwrap();
    finished(started).await
}

#[tokio::test]
async fn an_export_that_is_interrupted_leaves_no_file() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("support-4711.jsonl");
    let args = ["export", "support-4711", "--output", file.to_str().unwrap()];
    let ran = interrupted_while_it_waits(&program, "pending_writes", &args).await;
    assert_eq!((ran.code, &*ran.stderr), (130, ""), "{ran:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_policy_that_is_interrupted_leaves_threads_that_can_be_read() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for thread in ["a", "b", "c"] {
        with_support_thread(&checkpointer, thread).await;
    }
    let args = [
        "retain",
        "a",
        "b",
        "c",
        "--keep-last",
        "1",
        "--apply",
        "--yes",
    ];
    let ran = interrupted_while_it_waits(&program, "pending_writes", &args).await;
    assert_eq!(ran.code, 130, "{ran:?}");
    let read = program.json(&["verify"]).await;
    assert_eq!(read[0]["read"]["damaged"], 0, "{read:?}");
    for thread in ["a", "b", "c"] {
        assert!(head(&checkpointer, thread).await.is_some());
    }
    // The next run goes on.
    program.done(&args).await;
    let left = program.json(&["history", "b", "--ns", ""]).await;
    assert_eq!(left[0]["lines"][0]["nodes"].as_array().unwrap().len(), 1);
}
