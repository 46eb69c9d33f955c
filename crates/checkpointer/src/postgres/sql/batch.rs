//! Storing many at once.

use db::Type;

use super::Template;

/// Stores many puts and pending writes of many threads, each as if it were alone.
///
/// Nothing in it waits for a lock that is held for long: a thread or head that somebody else has
/// locked is skipped, and its call has no row in the answer. So has one whose thread isn't as
/// expected, whose chunks are missing (`f`), whose namespace has no head yet, or whose parent's
/// values are to be kept and aren't there: whoever sent it sends it alone. Since no lock is waited
/// for, what is read is as old as the lock, or else `gc` has changed.
///
/// `l` locks the threads, `h` the heads, `s` are the puts that go ahead. `i` stores a checkpoint,
/// or the new content of one that was stored before, whose `seq` shows it: then `m` doesn't move
/// the head.
///
/// Each lookup is by a key, one after the other and in the order of the arrays, whatever the
/// planner believes of the tables: hence the `LATERAL`s, and `ON CONFLICT` where an `UPDATE` would
/// do. The arrays are given by subqueries that `OFFSET 0` hides from the planner: if it saw how
/// long they are it would make a new plan each time, which takes longer than to carry it out.
pub(super) const BATCH: Template = Template {
    sql: "-- checkpointer::batch
WITH f AS MATERIALIZED (
    SELECT r.call
    FROM (SELECT {relied_calls}, {relied_threads}, {relied_hashes} OFFSET 0)
        AS g (calls, threads, hashes),
        unnest(g.calls, g.threads, g.hashes) AS r (call, thread_id, hash)
    LEFT JOIN LATERAL (
        SELECT true AS stored FROM {schema}.chunks AS k
        WHERE k.thread_id = r.thread_id AND k.hash = r.hash OFFSET 0
    ) AS k ON true
    WHERE k.stored IS NULL
), l AS MATERIALIZED (
    SELECT x.call, x.put, x.generation, x.gc
    FROM (SELECT {threads}, {generations}, {gcs}, {leases}, {puts} OFFSET 0)
        AS g (threads, generations, gcs, leases, puts),
        unnest(g.threads, g.generations, g.gcs, g.leases, g.puts)
        WITH ORDINALITY AS x (thread_id, generation, gc, lease, put, call)
    CROSS JOIN LATERAL (
        SELECT FROM {schema}.threads AS t
        WHERE t.thread_id = x.thread_id AND t.generation = x.generation AND t.gc = x.gc
          AND t.deleted_at IS NULL
          AND (t.lease_token IS NOT DISTINCT FROM x.lease
            OR (x.lease IS NULL AND t.lease_until <= now()))
        FOR SHARE SKIP LOCKED
    ) AS t
    WHERE x.call <> ALL (ARRAY(SELECT call FROM f))
), h AS MATERIALIZED (
    SELECT p.*, h.checkpoint_id AS head, h.seq
    FROM (SELECT {put_calls}, {put_threads}, {put_ns}, {put_ids}, {put_parents},
            {put_guarded}, {put_expected}, {put_checkpoints}, {put_channels},
            {put_unchanged}, {put_metadata} OFFSET 0)
        AS g (calls, threads, ns, ids, parents, guarded, expected, checkpoints,
            channels, unchanged, metadata),
        unnest(g.calls, g.threads, g.ns, g.ids, g.parents, g.guarded, g.expected,
            g.checkpoints, g.channels, g.unchanged, g.metadata)
        AS p (call, thread_id, ns, id, parent, guarded, expected, checkpoint, channels, unchanged,
            metadata)
    CROSS JOIN LATERAL (
        SELECT h.checkpoint_id, h.seq FROM {schema}.heads AS h
        WHERE h.thread_id = p.thread_id AND h.checkpoint_ns = p.ns
        FOR UPDATE SKIP LOCKED
    ) AS h
    WHERE p.call = ANY (ARRAY(SELECT call FROM l))
      AND (p.unchanged = '{}' OR p.parent IS NULL OR EXISTS (
          SELECT FROM {schema}.checkpoints AS c
          WHERE c.thread_id = p.thread_id AND c.checkpoint_ns = p.ns
            AND c.checkpoint_id IN (p.parent, p.id) OFFSET 0))
), s AS NOT MATERIALIZED (
    SELECT * FROM h WHERE NOT guarded OR head = expected
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT new.thread_id, new.hash, new.content, new.refs
    FROM (SELECT {chunk_calls}, {chunk_threads}, {chunk_hashes}, {chunk_contents},
            {chunk_refs} OFFSET 0)
        AS g (calls, threads, hashes, contents, refs),
        unnest(g.calls, g.threads, g.hashes, g.contents, g.refs)
        AS new (call, thread_id, hash, content, refs)
    WHERE new.call = ANY (ARRAY(SELECT call FROM l WHERE NOT put UNION ALL SELECT call FROM s))
    ON CONFLICT DO NOTHING
), i AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT s.thread_id, s.ns, s.id, s.parent, s.seq + 1, s.checkpoint,
        CASE WHEN s.unchanged = '{}' THEN s.channels ELSE s.channels || coalesce((
            SELECT pg_catalog.jsonb_object_agg(
                same.key, c.channels -> same.key ORDER BY c.checkpoint_id = s.parent)
            FROM {schema}.checkpoints AS c, jsonb_each(s.unchanged) AS same
            WHERE c.thread_id = s.thread_id AND c.checkpoint_ns = s.ns
              AND c.checkpoint_id IN (s.parent, s.id)
              AND c.checkpoint -> 'channel_versions' -> same.key = same.value
              AND c.channels ? same.key), '{}') END,
        s.metadata
    FROM s
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
    SET checkpoint = excluded.checkpoint, channels = excluded.channels,
        metadata = excluded.metadata
    RETURNING thread_id, checkpoint_ns, checkpoint_id, seq
), m AS (
    INSERT INTO {schema}.heads AS h (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT thread_id, checkpoint_ns, checkpoint_id, seq, now() FROM i
    ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE
    SET checkpoint_id = excluded.checkpoint_id, seq = excluded.seq,
        updated_at = excluded.updated_at
    WHERE h.seq < excluded.seq
), w AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT w.thread_id, w.ns, w.id, w.task_id, w.idx, w.task_path, w.channel, w.value
    FROM (SELECT {write_calls}, {write_threads}, {write_ns}, {write_ids}, {write_tasks},
            {write_paths}, {write_indexes}, {write_channels}, {write_values} OFFSET 0)
        AS g (calls, threads, ns, ids, tasks, paths, indexes, channels, values),
        unnest(g.calls, g.threads, g.ns, g.ids, g.tasks, g.paths, g.indexes,
            g.channels, g.values)
        AS w (call, thread_id, ns, id, task_id, task_path, idx, channel, value)
    WHERE w.call = ANY (ARRAY(SELECT call FROM l))
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = excluded.channel, value = excluded.value
    WHERE excluded.idx < 0
)
SELECT l.call, l.generation, l.gc,
    NOT l.put OR l.call = ANY (ARRAY(SELECT call FROM s)) AS done{commit}
FROM l WHERE NOT l.put OR l.call = ANY (ARRAY(SELECT call FROM h))",
    parameters: &[
        ("threads", Type::TEXT_ARRAY),
        ("generations", Type::INT8_ARRAY),
        ("gcs", Type::INT8_ARRAY),
        ("leases", Type::TEXT_ARRAY),
        ("puts", Type::BOOL_ARRAY),
        ("relied_calls", Type::INT8_ARRAY),
        ("relied_threads", Type::TEXT_ARRAY),
        ("relied_hashes", Type::BYTEA_ARRAY),
        ("chunk_calls", Type::INT8_ARRAY),
        ("chunk_threads", Type::TEXT_ARRAY),
        ("chunk_hashes", Type::BYTEA_ARRAY),
        ("chunk_contents", Type::JSONB_ARRAY),
        ("chunk_refs", Type::BYTEA_ARRAY),
        ("put_calls", Type::INT8_ARRAY),
        ("put_threads", Type::TEXT_ARRAY),
        ("put_ns", Type::TEXT_ARRAY),
        ("put_ids", Type::TEXT_ARRAY),
        ("put_parents", Type::TEXT_ARRAY),
        ("put_guarded", Type::BOOL_ARRAY),
        ("put_expected", Type::TEXT_ARRAY),
        ("put_checkpoints", Type::JSONB_ARRAY),
        ("put_channels", Type::JSONB_ARRAY),
        ("put_unchanged", Type::JSONB_ARRAY),
        ("put_metadata", Type::JSONB_ARRAY),
        ("write_calls", Type::INT8_ARRAY),
        ("write_threads", Type::TEXT_ARRAY),
        ("write_ns", Type::TEXT_ARRAY),
        ("write_ids", Type::TEXT_ARRAY),
        ("write_tasks", Type::TEXT_ARRAY),
        ("write_paths", Type::TEXT_ARRAY),
        ("write_indexes", Type::INT4_ARRAY),
        ("write_channels", Type::TEXT_ARRAY),
        ("write_values", Type::JSONB_ARRAY),
    ],
};
