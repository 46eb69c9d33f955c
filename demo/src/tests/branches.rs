//! How the branches of a history are drawn.

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, List, MemoryCheckpointer, Metadata,
    Put, Source, ThreadId,
};
use expect_test::expect;
use futures_util::TryStreamExt;

use crate::branches::drawings;

async fn put(
    checkpointer: &MemoryCheckpointer,
    parent: Option<&CheckpointAddress>,
) -> CheckpointAddress {
    let metadata = Metadata::new(Source::Loop, 0);
    let thread_id = ThreadId::new("audit").unwrap();
    let parent_id = parent.map(|parent| &parent.checkpoint_id);
    let checkpoint = Checkpoint::new(CheckpointId::generate(parent_id));
    let put = match parent {
        Some(parent) => Put::after(parent, &checkpoint, &metadata),
        None => Put::new(&thread_id, &checkpoint, &metadata),
    };
    checkpointer.put(put).await.unwrap()
}

#[tokio::test]
async fn a_fork_is_drawn_beside_the_branch_that_it_left() {
    let checkpointer = MemoryCheckpointer::new();
    let root = put(&checkpointer, None).await;
    let one = put(&checkpointer, Some(&root)).await;
    let two = put(&checkpointer, Some(&one)).await;
    put(&checkpointer, Some(&two)).await;
    let fork = put(&checkpointer, Some(&one)).await;
    let other = put(&checkpointer, Some(&root)).await;
    put(&checkpointer, Some(&other)).await;
    put(&checkpointer, Some(&fork)).await;

    let list = List::thread(&root.thread_id).unwrap();
    let history: Vec<_> = checkpointer.list(list).try_collect().await.unwrap();
    expect![[r#"
        *
        | *
        | *
        * |
        | | *
        | | *
        *-|-'
        *-'"#]]
    .assert_eq(&drawings(&history).join("\n"));
}
