//! Reading checkpoints, with everything that belongs to them.

use db::Type;

use super::Template;

/// The rows of a read, after the CTE `c` that chooses checkpoints. `only` are the channels to read,
/// or null for everything; without `state` only ids, metadata, formats and times are read.
///
/// The kinds of rows: `c` a checkpoint, `w` a pending write of the checkpoint with the same place,
/// `k` a chunk, once however many checkpoints share it.
///
/// `e` has all of a checkpoint that is read, so that nothing is joined: the planner takes a page
/// for a few rows, and would compare each of a thousand with each.
///
/// Chunks are looked up one by one, by their keys: the planner can't know how few they are, and
/// would read the whole table, or compile the statement. `sign(depth) = 1` says no more than
/// `depth > 0`, but the planner takes an equation for a rare thing.
pub(super) const READ: &str = "
), e AS MATERIALIZED (
    SELECT place, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, generation, gc,
        metadata, CASE WHEN {state} THEN checkpoint ELSE pg_catalog.jsonb_build_object(
            'format', checkpoint -> 'format', 'v', checkpoint -> 'v', 'ts', checkpoint -> 'ts'
        ) END AS checkpoint,
        CASE WHEN {only} IS NULL THEN channels
            WHEN NOT {state} THEN NULL
            WHEN jsonb_typeof(channels) <> 'object' THEN channels
            ELSE (SELECT pg_catalog.jsonb_object_agg(key, value) FROM jsonb_each(channels)
                WHERE key = ANY ({only}))
        END AS channels
    FROM c
), w AS MATERIALIZED (
    SELECT c.place, w.thread_id, w.task_id, w.task_path, w.idx, w.channel, w.value
    FROM c JOIN {schema}.pending_writes AS w
      ON w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.checkpoint_id
    WHERE {only} IS NULL
), r AS (
    SELECT e.thread_id, f.value AS reference
    FROM e, jsonb_each(CASE WHEN jsonb_typeof(e.channels) = 'object' THEN e.channels END) AS f
    WHERE {is_reference}
    UNION ALL
    SELECT f.thread_id, f.value FROM w AS f WHERE {is_reference}
), k AS (
    SELECT r.thread_id, top.hash, top.depth FROM r, {schema}.top_chunks(r.reference) AS top
    UNION
    SELECT k.thread_id, below.hash, k.depth - 1
    FROM k JOIN {schema}.chunks AS c USING (thread_id, hash), {schema}.unpacked(c.refs) AS below
    WHERE sign(k.depth) = 1
)
SELECT 'c' AS kind, place, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,
    NULL::integer AS idx, NULL::bytea AS hash, NULL::bytea AS refs, generation, gc,
    checkpoint AS content, channels, metadata
FROM e
UNION ALL
SELECT 'k', NULL, c.thread_id, NULL, NULL, NULL, NULL, c.hash, c.refs, NULL, NULL, c.content,
    NULL, NULL
FROM (SELECT DISTINCT thread_id, hash FROM k) AS k CROSS JOIN LATERAL (
    SELECT * FROM {schema}.chunks AS c
    WHERE c.thread_id = k.thread_id AND c.hash = k.hash OFFSET 0) AS c
UNION ALL
SELECT 'w', w.place, w.task_id, w.task_path, w.channel, NULL, w.idx, NULL, NULL, NULL, NULL, w.value,
    NULL, NULL
FROM w";

/// A head that names no checkpoint: not the same as none.
pub(super) const LOST_HEAD: &str = "
UNION ALL
SELECT 'h', NULL, h.thread_id, h.checkpoint_ns, h.checkpoint_id, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL
FROM {schema}.heads AS h
WHERE {id} IS NULL AND h.thread_id = {thread_id} AND h.checkpoint_ns = {ns}
  AND NOT EXISTS (SELECT FROM c)";

/// Chooses a head, or a checkpoint by its id.
pub(super) const GET_TUPLE: Template = Template {
    sql: "-- checkpointer::get_tuple
WITH RECURSIVE c AS MATERIALIZED (
    SELECT 1::bigint AS place, c.*, t.generation, t.gc
    FROM {schema}.checkpoints AS c JOIN {schema}.threads AS t USING (thread_id)
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))",
    parameters: &[
        ("only", Type::TEXT_ARRAY),
        ("state", Type::BOOL),
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
    ],
};

/// Chooses a page of checkpoints; [`ListKey`](super::ListKey) says what else it is restricted by.
pub(super) const LIST: &str = "-- checkpointer::list
WITH RECURSIVE c AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM {schema}.checkpoints AS c JOIN {schema}.threads AS t USING (thread_id)
        WHERE true";

/// The same in one thread, with whatever else restricts it in each of its namespaces: so no more of
/// one is read than a page, however long the thread is.
pub(super) const LIST_THREAD: &str = "-- checkpointer::list
WITH RECURSIVE c AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM {schema}.threads AS t JOIN {schema}.heads AS n USING (thread_id) CROSS JOIN LATERAL (
            SELECT c.* FROM {schema}.checkpoints AS c
            WHERE c.checkpoint_ns = n.checkpoint_ns";

/// Ends what is read of a namespace.
pub(super) const LIST_THREAD_ORDER: &str = "
            ORDER BY c.checkpoint_id DESC LIMIT {limit}) AS c
        WHERE t.thread_id = {thread_id}";

/// The order of a list: by id, and by place where two ids are the same.
pub(super) const LIST_ORDER: &str = "
        ORDER BY c.checkpoint_id DESC, c.thread_id, c.checkpoint_ns LIMIT {limit}) AS page";

/// Walks from a checkpoint's parent towards the root, for each channel to its nearest stored value.
///
/// `a` is the target and then its ancestors; `wanted` are the channels whose value wasn't found
/// before, `rest` those whose value isn't stored here either. The kinds of rows: `s` a stored
/// value, `w` a write, `k` a chunk.
pub(super) const CHANNEL_HISTORY: Template = Template {
    sql: "-- checkpointer::channel_history
WITH RECURSIVE a AS (
    SELECT 0 AS depth, c.checkpoint_id, c.parent_checkpoint_id, NULL::jsonb AS found,
        '{}'::text[] AS wanted, {keys} AS rest
    FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))
    UNION ALL
    SELECT a.depth + 1, c.checkpoint_id, c.parent_checkpoint_id,
        (SELECT pg_catalog.jsonb_object_agg(key, c.channels -> key) FROM pg_catalog.unnest(a.rest) AS key
            WHERE c.channels ? key),
        a.rest,
        ARRAY(SELECT key FROM pg_catalog.unnest(a.rest) AS key WHERE NOT c.channels ? key)
    FROM a
    JOIN {schema}.checkpoints AS c
      ON c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
        AND c.checkpoint_id = a.parent_checkpoint_id
    WHERE pg_catalog.cardinality(a.rest) > 0 AND a.depth <= (
        SELECT count(*) FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns})
), m AS MATERIALIZED (
    SELECT channel, key FROM unnest({channels}, {keys}) AS m (channel, key)
), v AS MATERIALIZED (
    SELECT 's' AS kind, a.depth, m.channel, NULL AS task_id, NULL AS task_path,
        NULL::integer AS idx, a.found -> m.key AS content
    FROM a JOIN m ON a.found ? m.key
    UNION ALL
    SELECT 'w', a.depth, w.channel, w.task_id, w.task_path, w.idx, w.value
    FROM a JOIN m ON m.key = ANY (a.wanted)
    JOIN {schema}.pending_writes AS w
      ON w.thread_id = {thread_id} AND w.checkpoint_ns = {ns}
        AND w.checkpoint_id = a.checkpoint_id AND w.channel = m.channel
), k AS (
    SELECT top.hash, top.depth
    FROM (SELECT content AS value FROM v) AS f, {schema}.top_chunks(f.value) AS top
    WHERE {is_reference}
    UNION
    SELECT below.hash, k.depth - 1
    FROM k JOIN {schema}.chunks AS c ON c.thread_id = {thread_id} AND c.hash = k.hash,
        {schema}.unpacked(c.refs) AS below
    WHERE sign(k.depth) = 1
)
SELECT kind, depth, channel, task_id, task_path, idx, NULL::bytea AS hash, NULL::bytea AS refs,
    content
FROM v
UNION ALL
SELECT 'k', NULL, NULL, NULL, NULL, NULL, c.hash, c.refs, c.content
FROM {schema}.chunks AS c WHERE c.thread_id = {thread_id} AND c.hash IN (SELECT hash FROM k)",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("channels", Type::TEXT_ARRAY),
        ("keys", Type::TEXT_ARRAY),
    ],
};
