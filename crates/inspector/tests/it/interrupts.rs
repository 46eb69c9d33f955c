//! Ctrl-C.

use checkpointer::futures_util::TryStreamExt;
use checkpointer::{Checkpointer, List};
use rig::eventually;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::program::{Program, finished, head, signal, with_support_thread};

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
