//! Checkpoints to put, and what comes back.

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, ExpectedHead,
    GetTuple, Lease, List, Metadata, PostgresCheckpointer, Put, PutWrites, Result, Source, TaskId,
    ThreadId, Version,
};
use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};

use rig::TestDb;

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

/// The keys and values of a JSON object.
pub(super) fn map(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// A checkpoint to put, with a new id and without channels.
#[derive(Debug, Clone)]
pub(super) struct Step {
    thread_id: ThreadId,
    parent: Option<CheckpointAddress>,
    expected: ExpectedHead,
    pub(super) checkpoint: Checkpoint,
    pub(super) metadata: Metadata,
    lease: Option<Lease>,
}

impl Step {
    pub(super) fn first(thread_id: &ThreadId) -> Self {
        Self {
            thread_id: thread_id.clone(),
            parent: None,
            expected: ExpectedHead::Any,
            checkpoint: Checkpoint::new(CheckpointId::generate(None)),
            metadata: Metadata::new(Source::Loop, 0),
            lease: None,
        }
    }

    pub(super) fn after(parent: &CheckpointAddress) -> Self {
        let id = CheckpointId::generate(Some(&parent.checkpoint_id));
        Self {
            parent: Some(parent.clone()),
            checkpoint: Checkpoint::new(id),
            ..Self::first(&parent.thread_id)
        }
    }

    pub(super) fn id(mut self, id: &str) -> Self {
        self.checkpoint.id = CheckpointId::new(id).unwrap();
        self
    }

    /// Sets the channels, each of a version of its own.
    pub(super) fn values(mut self, values: Value) -> Self {
        let values = map(values);
        let version = Version::from(self.checkpoint.id.as_str());
        let versions = values.keys().map(|name| (name.clone(), version.clone()));
        self.checkpoint.channel_versions = versions.collect();
        self.checkpoint.channel_values = values.into_iter().collect();
        self
    }

    pub(super) fn metadata(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata = self.metadata.with(key, value);
        self
    }

    pub(super) fn expect_head(self, head: &CheckpointAddress) -> Self {
        Self {
            expected: ExpectedHead::Is(Some(head.checkpoint_id.clone())),
            ..self
        }
    }

    pub(super) fn expect_no_head(self) -> Self {
        Self {
            expected: ExpectedHead::Is(None),
            ..self
        }
    }

    pub(super) fn lease(self, lease: &Lease) -> Self {
        Self {
            lease: Some(lease.clone()),
            ..self
        }
    }

    /// Leaves the generation of the parent unnamed.
    pub(super) fn without_generation(mut self) -> Self {
        if let Some(parent) = &mut self.parent {
            parent.generation = None;
        }
        self
    }

    /// Where it will be stored.
    pub(super) fn address(&self) -> CheckpointAddress {
        CheckpointAddress::new(self.thread_id.clone(), self.checkpoint.id.clone()).unwrap()
    }

    pub(super) async fn try_put(
        &self,
        checkpointer: &dyn Checkpointer,
    ) -> Result<CheckpointAddress> {
        let mut put = match &self.parent {
            Some(parent) => Put::after(parent, &self.checkpoint, &self.metadata),
            None => Put::new(&self.thread_id, &self.checkpoint, &self.metadata),
        };
        put = put.new_versions(&self.checkpoint.channel_versions);
        put.lease = self.lease.as_ref();
        put.expected_head = self.expected.clone();
        checkpointer.put(put).await
    }

    pub(super) async fn put(&self, checkpointer: &dyn Checkpointer) -> CheckpointAddress {
        self.try_put(checkpointer).await.unwrap()
    }
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

/// Reads a checkpoint that must be there.
pub(super) async fn get(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
) -> CheckpointTuple {
    let found = checkpointer.get_tuple(GetTuple::at(address)).await.unwrap();
    found.unwrap_or_else(|| panic!("checkpoint `{}` isn't there", address.checkpoint_id))
}

/// The id of a thread's head.
pub(super) async fn head(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
) -> Option<CheckpointId> {
    let head = checkpointer
        .get_tuple(GetTuple::head(thread_id).unwrap())
        .await;
    head.unwrap().map(|head| head.address.checkpoint_id)
}

/// The values of the channels.
pub(super) fn values(tuple: &CheckpointTuple) -> Value {
    let values = tuple.checkpoint.channel_values.clone();
    values.into_iter().collect()
}

/// The ids of a thread's checkpoints, as they are listed.
pub(super) async fn ids(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
) -> Vec<CheckpointId> {
    let listed = checkpointer.list(List::thread(thread_id).unwrap());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    let ids = listed.into_iter().map(|tuple| tuple.address.checkpoint_id);
    ids.collect()
}
