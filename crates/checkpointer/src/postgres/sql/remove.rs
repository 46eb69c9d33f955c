//! Removing some of the checkpoints of a thread.

use db::Type;

use super::Template;

/// Reads what decides which of a thread's checkpoints may go, page by page: those after one, in the
/// order of their keys.
pub(super) const NODES: Template = Template {
    sql: "-- checkpointer::nodes
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, h.checkpoint_id AS head,
    ARRAY(SELECT jsonb_object_keys(c.channels)) AS filled,
    ARRAY(SELECT jsonb_object_keys(c.checkpoint -> 'channel_versions')) AS versions,
    ARRAY(SELECT w.channel FROM {schema}.pending_writes AS w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
          AND w.checkpoint_id = c.checkpoint_id) AS written,
    (c.checkpoint ->> 'v')::bigint AS v,
    c.metadata -> 'parents' ->> '' AS root,
    EXISTS (SELECT FROM pg_catalog.unnest({runs}) AS run (metadata)
        WHERE c.metadata @> run.metadata) AS of_runs
FROM {schema}.checkpoints AS c
JOIN {schema}.heads AS h USING (thread_id, checkpoint_ns)
WHERE c.thread_id = {thread_id} AND (c.checkpoint_ns, c.checkpoint_id) > ({last_ns}, {last_id})
ORDER BY c.checkpoint_ns, c.checkpoint_id LIMIT {limit}",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("runs", Type::JSONB_ARRAY),
        ("last_ns", Type::TEXT),
        ("last_id", Type::TEXT),
        ("limit", Type::INT8),
    ],
};

/// Removes checkpoints with their writes, and whole namespaces.
///
/// Where a head goes, the checkpoint put last among the rest becomes the head. A parent that goes
/// is forgotten. Writes that have waited too long for their checkpoint go as well. The thread is
/// locked.
pub(super) const REMOVE: Template = Template {
    sql: "-- checkpointer::remove
WITH d AS MATERIALIZED (
    SELECT checkpoint_ns, checkpoint_id
    FROM unnest({removed_ns}, {removed_ids}) AS d (checkpoint_ns, checkpoint_id)
), c AS (
    DELETE FROM {schema}.checkpoints AS c USING d
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = d.checkpoint_ns
      AND c.checkpoint_id = d.checkpoint_id
), w AS (
    DELETE FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND (
        w.checkpoint_ns = ANY ({over_ns})
        OR (w.checkpoint_ns, w.checkpoint_id) IN (SELECT checkpoint_ns, checkpoint_id FROM d)
        OR (w.written_at < now() - {micros} * interval '1 microsecond' AND NOT EXISTS (
            SELECT FROM {schema}.checkpoints AS c
            WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = w.checkpoint_ns
              AND c.checkpoint_id = w.checkpoint_id)))
), p AS (
    UPDATE {schema}.checkpoints AS c SET parent_checkpoint_id = NULL
    FROM unnest({orphaned_ns}, {orphaned_ids}) AS o (checkpoint_ns, checkpoint_id)
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = o.checkpoint_ns
      AND c.checkpoint_id = o.checkpoint_id
), lost AS MATERIALIZED (
    SELECT h.checkpoint_ns FROM {schema}.heads AS h JOIN d USING (checkpoint_ns, checkpoint_id)
    WHERE h.thread_id = {thread_id}
), last AS MATERIALIZED (
    SELECT DISTINCT ON (c.checkpoint_ns) c.checkpoint_ns, c.checkpoint_id
    FROM {schema}.checkpoints AS c JOIN lost USING (checkpoint_ns)
    WHERE c.thread_id = {thread_id}
      AND (c.checkpoint_ns, c.checkpoint_id) NOT IN (SELECT checkpoint_ns, checkpoint_id FROM d)
    ORDER BY c.checkpoint_ns, c.seq DESC
), h AS (
    UPDATE {schema}.heads SET checkpoint_id = last.checkpoint_id, updated_at = now()
    FROM last
    WHERE heads.thread_id = {thread_id} AND heads.checkpoint_ns = last.checkpoint_ns
), e AS (
    DELETE FROM {schema}.heads USING lost
    WHERE heads.thread_id = {thread_id} AND heads.checkpoint_ns = lost.checkpoint_ns
      AND NOT EXISTS (SELECT FROM last WHERE last.checkpoint_ns = lost.checkpoint_ns)
)
UPDATE {schema}.threads SET gc = gc + 1 WHERE thread_id = {thread_id}",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("removed_ns", Type::TEXT_ARRAY),
        ("removed_ids", Type::TEXT_ARRAY),
        // Those that stay and lose their parent.
        ("orphaned_ns", Type::TEXT_ARRAY),
        ("orphaned_ids", Type::TEXT_ARRAY),
        // The namespaces that go with the writes whose checkpoint never came.
        ("over_ns", Type::TEXT_ARRAY),
        // How long writes wait for their checkpoint.
        ("micros", Type::INT8),
    ],
};

/// Finds the threads of runs.
pub(super) const THREADS_OF_RUNS: Template = Template {
    sql: "-- checkpointer::threads_of_runs
SELECT DISTINCT c.thread_id FROM pg_catalog.unnest({runs}) AS run (metadata)
JOIN {schema}.checkpoints AS c ON c.metadata @> run.metadata
ORDER BY c.thread_id",
    parameters: &[("runs", Type::JSONB_ARRAY)],
};

/// Removes the chunks of a thread that nothing refers to any more: a statement of its own, after
/// the references are gone. The thread is locked.
pub(super) const SWEEP_CHUNKS: Template = Template {
    sql: "-- checkpointer::sweep_chunks
WITH RECURSIVE r AS (
    SELECT f.value AS reference
    FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS f
    WHERE c.thread_id = {thread_id} AND jsonb_typeof(f.value) = 'object'
    UNION ALL
    SELECT w.value FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND jsonb_typeof(w.value) = 'object'
), k AS (
    SELECT top.hash FROM r, {schema}.top_chunks(r.reference) AS top
    UNION
    SELECT below.hash
    FROM k JOIN {schema}.chunks AS c ON c.thread_id = {thread_id} AND c.hash = k.hash,
        {schema}.unpacked(c.refs) AS below
)
DELETE FROM {schema}.chunks WHERE thread_id = {thread_id} AND hash NOT IN (SELECT hash FROM k)",
    parameters: &[("thread_id", Type::TEXT)],
};
