//! Listing threads, page by page.

use std::sync::Arc;
use std::time::SystemTime;

use db::Row;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::decode;
use super::encode::encode_filter;
use super::engine::Engine;
use super::sql::AfterThread;
use super::standby::Standby;
use super::wire::Jsonb;
use crate::{CheckpointId, Generation, ListThreads, Result, ThreadId, ThreadInfo};

/// How many threads the first page has at most. Each page costs a look at all threads, so the
/// further ones are larger.
const PAGE: usize = 1000;

/// How many the further pages have at most, for they are held in memory.
const LARGEST_PAGE: usize = 8 * PAGE;

/// Lists threads; a connection is held only while a page is fetched.
pub(super) fn pages(
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
    query: ListThreads,
) -> BoxStream<'static, Result<ThreadInfo>> {
    let left = query.limit.unwrap_or(usize::MAX);
    let pages = stream::try_unfold(
        (engine, standby, query, left, PAGE),
        |(engine, standby, mut query, left, most)| async move {
            let page = left.min(most);
            if page == 0 {
                return Ok(None);
            }
            let threads = engine
                .page_of_threads(&query, page, standby.as_deref())
                .await?;
            let left = if threads.len() < page { 0 } else { left - page };
            query.after = threads.last().cloned();
            let threads = stream::iter(threads.into_iter().map(Ok));
            let most = LARGEST_PAGE.min(2 * most);
            Ok(Some((threads, (engine, standby, query, left, most))))
        },
    );
    pages.try_flatten().boxed()
}

impl Engine {
    async fn page_of_threads(
        &self,
        query: &ListThreads,
        page: usize,
        standby: Option<&Standby>,
    ) -> Result<Vec<ThreadInfo>> {
        let _begun = self.begin()?;
        let Some(filter) = encode_filter(query.filter.as_ref()) else {
            return Ok(Vec::new());
        };
        let limit = i64::try_from(page).unwrap_or(i64::MAX);
        let filter = filter.as_deref().map(Jsonb);
        let after = query.after.as_ref().map(|last| AfterThread {
            last_at: last.updated_at,
            last_thread_id: last.thread_id.as_str(),
        });
        let asked = self.store.sql.threads(&limit, &filter, &after);
        let rows = self.store.read("list threads", standby, asked).await?;
        rows.iter().map(thread_info).collect()
    }
}

fn thread_info(row: &Row) -> Result<ThreadInfo> {
    let thread_id = ThreadId::trusted(row.get("thread_id"));
    let Jsonb(metadata) = row.get("metadata");
    let metadata = decode::object(&thread_id, metadata, || "the thread's metadata".to_owned())?;
    let generation = Generation(row.get("generation"));
    let created_at: SystemTime = row.get("created_at");
    let head: Option<String> = row.get("head");
    Ok(ThreadInfo {
        metadata,
        updated_at: row.get("updated_at"),
        head: head.map(CheckpointId::trusted),
        ..ThreadInfo::new(thread_id, generation, created_at)?
    })
}
