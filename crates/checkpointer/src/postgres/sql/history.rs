//! Walking through the ancestors of a checkpoint.

use super::parameters::parameters;
use super::template::Template;

parameters! {
    /// The channels of a checkpoint, or of a head, whose history is read.
    struct History<'a> {
        thread_id: &'a str,
        ns: &'a str,
        /// Null for the head.
        id: Option<&'a str>,
        channels: &'a [String],
        /// The channels' keys as they are stored, in the same order.
        keys: Vec<String>,
    }
}

/// Walks from a checkpoint's parent towards the root, for each channel to its nearest stored value.
///
/// `ancestors` is the target and then its ancestors, of which it isn't one even if it was put as its
/// own parent. `wanted` are the channels whose value wasn't found before, and `rest` those whose value
/// isn't stored here either. `passed` is the ancestor whose depth is the last power of two: a walk that
/// comes back to it goes round in a ring, and ends there. By then it may have met some ancestors twice.
///
/// The kinds of rows: `seed`, a stored value; `write`, a pending write; `chunk`. All is looked up by its
/// key, as `READ` does and says why. The condition of `asked` always holds: with it the planner doesn't
/// go by the number of channels, for which it would make a new plan in each call.
pub(super) const CHANNEL_HISTORY: Template<History<'static>> =
    Template::new(&["-- checkpointer::channel_history
WITH RECURSIVE ancestors AS (
    SELECT 0 AS depth, c.checkpoint_id, c.parent_checkpoint_id, NULL::jsonb AS found,
        '{}'::text[] AS wanted, {keys} AS rest, c.checkpoint_id AS target,
        c.checkpoint_id AS passed
    FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))
    UNION ALL
    SELECT a.depth + 1, c.checkpoint_id, c.parent_checkpoint_id,
        (SELECT pg_catalog.jsonb_object_agg(key, c.channels -> key) FROM pg_catalog.unnest(a.rest) AS key
            WHERE c.channels ? key),
        a.rest,
        ARRAY(SELECT key FROM pg_catalog.unnest(a.rest) AS key WHERE NOT c.channels ? key), a.target,
        CASE WHEN a.depth & (a.depth + 1) = 0 THEN c.checkpoint_id ELSE a.passed END
    FROM ancestors AS a CROSS JOIN LATERAL (
        SELECT * FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
          AND c.checkpoint_id = a.parent_checkpoint_id OFFSET 0) AS c
    WHERE pg_catalog.cardinality(a.rest) > 0 AND c.checkpoint_id NOT IN (a.target, a.passed)
), asked AS MATERIALIZED (
    SELECT channel, key FROM unnest({channels}, {keys}) AS asked (channel, key)
    WHERE sign(length(key) + 1) = 1
), history AS MATERIALIZED (
    SELECT 'seed' AS kind, a.checkpoint_id, a.depth, asked.channel, NULL AS task_id, NULL AS task_path,
        NULL::integer AS idx, a.found -> asked.key AS content
    FROM ancestors AS a JOIN asked ON a.found ? asked.key
    UNION ALL
    SELECT 'write', a.checkpoint_id, a.depth, w.channel, w.task_id, w.task_path, w.idx, w.value
    FROM ancestors AS a JOIN asked ON asked.key = ANY (a.wanted) CROSS JOIN LATERAL (
        SELECT * FROM {schema}.pending_writes AS w
        WHERE w.thread_id = {thread_id} AND w.checkpoint_ns = {ns}
          AND w.checkpoint_id = a.checkpoint_id AND w.channel = asked.channel OFFSET 0) AS w
), needed AS (
    SELECT top.hash, top.depth
    FROM (SELECT content AS value FROM history) AS stored,
        {schema}.top_chunks(stored.value) AS top
    WHERE {is_reference}
    UNION
    SELECT below.hash, needed.depth - 1
    FROM needed CROSS JOIN LATERAL (
        SELECT c.refs FROM {schema}.chunks AS c
        WHERE c.thread_id = {thread_id} AND c.hash = needed.hash OFFSET 0) AS c,
        {schema}.unpacked(c.refs) AS below
    WHERE sign(needed.depth) = 1
)
SELECT kind, checkpoint_id, depth, channel, task_id, task_path, idx, NULL::bytea AS hash,
    NULL::bytea AS refs, content
FROM history
UNION ALL
SELECT 'chunk', NULL, NULL, NULL, NULL, NULL, NULL, c.hash, c.refs, c.content
FROM (SELECT DISTINCT hash FROM needed) AS needed CROSS JOIN LATERAL (
    SELECT * FROM {schema}.chunks AS c
    WHERE c.thread_id = {thread_id} AND c.hash = needed.hash OFFSET 0) AS c"]);
