//! Writes that were accepted are sent, whatever becomes of who made them.

use std::future::Future;
use std::pin::Pin;

use checkpointer::{Checkpointer, Error, List, PostgresCheckpointer};
use expect_test::expect;
use futures_util::future::{join_all, poll_fn};
use futures_util::{FutureExt, TryStreamExt};

use super::{THREADS, head_id, put_after, refuse_bad_ones, started, thread};
use tests::{TestDb, chain};

/// Polls a call once, which hands its write over.
async fn poll_once<T>(call: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>) {
    let pending = poll_fn(|cx| std::task::Poll::Ready(call.poll_unpin(cx).is_pending())).await;
    assert!(pending, "the call is done after one poll");
}

#[tokio::test]
async fn what_was_accepted_is_sent_although_its_caller_is_gone() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    for head in &heads {
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_after(&checkpointer, head, "2"));
        poll_once(&mut call).await;
    }
    // A later call of a thread comes after the one whose caller is gone.
    let puts = heads
        .iter()
        .map(|head| put_after(&checkpointer, head, "1b"));
    for outcome in join_all(puts).await {
        outcome.unwrap();
    }
    for number in 0..THREADS {
        let list = checkpointer.list(List::thread(thread(number)));
        let found: Vec<_> = list.try_collect().await.unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(head_id(&checkpointer, &thread(number)).await, "1b");
    }
}

#[tokio::test]
async fn close_sends_what_was_accepted() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let mut calls = Vec::new();
    for head in &heads {
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_after(&checkpointer, head, "2"));
        poll_once(&mut call).await;
        calls.push(call);
    }
    checkpointer.close().await.unwrap();
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let refused = put_after(&checkpointer, &heads[0], "3").await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    let reader = PostgresCheckpointer::open(test.connect(&[]).await)
        .await
        .unwrap();
    for number in 0..THREADS {
        assert_eq!(head_id(&reader, &thread(number)).await, "2");
    }
}

#[tokio::test]
async fn close_reports_the_failures_whose_callers_are_gone() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    refuse_bad_ones(&test).await;
    for (number, head) in heads.iter().enumerate() {
        let id = if number < 3 { "bad" } else { "2" };
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_after(&checkpointer, head, id));
        poll_once(&mut call).await;
    }
    let error = checkpointer.close().await.unwrap_err();
    assert!(matches!(&error, Error::CloseFailed { others, .. } if others.len() == 2));
    expect![[r#"
        3 of the writes that were still to be sent failed
        failed to put a checkpoint
        `checkpointer::put` failed
        db error
    "#]]
    .assert_eq(chain(&error).split("ERROR").next().unwrap());
    checkpointer.close().await.unwrap();
    let reader = PostgresCheckpointer::open(test.connect(&[]).await)
        .await
        .unwrap();
    assert_eq!(head_id(&reader, &thread(0)).await, "1");
    assert_eq!(head_id(&reader, &thread(3)).await, "2");
}
