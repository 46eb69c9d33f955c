//! Open pages are told of changes: by one watch, and a bounded number of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use checkpointer::futures_util::StreamExt as _;
use checkpointer::futures_util::stream::BoxStream;
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, GetTuple, HeadChange, List,
    ListThreads, MemoryCheckpointer, Put, PutWrites, Result, ThreadInfo, Watch, async_trait,
};
use http_body_util::BodyExt as _;
use inspector::page::{Options, router};
use rig::{Story, eventually};
use tower::ServiceExt as _;

use crate::browser::request;

/// Counts the watches that there are.
#[derive(Debug, Clone, Default)]
struct Counting {
    memory: MemoryCheckpointer,
    watches: Arc<AtomicUsize>,
}

/// Counts as one while it isn't dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Checkpointer for Counting {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.memory.put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.memory.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.memory.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.memory.list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.memory.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.memory.threads(query)
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        let changes = self.memory.watch(watch).await?;
        self.watches.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&self.watches));
        let changes = changes.inspect(move |_| {
            let _counted = &counted;
        });
        Ok(changes.boxed())
    }

    async fn close(&self) -> Result<()> {
        self.memory.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.memory)
    }
}

/// Opens a stream of changes.
async fn open(page: &Router, link: &str) -> (StatusCode, Body) {
    let answer = page.clone().oneshot(request("GET", link, &[])).await;
    let (parts, body) = answer.unwrap().into_parts();
    (parts.status, body)
}

/// The next event of a stream; none if it has ended.
async fn next(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    let text = frame.into_data().unwrap();
    Some(String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn a_page_is_told_of_the_changes_of_what_it_shows() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "live");
    let first = story.begin(vec![]).await;
    let page = router(Arc::new(memory.clone()), Options::new());
    let (status, mut thread) = open(&page, "changes?id=live").await;
    assert_eq!(status, StatusCode::OK);
    let (_, mut other) = open(&page, "changes?id=other").await;
    let (_, mut list) = open(&page, "changes").await;
    // What has changed before is asked for at once.
    for body in [&mut thread, &mut other, &mut list] {
        assert!(next(body).await.unwrap().contains("data: changed"));
    }
    story.step(&first, "next", vec![]).await;
    for body in [&mut thread, &mut list] {
        assert_eq!(next(body).await.unwrap().trim(), "data: changed");
    }
    Story::new(&memory, "other").begin(vec![]).await;
    assert_eq!(next(&mut other).await.unwrap().trim(), "data: changed");
    // The end of the checkpointer is the end of the streams.
    memory.close().await.unwrap();
    assert_eq!(next(&mut thread).await, None);
}

#[tokio::test]
async fn all_pages_share_one_watch_which_ends_with_the_last() {
    let counting = Counting::default();
    let page = router(Arc::new(counting.clone()), Options::new().viewers(8));
    for _ in 0..2 {
        let mut open_streams = Vec::new();
        for n in 0..8 {
            let (status, body) = open(&page, &format!("changes?id=thread-{n}")).await;
            assert_eq!(status, StatusCode::OK);
            open_streams.push(body);
        }
        assert_eq!(counting.watches.load(Ordering::SeqCst), 1);
        // There is no place for one more, which asks now and then instead.
        let (status, _) = open(&page, "changes").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        drop(open_streams);
        eventually("the watch ends", async || {
            counting.watches.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_the_time_for_a_request() {
    let options = Options::new().timeout(Duration::from_secs(30));
    let page = router(Arc::new(MemoryCheckpointer::new()), options);
    let (_, body) = open(&page, "changes").await;
    let text = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("retry: 300"), "{text}");
}
