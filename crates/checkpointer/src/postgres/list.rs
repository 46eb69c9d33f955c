//! Listing checkpoints, page by page.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::encode::encode_filter;
use super::engine::Engine;
use super::read::Read;
use super::sql::{After, ListRestrictions, Only};
use super::standby::Standby;
use super::wire::Jsonb;
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, List, Projection, Result,
    ThreadId,
};

/// How many checkpoints a page has at most if their values are read. It has fewer if they are
/// large.
const PAGE: usize = 64;

/// How many if only ids and metadata are.
const METADATA_PAGE: usize = 1000;

/// Lists checkpoints; a connection is held only while a page is fetched.
pub(super) fn pages(
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
    query: List,
) -> BoxStream<'static, Result<CheckpointTuple>> {
    let left = query.limit.unwrap_or(usize::MAX);
    let most = match query.projection {
        Projection::Metadata => METADATA_PAGE,
        _ => PAGE,
    };
    let pages = stream::try_unfold(
        (engine, standby, query, left, most, None),
        |(engine, standby, query, left, most, last)| async move {
            let page = left.min(most);
            if page == 0 {
                return Ok(None);
            }
            let Read { tuples, is_whole } = engine
                .page(&query, page, last.as_ref(), standby.as_deref())
                .await?;
            let is_last = is_whole && tuples.len() < page;
            let left = if is_last { 0 } else { left - tuples.len() };
            // What didn't fit is sent once more, so the next page is shorter.
            let most = if is_whole { most } else { tuples.len() };
            let last = tuples.last().map(|tuple| tuple.address.clone());
            let tuples = stream::iter(tuples.into_iter().map(Ok));
            Ok(Some((tuples, (engine, standby, query, left, most, last))))
        },
    );
    pages.try_flatten().boxed()
}

impl Engine {
    async fn page(
        &self,
        query: &List,
        page: usize,
        last: Option<&CheckpointAddress>,
        standby: Option<&Standby>,
    ) -> Result<Read> {
        let _begun = self.begin()?;
        let Some(filter) = encode_filter(query.filter.as_ref()) else {
            return Ok(Read::nothing());
        };
        let only = Only::of(&query.projection);
        let limit = i64::try_from(page).unwrap_or(i64::MAX);
        let restrictions = ListRestrictions {
            thread_id: query.thread_id.as_ref().map(ThreadId::as_str),
            checkpoint_ns: query.checkpoint_ns.as_ref().map(CheckpointNs::as_str),
            checkpoint_id: query.checkpoint_id.as_ref().map(CheckpointId::as_str),
            filter: filter.as_deref().map(Jsonb),
            before: query.before.as_ref().map(CheckpointId::as_str),
            after: last.map(|last| After {
                last_id: last.checkpoint_id.as_str(),
                last_thread_id: last.thread_id.as_str(),
                last_ns: last.checkpoint_ns.as_str(),
            }),
        };
        let asked = self.store.sql.list(&only, &limit, &restrictions);
        let rows = self.store.read("list checkpoints", standby, asked).await?;
        self.store.tuples(&rows, &query.projection)
    }
}
