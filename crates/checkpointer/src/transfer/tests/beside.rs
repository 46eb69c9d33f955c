//! Exports beside one who writes.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, DeleteThread,
    Error, GetTuple, Import, List, ListThreads, MemoryCheckpointer, Metadata, Put, PutWrites,
    Result, ThreadId, ThreadInfo, export,
};

const THREAD: &str = "support-4711";

/// Puts checkpoints one after the other, whose ids a runtime has counted: their bytes have another order.
async fn put(checkpointer: &dyn Checkpointer, mut parent: Option<&str>, ids: &[&'static str]) {
    let thread_id = ThreadId::new(THREAD).unwrap();
    for id in ids {
        let mut checkpoint = Checkpoint::new(CheckpointId::new(*id).unwrap());
        let value = ("n".to_owned(), json!(id));
        checkpoint.channel_values.extend([value]);
        let metadata = Metadata::default().with("run_id", *id);
        let parent_id = parent.map(|id| CheckpointId::new(id).unwrap());
        let mut put = Put::new(&thread_id, &checkpoint, &metadata);
        put.parent = parent_id.as_ref();
        checkpointer.put(put).await.unwrap();
        parent = Some(id);
    }
}

/// Another program puts two checkpoints before the head is read for the first time.
#[derive(Debug)]
struct Beside {
    memory: MemoryCheckpointer,
    has_put: AtomicBool,
    /// What a list of several pages has passed by when it is put.
    unlisted: &'static [&'static str],
}

#[async_trait]
impl Checkpointer for Beside {
    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.memory)
    }

    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.memory.put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.memory.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        if !self.has_put.swap(true, Ordering::Relaxed) {
            put(&self.memory, Some("10"), &["11", "8"]).await;
        }
        self.memory.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        let unlisted = self.unlisted;
        let listed = self.memory.list(query).try_filter(move |tuple| {
            let id = tuple.address.checkpoint_id.as_str();
            std::future::ready(!unlisted.contains(&id))
        });
        listed.boxed()
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.memory.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.memory.threads(query)
    }

    async fn close(&self) -> Result<()> {
        self.memory.close().await
    }
}

#[tokio::test]
async fn a_head_that_was_put_meanwhile_is_exported_with_its_parents() {
    let memory = MemoryCheckpointer::new();
    put(&memory, None, &["9", "10"]).await;
    is_exported_with_its_parents(Beside {
        memory,
        has_put: AtomicBool::new(false),
        unlisted: &[],
    })
    .await;
}

#[tokio::test]
async fn what_was_listed_is_exported_with_parents_that_were_not() {
    let memory = MemoryCheckpointer::new();
    put(&memory, None, &["9", "10", "11", "8"]).await;
    is_exported_with_its_parents(Beside {
        memory,
        has_put: AtomicBool::new(true),
        unlisted: &["10", "11"],
    })
    .await;
}

async fn is_exported_with_its_parents(source: Beside) {
    let lines: Vec<String> = export(&source, THREAD)
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let header: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(header["thread"]["heads"], json!({ "": "8" }));

    let memory = MemoryCheckpointer::new();
    let mut import = Import::new(&memory);
    for line in &lines {
        import.line(line).await.unwrap();
    }
    import.finish().await.unwrap();
    let list = memory.list(List::thread(THREAD).unwrap());
    let ids = list.map_ok(|tuple| tuple.address.checkpoint_id.to_string());
    let ids: Vec<_> = ids.try_collect().await.unwrap();
    assert_eq!(ids, ["9", "8", "11", "10"]);
    let head = memory.get_tuple(GetTuple::head(THREAD).unwrap()).await;
    let head = head.unwrap().unwrap().address.checkpoint_id;
    assert_eq!(head.as_str(), "8");
}

#[tokio::test]
async fn an_export_fails_whose_head_is_removed_meanwhile() {
    let memory = MemoryCheckpointer::new();
    put(&memory, None, &["9", "10"]).await;
    let mut lines = export(&memory, THREAD).unwrap();
    let header = lines.next().await.unwrap().unwrap();
    assert!(header.contains(r#"{"":"10"}"#), "{header}");
    let removed = memory.delete_for_runs(&["10".to_owned()]).await.unwrap();
    assert_eq!(removed.checkpoints, 1);
    let rest: Result<Vec<String>> = lines.try_collect().await;
    let Err(Error::CheckpointNotFound { checkpoint_id, .. }) = &rest else {
        panic!("{rest:?}");
    };
    assert_eq!(checkpoint_id.as_str(), "10");
}
