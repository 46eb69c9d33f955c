//! Listing checkpoints, page by page.

use super::parameters::{Bound, parameters};
use super::read::{BELOW, LOADED, Only, ROWS};
use super::template::{Composed, Schema, Template};
use crate::postgres::wire::Jsonb;

parameters! {
    /// The checkpoint after which a page goes on.
    struct After<'a> {
        last_id: &'a str,
        last_thread_id: &'a str,
        last_ns: &'a str,
    }
}

parameters! {
    /// A filter, and up to how many checkpoints are counted.
    struct CountedCheckpoints<'a> {
        filter: Jsonb<'a>,
        most: i64,
    }
}

/// How a page of all threads' checkpoints finds those that match its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Matching {
    /// Among as many of the next ones: a look at whether there are many.
    Among(i64),
    /// By the index: they are few.
    Few,
    /// Among all of them, one after the other: there are many.
    Many,
}

/// What restricts a page of a list. Each combination is a statement of its own, so that each gets a
/// plan of its own.
#[derive(Debug)]
pub(in crate::postgres) struct ListRestrictions<'a> {
    pub(in crate::postgres) thread_id: Option<&'a str>,
    pub(in crate::postgres) checkpoint_ns: Option<&'a str>,
    pub(in crate::postgres) checkpoint_id: Option<&'a str>,
    pub(in crate::postgres) filter: Option<Jsonb<'a>>,
    /// Counts only without a thread.
    pub(in crate::postgres) matching: Matching,
    pub(in crate::postgres) before: Option<&'a str>,
    pub(in crate::postgres) after: Option<After<'a>>,
    pub(in crate::postgres) limit: i64,
}

/// Up to how many checkpoints match a filter.
pub(super) const COUNT_CHECKPOINTS: Template<CountedCheckpoints<'static>> =
    Template::new(&["-- checkpointer::count_checkpoints
SELECT count(*) AS found FROM (
    SELECT FROM {schema}.checkpoints WHERE metadata @> {filter} LIMIT {most}) AS matching"]);

impl Schema {
    /// A page of a list of checkpoints.
    pub(super) fn list<'p>(&self, only: &'p Only<'p>, page: &'p ListRestrictions<'p>) -> Bound<'p> {
        let mut list = match (page.thread_id, page.checkpoint_ns) {
            (Some(_), None) => page.of_namespaces(),
            (Some(_), Some(_)) => page.of_all("c.metadata @> {filter}"),
            (None, _) => page.of_threads(),
        };
        list.push(LIST_ORDER);
        list.push(LOADED);
        list.push(BELOW);
        list.push(ROWS);
        list.take_group(only);
        list.take("limit", &page.limit);
        self.composed(list)
    }
}

impl ListRestrictions<'_> {
    /// Of one thread, in each of its namespaces: so no more of one is read than a page, however long
    /// the thread is.
    fn of_namespaces<'p>(&'p self) -> Composed<'p> {
        let mut list = Composed::new(LIST_THREAD);
        self.restrict(&mut list);
        list.restrict("c.metadata @> {filter}", "filter", &self.filter);
        list.push(LIST_THREAD_ORDER);
        list
    }

    /// Of all threads, found as it suits the filter.
    fn of_threads<'p>(&'p self) -> Composed<'p> {
        match (&self.filter, &self.matching) {
            (None, _) => self.of_all(""),
            (_, Matching::Many) => self.of_all("(c.metadata || '{}') @> {filter}"),
            (Some(filter), Matching::Few) => {
                let mut list = Composed::new(LIST_FEW);
                list.take("filter", filter);
                self.restrict(&mut list);
                list.push(LIST_FEW_ORDER);
                list
            }
            (Some(filter), Matching::Among(window)) => {
                let mut list = Composed::new(LIST_AMONG);
                self.restrict(&mut list);
                list.push(LIST_AMONG_ORDER);
                list.take("window", window);
                list.take("filter", filter);
                list
            }
        }
    }

    /// Of whatever the restrictions leave.
    fn of_all<'p>(&'p self, matches: &str) -> Composed<'p> {
        let mut list = Composed::new(LIST);
        self.restrict(&mut list);
        list.restrict(matches, "filter", &self.filter);
        list
    }

    /// Restricts a statement by everything but the filter.
    fn restrict<'p>(&'p self, list: &mut Composed<'p>) {
        list.restrict("c.thread_id = {thread_id}", "thread_id", &self.thread_id);
        list.restrict("c.checkpoint_ns = {ns}", "ns", &self.checkpoint_ns);
        list.restrict("c.checkpoint_id = {id}", "id", &self.checkpoint_id);
        list.restrict("c.checkpoint_id < {before}", "before", &self.before);
        if let Some(after) = &self.after {
            list.push(BEHIND_LAST);
            list.take_group(after);
        }
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

/// The same in one thread, with whatever else restricts it in each of its namespaces.
const LIST_THREAD: &str = "-- checkpointer::list
WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM {schema}.threads AS t JOIN {schema}.heads AS h USING (thread_id) CROSS JOIN LATERAL (
            SELECT c.* FROM {schema}.checkpoints AS c
            WHERE c.checkpoint_ns = h.checkpoint_ns";

/// The same of those whose metadata the index finds: first their keys, then a page of them.
const LIST_FEW: &str = "-- checkpointer::list
WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM (
            SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id FROM (
                SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id
                FROM {schema}.checkpoints AS c WHERE c.metadata @> {filter}";

/// Looks up a page of those that were found.
const LIST_FEW_ORDER: &str = " OFFSET 0) AS c
            ORDER BY c.checkpoint_id DESC, c.thread_id, c.checkpoint_ns LIMIT {limit}) AS key
        CROSS JOIN LATERAL (
            SELECT c.* FROM {schema}.checkpoints AS c
            WHERE c.thread_id = key.thread_id AND c.checkpoint_ns = key.checkpoint_ns
              AND c.checkpoint_id = key.checkpoint_id OFFSET 0) AS c
        CROSS JOIN LATERAL (
            SELECT t.generation, t.gc FROM {schema}.threads AS t
            WHERE t.thread_id = c.thread_id OFFSET 0) AS t";

/// The same of those that match among the next ones.
const LIST_AMONG: &str = "-- checkpointer::list
WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM (
            SELECT c.* FROM {schema}.checkpoints AS c
            WHERE true";

/// Ends the next ones, and keeps those that match.
const LIST_AMONG_ORDER: &str = "
            ORDER BY c.checkpoint_id DESC, c.thread_id, c.checkpoint_ns LIMIT {window}) AS c
        CROSS JOIN LATERAL (
            SELECT t.generation, t.gc FROM {schema}.threads AS t
            WHERE t.thread_id = c.thread_id OFFSET 0) AS t
        WHERE c.metadata @> {filter}";

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
