//! Updates of one thread, in many tasks and programs.

use checkpointer::{
    Checkpointer, DeleteThread, PostgresCheckpointer, Prune, PruneStrategy, Removed,
};
use futures_util::TryStreamExt;
use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::step::{checkpointer, thread, two};
use rig::TestDb;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    n: u32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_tasks_that_update_one_thread_none_ends_as_busy() {
    const TASKS: u32 = 50;
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let tasks = (0..TASKS).map(|_| {
        let mut thread = checkpointer.thread::<Counter>("counter").unwrap();
        tokio::spawn(async move { thread.update(|counter| counter.n += 1).await.map(drop) })
    });
    let tasks: Vec<_> = tasks.collect();
    for updated in join_all(tasks).await {
        updated.unwrap().unwrap();
    }
    let mut thread = checkpointer.thread::<Counter>("counter").unwrap();
    assert_eq!(thread.load().await.unwrap(), Some(Counter { n: TASKS }));
    let history: Vec<_> = thread.history().try_collect().await.unwrap();
    assert_eq!(history.len(), TASKS as usize);
}

/// Adds to the list, often enough that most updates begin with what the one before has saved.
async fn add(checkpointer: &PostgresCheckpointer, name: &str, numbers: std::ops::Range<u32>) {
    let mut thread = checkpointer.thread::<Vec<String>>(name).unwrap();
    for n in numbers {
        let item = format!("item {n}, ").repeat(20);
        thread.update(|list| list.push(item.clone())).await.unwrap();
    }
}

#[tokio::test]
async fn programs_that_update_a_thread_at_once_lose_nothing() {
    let (_test, [one, other]) = two().await;
    add(&one, "list", 0..40).await;
    join(add(&one, "list", 40..60), add(&other, "list", 60..80)).await;
    let mut thread = other.thread::<Vec<String>>("list").unwrap();
    let mut list = thread.load().await.unwrap().unwrap();
    assert_eq!(list.len(), 80);
    list.sort_unstable();
    list.dedup();
    assert_eq!(list.len(), 80);
}

#[tokio::test]
async fn an_update_begins_with_the_head_whatever_another_program_has_done_to_the_thread() {
    let (_test, [ours, theirs]) = two().await;
    let mut counting = ours.thread::<Counter>("counter").unwrap();
    let mut beside = theirs.thread::<Counter>("counter").unwrap();
    let add = |counter: &mut Counter| counter.n += 1;
    for n in 1..4 {
        assert_eq!(counting.update(add).await.unwrap().n, n);
    }
    let prune = Prune::new([&thread("counter")], PruneStrategy::KeepLatest).unwrap();
    let pruned = theirs.prune(prune).await.and_then(Removed::complete);
    pruned.unwrap();
    assert_eq!(counting.update(add).await.unwrap().n, 4);
    let delete = DeleteThread::new("counter").unwrap();
    theirs.delete_thread(delete).await.unwrap();
    assert_eq!(counting.update(add).await.unwrap().n, 1);
    for n in [2, 4, 6] {
        assert_eq!(beside.update(add).await.unwrap().n, n);
        assert_eq!(counting.update(add).await.unwrap().n, n + 1);
    }
}
