//! Removing some of the checkpoints of a thread.

use super::parameters::parameters;
use super::template::Template;
use crate::postgres::wire::Jsonb;

parameters! {
    /// A page of a thread's checkpoints.
    struct NodesPage<'a> {
        thread_id: &'a str,
        runs: &'a [Jsonb<'a>],
        /// The last checkpoint of the page before.
        last_ns: &'a str,
        last_id: &'a str,
        limit: i64,
    }
}

parameters! {
    /// The checkpoints that are removed from a thread.
    struct RemovedCheckpoints<'a> {
        thread_id: &'a str,
        removed_ns: &'a [String],
        removed_ids: &'a [String],
        /// The checkpoints that stay and lose their parent.
        orphaned_ns: &'a [String],
        orphaned_ids: &'a [String],
        /// The namespaces that go with the writes whose checkpoint never came.
        over_ns: &'a [String],
        /// How long writes wait for their checkpoint.
        micros: i64,
    }
}

parameters! {
    /// Runs, as the metadata of their checkpoints names them.
    struct Runs<'a> {
        runs: &'a [Jsonb<'a>],
    }
}

parameters! {
    /// The thread whose chunks are swept.
    struct SweptThread<'a> {
        thread_id: &'a str,
    }
}

/// Reads what decides which of a thread's checkpoints may go, page by page: those after one, in the
/// order of their keys.
pub(super) const NODES: Template<NodesPage<'static>> = Template::new(&["-- checkpointer::nodes
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
ORDER BY c.checkpoint_ns, c.checkpoint_id LIMIT {limit}"]);

/// Removes checkpoints with their writes, and whole namespaces, and counts them. The thread is
/// locked.
///
/// - `removed_writes` also takes writes that have waited too long for their checkpoint.
/// - `orphaned` forgets a parent that goes.
/// - Where a head goes (`lost_heads`), the checkpoint put last among the rest becomes the head
///   (`next_heads`, `moved`). Where nothing is left, the head is removed (`removed_heads`).
pub(super) const REMOVE: Template<RemovedCheckpoints<'static>> =
    Template::new(&["-- checkpointer::remove
WITH removed AS MATERIALIZED (
    SELECT checkpoint_ns, checkpoint_id
    FROM unnest({removed_ns}, {removed_ids}) AS removed (checkpoint_ns, checkpoint_id)
), removed_checkpoints AS (
    DELETE FROM {schema}.checkpoints AS c USING removed
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = removed.checkpoint_ns
      AND c.checkpoint_id = removed.checkpoint_id
    RETURNING true
), removed_writes AS (
    DELETE FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND (
        w.checkpoint_ns = ANY ({over_ns})
        OR (w.checkpoint_ns, w.checkpoint_id) IN (SELECT checkpoint_ns, checkpoint_id FROM removed)
        OR (w.written_at < now() - {micros} * interval '1 microsecond' AND NOT EXISTS (
            SELECT FROM {schema}.checkpoints AS c
            WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = w.checkpoint_ns
              AND c.checkpoint_id = w.checkpoint_id)))
    RETURNING true
), orphaned AS (
    UPDATE {schema}.checkpoints AS c SET parent_checkpoint_id = NULL
    FROM unnest({orphaned_ns}, {orphaned_ids}) AS o (checkpoint_ns, checkpoint_id)
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = o.checkpoint_ns
      AND c.checkpoint_id = o.checkpoint_id
), lost_heads AS MATERIALIZED (
    SELECT h.checkpoint_ns
    FROM {schema}.heads AS h JOIN removed USING (checkpoint_ns, checkpoint_id)
    WHERE h.thread_id = {thread_id}
), next_heads AS MATERIALIZED (
    SELECT DISTINCT ON (c.checkpoint_ns) c.checkpoint_ns, c.checkpoint_id
    FROM {schema}.checkpoints AS c JOIN lost_heads USING (checkpoint_ns)
    WHERE c.thread_id = {thread_id}
      AND (c.checkpoint_ns, c.checkpoint_id) NOT IN (
          SELECT checkpoint_ns, checkpoint_id FROM removed)
    ORDER BY c.checkpoint_ns, c.seq DESC
), moved AS (
    UPDATE {schema}.heads AS h SET checkpoint_id = next_heads.checkpoint_id, updated_at = now()
    FROM next_heads
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = next_heads.checkpoint_ns
), removed_heads AS (
    DELETE FROM {schema}.heads AS h USING lost_heads
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = lost_heads.checkpoint_ns
      AND NOT EXISTS (
          SELECT FROM next_heads WHERE next_heads.checkpoint_ns = lost_heads.checkpoint_ns)
    RETURNING true
)
UPDATE {schema}.threads
SET gc = gc + 1, has_head = has_head AND NOT EXISTS (SELECT FROM removed_heads)
WHERE thread_id = {thread_id}
RETURNING (SELECT count(*) FROM removed_checkpoints) AS checkpoints,
    (SELECT count(*) FROM removed_writes) AS writes"]);

/// Finds the threads of runs, of one run after the other by the index.
pub(super) const THREADS_OF_RUNS: Template<Runs<'static>> =
    Template::new(&["-- checkpointer::threads_of_runs
SELECT DISTINCT c.thread_id
FROM pg_catalog.unnest({runs}) AS run (metadata) CROSS JOIN LATERAL (
    SELECT c.thread_id FROM {schema}.checkpoints AS c
    WHERE c.metadata @> run.metadata OFFSET 0) AS c
ORDER BY c.thread_id"]);

/// Removes the chunks of a thread that nothing refers to any more: a statement of its own, after
/// the references are gone. The thread is locked.
pub(super) const SWEEP_CHUNKS: Template<SweptThread<'static>> =
    Template::new(&["-- checkpointer::sweep_chunks
WITH RECURSIVE referred AS (
    SELECT stored.value AS reference
    FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS stored
    WHERE c.thread_id = {thread_id} AND jsonb_typeof(stored.value) = 'object'
    UNION ALL
    SELECT w.value FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND jsonb_typeof(w.value) = 'object'
), needed AS (
    SELECT top.hash FROM referred, {schema}.top_chunks(referred.reference) AS top
    UNION
    SELECT below.hash
    FROM needed JOIN {schema}.chunks AS c ON c.thread_id = {thread_id} AND c.hash = needed.hash,
        {schema}.unpacked(c.refs) AS below
)
DELETE FROM {schema}.chunks
WHERE thread_id = {thread_id} AND hash NOT IN (SELECT hash FROM needed)"]);
