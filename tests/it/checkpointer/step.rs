//! Checkpoints to put, and what comes back.

use checkpointer::{
    CheckpointAddress, Checkpointer, PostgresCheckpointer, PutWrites, Result, TaskId, ThreadId,
};
use serde_json::{Value, json};

use rig::TestDb;

pub(super) use checkpointer_suite::step::{Step, get, head, ids, map, values};

/// A checkpointer with a pool of its own, as another process would have.
pub(super) async fn checkpointer(
    test: &TestDb,
    variables: &[(&str, &str)],
) -> PostgresCheckpointer {
    let database = test.connect(variables).await;
    PostgresCheckpointer::setup(database).await.unwrap()
}

/// Two checkpointers on one database, as two processes would have.
pub(super) async fn two() -> (TestDb, [PostgresCheckpointer; 2]) {
    let test = TestDb::without_schema().await;
    let one = checkpointer(&test, &[]).await;
    let other = checkpointer(&test, &[]).await;
    (test, [one, other])
}

pub(super) fn thread(name: &str) -> ThreadId {
    ThreadId::new(name).unwrap()
}

/// A value far too large to lie in the checkpoint's own row; the same for the same seed.
pub(super) fn large(seed: usize) -> Value {
    let item = |n: usize| json!({ "n": n, "text": format!("item {n} of {seed}, ").repeat(8) });
    (0..100).map(item).collect()
}

/// Stores one write of a task.
pub(super) async fn try_write(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    value: &Value,
) -> Result<()> {
    let task_id = TaskId::new(task).unwrap();
    let writes = [("written".to_owned(), value.clone())];
    let writes = PutWrites::new(address, &task_id, &writes);
    checkpointer.put_writes(writes).await
}
