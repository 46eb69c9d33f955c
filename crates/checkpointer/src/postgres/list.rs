//! Listing checkpoints, page by page.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_util::Stream;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::encode::encode_filter;
use super::engine::Engine;
use super::read::Read;
use super::sql::{After, CountedCheckpoints, ListRestrictions, Matching, Only};
use super::standby::Standby;
use super::wire::Jsonb;
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, Error, List, Projection,
    Result, ThreadId,
};

/// How many checkpoints a page has at most if their values are read. It has fewer if they are
/// large.
const PAGE: usize = 64;

/// How many if only ids and metadata are.
const METADATA_PAGE: usize = 1000;

/// Among how many of the next checkpoints a filter is tried, before its matches are counted.
const TRIED: i64 = 1000;

/// Up to how many matches are found by the index and sorted. Others are looked for among the next
/// checkpoints: in a million, a page of 64 is sooner found so if there are more than about 8,000.
const FEW: i64 = 10_000;

/// A list as far as it was read.
struct Pages {
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
    query: List,
    filter: Option<Vec<u8>>,
    left: usize,
    most: usize,
    matching: Matching,
    last: Option<CheckpointAddress>,
}

/// Lists checkpoints; a connection is held only while a page is fetched.
pub(super) fn pages(
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
    query: List,
) -> BoxStream<'static, Result<CheckpointTuple>> {
    // Nothing contains what can't be encoded.
    let Some(filter) = encode_filter(query.filter.as_ref()) else {
        return stream::empty().boxed();
    };
    let pages = Pages {
        engine,
        standby,
        filter,
        left: query.limit.unwrap_or(usize::MAX),
        most: match query.projection {
            Projection::Metadata => METADATA_PAGE,
            _ => PAGE,
        },
        matching: Matching::Among(TRIED),
        last: None,
        query,
    };
    let pages = stream::try_unfold(pages, |mut pages| async move {
        let page = pages.next().await?;
        Ok::<_, Error>(page.map(|page| (page, pages)))
    });
    let page = Vec::new().into_iter();
    let pages = pages.boxed();
    Checkpoints { page, pages }.boxed()
}

/// The checkpoints of a list, page by page.
struct Checkpoints {
    page: vec::IntoIter<CheckpointTuple>,
    pages: BoxStream<'static, Result<Vec<CheckpointTuple>>>,
}

impl Stream for Checkpoints {
    type Item = Result<CheckpointTuple>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(tuple) = self.page.next() {
                return Poll::Ready(Some(Ok(tuple)));
            }
            match ready!(self.pages.poll_next_unpin(cx)) {
                Some(Ok(page)) => self.page = page.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// How many checkpoints were read already, so that the next poll for one sends nothing.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.page.len(), None)
    }
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Vec<CheckpointTuple>>> {
        let page = self.left.min(self.most);
        if page == 0 {
            return Ok(None);
        }
        let Read {
            tuples, is_whole, ..
        } = self.read(page).await?;
        self.left -= tuples.len();
        if is_whole && tuples.len() < page {
            match self.was_tried() {
                true => self.matching = self.count().await?,
                false => self.left = 0,
            }
        }
        // What didn't fit is sent once more, so the next page is shorter.
        if !is_whole {
            self.most = tuples.len();
        }
        self.last = tuples
            .last()
            .map(|tuple| tuple.address.clone())
            .or(self.last.take());
        Ok(Some(tuples))
    }

    /// Whether the filter was tried among some of the checkpoints only.
    fn was_tried(&self) -> bool {
        let is_of_all = self.query.thread_id.is_none() && self.query.filter.is_some();
        is_of_all && matches!(self.matching, Matching::Among(_))
    }

    async fn read(&self, page: usize) -> Result<Read> {
        let (engine, query) = (&self.engine, &self.query);
        let _begun = engine.begin()?;
        let only = Only::of(&query.projection);
        let restrictions = ListRestrictions {
            thread_id: query.thread_id.as_ref().map(ThreadId::as_str),
            checkpoint_ns: query.checkpoint_ns.as_ref().map(CheckpointNs::as_str),
            checkpoint_id: query.checkpoint_id.as_ref().map(CheckpointId::as_str),
            filter: self.filter.as_deref().map(Jsonb),
            matching: self.matching,
            before: query.before.as_ref().map(CheckpointId::as_str),
            after: self.last.as_ref().map(|last| After {
                last_id: last.checkpoint_id.as_str(),
                last_thread_id: last.thread_id.as_str(),
                last_ns: last.checkpoint_ns.as_str(),
            }),
            limit: i64::try_from(page).unwrap_or(i64::MAX),
        };
        let store = &engine.store;
        let asked = store.sql.list(&only, &restrictions);
        let standby = self.standby.as_deref();
        let rows = store.read("list checkpoints", standby, asked).await?;
        store.tuples(&rows, &query.projection)
    }

    /// Whether few checkpoints match the filter, or many.
    async fn count(&self) -> Result<Matching> {
        let _begun = self.engine.begin()?;
        let counted = CountedCheckpoints {
            filter: Jsonb(self.filter.as_deref().unwrap_or(b"{}")),
            most: FEW + 1,
        };
        let store = &self.engine.store;
        let asked = store.sql.count_checkpoints.with(&counted);
        let standby = self.standby.as_deref();
        let rows = store.read("list checkpoints", standby, asked).await?;
        let found: i64 = rows.first().map_or(0, |row| row.get("found"));
        Ok(match found {
            ..=FEW => Matching::Few,
            _ => Matching::Many,
        })
    }
}
