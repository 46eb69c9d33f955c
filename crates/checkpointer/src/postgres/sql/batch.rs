//! Storing many at once.

use super::parameters::parameters;
use super::template::Template;
use crate::codec::ContentHash;
use crate::postgres::wire::Jsonb;

parameters! {
    /// Many writes as rows: a column of each kind of row is an array.
    ///
    /// The first write is call 1, the next one call 2. A row of another kind names the call that it
    /// belongs to, and repeats what it needs of the call's thread, so that the server finds it by
    /// its key alone.
    #[derive(Default)]
    struct Batch<'a> {
        // Each write.
        threads: Vec<&'a str>,
        // Null for a write that doesn't know its thread: it has no row in the answer.
        generations: Vec<Option<i64>>,
        gcs: Vec<Option<i64>>,
        leases: Vec<Option<&'a str>>,
        /// Whether the write is a put.
        puts: Vec<bool>,

        // The chunks that writes rely on.
        relied_calls: Vec<i64>,
        relied_threads: Vec<&'a str>,
        relied_hashes: Vec<ContentHash>,

        // The chunks that they bring along.
        chunk_calls: Vec<i64>,
        chunk_threads: Vec<&'a str>,
        chunk_hashes: Vec<ContentHash>,
        chunk_contents: Vec<Option<Jsonb<'a>>>,
        chunk_refs: Vec<Option<&'a [u8]>>,

        // The checkpoints of puts.
        put_calls: Vec<i64>,
        put_threads: Vec<&'a str>,
        put_ns: Vec<&'a str>,
        put_ids: Vec<&'a str>,
        put_parents: Vec<Option<&'a str>>,
        put_guarded: Vec<bool>,
        put_expected: Vec<Option<&'a str>>,
        put_checkpoints: Vec<Jsonb<'a>>,
        put_channels: Vec<Jsonb<'a>>,
        put_unchanged: Vec<Jsonb<'a>>,
        put_metadata: Vec<Jsonb<'a>>,

        // Pending writes.
        write_calls: Vec<i64>,
        write_threads: Vec<&'a str>,
        write_ns: Vec<&'a str>,
        write_ids: Vec<&'a str>,
        write_tasks: Vec<&'a str>,
        write_paths: Vec<&'a str>,
        write_indexes: Vec<i32>,
        write_channels: Vec<&'a str>,
        write_values: Vec<Jsonb<'a>>,
    }
}

/// Stores many puts and pending writes of many threads, each as if it were alone.
///
/// It waits for no lock of a thread or a head: one that another transaction has locked is skipped, and its
/// call has no row in the answer. Nor has a call whose thread isn't as expected, whose chunks are `missing`,
/// whose namespace has no head yet, or whose parent's values are to be kept and aren't there. Such a write is
/// sent again, alone. Since no such lock is waited for, what is read is as old as the lock, or else `gc` has
/// changed. It does wait where an open transaction has inserted a row of the same key.
///
/// - `locked` locks the threads, and `head` the heads.
/// - `accepted` are the puts that go ahead.
/// - `inserted` stores a checkpoint, or the new content of one that was stored before: that one
///   keeps its `seq`, by which `moved` knows that the head stays.
/// - `placed` and `following` store pending writes, as in [`PUT_WRITES`](super::write::PUT_WRITES).
/// - `outputs` says which pending writes were stored. A call of which none was has stored no chunk, and nothing of
///   it belongs to its thread.
/// - `noted` notes the threads in which something was replaced, whatever it was: it may have left chunks. A row
///   that was there has an `xmax`, since it was locked before it got its new content. It also notes those of a
///   call that brought chunks and of which only some pending writes were stored: the others' chunks are, too.
///
/// The server carries out what the answer reads, and then the rest from the end: the checkpoints, the pending writes,
/// `noted`, the chunks. So rows are locked in the order in which statements for one thread lock them; `moved`, which
/// comes last, has its rows locked already.
///
/// Each lookup is by a key, one after the other and in the order of the arrays, whatever the
/// planner believes of the tables: hence the `LATERAL`s, and `ON CONFLICT` where an `UPDATE` would
/// do. The arrays are given by subqueries that `OFFSET 0` hides from the planner: if it saw how
/// long they are it would make a new plan each time, which takes longer than to carry it out.
pub(super) const BATCH: Template<Batch<'static>> = Template::new(&[
    THREADS_AND_HEADS,
    INTO_CHECKPOINTS,
    OR_REPLACED,
    MOVED,
    "placed AS (",
    INTO_PENDING_WRITES,
    PLACE_FIRST,
    INTO_PENDING_WRITES,
    FOLLOW_PLACED,
    OUTPUTS,
    INTO_CHUNKS,
    OF_PLACED,
    NOTE_REPLACED,
    ANSWER,
    ", locked.put OR locked.call = ANY (ARRAY(SELECT call FROM outputs WHERE is_stored)) AS belongs",
    FROM_LOCKED,
]);

/// The same, if all checkpoints are new and none of the pending writes is to a special channel. Nearly every
/// batch is sent so. If a call before this one has stored one of the checkpoints, or some of one task, a key
/// exists: an error, and nothing was changed. Then the client sends [`BATCH`].
pub(super) const NEW_BATCH: Template<Batch<'static>> = Template::new(&[
    THREADS_AND_HEADS,
    INTO_CHUNKS,
    OF_LOCKED,
    INTO_CHECKPOINTS,
    "
    RETURNING thread_id, checkpoint_ns, checkpoint_id, seq
)",
    MOVED,
    "inserted_writes AS (",
    INTO_PENDING_WRITES,
    "
)",
    ANSWER,
    ", true AS belongs",
    FROM_LOCKED,
]);

const THREADS_AND_HEADS: &str = "-- checkpointer::batch
WITH missing AS MATERIALIZED (
    SELECT r.call
    FROM (SELECT {relied_calls}, {relied_threads}, {relied_hashes} OFFSET 0)
        AS given (calls, threads, hashes),
        unnest(given.calls, given.threads, given.hashes) AS r (call, thread_id, hash)
    LEFT JOIN LATERAL (
        SELECT true AS stored FROM {schema}.chunks AS c
        WHERE c.thread_id = r.thread_id AND c.hash = r.hash OFFSET 0
    ) AS found ON true
    WHERE found.stored IS NULL
), locked AS MATERIALIZED (
    SELECT w.call, w.put, w.generation, w.gc
    FROM (SELECT {threads}, {generations}, {gcs}, {leases}, {puts} OFFSET 0)
        AS given (threads, generations, gcs, leases, puts),
        unnest(given.threads, given.generations, given.gcs, given.leases, given.puts)
        WITH ORDINALITY AS w (thread_id, generation, gc, lease, put, call)
    CROSS JOIN LATERAL (
        SELECT FROM {schema}.threads AS t
        WHERE t.thread_id = w.thread_id AND t.generation = w.generation AND t.gc = w.gc
          AND t.deleted_at IS NULL
          AND (t.lease_token IS NOT DISTINCT FROM w.lease
            OR (w.lease IS NULL AND t.lease_until <= now()))
        FOR SHARE SKIP LOCKED
    ) AS t
    WHERE w.call <> ALL (ARRAY(SELECT call FROM missing))
), head AS MATERIALIZED (
    SELECT p.*, h.checkpoint_id AS head, h.seq
    FROM (SELECT {put_calls}, {put_threads}, {put_ns}, {put_ids}, {put_parents},
            {put_guarded}, {put_expected}, {put_checkpoints}, {put_channels},
            {put_unchanged}, {put_metadata} OFFSET 0)
        AS given (calls, threads, ns, ids, parents, guarded, expected, checkpoints,
            channels, unchanged, metadata),
        unnest(given.calls, given.threads, given.ns, given.ids, given.parents, given.guarded,
            given.expected, given.checkpoints, given.channels, given.unchanged, given.metadata)
        AS p (call, thread_id, ns, id, parent, guarded, expected, checkpoint, channels, unchanged,
            metadata)
    CROSS JOIN LATERAL (
        SELECT h.checkpoint_id, h.seq FROM {schema}.heads AS h
        WHERE h.thread_id = p.thread_id AND h.checkpoint_ns = p.ns
        FOR UPDATE SKIP LOCKED
    ) AS h
    WHERE p.call = ANY (ARRAY(SELECT call FROM locked))
      AND (p.unchanged = '{}' OR p.parent IS NULL OR EXISTS (
          SELECT FROM {schema}.checkpoints AS c
          WHERE c.thread_id = p.thread_id AND c.checkpoint_ns = p.ns
            AND c.checkpoint_id IN (p.parent, p.id) OFFSET 0))
), accepted AS NOT MATERIALIZED (
    SELECT * FROM head AS p WHERE NOT p.guarded OR p.head = p.expected
)";

/// Inserts the chunks of the puts that go ahead, and of other calls.
const INTO_CHUNKS: &str = ", inserted_chunks AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT new.thread_id, new.hash, new.content, new.refs
    FROM (SELECT {chunk_calls}, {chunk_threads}, {chunk_hashes}, {chunk_contents},
            {chunk_refs} OFFSET 0)
        AS given (calls, threads, hashes, contents, refs),
        unnest(given.calls, given.threads, given.hashes, given.contents, given.refs)
        AS new (call, thread_id, hash, content, refs)
    WHERE new.call = ANY (ARRAY(
        SELECT call FROM accepted UNION ALL SELECT call FROM ";

const OF_LOCKED: &str = "locked WHERE NOT put))
    ON CONFLICT DO NOTHING
)";

const OF_PLACED: &str = "outputs WHERE is_stored))
    ON CONFLICT DO NOTHING
)";

const INTO_CHECKPOINTS: &str = ", inserted AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT p.thread_id, p.ns, p.id, p.parent, p.seq + 1, p.checkpoint,
        CASE WHEN p.unchanged = '{}' THEN p.channels ELSE p.channels || coalesce((
            SELECT pg_catalog.jsonb_object_agg(
                same.key, c.channels -> same.key ORDER BY c.checkpoint_id = p.parent)
            FROM {schema}.checkpoints AS c, jsonb_each(p.unchanged) AS same
            WHERE c.thread_id = p.thread_id AND c.checkpoint_ns = p.ns
              AND c.checkpoint_id IN (p.parent, p.id)
              AND c.checkpoint -> 'channel_versions' -> same.key = same.value
              AND c.channels ? same.key), '{}') END,
        p.metadata
    FROM accepted AS p";

const OR_REPLACED: &str = "
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
    SET checkpoint = excluded.checkpoint, channels = excluded.channels,
        metadata = excluded.metadata
    RETURNING thread_id, checkpoint_ns, checkpoint_id, seq, xmax <> 0 AS was_there
)";

const MOVED: &str = ", moved AS (
    INSERT INTO {schema}.heads AS h (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT thread_id, checkpoint_ns, checkpoint_id, seq, now() FROM inserted
    ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE
    SET checkpoint_id = excluded.checkpoint_id, seq = excluded.seq,
        updated_at = excluded.updated_at
    WHERE h.seq < excluded.seq
), ";

/// Inserts the pending writes of the calls whose thread is locked.
const INTO_PENDING_WRITES: &str = "
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT new.thread_id, new.ns, new.id, new.task_id, new.idx, new.task_path, new.channel,
        new.value
    FROM (SELECT {write_calls}, {write_threads}, {write_ns}, {write_ids}, {write_tasks},
            {write_paths}, {write_indexes}, {write_channels}, {write_values} OFFSET 0)
        AS given (calls, threads, ns, ids, tasks, paths, indexes, channels, values),
        unnest(given.calls, given.threads, given.ns, given.ids, given.tasks, given.paths,
            given.indexes, given.channels, given.values)
        AS new (call, thread_id, ns, id, task_id, task_path, idx, channel, value)
    WHERE new.call = ANY (ARRAY(SELECT call FROM locked))";

/// The checkpoints are stored before, whose rows are counted for that.
const PLACE_FIRST: &str = " AND new.idx <= 0 AND (SELECT count(*) FROM inserted) >= 0
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = excluded.channel, value = excluded.value
    WHERE excluded.idx < 0
    RETURNING thread_id, checkpoint_ns, checkpoint_id, task_id, idx, xmax <> 0 AS was_there
), following AS (";

const FOLLOW_PLACED: &str = "
      AND new.idx > 0{each_with_the_first}
    ON CONFLICT DO NOTHING
    RETURNING thread_id, checkpoint_ns, checkpoint_id, task_id, idx
)";

/// Says of each pending write whether it was stored. No two calls have the same key.
const OUTPUTS: &str = ", outputs AS MATERIALIZED (
    SELECT new.call, new.thread_id, (new.thread_id, new.ns, new.id, new.task_id, new.idx) IN (
        SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, idx FROM placed
        UNION ALL
        SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, idx FROM following) AS is_stored
    FROM (SELECT {write_calls}, {write_threads}, {write_ns}, {write_ids}, {write_tasks},
            {write_indexes} OFFSET 0)
        AS given (calls, threads, ns, ids, tasks, indexes),
        unnest(given.calls, given.threads, given.ns, given.ids, given.tasks, given.indexes)
        AS new (call, thread_id, ns, id, task_id, idx)
)";

const NOTE_REPLACED: &str = ", leave_chunks AS MATERIALIZED (
    SELECT thread_id FROM inserted WHERE was_there
    UNION
    SELECT thread_id FROM placed WHERE was_there
    UNION
    SELECT thread_id FROM outputs
    WHERE NOT is_stored AND call = ANY (ARRAY(SELECT call FROM outputs WHERE is_stored))
      AND call = ANY ((SELECT {chunk_calls} OFFSET 0)::bigint[])
), noted AS (
    INSERT INTO {schema}.unswept (thread_id)
    SELECT thread_id FROM leave_chunks ORDER BY thread_id
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
)";

const ANSWER: &str = "
SELECT locked.call, locked.generation, locked.gc,
    NOT locked.put OR locked.call = ANY (ARRAY(SELECT call FROM accepted)) AS done{commit}";

const FROM_LOCKED: &str = "
FROM locked WHERE NOT locked.put OR locked.call = ANY (ARRAY(SELECT call FROM head))";
