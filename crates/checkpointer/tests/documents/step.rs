//! The step of a graph runtime that the README shows.

use std::sync::atomic::{AtomicUsize, Ordering};

use checkpointer::{
    Checkpoint, CheckpointId, Checkpointer, GetTuple, MemoryCheckpointer, Metadata, Put, PutWrites,
    Source, TaskId, ThreadId,
};
use serde_json::Value;

const THREAD: &str = "support-4711";

static ASKED: AtomicUsize = AtomicUsize::new(0);

async fn ask_the_model(checkpoint: &Checkpoint) -> Value {
    ASKED.fetch_add(1, Ordering::Relaxed);
    // A model takes its time.
    tokio::task::yield_now().await;
    format!("About {}.", checkpoint.channel_values["question"]).into()
}

async fn step(checkpointer: &dyn Checkpointer, thread: &str) -> checkpointer::Result<()> {
    let head = checkpointer.get_tuple(GetTuple::head(thread)?).await?;
    let mut at = head.expect("a thread that has its input");
    // A task whose outputs are stored isn't run again.
    let mut outputs: Vec<_> = (at.pending_writes.drain(..))
        .map(|output| (output.channel, output.value))
        .collect();
    if outputs.is_empty() {
        let draft: Value = ask_the_model(&at.checkpoint).await;
        let writes = [("draft".to_owned(), draft)];
        let task = TaskId::new("draft")?;
        let put = PutWrites::new(&at.address, &task, &writes);
        checkpointer.put_writes(put).await?;
        outputs.extend(writes.map(|(channel, value)| (channel, value.into())));
    }
    // The next checkpoint takes them in. The put fails with `Conflict` if the head moved.
    let mut next = Checkpoint::child_of(&at);
    let changed = next.write(checkpointer, outputs);
    let metadata = Metadata::new(Source::Loop, at.metadata.step().unwrap_or(-1) + 1);
    let put = Put::after(&at.address, &next, &metadata)
        .new_versions(&changed)
        .expect_head(&at.address.checkpoint_id);
    checkpointer.put(put).await?;
    Ok(())
}

#[tokio::test]
async fn a_step_goes_on_with_the_output_that_is_stored() {
    let memory = MemoryCheckpointer::new();
    let thread = ThreadId::new(THREAD).unwrap();
    let mut input = Checkpoint::new(CheckpointId::generate(None));
    input.channel_values.insert("question", "the order".into());
    let metadata = Metadata::new(Source::Input, -1);
    let put = Put::new(&thread, &input, &metadata);
    let address = memory.put(put).await.unwrap();

    // An earlier run stored its output, and crashed.
    let task = TaskId::new("draft").unwrap();
    let writes = [("draft".to_owned(), "It is on its way.".into())];
    let put = PutWrites::new(&address, &task, &writes);
    memory.put_writes(put).await.unwrap();

    step(&memory, THREAD).await.unwrap();
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    let head = memory
        .get_tuple(GetTuple::head(&thread).unwrap())
        .await
        .unwrap();
    let state = head.unwrap().checkpoint.channel_values;
    assert_eq!(state["draft"], "It is on its way.");

    // The next step runs the task for the new checkpoint.
    step(&memory, THREAD).await.unwrap();
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
}
