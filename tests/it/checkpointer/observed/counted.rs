//! What the metrics count.

use checkpointer::{CheckpointAddress, Checkpointer, Error, List, Prune, PruneStrategy, ThreadId};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use rig::{Figures, Spans, TestDb};
use serde_json::json;

use super::{OPERATIONS, conversation};
use crate::checkpointer::step::{Step, checkpointer, get, thread};

#[tokio::test]
async fn what_a_prune_removes_is_counted_for_each_strategy() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("pruned");
    let first = Step::first(&thread_id).put(&checkpointer).await;
    let second = Step::after(&first).put(&checkpointer).await;
    Step::after(&second).put(&checkpointer).await;
    for (strategy, total) in [(PruneStrategy::KeepLatest, 2), (PruneStrategy::Delete, 3)] {
        let prune = Prune::new([&thread_id], strategy).unwrap();
        let removed = checkpointer.prune(prune).await.unwrap();
        removed.complete().unwrap();
        let counted = figures.counter("checkpointer_removed_checkpoints_total", &[]);
        assert_eq!(counted, total);
    }
}

#[tokio::test]
async fn a_conflict_is_counted_as_one() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("contended")).put(&checkpointer).await;
    let one = Step::after(&first).expect_head(&first);
    one.put(&checkpointer).await;
    let other = Step::after(&first).expect_head(&first);
    other.try_put(&checkpointer).await.unwrap_err();
    assert_eq!(figures.counter("checkpointer_conflicts_total", &[]), 1);
    assert_eq!(figures.counter("checkpointer_stale_writes_total", &[]), 1);
    let puts = |outcome| figures.counter(OPERATIONS, &[("operation", "put"), ("outcome", outcome)]);
    assert_eq!((puts("ok"), puts("conflict")), (2, 1));
    let took = [("operation", "put"), ("outcome", "conflict")];
    assert_eq!(
        figures
            .histogram("checkpointer_operation_seconds", &took)
            .len(),
        1
    );
}

#[tokio::test]
async fn writes_that_share_a_transaction_are_seen_as_so_many() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let mut heads = Vec::new();
    for number in 0..7 {
        let first = Step::first(&thread(&format!("thread-{number}")));
        heads.push(first.put(&checkpointer).await);
    }
    let sizes = || figures.histogram("checkpointer_batch_writes", &[]);
    assert_eq!(sizes(), [1.0; 7]);
    let steps: Vec<_> = heads.iter().map(Step::after).collect();
    let puts = steps.iter().map(|step| step.put(&checkpointer));
    join_all(puts).await;
    // The first put finds no other call at work, and is sent at once.
    assert_eq!(sizes()[7..], [1.0, 6.0]);
    assert_eq!(figures.gauge("checkpointer_writes_under_way", &[]), 0.0);
}

#[tokio::test]
async fn an_append_reuses_the_chunks_that_are_there_and_sends_little() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let sent = || {
        (
            figures.counter("checkpointer_sent_bytes_total", &[]),
            figures.counter("checkpointer_sent_chunks_total", &[]),
            figures.counter("checkpointer_reused_chunks_total", &[]),
        )
    };
    let values = |messages| json!({ "messages": conversation(messages) });
    let first = Step::first(&thread("growing")).values(values(500));
    let first = first.put(&checkpointer).await;
    let (bytes, chunks, reused) = sent();
    let content = conversation(500).to_string().len() as u64;
    assert!(
        bytes > content && bytes < content * 6 / 5,
        "{bytes} of {content}"
    );
    assert!(chunks > 10, "{chunks}");
    assert_eq!(reused, 0);
    Step::after(&first)
        .values(values(501))
        .put(&checkpointer)
        .await;
    let (bytes_after, chunks_after, reused_after) = sent();
    assert!(bytes_after - bytes < content / 10, "{bytes_after}");
    assert!(chunks_after - chunks < chunks, "{chunks_after}");
    assert!(reused_after > 0);
}

#[tokio::test]
async fn a_list_is_over_at_its_end_or_when_its_caller_has_enough() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("listed");
    let first: CheckpointAddress = Step::first(&thread_id).put(&checkpointer).await;
    Step::after(&first).put(&checkpointer).await;
    let lists =
        |outcome| figures.counter(OPERATIONS, &[("operation", "list"), ("outcome", outcome)]);

    let mut list = checkpointer.list(List::thread(&thread_id).unwrap());
    while list.next().await.is_some() {
        assert_eq!(lists("ok"), 0);
        // A call inside the loop is not inside the span.
        get(&checkpointer, &first).await;
    }
    assert_eq!(lists("ok"), 1);
    drop(list);
    let mut list = checkpointer.list(List::thread(&thread_id).unwrap());
    list.next().await.unwrap().unwrap();
    drop(list);
    assert_eq!(lists("ok"), 2);
    let mut list = checkpointer.list(List::thread(&thread_id).unwrap());
    assert!(list.next().now_or_never().is_none());
    drop(list);
    assert_eq!((lists("ok"), lists("dropped")), (2, 1));

    let seen = spans.named("list");
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.fields["thread_id"] == "listed"));
    assert!(
        spans
            .named("get_tuple")
            .iter()
            .all(|seen| seen.within.is_none())
    );

    checkpointer.close().await.unwrap();
    let mut list = checkpointer.list(List::thread(ThreadId::new("listed").unwrap()).unwrap());
    assert!(matches!(list.next().await, Some(Err(Error::Closed))));
    assert_eq!(lists("closed"), 1);
}
