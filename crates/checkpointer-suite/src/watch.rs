//! `watch`: new heads.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::json;
use tokio::time::timeout;

use super::step::{Step, delete, fresh_thread, fresh_word, ns, put_chain, write};
use checkpointer::{
    CheckpointAddress, Checkpointer, Error, Generation, HeadChange, Result, ThreadId, Watch,
};

/// How long a change may take to be told.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watch of a thread begins with the heads that it has.
pub async fn begins_with_the_heads(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let sub = Step::first(&thread_id).in_ns("sub").put(checkpointer).await;
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    let heads = [changes.next().await, changes.next().await];
    assert!(heads.contains(&moved(&chain[2])), "{heads:?}");
    assert!(heads.contains(&moved(&sub)), "{heads:?}");
}

/// Each put is told, to all who watch the thread.
pub async fn tells_puts(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut first = watch_thread(checkpointer, &thread_id).await;
    let mut second = watch_thread(checkpointer, &thread_id).await;
    let mut head = Step::first(&thread_id).put(checkpointer).await;
    for _ in 0..3 {
        assert_eq!(first.next().await, moved(&head));
        assert_eq!(second.next().await, moved(&head));
        head = Step::after(&head).put(checkpointer).await;
    }
}

/// A fork is a new head, too.
pub async fn tells_forks(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    assert_eq!(changes.next().await, moved(&chain[1]));
    let fork = Step::after(&chain[0]).put(checkpointer).await;
    assert_eq!(changes.next().await, moved(&fork));
}

/// A watch of a namespace is told of its heads only, and of deletions.
pub async fn of_one_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let watch = Watch::thread(&thread_id).unwrap().in_ns(ns("sub"));
    let mut changes = begin(checkpointer, watch).await;
    let root = put_chain(checkpointer, &thread_id, 2).await;
    let sub = Step::first(&thread_id).in_ns("sub").put(checkpointer).await;
    assert_eq!(changes.next().await, moved(&sub));
    Step::after(&root[1]).put(checkpointer).await;
    delete(checkpointer, &thread_id).await;
    assert_eq!(changes.next().await, deleted(&sub));
}

/// A watch of all threads is told of each, and begins with what changes from then on.
pub async fn of_all_threads(checkpointer: &dyn Checkpointer) {
    let mut changes = begin(checkpointer, Watch::all()).await;
    for _ in 0..3 {
        let head = put_chain(checkpointer, &fresh_thread(), 2).await.remove(1);
        changes.until(&moved(&head)).await;
    }
    let thread_id = fresh_thread();
    let head = put_chain(checkpointer, &thread_id, 1).await.remove(0);
    changes.until(&moved(&head)).await;
    delete(checkpointer, &thread_id).await;
    changes.until(&deleted(&head)).await;
}

/// A deletion is told with the generation that it ends, and a new start by its head.
pub async fn tells_deletions(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id);
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    for generation in 1..4 {
        let head = first.put(checkpointer).await;
        assert_eq!(head.generation, Some(Generation(generation)));
        assert_eq!(changes.next().await, moved(&head));
        delete(checkpointer, &thread_id).await;
        assert_eq!(changes.next().await, deleted(&head));
    }
}

/// A watcher that takes nothing for a while finds the last head.
pub async fn a_slow_watcher_finds_the_last_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    let chain = put_chain(checkpointer, &thread_id, 30).await;
    changes.until(&moved(&chain[29])).await;
}

/// The head that a removal falls back to is told.
pub async fn tells_a_head_that_falls_back(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    let kept = Step::first(&thread_id).put(checkpointer).await;
    let step = Step::after(&kept).metadata("run_id", run.as_str());
    let removed = step.put(checkpointer).await;
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    assert_eq!(changes.next().await, moved(&removed));
    let outcome = checkpointer.delete_for_runs(&[run]).await.unwrap();
    outcome.complete().unwrap();
    assert_eq!(changes.next().await, moved(&kept));
}

/// The heads of a copy are told.
pub async fn tells_a_copy(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    let head = put_chain(checkpointer, &source, 2).await.remove(1);
    let mut changes = watch_thread(checkpointer, &target).await;
    checkpointer.copy_thread(&source, &target).await.unwrap();
    let HeadChange::Moved(copied) = changes.next().await else {
        panic!("a copy moves a head");
    };
    assert_eq!(copied.thread_id, target);
    assert_eq!(copied.checkpoint_id, head.checkpoint_id);
}

/// Pending writes move no head.
pub async fn writes_are_not_told(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    assert_eq!(changes.next().await, moved(&first));
    write(checkpointer, &first, "task", json!([["a", 1]])).await;
    let second = Step::after(&first).put(checkpointer).await;
    assert_eq!(changes.next().await, moved(&second));
}

/// A stream that was dropped holds up nothing: others go on, and a later watch works.
pub async fn dropped_and_watched_again(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for _ in 0..3 {
        let dropped = watch_thread(checkpointer, &thread_id).await;
        let head = Step::first(&thread_id).put(checkpointer).await;
        drop(dropped);
        let mut changes = watch_thread(checkpointer, &thread_id).await;
        assert_eq!(changes.next().await, moved(&head));
        delete(checkpointer, &thread_id).await;
    }
}

/// A close ends the streams, after what was told before, and refuses further ones.
///
/// The checkpointer must be this case's own.
pub async fn close_ends_it(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let head = put_chain(checkpointer, &thread_id, 1).await.remove(0);
    let mut changes = watch_thread(checkpointer, &thread_id).await;
    let all = begin(checkpointer, Watch::all()).await;
    checkpointer.close().await.unwrap();
    assert_eq!(changes.next().await, moved(&head));
    for Changes { stream, .. } in [changes, all] {
        let rest = timeout(PATIENCE, stream.collect::<Vec<_>>()).await;
        assert!(rest.unwrap().iter().all(Result::is_ok));
    }
    let refusal = checkpointer.watch(Watch::all()).await.map(drop);
    assert!(matches!(refusal, Err(Error::Closed)), "{refusal:?}");
}

/// A watch under way.
struct Changes {
    stream: BoxStream<'static, Result<HeadChange>>,
    /// The change that was taken last.
    last: Option<HeadChange>,
}

impl Changes {
    /// The next change. One that is told again is passed over.
    async fn next(&mut self) -> HeadChange {
        loop {
            let change = timeout(PATIENCE, self.stream.next()).await.unwrap();
            let change = change.unwrap().unwrap();
            if self.last.replace(change.clone()).as_ref() != Some(&change) {
                return change;
            }
        }
    }

    /// Waits for a change, whatever else is told before.
    async fn until(&mut self, expected: &HeadChange) {
        while self.next().await != *expected {}
    }
}

async fn begin(checkpointer: &dyn Checkpointer, watch: Watch) -> Changes {
    let stream = checkpointer.watch(watch).await.unwrap();
    Changes { stream, last: None }
}

async fn watch_thread(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Changes {
    begin(checkpointer, Watch::thread(thread_id).unwrap()).await
}

fn moved(head: &CheckpointAddress) -> HeadChange {
    HeadChange::Moved(head.clone())
}

/// The end of the generation of a head.
fn deleted(head: &CheckpointAddress) -> HeadChange {
    HeadChange::deleted(&head.thread_id, head.generation.unwrap())
}
