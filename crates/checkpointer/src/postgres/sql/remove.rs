//! Removing some of the checkpoints of a thread.

use super::parameters::parameters;
use super::template::Template;
use crate::postgres::wire::Jsonb;

parameters! {
    /// What decides which checkpoints of a thread may go.
    struct Asked<'a> {
        thread_id: &'a str,
        runs: &'a [Jsonb<'a>],
        /// The age up to which a checkpoint is young.
        young: Option<i64>,
    }
}

parameters! {
    /// A page of a thread's checkpoints.
    struct NodesPage<'a> {
        /// The last checkpoint of the page before.
        last_ns: &'a str,
        last_id: &'a str,
        limit: i64,
    }
}

parameters! {
    /// Namespaces, and how many checkpoints were put to each as far as is known.
    struct KnownSeqs<'a> {
        known_ns: &'a [String],
        known_seqs: &'a [i64],
    }
}

parameters! {
    /// What else may have changed in those namespaces.
    struct Stands<'a> {
        thread_id: &'a str,
        known_ns: &'a [String],
    }
}

parameters! {
    /// What becomes the head of a namespace whose head goes.
    struct NextHeads<'a> {
        head_ns: &'a [String],
        head_ids: &'a [String],
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
    }
}

parameters! {
    /// The pending writes whose checkpoint won't come.
    struct OrphanedWrites<'a> {
        thread_id: &'a str,
        /// The namespaces that are over.
        over_ns: &'a [String],
        /// How long writes wait for their checkpoint.
        micros: i64,
    }
}

parameters! {
    /// The same, once they were found.
    struct FoundWrites<'a> {
        thread_id: &'a str,
        over_ns: &'a [String],
        micros: i64,
        found_ns: &'a [String],
        found_ids: &'a [String],
    }
}

parameters! {
    /// The checkpoints that would be removed.
    struct GoingCheckpoints<'a> {
        removed_ns: &'a [String],
        removed_ids: &'a [String],
    }
}

parameters! {
    /// Runs, as the metadata of their checkpoints names them.
    struct Runs<'a> {
        runs: &'a [Jsonb<'a>],
    }
}

/// Reads what decides which of a thread's checkpoints may go, page by page: those after one, in the
/// order of their keys.
pub(super) const NODES: Template<(Asked<'static>, NodesPage<'static>)> = Template::new(&[
    "-- checkpointer::nodes",
    NODE,
    "
FROM {schema}.checkpoints AS c CROSS JOIN LATERAL (
    SELECT * FROM {schema}.heads AS h
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = c.checkpoint_ns LIMIT 1) AS h
WHERE c.thread_id = {thread_id} AND (c.checkpoint_ns, c.checkpoint_id) > ({last_ns}, {last_id})
ORDER BY c.checkpoint_ns, c.checkpoint_id LIMIT {limit}",
]);

/// Reads the same of the checkpoints that were put since, as far as they follow each other from the
/// head of their namespace.
///
/// Each is looked up by its key, one row at most, whatever the planner expects: writers wait meanwhile.
pub(super) const NEW_NODES: Template<(Asked<'static>, KnownSeqs<'static>)> = Template::new(&[
    "-- checkpointer::new_nodes
WITH RECURSIVE put AS (
    SELECT known.ns, h.checkpoint_id, c.parent_checkpoint_id, known.seq AS known
    FROM unnest({known_ns}, {known_seqs}) AS known (ns, seq)
    CROSS JOIN LATERAL (
        SELECT h.checkpoint_id FROM {schema}.heads AS h
        WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = known.ns LIMIT 1) AS h
    CROSS JOIN LATERAL (
        SELECT c.seq, c.parent_checkpoint_id FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = known.ns
          AND c.checkpoint_id = h.checkpoint_id LIMIT 1) AS c
    WHERE c.seq > known.seq
    UNION
    SELECT put.ns, c.checkpoint_id, c.parent_checkpoint_id, put.known
    FROM put CROSS JOIN LATERAL (
        SELECT c.seq, c.checkpoint_id, c.parent_checkpoint_id FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = put.ns
          AND c.checkpoint_id = put.parent_checkpoint_id LIMIT 1) AS c
    WHERE c.seq > put.known
)",
    NODE,
    "
FROM put CROSS JOIN LATERAL (
    SELECT * FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = put.ns
      AND c.checkpoint_id = put.checkpoint_id LIMIT 1) AS c
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.heads AS h
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = put.ns LIMIT 1) AS h",
]);

const NODE: &str = "
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.seq, c.pinned,
    h.checkpoint_id AS head, h.seq AS head_seq,
    ARRAY(SELECT jsonb_object_keys(c.channels)) AS filled,
    ARRAY(SELECT jsonb_object_keys(c.checkpoint -> 'channel_versions')) AS versions,
    ARRAY(SELECT w.channel FROM {schema}.pending_writes AS w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
          AND w.checkpoint_id = c.checkpoint_id) AS written,
    (c.checkpoint ->> 'v')::bigint AS v,
    c.metadata -> 'parents' ->> '' AS root,
    coalesce(c.put_at > now() - {young} * interval '1 microsecond', false) AS young,
    EXISTS (SELECT FROM pg_catalog.unnest({runs}) AS run (metadata)
        WHERE c.metadata @> run.metadata) AS of_runs";

/// Reads the heads of namespaces, the pinned checkpoints, and the next heads that another removal has
/// removed, of a thread that is locked.
pub(super) const STANDS: Template<(Stands<'static>, NextHeads<'static>)> =
    Template::new(&["-- checkpointer::stands
SELECT 'head' AS kind, h.checkpoint_ns, h.checkpoint_id, h.seq
FROM pg_catalog.unnest({known_ns}) AS known (ns) CROSS JOIN LATERAL (
    SELECT * FROM {schema}.heads AS h
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = known.ns LIMIT 1) AS h
UNION ALL
SELECT 'pinned', checkpoint_ns, checkpoint_id, seq FROM {schema}.checkpoints
WHERE thread_id = {thread_id} AND pinned
UNION ALL
SELECT 'gone', next.checkpoint_ns, next.checkpoint_id, 0
FROM unnest({head_ns}, {head_ids}) AS next (checkpoint_ns, checkpoint_id)
WHERE NOT EXISTS (SELECT FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = next.checkpoint_ns
      AND c.checkpoint_id = next.checkpoint_id OFFSET 0)"]);

/// Removes checkpoints with their writes, and counts them. The thread is locked. Its chunks are swept
/// later, which is noted.
///
/// - `orphaned` forgets a parent that goes.
/// - Where a head goes, another one becomes the head (`moved`). Where none is left, the head is removed
///   (`removed_heads`).
///
/// The thread's id is a column of what is joined, and no condition on a table. Statistics that are older than
/// the thread say that it has a few rows, and the planner would read them all for each step; so it only
/// compares a look-up by the key with all rows of all threads.
pub(super) const REMOVE: Template<(RemovedCheckpoints<'static>, NextHeads<'static>)> =
    Template::new(&["-- checkpointer::remove
WITH removed AS MATERIALIZED (
    SELECT {thread_id} AS thread_id, checkpoint_ns, checkpoint_id
    FROM unnest({removed_ns}, {removed_ids}) AS removed (checkpoint_ns, checkpoint_id)
), children AS MATERIALIZED (
    SELECT {thread_id} AS thread_id, checkpoint_ns, checkpoint_id
    FROM unnest({orphaned_ns}, {orphaned_ids}) AS children (checkpoint_ns, checkpoint_id)
), removed_checkpoints AS (
    DELETE FROM {schema}.checkpoints AS c USING removed
    WHERE c.thread_id = removed.thread_id AND c.checkpoint_ns = removed.checkpoint_ns
      AND c.checkpoint_id = removed.checkpoint_id
    RETURNING {checkpoint_bytes} AS bytes
), removed_writes AS (
    DELETE FROM {schema}.pending_writes AS w USING removed
    WHERE w.thread_id = removed.thread_id AND w.checkpoint_ns = removed.checkpoint_ns
      AND w.checkpoint_id = removed.checkpoint_id
    RETURNING {write_bytes} AS bytes
), orphaned AS (
    UPDATE {schema}.checkpoints AS c SET parent_checkpoint_id = NULL FROM children
    WHERE c.thread_id = children.thread_id AND c.checkpoint_ns = children.checkpoint_ns
      AND c.checkpoint_id = children.checkpoint_id
), moved AS (
    UPDATE {schema}.heads AS h SET checkpoint_id = next.checkpoint_id, updated_at = now()
    FROM removed, unnest({head_ns}, {head_ids}) AS next (checkpoint_ns, checkpoint_id)
    WHERE h.thread_id = removed.thread_id AND h.checkpoint_ns = next.checkpoint_ns
      AND removed.checkpoint_ns = h.checkpoint_ns AND removed.checkpoint_id = h.checkpoint_id
), removed_heads AS (
    DELETE FROM {schema}.heads AS h USING removed
    WHERE h.thread_id = removed.thread_id AND h.checkpoint_ns = removed.checkpoint_ns
      AND h.checkpoint_id = removed.checkpoint_id AND h.checkpoint_ns <> ALL ({head_ns})
    RETURNING true
), may_have_none AS (
    UPDATE {schema}.threads SET has_head = false
    WHERE thread_id = {thread_id} AND has_head AND EXISTS (SELECT FROM removed_heads)
), noted AS (
    INSERT INTO {schema}.unswept (thread_id) VALUES ({thread_id})
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
)
SELECT (SELECT count(*) FROM removed_checkpoints) AS checkpoints,
    (SELECT count(*) FROM removed_writes) AS writes,
    (SELECT coalesce(sum(bytes), 0)::bigint FROM (
        SELECT bytes FROM removed_checkpoints UNION ALL SELECT bytes FROM removed_writes
    ) AS removed) AS bytes"]);

/// Finds the pending writes whose checkpoint won't come: they have waited too long, or their namespace
/// is over.
pub(super) const FIND_ORPHANED_WRITES: Template<OrphanedWrites<'static>> = Template::new(&[
    "-- checkpointer::find_orphaned_writes
SELECT DISTINCT w.checkpoint_ns, w.checkpoint_id FROM {schema}.pending_writes AS w
WHERE w.thread_id = {thread_id} AND ",
    ARE_ORPHANED,
]);

const ARE_ORPHANED: &str = "(w.checkpoint_ns = ANY ({over_ns})
        OR (w.written_at < now() - {micros} * interval '1 microsecond' AND NOT EXISTS (
            SELECT FROM {schema}.checkpoints AS c
            WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = w.checkpoint_ns
              AND c.checkpoint_id = w.checkpoint_id)))";

/// Removes them, unless the checkpoint or a head of the namespace has come since. The thread is locked. Of a
/// checkpoint that was found, the writes that haven't waited for too long stay. If those that go leave chunks, that
/// is noted.
pub(super) const REMOVE_ORPHANED_WRITES: Template<FoundWrites<'static>> =
    Template::new(&["-- checkpointer::remove_orphaned_writes
WITH found AS MATERIALIZED (
    SELECT {thread_id} AS thread_id, checkpoint_ns, checkpoint_id
    FROM unnest({found_ns}, {found_ids}) AS found (checkpoint_ns, checkpoint_id)
), removed_writes AS (
    DELETE FROM {schema}.pending_writes AS w USING found
    WHERE w.thread_id = found.thread_id AND w.checkpoint_ns = found.checkpoint_ns
      AND w.checkpoint_id = found.checkpoint_id
      AND NOT EXISTS (SELECT FROM {schema}.checkpoints AS c
          WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = w.checkpoint_ns
            AND c.checkpoint_id = w.checkpoint_id OFFSET 0)
      AND CASE WHEN w.checkpoint_ns = ANY ({over_ns})
          THEN NOT EXISTS (SELECT FROM {schema}.heads AS h
              WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = w.checkpoint_ns)
          ELSE w.written_at < now() - {micros} * interval '1 microsecond' END
    RETURNING {write_bytes} AS bytes, jsonb_typeof(w.value) = 'object' AS has_chunks
), left_chunks AS MATERIALIZED (
    SELECT has_chunks FROM removed_writes WHERE has_chunks LIMIT 1
), noted AS (
    INSERT INTO {schema}.unswept (thread_id) SELECT {thread_id} FROM left_chunks
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
)
SELECT 0::bigint AS checkpoints, count(*) AS writes, coalesce(sum(bytes), 0)::bigint AS bytes
FROM removed_writes"]);

/// Finds the threads of runs, of one run after the other by the index.
pub(super) const THREADS_OF_RUNS: Template<Runs<'static>> =
    Template::new(&["-- checkpointer::threads_of_runs
SELECT DISTINCT c.thread_id
FROM pg_catalog.unnest({runs}) AS run (metadata) CROSS JOIN LATERAL (
    SELECT c.thread_id FROM {schema}.checkpoints AS c
    WHERE c.metadata @> run.metadata OFFSET 0) AS c
ORDER BY c.thread_id"]);

/// The chunks that references name, and all below, each looked up by its key as in [`READ`](super::read::READ).
///
/// A reference says what kind its leaves are of and how deep they are, which no hash covers. A read relies on
/// that. Here, where what isn't needed goes, a reference that says less than there is must cost nothing: so only
/// its hashes count. One whose hashes can't be read, or that has none, fails, and nothing goes.
///
/// `length(hash) = 16` holds for each hash. It is there for the planner, which takes an equation for a rare thing:
/// else it expects so many rows that a server with `jit` on, as behind a pooler, compiles the statement each time.
pub(super) const NEEDED_CHUNKS: &str = ", needed AS (
    SELECT top.hash FROM referred,
        {schema}.unpacked(decode(CASE WHEN referred.reference IS NOT NULL
            THEN coalesce(referred.reference ->> 'r', '?') END, 'base64')) AS top
    UNION
    SELECT below.hash
    FROM needed CROSS JOIN LATERAL (
        SELECT c.refs FROM {schema}.chunks AS c
        WHERE c.thread_id = {thread_id} AND c.hash = needed.hash OFFSET 0) AS c,
        {schema}.unpacked(c.refs) AS below
    WHERE length(needed.hash) = 16
)";

/// The others of the thread. Set operations take time in proportion to what they compare; a `NOT IN` compares each
/// with each where the planner expects many.
pub(super) const UNNEEDED_CHUNKS: &str = ", unneeded AS (
    SELECT hash FROM {schema}.chunks WHERE thread_id = {thread_id} EXCEPT SELECT hash FROM needed
)";

/// Counts what the removal of checkpoints would remove, with writes that are orphaned and chunks that
/// nothing else refers to.
pub(super) const COUNT_REMOVED: Template<(OrphanedWrites<'static>, GoingCheckpoints<'static>)> =
    Template::new(&[
        "-- checkpointer::count_removed
WITH RECURSIVE removed AS MATERIALIZED (
    SELECT checkpoint_ns, checkpoint_id
    FROM unnest({removed_ns}, {removed_ids}) AS removed (checkpoint_ns, checkpoint_id)
), stays AS MATERIALIZED (
    (SELECT checkpoint_ns, checkpoint_id FROM {schema}.checkpoints WHERE thread_id = {thread_id}
     UNION
     SELECT checkpoint_ns, checkpoint_id FROM {schema}.pending_writes WHERE thread_id = {thread_id})
    EXCEPT SELECT checkpoint_ns, checkpoint_id FROM removed
), of_checkpoints AS (
    SELECT c.bytes FROM removed CROSS JOIN LATERAL (
        SELECT {checkpoint_bytes} AS bytes FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = removed.checkpoint_ns
          AND c.checkpoint_id = removed.checkpoint_id OFFSET 0) AS c
), of_writes AS MATERIALIZED (
    SELECT NULL::jsonb AS value, w.bytes, true AS goes FROM removed CROSS JOIN LATERAL (
        SELECT {write_bytes} AS bytes FROM {schema}.pending_writes AS w
        WHERE w.thread_id = {thread_id} AND w.checkpoint_ns = removed.checkpoint_ns
          AND w.checkpoint_id = removed.checkpoint_id OFFSET 0) AS w
    UNION ALL
    SELECT w.value, w.bytes, w.goes FROM stays CROSS JOIN LATERAL (
        SELECT w.value, {write_bytes} AS bytes, ",
        ARE_ORPHANED,
        " AS goes
        FROM {schema}.pending_writes AS w
        WHERE w.thread_id = {thread_id} AND w.checkpoint_ns = stays.checkpoint_ns
          AND w.checkpoint_id = stays.checkpoint_id OFFSET 0) AS w
), referred AS (
    SELECT stored.value AS reference
    FROM stays CROSS JOIN LATERAL (
        SELECT c.channels FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = stays.checkpoint_ns
          AND c.checkpoint_id = stays.checkpoint_id OFFSET 0) AS c, jsonb_each(c.channels) AS stored
    WHERE jsonb_typeof(stored.value) = 'object'
    UNION ALL
    SELECT w.value FROM of_writes AS w WHERE NOT w.goes AND jsonb_typeof(w.value) = 'object'
)",
        NEEDED_CHUNKS,
        UNNEEDED_CHUNKS,
        ", gone AS (
    SELECT 'checkpoint' AS kind, bytes FROM of_checkpoints
    UNION ALL SELECT 'write', bytes FROM of_writes WHERE goes
    UNION ALL SELECT 'chunk', k.bytes FROM unneeded CROSS JOIN LATERAL (
        SELECT {chunk_bytes} AS bytes FROM {schema}.chunks AS k
        WHERE k.thread_id = {thread_id} AND k.hash = unneeded.hash OFFSET 0) AS k
)
SELECT count(*) FILTER (WHERE kind = 'checkpoint') AS checkpoints,
    count(*) FILTER (WHERE kind = 'write') AS writes, coalesce(sum(bytes), 0)::bigint AS bytes
FROM gone",
    ]);
