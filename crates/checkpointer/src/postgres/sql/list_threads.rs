//! Listing threads, page by page.
//!
//! A page is a window of the threads' last changes, with what becomes of it: a part of the window may
//! be older changes of threads that are listed elsewhere, or threads that the restrictions exclude.
//! So no statement reads more than its window, and the client goes on where the window ended.

use std::time::SystemTime;

use super::parameters::{Bound, parameters};
use super::template::{Composed, Schema, Template};
use crate::ThreadOrder;
use crate::postgres::wire::Jsonb;

parameters! {
    /// The change after which a page goes on.
    struct AfterThread<'a> {
        last_at: SystemTime,
        last_thread_id: &'a str,
    }
}

parameters! {
    /// A filter, and up to how many threads are counted.
    struct CountedThreads<'a> {
        filter: Jsonb<'a>,
        most: i64,
    }
}

/// What restricts a page of a list. Each combination is a statement of its own, so that each gets a
/// plan of its own.
#[derive(Debug)]
pub(in crate::postgres) struct ThreadRestrictions<'a> {
    pub(in crate::postgres) order: ThreadOrder,
    /// Whether the filter's threads are found by the index, because they are few.
    pub(in crate::postgres) few: bool,
    pub(in crate::postgres) filter: Option<Jsonb<'a>>,
    pub(in crate::postgres) state: Option<Jsonb<'a>>,
    pub(in crate::postgres) changed_before: Option<SystemTime>,
    pub(in crate::postgres) changed_after: Option<SystemTime>,
    pub(in crate::postgres) after: Option<AfterThread<'a>>,
    /// How many changes the window has.
    pub(in crate::postgres) window: i64,
    /// How many threads are returned at most.
    pub(in crate::postgres) limit: i64,
}

/// Up to how many threads match a filter.
pub(super) const COUNT_THREADS: Template<CountedThreads<'static>> =
    Template::new(&["-- checkpointer::count_threads
SELECT count(*) AS found FROM (
    SELECT FROM {schema}.threads WHERE metadata @> {filter} AND deleted_at IS NULL LIMIT {most})
    AS matching"]);

impl Schema {
    /// A page of a list of threads.
    pub(super) fn threads<'p>(&self, page: &'p ThreadRestrictions<'p>) -> Bound<'p> {
        let mut threads = Composed::new(BEGIN);
        match page.few {
            true => threads.push(&page.in_order(FEW, &page.within(None, "at.updated_at", "t"))),
            false => {
                let heads = page.within(Some("h.changed"), "h.updated_at", "h");
                threads.push(&page.in_order(HEADS, &heads));
                threads.push(&page.in_order(HEADLESS, &page.within(None, "t.created_at", "t")));
            }
        }
        threads.push(FOUND);
        if !page.few {
            threads.push(IS_LATEST);
        }
        if page.filter.is_some() {
            threads.push("\n          AND t.metadata @> {filter}");
        }
        threads.push(&page.in_order(FOUND_ORDER, ""));
        if page.state.is_some() {
            threads.push(CONTAINS_STATE);
        }
        threads.push(&page.in_order(PAGE, ""));
        page.parameters(&mut threads);
        self.composed(threads)
    }
}

impl ThreadRestrictions<'_> {
    /// Which changes are among those that are asked for, as conditions on the columns that have their
    /// hour, time and thread.
    fn within(&self, hour: Option<&str>, at: &str, of: &str) -> String {
        let mut within = String::new();
        let (is_behind, may_be_behind) = match self.order {
            ThreadOrder::NewestFirst => ("<", "<="),
            ThreadOrder::OldestFirst => (">", ">="),
        };
        for (is_some, is, may_be, time) in [
            (self.changed_before.is_some(), "<", "<=", "{changed_before}"),
            (self.changed_after.is_some(), ">", ">=", "{changed_after}"),
            (
                self.after.is_some(),
                may_be_behind,
                may_be_behind,
                "{last_at}",
            ),
        ] {
            if is_some {
                if let Some(hour) = hour {
                    within.push_str(&format!(
                        "\n  AND {hour} {may_be} date_trunc('hour', {time} AT TIME ZONE 'UTC')"
                    ));
                }
                within.push_str(&format!("\n  AND {at} {is} {time}"));
            }
        }
        if self.after.is_some() {
            within.push_str(&format!(
                "\n  AND ({at} {is_behind} {{last_at}} OR {of}.thread_id > {{last_thread_id}})"
            ));
        }
        within
    }

    /// A part of the statement with its conditions and the direction of its order.
    fn in_order(&self, part: &str, within: &str) -> String {
        let direction = match self.order {
            ThreadOrder::NewestFirst => "DESC",
            ThreadOrder::OldestFirst => "ASC",
        };
        let part = part.replace("{within}", within);
        part.replace("{direction}", direction)
    }

    fn parameters<'p>(&'p self, threads: &mut Composed<'p>) {
        threads.take("window", &self.window);
        threads.take("limit", &self.limit);
        if let Some(filter) = &self.filter {
            threads.take("filter", filter);
        }
        if let Some(state) = &self.state {
            threads.take("state", state);
        }
        if let Some(time) = &self.changed_before {
            threads.take("changed_before", time);
        }
        if let Some(time) = &self.changed_after {
            threads.take("changed_after", time);
        }
        if let Some(after) = &self.after {
            threads.take_group(after);
        }
    }
}

const BEGIN: &str = "-- checkpointer::threads
WITH walked AS MATERIALIZED (";

/// The window of changes: heads by their hours, and in each hour by their times.
const HEADS: &str = "
    SELECT * FROM ((
        SELECT h.thread_id, h.checkpoint_ns, h.updated_at FROM {schema}.heads AS h
        WHERE true{within}
        ORDER BY h.changed {direction}, h.updated_at {direction}, h.thread_id, h.checkpoint_ns DESC
        LIMIT {window})";

/// With them threads without a head, whose only time is the one at which they were made.
const HEADLESS: &str = "
        UNION ALL (
        SELECT t.thread_id, NULL, t.created_at FROM {schema}.threads AS t
        WHERE NOT t.has_head AND t.deleted_at IS NULL{within}
        ORDER BY t.created_at {direction}, t.thread_id LIMIT {window})) AS changes
    ORDER BY updated_at {direction}, thread_id, checkpoint_ns DESC NULLS LAST LIMIT {window}";

/// The window where the index of metadata finds the threads: their last changes.
const FEW: &str = "
    SELECT t.thread_id, at.updated_at FROM {schema}.threads AS t CROSS JOIN LATERAL (
        SELECT coalesce(max(h.updated_at), t.created_at) AS updated_at
        FROM {schema}.heads AS h WHERE h.thread_id = t.thread_id) AS at
    WHERE t.deleted_at IS NULL AND t.metadata @> {filter}{within}
    ORDER BY at.updated_at {direction}, t.thread_id LIMIT {window}";

/// The threads of the window. Each is looked up by its key: joined, the planner would read all.
const FOUND: &str = "
), found AS (
    SELECT * FROM (
        SELECT walked.thread_id, walked.updated_at, t.metadata, t.created_at, t.generation
        FROM walked CROSS JOIN LATERAL (
            SELECT t.metadata, t.created_at, t.generation FROM {schema}.threads AS t
            WHERE t.thread_id = walked.thread_id AND t.deleted_at IS NULL OFFSET 0) AS t
        WHERE true";

/// Of a thread's heads only the one that changed last counts.
const IS_LATEST: &str = "
          AND NOT EXISTS (
              SELECT FROM {schema}.heads AS h WHERE h.thread_id = walked.thread_id
                AND (walked.checkpoint_ns IS NULL OR (h.updated_at, h.checkpoint_ns)
                    > (walked.updated_at, walked.checkpoint_ns)) OFFSET 0)";

const FOUND_ORDER: &str = "
        ORDER BY walked.updated_at {direction}, walked.thread_id OFFSET 0) AS t
    WHERE true";

/// Whether the state at the root's head has all channels that are asked for, each with a value that
/// contains the one asked for. They are compared inside of arrays: at the top, an array contains its
/// plain items. A small value needs no function.
const CONTAINS_STATE: &str = "
      AND EXISTS (
        SELECT FROM {schema}.heads AS h CROSS JOIN LATERAL (
            SELECT c.channels FROM {schema}.checkpoints AS c
            WHERE c.thread_id = h.thread_id AND c.checkpoint_ns = h.checkpoint_ns
              AND c.checkpoint_id = h.checkpoint_id OFFSET 0) AS c
        WHERE h.thread_id = t.thread_id AND h.checkpoint_ns = '' AND NOT EXISTS (
            SELECT FROM jsonb_each({state}) AS wanted
            CROSS JOIN LATERAL (SELECT c.channels -> wanted.key AS stored) AS channel
            WHERE NOT coalesce(CASE jsonb_typeof(channel.stored)
                WHEN 'array' THEN channel.stored
                WHEN 'object' THEN pg_catalog.jsonb_build_array(
                    {schema}.stored_value(t.thread_id, channel.stored))
                END @> pg_catalog.jsonb_build_array(wanted.value), false))
        OFFSET 0)";

/// The page, and where the window ended if there is more: a row without a generation.
const PAGE: &str = "
    ORDER BY updated_at {direction}, thread_id LIMIT {limit}
)
SELECT found.*, (
    SELECT h.checkpoint_id FROM {schema}.heads AS h
    WHERE h.thread_id = found.thread_id AND h.checkpoint_ns = '') AS head
FROM found
UNION ALL (
    SELECT thread_id, updated_at, NULL, NULL, NULL, NULL FROM walked
    WHERE (SELECT count(*) FROM walked) = {window}
    ORDER BY row_number() OVER () DESC LIMIT 1)";
