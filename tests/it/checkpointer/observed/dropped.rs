//! What is counted when a call is dropped.

use checkpointer::{Checkpointer, List};
use futures_util::FutureExt;
use rig::{Figures, Spans, TestDb, at_every_poll, eventually};

use super::OPERATIONS;
use crate::checkpointer::step::{Step, checkpointer, get, thread};

#[tokio::test]
async fn a_dropped_call_is_counted_as_dropped_and_its_write_as_under_way() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("left")).put(&checkpointer).await;
    let under_way = || figures.gauge("checkpointer_writes_under_way", &[]);
    let step = Step::after(&first);
    let mut put = Box::pin(step.try_put(&checkpointer));
    assert!(put.as_mut().now_or_never().is_none());
    assert_eq!(under_way(), 1.0);
    drop(put);
    assert_eq!(
        figures.counter(OPERATIONS, &[("operation", "put"), ("outcome", "dropped")]),
        1
    );
    eventually("it is stored all the same", async || under_way() == 0.0).await;
    get(&checkpointer, &step.address()).await;
    assert_eq!(spans.named("put")[1].fields["outcome"], "dropped");

    // What was never polled is no call.
    drop(step.try_put(&checkpointer));
    drop(checkpointer.list(List::default()));
    assert_eq!(spans.named("put").len(), 2);
    assert_eq!(figures.counter(OPERATIONS, &[("operation", "list")]), 0);
}

#[tokio::test]
async fn nothing_stays_under_way_wherever_a_put_is_dropped() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("left");
    let mut calls = 0;
    at_every_poll(
        async || Step::first(&thread_id).put(&checkpointer).await,
        async || {
            calls += 1;
            eventually("nothing is under way", async || {
                figures.gauge("checkpointer_writes_under_way", &[]) == 0.0
                    && figures.gauge("db_pool_waiting", &[]) == 0.0
                    && figures.gauge("db_pool_connections", &[("state", "in_use")]) == 0.0
            })
            .await;
            let puts = [("operation", "put")];
            assert_eq!(figures.counter(OPERATIONS, &puts), calls);
        },
    )
    .await;
    assert!(calls > 1);
    let ok = [("operation", "put"), ("outcome", "ok")];
    assert_eq!(figures.counter(OPERATIONS, &ok), 1);
}
