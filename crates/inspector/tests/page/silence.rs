//! A database that doesn't answer is noticed long before a request's time is over.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use checkpointer::futures_util::stream::BoxStream;
use checkpointer::futures_util::{StreamExt as _, stream};
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, GetTuple, HeadChange, List,
    ListThreads, MemoryCheckpointer, Put, PutWrites, Result, ThreadInfo, Watch, async_trait,
};
use inspector::page::Options;
use rig::Story;
use tokio::time::Instant;

use crate::browser::Browser;
use crate::writes::{fork, key};

/// Answers as long as it isn't told to be silent.
#[derive(Debug, Clone)]
struct Silent {
    memory: MemoryCheckpointer,
    is_silent: Arc<AtomicBool>,
}

impl Silent {
    async fn there(&self) {
        if self.is_silent.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Checkpointer for Silent {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.there().await;
        self.memory.put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.there().await;
        self.memory.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.there().await;
        self.memory.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        match self.is_silent.load(Ordering::SeqCst) {
            true => stream::pending().boxed(),
            false => self.memory.list(query),
        }
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.memory.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        match self.is_silent.load(Ordering::SeqCst) {
            true => stream::pending().boxed(),
            false => self.memory.threads(query),
        }
    }

    async fn watch(&self, query: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        self.there().await;
        self.memory.watch(query).await
    }

    async fn close(&self) -> Result<()> {
        self.memory.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.memory)
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_silent_database_are_told_within_five_seconds() {
    let memory = MemoryCheckpointer::new();
    let support = Story::new(&memory, "support-4711").support().await;
    let silent = Silent {
        memory,
        is_silent: Arc::default(),
    };
    let browser = Browser::new(silent.clone(), Options::new().allow_writes().parallel(2));
    let browser = Arc::new(browser);
    let form = fork(&support, &key(&browser).await);
    silent.is_silent.store(true, Ordering::SeqCst);

    let began = Instant::now();
    let links = ["threads", "thread?id=support-4711", "changes"];
    let requests = (0..20).map(|n| {
        let browser = Arc::clone(&browser);
        tokio::spawn(async move { browser.get(links[n % links.len()]).await })
    });
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            answer.body.contains("is down, can&#39;t be reached"),
            "{}",
            answer.body
        );
        assert_eq!(answer.header("retry-after"), "2");
    }
    assert!(began.elapsed() < Duration::from_secs(5));

    let answer = browser.post("fork", &form).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body.contains("known whether the change was made"),
        "{}",
        answer.body
    );

    silent.is_silent.store(false, Ordering::SeqCst);
    let answer = browser.get("thread?id=support-4711").await;
    assert_eq!(answer.status, StatusCode::OK);
}
