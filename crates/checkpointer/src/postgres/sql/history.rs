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
/// isn't stored here either. The kinds of rows: `seed`, a stored value; `write`, a pending write;
/// `chunk`.
pub(super) const CHANNEL_HISTORY: Template<History<'static>> =
    Template::new(&["-- checkpointer::channel_history
WITH RECURSIVE ancestors AS (
    SELECT 0 AS depth, c.checkpoint_id, c.parent_checkpoint_id, NULL::jsonb AS found,
        '{}'::text[] AS wanted, {keys} AS rest, c.checkpoint_id AS target
    FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))
    UNION ALL
    SELECT a.depth + 1, c.checkpoint_id, c.parent_checkpoint_id,
        (SELECT pg_catalog.jsonb_object_agg(key, c.channels -> key) FROM pg_catalog.unnest(a.rest) AS key
            WHERE c.channels ? key),
        a.rest,
        ARRAY(SELECT key FROM pg_catalog.unnest(a.rest) AS key WHERE NOT c.channels ? key), a.target
    FROM ancestors AS a
    JOIN {schema}.checkpoints AS c
      ON c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
        AND c.checkpoint_id = a.parent_checkpoint_id AND c.checkpoint_id <> a.target
    WHERE pg_catalog.cardinality(a.rest) > 0 AND a.depth <= (
        SELECT count(*) FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns})
), asked AS MATERIALIZED (
    SELECT channel, key FROM unnest({channels}, {keys}) AS asked (channel, key)
), history AS MATERIALIZED (
    SELECT 'seed' AS kind, a.depth, asked.channel, NULL AS task_id, NULL AS task_path,
        NULL::integer AS idx, a.found -> asked.key AS content
    FROM ancestors AS a JOIN asked ON a.found ? asked.key
    UNION ALL
    SELECT 'write', a.depth, w.channel, w.task_id, w.task_path, w.idx, w.value
    FROM ancestors AS a JOIN asked ON asked.key = ANY (a.wanted)
    JOIN {schema}.pending_writes AS w
      ON w.thread_id = {thread_id} AND w.checkpoint_ns = {ns}
        AND w.checkpoint_id = a.checkpoint_id AND w.channel = asked.channel
), needed AS (
    SELECT top.hash, top.depth
    FROM (SELECT content AS value FROM history) AS stored,
        {schema}.top_chunks(stored.value) AS top
    WHERE {is_reference}
    UNION
    SELECT below.hash, needed.depth - 1
    FROM needed JOIN {schema}.chunks AS c ON c.thread_id = {thread_id} AND c.hash = needed.hash,
        {schema}.unpacked(c.refs) AS below
    WHERE sign(needed.depth) = 1
)
SELECT kind, depth, channel, task_id, task_path, idx, NULL::bytea AS hash, NULL::bytea AS refs,
    content
FROM history
UNION ALL
SELECT 'chunk', NULL, NULL, NULL, NULL, NULL, c.hash, c.refs, c.content
FROM {schema}.chunks AS c WHERE c.thread_id = {thread_id} AND c.hash IN (SELECT hash FROM needed)"]);
