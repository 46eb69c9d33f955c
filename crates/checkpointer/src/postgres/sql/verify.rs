//! Verifying what is stored of threads. Each statement looks at one moment: what it compares can't
//! have changed in between.

use super::parameters::parameters;
use super::remove::{NEEDED_CHUNKS, UNNEEDED_CHUNKS};
use super::template::Template;
use super::threads::OneThread;
use crate::codec::ContentHash;

parameters! {
    /// A page of the ids of all threads: those after one.
    struct ThreadsPage<'a> {
        after: &'a str,
        limit: i64,
    }
}

parameters! {
    /// How long a removal must have done nothing to be taken for cut short.
    struct Silence {
        silent: i64,
    }
}

parameters! {
    /// How much a page has at most: so many rows, and about so many bytes, as they are stored.
    struct PageSize {
        rows: i64,
        bytes: i64,
    }
}

parameters! {
    /// A page of a thread's chunks: those after one.
    struct ChunksPage<'a> {
        thread_id: &'a str,
        last_hash: &'a [u8],
    }
}

parameters! {
    /// Chunks of a thread that refer to some that aren't there.
    struct LackingChunks<'a> {
        thread_id: &'a str,
        lacking: &'a [ContentHash],
    }
}

parameters! {
    /// A page of a thread's checkpoints: those after one.
    struct CheckpointsPage<'a> {
        thread_id: &'a str,
        last_ns: &'a str,
        last_id: &'a str,
    }
}

parameters! {
    /// A page of a thread's pending writes: those after one.
    struct WritesPage<'a> {
        thread_id: &'a str,
        last_ns: &'a str,
        last_id: &'a str,
        last_task: &'a str,
        last_idx: i32,
        /// How long they wait for their checkpoint.
        micros: i64,
    }
}

/// The ids of threads that have any rows, the next one after the other: each is looked up in every
/// table by its key.
pub(super) const VERIFY_THREADS: Template<ThreadsPage<'static>> = Template::new(&[
    "-- checkpointer::verify_threads
WITH RECURSIVE found AS (
    SELECT next.thread_id FROM (SELECT {after}::text AS thread_id) AS last CROSS JOIN LATERAL ",
    NEXT_THREAD,
    "
    UNION ALL
    SELECT next.thread_id FROM found AS last CROSS JOIN LATERAL ",
    NEXT_THREAD,
    "
    WHERE last.thread_id IS NOT NULL
)
SELECT thread_id FROM found WHERE thread_id IS NOT NULL LIMIT {limit}",
]);

const NEXT_THREAD: &str = "(
        SELECT min(first.thread_id) AS thread_id FROM (
            (SELECT r.thread_id FROM {schema}.threads AS r WHERE r.thread_id > last.thread_id
             ORDER BY r.thread_id LIMIT 1)
            UNION ALL
            (SELECT r.thread_id FROM {schema}.heads AS r WHERE r.thread_id > last.thread_id
             ORDER BY r.thread_id LIMIT 1)
            UNION ALL
            (SELECT r.thread_id FROM {schema}.checkpoints AS r WHERE r.thread_id > last.thread_id
             ORDER BY r.thread_id LIMIT 1)
            UNION ALL
            (SELECT r.thread_id FROM {schema}.chunks AS r WHERE r.thread_id > last.thread_id
             ORDER BY r.thread_id LIMIT 1)
            UNION ALL
            (SELECT r.thread_id FROM {schema}.pending_writes AS r WHERE r.thread_id > last.thread_id
             ORDER BY r.thread_id LIMIT 1)
            UNION ALL
            (SELECT r.thread_id FROM {schema}.unswept AS r WHERE r.thread_id > last.thread_id
             ORDER BY r.thread_id LIMIT 1)
        ) AS first
    ) AS next";

/// A thread's own row, if it has one, and which tables have others of it.
pub(super) const VERIFY_THREAD: Template<(OneThread<'static>, Silence)> =
    Template::new(&["-- checkpointer::verify_thread
SELECT t.thread_id IS NOT NULL AS there, t.deleted_at IS NOT NULL AS deleted, t.generation, t.gc,
    t.metadata, t.has_head,
    EXISTS (SELECT FROM {schema}.heads WHERE thread_id = {thread_id}) AS heads,
    EXISTS (SELECT FROM {schema}.checkpoints WHERE thread_id = {thread_id}) AS checkpoints,
    EXISTS (SELECT FROM {schema}.chunks WHERE thread_id = {thread_id}) AS chunks,
    EXISTS (SELECT FROM {schema}.pending_writes WHERE thread_id = {thread_id}) AS pending_writes,
    EXISTS (SELECT FROM {schema}.unswept WHERE thread_id = {thread_id}) AS unswept,
    EXISTS (SELECT FROM {schema}.unswept WHERE thread_id = {thread_id}
        AND removed_at < now() - {silent} * interval '1 microsecond') AS left_unswept
FROM (SELECT) AS asked LEFT JOIN {schema}.threads AS t ON t.thread_id = {thread_id}"]);

/// The namespaces of a thread whose heads aren't as they must be.
pub(super) const VERIFY_HEADS: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::verify_heads
SELECT coalesce(h.checkpoint_ns, put.checkpoint_ns) AS checkpoint_ns, h.checkpoint_id AS head,
    h.seq, c.seq AS head_seq, put.last_seq
FROM (
    SELECT checkpoint_ns, checkpoint_id, seq FROM {schema}.heads WHERE thread_id = {thread_id}
) AS h
FULL JOIN (
    SELECT checkpoint_ns, max(seq) AS last_seq FROM {schema}.checkpoints
    WHERE thread_id = {thread_id} GROUP BY checkpoint_ns
) AS put ON put.checkpoint_ns = h.checkpoint_ns
LEFT JOIN LATERAL (
    SELECT c.seq FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = h.checkpoint_ns
      AND c.checkpoint_id = h.checkpoint_id OFFSET 0) AS c ON true
WHERE h.checkpoint_id IS NULL OR c.seq IS NULL OR c.seq < put.last_seq OR h.seq < put.last_seq"]);

/// Reads chunks, and says whether a chunk that one refers to isn't there.
pub(super) const VERIFY_CHUNKS: Template<(ChunksPage<'static>, PageSize)> =
    Template::new(&["-- checkpointer::verify_chunks
SELECT k.hash, k.content, k.refs, EXISTS (
    SELECT FROM {schema}.unpacked(k.refs) AS below
    WHERE NOT EXISTS (SELECT FROM {schema}.chunks AS c
        WHERE c.thread_id = {thread_id} AND c.hash = below.hash)) AS lacks_chunks
FROM (
    SELECT k.*, sum(k.bytes) OVER (ORDER BY k.hash ROWS UNBOUNDED PRECEDING) - k.bytes AS before
    FROM (
        SELECT k.hash, k.content, k.refs, {chunk_bytes} AS bytes FROM {schema}.chunks AS k
        WHERE k.thread_id = {thread_id} AND k.hash > {last_hash}
        ORDER BY k.hash LIMIT {rows}
    ) AS k
) AS k
WHERE k.before < {bytes} ORDER BY k.hash"]);

/// Finds the chunks that aren't there and that chunks refer to which are needed. A sweep removes those
/// that nothing needs in steps, so that one may be gone before another that refers to it.
pub(super) const VERIFY_MISSING: Template<LackingChunks<'static>> = Template::new(&[
    "-- checkpointer::verify_missing
",
    REFERRED,
    NEEDED_CHUNKS,
    UNNEEDED_CHUNKS,
    "
SELECT DISTINCT ON (below.hash) below.hash AS missing, above.hash AS above
FROM (SELECT pg_catalog.unnest({lacking}) EXCEPT SELECT hash FROM unneeded) AS above (hash)
CROSS JOIN LATERAL (
    SELECT c.refs FROM {schema}.chunks AS c
    WHERE c.thread_id = {thread_id} AND c.hash = above.hash OFFSET 0) AS c,
    {schema}.unpacked(c.refs) AS below
WHERE NOT EXISTS (
    SELECT FROM {schema}.chunks AS k
    WHERE k.thread_id = {thread_id} AND k.hash = below.hash OFFSET 0)
ORDER BY below.hash, above.hash",
]);

/// Whether a reference that says that its leaves refer to no chunks leads to one that does. That is said by the
/// letter of its kind, which no hash covers.
pub(super) const VERIFY_LETTERS: Template<OneThread<'static>> = Template::new(&[
    "-- checkpointer::verify_letters
",
    REFERRED,
    ", followed AS (
    SELECT top.hash, top.depth FROM referred, {schema}.top_chunks(referred.reference) AS top
    WHERE referred.reference ->> 'k' IN ('a', 'o')
    UNION
    SELECT below.hash, followed.depth - 1
    FROM followed CROSS JOIN LATERAL (
        SELECT c.refs FROM {schema}.chunks AS c
        WHERE c.thread_id = {thread_id} AND c.hash = followed.hash OFFSET 0) AS c,
        {schema}.unpacked(c.refs) AS below
    WHERE sign(followed.depth) = 1
)
SELECT EXISTS (
    SELECT FROM followed CROSS JOIN LATERAL (
        SELECT FROM {schema}.chunks AS c
        WHERE c.thread_id = {thread_id} AND c.hash = followed.hash
          AND c.content IS NOT NULL AND c.refs IS NOT NULL OFFSET 0) AS c) AS are_wrong",
]);

/// All references of a thread, whatever else its values are.
const REFERRED: &str = "WITH RECURSIVE referred AS (
    SELECT CASE WHEN {is_reference} THEN stored.value END AS reference
    FROM {schema}.checkpoints AS c, jsonb_each(
        CASE WHEN jsonb_typeof(c.channels) = 'object' THEN c.channels END) AS stored
    WHERE c.thread_id = {thread_id}
    UNION ALL
    SELECT CASE WHEN {is_reference} THEN stored.value END FROM {schema}.pending_writes AS stored
    WHERE stored.thread_id = {thread_id}
)";

/// Reads checkpoints, and says whether a chunk that one refers to isn't there, or its parent.
pub(super) const VERIFY_CHECKPOINTS: Template<(CheckpointsPage<'static>, PageSize)> =
    Template::new(&["-- checkpointer::verify_checkpoints
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.checkpoint, c.channels,
    c.metadata, c.parent_checkpoint_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM {schema}.checkpoints AS p
        WHERE p.thread_id = {thread_id} AND p.checkpoint_ns = c.checkpoint_ns
          AND p.checkpoint_id = c.parent_checkpoint_id) AS lacks_parent,
    EXISTS (
        SELECT FROM jsonb_each(CASE WHEN jsonb_typeof(c.channels) = 'object' THEN c.channels END)
            AS stored,
            {schema}.top_chunks(CASE WHEN {is_reference} THEN stored.value END) AS top
        WHERE NOT EXISTS (SELECT FROM {schema}.chunks AS k
            WHERE k.thread_id = {thread_id} AND k.hash = top.hash)) AS lacks_chunks
FROM (
    SELECT c.*, sum(c.bytes) OVER (ORDER BY c.checkpoint_ns, c.checkpoint_id
        ROWS UNBOUNDED PRECEDING) - c.bytes AS before
    FROM (
        SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.checkpoint, c.channels,
            c.metadata, {checkpoint_bytes} AS bytes
        FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id}
          AND (c.checkpoint_ns, c.checkpoint_id) > ({last_ns}, {last_id})
        ORDER BY c.checkpoint_ns, c.checkpoint_id LIMIT {rows}
    ) AS c
) AS c
WHERE c.before < {bytes} ORDER BY c.checkpoint_ns, c.checkpoint_id"]);

/// Reads pending writes, and says whether a chunk that one refers to isn't there, or its checkpoint,
/// and whether it has waited too long for that.
pub(super) const VERIFY_WRITES: Template<(WritesPage<'static>, PageSize)> =
    Template::new(&["-- checkpointer::verify_writes
SELECT w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx, w.channel, w.value,
    w.written_at < now() - {micros} * interval '1 microsecond' AS is_old,
    EXISTS (SELECT FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = w.checkpoint_ns
          AND c.checkpoint_id = w.checkpoint_id) AS has_checkpoint,
    EXISTS (
        SELECT FROM (SELECT w.value) AS stored,
            {schema}.top_chunks(CASE WHEN {is_reference} THEN stored.value END) AS top
        WHERE NOT EXISTS (SELECT FROM {schema}.chunks AS k
            WHERE k.thread_id = {thread_id} AND k.hash = top.hash)) AS lacks_chunks
FROM (
    SELECT w.*, sum(w.bytes) OVER (ORDER BY w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx
        ROWS UNBOUNDED PRECEDING) - w.bytes AS before
    FROM (
        SELECT w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx, w.channel, w.value, w.written_at,
            {write_bytes} AS bytes
        FROM {schema}.pending_writes AS w
        WHERE w.thread_id = {thread_id}
          AND (w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx)
            > ({last_ns}, {last_id}, {last_task}, {last_idx})
        ORDER BY w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx LIMIT {rows}
    ) AS w
) AS w
WHERE w.before < {bytes}
ORDER BY w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx"]);

/// Counts the chunks of a thread that nothing refers to, unless a removal is about to sweep them.
pub(super) const VERIFY_UNNEEDED: Template<(OneThread<'static>, Silence)> = Template::new(&[
    "-- checkpointer::verify_unneeded
",
    REFERRED,
    NEEDED_CHUNKS,
    UNNEEDED_CHUNKS,
    "
SELECT count(*) AS chunks, coalesce(sum(k.bytes), 0)::bigint AS bytes
FROM unneeded CROSS JOIN LATERAL (
    SELECT {chunk_bytes} AS bytes FROM {schema}.chunks AS k
    WHERE k.thread_id = {thread_id} AND k.hash = unneeded.hash OFFSET 0) AS k
WHERE NOT EXISTS (SELECT FROM {schema}.unswept WHERE thread_id = {thread_id}
    AND removed_at >= now() - {silent} * interval '1 microsecond')",
]);

/// Makes the row of a thread that has none. One without checkpoints and pending writes counts as
/// deleted.
pub(super) const RESTORE_THREAD: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::restore_thread
WITH swept AS (DELETE FROM {schema}.unswept WHERE thread_id = {thread_id})
INSERT INTO {schema}.threads (thread_id, has_head, deleted_at)
SELECT {thread_id}, EXISTS (SELECT FROM {schema}.heads WHERE thread_id = {thread_id}),
    CASE WHEN EXISTS (SELECT FROM {schema}.checkpoints WHERE thread_id = {thread_id})
            OR EXISTS (SELECT FROM {schema}.pending_writes WHERE thread_id = {thread_id})
        THEN NULL ELSE now() END
ON CONFLICT (thread_id) DO NOTHING"]);

/// Removes what the deletion of a thread has left. The thread is locked, and still deleted.
pub(super) const EMPTY_TOMBSTONE: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::empty_tombstone
WITH removed_writes AS (DELETE FROM {schema}.pending_writes WHERE thread_id = {thread_id}),
removed_checkpoints AS (DELETE FROM {schema}.checkpoints WHERE thread_id = {thread_id}),
removed_chunks AS (DELETE FROM {schema}.chunks WHERE thread_id = {thread_id}),
removed_heads AS (DELETE FROM {schema}.heads WHERE thread_id = {thread_id}),
swept AS (DELETE FROM {schema}.unswept WHERE thread_id = {thread_id})
UPDATE {schema}.threads SET gc = gc + 1 WHERE thread_id = {thread_id}"]);

/// Makes the checkpoint put last the head, in each namespace that has none. The thread is locked.
pub(super) const PLACE_HEADS: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::place_heads
INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
SELECT DISTINCT ON (c.checkpoint_ns) c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.seq, c.put_at
FROM {schema}.checkpoints AS c WHERE c.thread_id = {thread_id}
ORDER BY c.checkpoint_ns, c.seq DESC, c.checkpoint_id DESC
ON CONFLICT (thread_id, checkpoint_ns) DO NOTHING"]);

/// Lets each namespace count the puts that it has seen, and notes whether the thread has a head. The
/// thread is locked.
pub(super) const CORRECT_COUNTS: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::correct_counts
WITH raised AS (
    UPDATE {schema}.heads AS h SET seq = put.last_seq
    FROM (
        SELECT checkpoint_ns, max(seq) AS last_seq FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} GROUP BY checkpoint_ns
    ) AS put
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = put.checkpoint_ns
      AND h.seq < put.last_seq
)
UPDATE {schema}.threads SET has_head = false
WHERE thread_id = {thread_id} AND has_head
  AND NOT EXISTS (SELECT FROM {schema}.heads WHERE thread_id = {thread_id})"]);

/// Notes that a thread's chunks are to be swept.
pub(super) const NOTE_UNSWEPT: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::note_unswept
INSERT INTO {schema}.unswept (thread_id)
SELECT thread_id FROM {schema}.threads WHERE thread_id = {thread_id} AND deleted_at IS NULL
ON CONFLICT (thread_id) DO NOTHING"]);
