//! Writes that were accepted are sent, whatever becomes of who made them.

use std::future::Future;
use std::pin::Pin;

use checkpointer::{
    CheckpointAddress, Checkpointer, Error, List, ListThreads, PostgresCheckpointer,
    PostgresOptions, Result,
};
use db::Database;
use expect_test::expect;
use futures_util::future::{join_all, poll_fn};
use futures_util::{FutureExt, TryStreamExt};
use tokio::runtime::Handle;

use super::super::step::{Step, two};
use super::{
    THREADS, head_id, put_after, put_first, refuse_bad_ones, somebody_with, started, thread,
};
use rig::{TcpProxy, TestDb, chain, log};

type Call<'a> = Pin<Box<dyn Future<Output = Result<CheckpointAddress>> + Send + 'a>>;

/// Polls a call once, which hands its write over.
async fn poll_once(call: &mut Call<'_>) {
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
        let mut call: Call<'_> = Box::pin(put_after(&checkpointer, head, "2"));
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
        let list = checkpointer.list(List::thread(thread(number)).unwrap());
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
        let mut call: Call<'_> = Box::pin(put_after(&checkpointer, head, "2"));
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
        let mut call: Call<'_> = Box::pin(put_after(&checkpointer, head, id));
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

#[tokio::test]
async fn a_failure_that_was_there_and_that_no_caller_has_heard_is_logged() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[("DB_POOL_MAX", "1")]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    refuse_bad_ones(&test).await;
    let log = log(async {
        let mut call: Call<'_> = Box::pin(put_after(&checkpointer, &heads[0], "bad"));
        poll_once(&mut call).await;
        // It has the connection after the write.
        assert_eq!(head_id(&checkpointer, &thread(0)).await, "1");
        drop(call);
    });
    let log = log.await;
    assert!(
        log.contains("a write failed after its caller was gone"),
        "{log}"
    );
}

/// Hands over a put whose caller goes away at once, and closes before there is an answer.
async fn close_after(checkpointer: &PostgresCheckpointer, step: &Step) -> Result<()> {
    let mut put: Call<'_> = Box::pin(step.try_put(checkpointer));
    poll_once(&mut put).await;
    drop(put);
    checkpointer.close().await
}

#[tokio::test]
async fn close_reports_no_put_that_is_stored_although_its_answer_was_lost() {
    for guarded in [false, true] {
        let proxy = TcpProxy::new();
        let test = TestDb::new().await;
        let settings = test.settings_through(&proxy, &[]);
        let database = Database::connect(&settings).await.unwrap();
        let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
        let first = put_first(&checkpointer, &thread(0)).await;
        let next = Step::after(&first).id("lost-answer");
        let next = match guarded {
            true => next.expect_head(&first),
            false => next,
        };
        proxy.cut_instead_of_answer_to("lost-answer");
        let closed = close_after(&checkpointer, &next).await;
        assert_eq!(proxy.sprung(), 1);
        closed.unwrap_or_else(|error| panic!("guarded {guarded}: {}", chain(&error)));
        let reader = PostgresCheckpointer::open(test.connect(&[]).await).await;
        assert_eq!(head_id(&reader.unwrap(), &thread(0)).await, "lost-answer");
    }
}

#[tokio::test]
async fn close_says_which_head_a_put_has_met_whose_caller_is_gone() {
    let (_test, [checkpointer, other]) = two().await;
    let first = put_first(&checkpointer, &thread(0)).await;
    let winner = put_after(&other, &first, "2").await.unwrap();
    let late = Step::after(&first).expect_head(&first);
    let error = close_after(&checkpointer, &late).await.unwrap_err();
    let Error::CloseFailed { source, others, .. } = error else {
        panic!("{}", chain(&error));
    };
    assert!(others.is_empty(), "{others:?}");
    let Error::Conflict { head, .. } = *source else {
        panic!("{}", chain(&source));
    };
    assert_eq!(head, Some(winner.checkpoint_id));
}

/// Runs another call while the caller of a put doesn't go on with it, on the only connection.
async fn beside_a_put(
    options: &PostgresOptions,
    other: impl AsyncFnOnce(&PostgresCheckpointer, &CheckpointAddress),
) {
    let test = TestDb::new().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = options.clone().setup(database).await.unwrap();
    let head = put_first(&checkpointer, &thread(0)).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut put: Call<'_> = Box::pin(put_after(&checkpointer, &head, "2"));
    poll_once(&mut put).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
    other(&checkpointer, &head).await;
    put.await.unwrap();
    let list = checkpointer.list(List::thread(thread(0)).unwrap());
    let found: Vec<_> = list.try_collect().await.unwrap();
    assert!(
        found
            .iter()
            .any(|tuple| tuple.address.checkpoint_id.as_str() == "2")
    );
}

#[tokio::test]
async fn a_lone_put_takes_no_task_and_nobody_waits_for_its_caller() {
    for options in [
        PostgresOptions::default(),
        PostgresOptions::default().shared_transactions(false),
    ] {
        beside_a_put(&options, async |checkpointer, _| {
            assert_eq!(head_id(checkpointer, &thread(0)).await, "2");
        })
        .await;
        beside_a_put(&options, async |checkpointer, _| {
            let list = checkpointer.list(List::thread(thread(0)).unwrap());
            assert_eq!(list.try_collect::<Vec<_>>().await.unwrap().len(), 2);
        })
        .await;
        beside_a_put(&options, async |checkpointer, head| {
            put_after(checkpointer, head, "3").await.unwrap();
            assert_eq!(head_id(checkpointer, &thread(0)).await, "3");
        })
        .await;
        beside_a_put(&options, async |checkpointer, _| {
            let threads = checkpointer.threads(ListThreads::default());
            assert_eq!(threads.try_collect::<Vec<_>>().await.unwrap().len(), 1);
        })
        .await;
        beside_a_put(&options, async |checkpointer, _| {
            put_first(checkpointer, &thread(1)).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_lone_put_that_waits_long_frees_its_lane() {
    let test = TestDb::new().await;
    let database = test.connect(&[("DB_POOL_MAX", "2")]).await;
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let somebody = somebody_with(&test, "threads").await;
    let mut call: Call<'_> = Box::pin(put_after(&checkpointer, &heads[0], "2"));
    poll_once(&mut call).await;
    // The others need the only lane.
    for id in ["2", "3", "4"] {
        let puts = heads[1..]
            .iter()
            .map(|head| put_after(&checkpointer, head, id));
        assert!(join_all(puts).await.iter().all(Result::is_ok));
    }
    poll_once(&mut call).await;
    somebody.batch_execute("ROLLBACK").await.unwrap();
    call.await.unwrap();
    assert_eq!(head_id(&checkpointer, &thread(0)).await, "2");
}

#[test]
fn a_lone_put_may_be_dropped_after_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_test, checkpointer, heads) = runtime.block_on(async {
        let test = TestDb::new().await;
        let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await).await;
        let checkpointer = checkpointer.unwrap();
        let heads = started(&checkpointer).await;
        (test, checkpointer, heads)
    });
    let mut call: Call<'_> = Box::pin(put_after(&checkpointer, &heads[0], "2"));
    runtime.block_on(poll_once(&mut call));
    drop(runtime);
    drop(call);
}
