//! What is known of threads: of one, or of all, page by page.

use std::sync::Arc;
use std::time::SystemTime;

use db::Row;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::decode;
use super::encode::encode_filter;
use super::engine::Engine;
use super::sql::{AfterThread, CountedThreads, OneThread, ThreadRestrictions};
use super::standby::Standby;
use super::wire::Jsonb;
use crate::{CheckpointId, Error, Generation, ListThreads, Result, ThreadId, ThreadInfo};

/// How many changes the first window has, and the further ones, which are held in memory.
#[derive(Debug, Clone, Copy)]
struct Windows {
    smallest: usize,
    largest: usize,
}

/// Where the threads are all wanted: a window has no more than these.
const WANTED: Windows = Windows {
    smallest: 64,
    largest: 8000,
};

/// Where a filter picks some of them.
const FILTERED: Windows = Windows {
    smallest: 500,
    largest: 8000,
};

/// Where each thread's state is read.
const BY_STATE: Windows = Windows {
    smallest: 64,
    largest: 512,
};

/// How many the first page has at most where no limit is set.
const PAGE: usize = 1000;

/// Up to how many threads that match a filter are found by the index and sorted. Others are looked
/// for among the last changes: of a million threads, a page of 50 is sooner found so if more than
/// about 7,000 match.
const FEW: i64 = 10_000;

/// A window is worth continuing if more than one of so many changes in it is listed.
const DENSE: usize = 8;

/// A list as far as it was read.
struct Pages {
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
    query: ListThreads,
    filter: Option<Vec<u8>>,
    state: Option<Vec<u8>>,
    left: usize,
    window: usize,
    /// Whether few threads match the filter, once that is known.
    few: Option<bool>,
    /// Where the last window ended.
    after: Option<(SystemTime, ThreadId)>,
}

/// A window that was read.
struct Window {
    threads: Vec<ThreadInfo>,
    /// Where it ended, if there is more.
    end: Option<(SystemTime, ThreadId)>,
}

/// Lists threads; a connection is held only while a page is fetched.
pub(super) fn pages(
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
    query: ListThreads,
) -> BoxStream<'static, Result<ThreadInfo>> {
    // Nothing contains what can't be encoded.
    let (Some(filter), Some(state)) = (
        encode_filter(query.filter.as_ref()),
        encode_filter(query.state.as_ref()),
    ) else {
        return stream::empty().boxed();
    };
    let after = query.after.as_ref();
    let mut pages = Pages {
        engine,
        standby,
        filter,
        state,
        left: query.limit.unwrap_or(usize::MAX),
        window: 0,
        few: None,
        after: after.map(|last| (last.updated_at, last.thread_id.clone())),
        query,
    };
    pages.window = pages.left.min(PAGE).max(pages.windows().smallest);
    let pages = stream::try_unfold(pages, |mut pages| async move {
        let page = pages.next().await?;
        Ok::<_, Error>(page.map(|page| (stream::iter(page.into_iter().map(Ok)), pages)))
    });
    pages.try_flatten().boxed()
}

impl Engine {
    pub(super) async fn thread_info(&self, thread_id: &ThreadId) -> Result<Option<ThreadInfo>> {
        let one = OneThread {
            thread_id: thread_id.as_str(),
        };
        let asked = self.store.sql.thread_info.with(&one);
        let row = self.store.query_opt("read a thread", asked).await?;
        let info = row.map(|row| info(&row, Generation(row.get("generation"))));
        info.transpose()
    }
}

impl Pages {
    fn windows(&self) -> Windows {
        match (&self.filter, &self.state) {
            (_, Some(_)) => BY_STATE,
            (Some(_), None) => FILTERED,
            (None, None) => WANTED,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<ThreadInfo>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.window = self.window.min(self.windows().largest);
        let Window { threads, end } = self.read().await?;
        self.left = match end {
            Some(_) => self.left - threads.len(),
            None => 0,
        };
        self.after = end;
        let is_sparse = threads.len() * DENSE < self.window;
        if self.left > 0 && self.filter.is_some() && self.few.is_none() && is_sparse {
            self.few = Some(self.count().await? <= FEW);
        }
        self.window *= 2;
        Ok(Some(threads))
    }

    async fn read(&self) -> Result<Window> {
        let _begun = self.engine.begin()?;
        let after = self.after.as_ref();
        let restrictions = ThreadRestrictions {
            order: self.query.order,
            few: self.few == Some(true),
            filter: self.filter.as_deref().map(Jsonb),
            state: self.state.as_deref().map(Jsonb),
            changed_before: self.query.changed_before,
            changed_after: self.query.changed_after,
            after: after.map(|(last_at, last_thread_id)| AfterThread {
                last_at: *last_at,
                last_thread_id: last_thread_id.as_str(),
            }),
            window: i64::try_from(self.window).unwrap_or(i64::MAX),
            limit: i64::try_from(self.left).unwrap_or(i64::MAX),
        };
        let store = &self.engine.store;
        let asked = store.sql.threads(&restrictions);
        let standby = self.standby.as_deref();
        let rows = store.read("list threads", standby, asked).await?;
        Window::read(&rows)
    }

    /// Up to how many threads match the filter.
    async fn count(&self) -> Result<i64> {
        let _begun = self.engine.begin()?;
        let counted = CountedThreads {
            filter: Jsonb(self.filter.as_deref().unwrap_or(b"{}")),
            most: FEW + 1,
        };
        let store = &self.engine.store;
        let asked = store.sql.count_threads.with(&counted);
        let standby = self.standby.as_deref();
        let rows = store.read("list threads", standby, asked).await?;
        Ok(rows.first().map_or(0, |row| row.get("found")))
    }
}

impl Window {
    fn read(rows: &[Row]) -> Result<Self> {
        let mut window = Self {
            threads: Vec::with_capacity(rows.len()),
            end: None,
        };
        for row in rows {
            match row.get("generation") {
                Some(generation) => {
                    let thread = info(row, Generation(generation))?;
                    window.threads.push(thread);
                }
                None => {
                    let thread_id = ThreadId::trusted(row.get("thread_id"));
                    window.end = Some((row.get("updated_at"), thread_id));
                }
            }
        }
        Ok(window)
    }
}

fn info(row: &Row, generation: Generation) -> Result<ThreadInfo> {
    let thread_id = ThreadId::trusted(row.get("thread_id"));
    let Jsonb(metadata) = row.get("metadata");
    let metadata = decode::object(&thread_id, metadata, || "the thread's metadata".to_owned())?;
    let created_at: SystemTime = row.get("created_at");
    let head: Option<String> = row.get("head");
    Ok(ThreadInfo {
        metadata,
        updated_at: row.get("updated_at"),
        head: head.map(CheckpointId::trusted),
        ..ThreadInfo::new(thread_id, generation, created_at)?
    })
}
