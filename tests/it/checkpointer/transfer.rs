//! Threads that move between PostgreSQL and memory as lines of JSON.

use checkpointer::{
    Checkpoint, CheckpointId, CheckpointTuple, Checkpointer, Import, MemoryCheckpointer, Metadata,
    PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId, export,
};
use futures_util::TryStreamExt;
use serde_json::json;

use rig::TestDb;

async fn lines(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Vec<String> {
    let lines = export(checkpointer, thread_id).unwrap();
    lines.try_collect().await.unwrap()
}

async fn import(checkpointer: &dyn Checkpointer, lines: &[String]) {
    let mut import = Import::new(checkpointer);
    for line in lines {
        import.line(line).await.unwrap();
    }
    import.finish().await.unwrap();
}

/// Puts steps, each with a message more and a task's write.
async fn grow(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, steps: usize) {
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let task_id = TaskId::new("task").unwrap();
    let mut messages = Vec::new();
    let mut at: Option<CheckpointTuple> = None;
    for step in 0..steps {
        if let Some(at) = &at {
            checkpoint = Checkpoint::child_of(at);
        }
        messages.push(json!({ "text": "x".repeat(500), "step": step }));
        checkpoint.write(checkpointer, [("messages", json!(messages))]);
        let metadata = Metadata::new(Source::Loop, step as i64);
        let mut put = Put::new(thread_id, &checkpoint, &metadata);
        put.parent = at.as_ref().map(|at| &at.address.checkpoint_id);
        let address = checkpointer.put(put).await.unwrap();
        let writes = [("messages".to_owned(), json!(step))];
        let writes = PutWrites::new(&address, &task_id, &writes).task_path("graph/task");
        checkpointer.put_writes(writes).await.unwrap();
        at = Some(CheckpointTuple::new(address, checkpoint.clone(), metadata));
    }
}

#[tokio::test]
async fn a_thread_moves_to_memory_and_back_unchanged() {
    let database = TestDb::new().await;
    let postgres = PostgresCheckpointer::setup(database.connect(&[]).await)
        .await
        .unwrap();
    let thread_id = ThreadId::new("moved").unwrap();
    grow(&postgres, &thread_id, 40).await;
    let metadata = json!({ "customer": "ann" }).as_object().cloned().unwrap();
    postgres
        .set_thread_metadata(&thread_id, metadata)
        .await
        .unwrap();
    let exported = lines(&postgres, &thread_id).await;

    let memory = MemoryCheckpointer::new();
    import(&memory, &exported).await;
    let from_memory = lines(&memory, &thread_id).await;
    assert_eq!(from_memory[1..], exported[1..]);

    let other = TestDb::new().await;
    let other = PostgresCheckpointer::setup(other.connect(&[]).await)
        .await
        .unwrap();
    import(&other, &from_memory).await;
    assert_eq!(lines(&other, &thread_id).await[1..], exported[1..]);
    let known = other.thread_info(&thread_id).await.unwrap().unwrap();
    let before = postgres.thread_info(&thread_id).await.unwrap().unwrap();
    assert_eq!((known.metadata, known.head), (before.metadata, before.head));
}

#[tokio::test]
async fn an_export_grows_by_what_a_step_adds() {
    let database = TestDb::new().await;
    let postgres = PostgresCheckpointer::setup(database.connect(&[]).await)
        .await
        .unwrap();
    let thread_id = ThreadId::new("grown").unwrap();
    grow(&postgres, &thread_id, 60).await;
    let bytes: Vec<_> = lines(&postgres, &thread_id)
        .await
        .iter()
        .map(String::len)
        .collect();
    // One message in each line, and no more.
    assert!(bytes.iter().all(|bytes| *bytes < 1500), "{bytes:?}");
}
