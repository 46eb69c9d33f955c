//! Finding the chunks of a thread that nothing refers to, without its lock.

use std::time::SystemTime;

use crate::codec::ContentHash;
use crate::postgres::engine::Engine;
use crate::postgres::sql::{MarkedPage, SweptThread};
use crate::{Result, ThreadId};

/// How many chunks are found at once.
const FOUND_AT_ONCE: usize = 100_000;

/// A sweep that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// When it was noted.
    pub(super) noted: SystemTime,
    /// The transaction that has noted it, on disk.
    transaction: i64,
    /// When the server had started, which tells it from others.
    pub(super) server: SystemTime,
}

/// Chunks that nothing referred to.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) found: Vec<ContentHash>,
    /// The oldest transaction that the search may not have seen.
    pub(super) oldest: i64,
}

impl Mark {
    /// Whether these are all.
    pub(super) fn is_last(&self) -> bool {
        self.found.len() < FOUND_AT_ONCE
    }
}

impl Engine {
    /// Notes that a thread is being swept.
    pub(super) async fn begin_sweep(&self, thread_id: &ThreadId) -> Result<Begun> {
        let thread = SweptThread {
            thread_id: thread_id.as_str(),
        };
        let begin = self.store.sql.begin_sweep.with(&thread);
        let row = self.store.query_one("begin a sweep", begin).await?;
        Ok(Begun {
            noted: row.get("noted"),
            transaction: row.get("transaction"),
            server: row.get("server"),
        })
    }

    /// Finds chunks of a thread that nothing refers to: those after one. None if another server has taken
    /// over since the sweep began.
    pub(super) async fn find_unneeded(
        &self,
        thread_id: &ThreadId,
        begun: Begun,
        after: ContentHash,
    ) -> Result<Option<Mark>> {
        let thread = SweptThread {
            thread_id: thread_id.as_str(),
        };
        let page = MarkedPage {
            after,
            limit: FOUND_AT_ONCE as i64,
        };
        let find = self.store.sql.find_unneeded_chunks.with((&thread, &page));
        let row = self.store.query_one("find chunks to sweep", find).await?;
        let found: Vec<&[u8]> = row.get("found");
        let oldest: i64 = row.get("oldest");
        let same_server = row.get::<_, SystemTime>("server") == begun.server;
        Ok(same_server.then(|| Mark {
            found: found.into_iter().filter_map(hash).collect(),
            oldest: oldest.min(begun.transaction),
        }))
    }
}

fn hash(stored: &[u8]) -> Option<ContentHash> {
    stored.try_into().ok().map(ContentHash::from_bytes)
}
