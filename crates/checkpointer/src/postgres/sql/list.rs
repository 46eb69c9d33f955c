//! Listing checkpoints, page by page.

use super::parameters::{Bound, parameters};
use super::read::{Only, READ};
use super::template::{Composed, Schema};
use crate::postgres::wire::Jsonb;

parameters! {
    /// The checkpoint after which a page goes on.
    struct After<'a> {
        last_id: &'a str,
        last_thread_id: &'a str,
        last_ns: &'a str,
    }
}

/// What restricts a page of a list. Each combination is a statement of its own, so that each gets a
/// plan of its own.
#[derive(Debug)]
pub(in crate::postgres) struct ListRestrictions<'a> {
    pub(in crate::postgres) thread_id: Option<&'a str>,
    pub(in crate::postgres) checkpoint_ns: Option<&'a str>,
    pub(in crate::postgres) checkpoint_id: Option<&'a str>,
    pub(in crate::postgres) filter: Option<Jsonb<'a>>,
    pub(in crate::postgres) before: Option<&'a str>,
    pub(in crate::postgres) after: Option<After<'a>>,
}

impl Schema {
    /// A page of a list of checkpoints.
    pub(super) fn list<'p>(
        &self,
        only: &'p Only<'p>,
        limit: &'p i64,
        restrictions: &'p ListRestrictions<'p>,
    ) -> Bound<'p> {
        let ListRestrictions {
            thread_id,
            checkpoint_ns,
            checkpoint_id,
            filter,
            before,
            after,
        } = restrictions;
        let by_namespace = thread_id.is_some() && checkpoint_ns.is_none();
        let mut list = Composed::new(if by_namespace { LIST_THREAD } else { LIST });
        list.take_group(only);
        list.take("limit", limit);
        list.restrict("c.thread_id = {thread_id}", "thread_id", thread_id);
        list.restrict("c.checkpoint_ns = {ns}", "ns", checkpoint_ns);
        list.restrict("c.checkpoint_id = {id}", "id", checkpoint_id);
        list.restrict("c.metadata @> {filter}", "filter", filter);
        list.restrict("c.checkpoint_id < {before}", "before", before);
        if let Some(after) = after {
            list.push(BEHIND_LAST);
            list.take_group(after);
        }
        if by_namespace {
            list.push(LIST_THREAD_ORDER);
        }
        list.push(LIST_ORDER);
        list.push(READ);
        self.composed(list)
    }
}

/// Chooses a page of checkpoints. Threads are looked up by their keys: joined, the planner would
/// read all of them.
const LIST: &str = "-- checkpointer::list
WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM {schema}.checkpoints AS c CROSS JOIN LATERAL (
            SELECT t.generation, t.gc FROM {schema}.threads AS t
            WHERE t.thread_id = c.thread_id OFFSET 0) AS t
        WHERE true";

/// The same in one thread, with whatever else restricts it in each of its namespaces: so no more of
/// one is read than a page, however long the thread is.
const LIST_THREAD: &str = "-- checkpointer::list
WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM {schema}.threads AS t JOIN {schema}.heads AS h USING (thread_id) CROSS JOIN LATERAL (
            SELECT c.* FROM {schema}.checkpoints AS c
            WHERE c.checkpoint_ns = h.checkpoint_ns";

/// Goes on after the last checkpoint of a page.
const BEHIND_LAST: &str = "
  AND c.checkpoint_id <= {last_id} AND (c.checkpoint_id < {last_id}
    OR (c.thread_id, c.checkpoint_ns) > ({last_thread_id}, {last_ns}))";

/// Ends what is read of a namespace.
const LIST_THREAD_ORDER: &str = "
            ORDER BY c.checkpoint_id DESC LIMIT {limit}) AS c
        WHERE t.thread_id = {thread_id}";

/// The order of a list: by id, and by place where two ids are the same.
const LIST_ORDER: &str = "
        ORDER BY c.checkpoint_id DESC, c.thread_id, c.checkpoint_ns LIMIT {limit}) AS page";
