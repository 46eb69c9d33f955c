//! Many tasks that update one thread.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::step::checkpointer;
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
        tokio::spawn(async move { thread.update(|counter| counter.n += 1).await })
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
