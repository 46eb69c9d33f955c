//! Storing checkpoints and pending writes.

use db::Type;

use super::Template;

/// Locks a thread the client knows, if nothing it relies on has changed since.
///
/// After a lock wait only the locked row is read again; everything else is of the statement's
/// snapshot. So what else must hold (the chunks are there) is tied to the row by `gc`.
///
/// Chunks are looked up one by one, by their keys. Asked for all of them at once, the planner reads
/// every chunk of the thread while the table is small, and keeps that plan as it grows. `OFFSET 0`
/// hides from it how many they are, or it would make a new plan each time.
pub(super) const KNOWN_THREAD: Template = Template {
    sql: "
    SELECT generation, gc FROM {schema}.threads
    WHERE {as_known}
      AND pg_catalog.cardinality({relied}) = (
          SELECT count(*)
          FROM (SELECT {relied} OFFSET 0) AS g (hashes), pg_catalog.unnest(g.hashes) AS r (hash)
          CROSS JOIN LATERAL (
              SELECT FROM {schema}.chunks AS c
              WHERE c.thread_id = {thread_id} AND c.hash = r.hash OFFSET 0) AS c)
    FOR SHARE",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("generation", Type::INT8),
        ("gc", Type::INT8),
        ("lease", Type::TEXT),
        ("relied", Type::BYTEA_ARRAY),
    ],
};

/// The same for a write that relies on no chunk.
pub(super) const KNOWN_THREAD_ONLY: Template = Template {
    sql: "
    SELECT generation, gc FROM {schema}.threads
    WHERE {as_known}
    FOR SHARE",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("generation", Type::INT8),
        ("gc", Type::INT8),
        ("lease", Type::TEXT),
    ],
};

/// Locks a thread the client knows nothing of, and makes it if it doesn't exist. The client sends
/// every chunk and relies on none, and has no lease.
///
/// `excluded.created_at` is the time. A row of the first generation that is deleted only reserves a
/// place.
pub(super) const ANY_THREAD: Template = Template {
    sql: "
    INSERT INTO {schema}.threads AS t (thread_id) VALUES ({thread_id})
    ON CONFLICT (thread_id) DO UPDATE
    SET deleted_at = NULL,
        created_at = CASE WHEN t.deleted_at IS NULL THEN t.created_at ELSE excluded.created_at END
    WHERE (t.lease_token IS NULL OR t.lease_until <= excluded.created_at)
      AND (t.generation = 1
        OR CASE WHEN t.deleted_at IS NULL THEN {restarted} ELSE {restart} END)
    RETURNING generation, gc",
    parameters: &[
        ("thread_id", Type::TEXT),
        // Whether a thread that was deleted and started afresh will do.
        ("restarted", Type::BOOL),
        // Whether a deleted thread is started afresh.
        ("restart", Type::BOOL),
    ],
};

/// The same for a client that has a lease: its row is there, or else the lease is lost.
pub(super) const LEASED_THREAD: Template = Template {
    sql: "
    UPDATE {schema}.threads AS t
    SET deleted_at = NULL,
        created_at = CASE WHEN t.deleted_at IS NULL THEN t.created_at ELSE now() END
    WHERE t.thread_id = {thread_id} AND t.lease_token = {lease}
      AND (t.generation = 1
        OR CASE WHEN t.deleted_at IS NULL THEN {restarted} ELSE {restart} END)
    RETURNING generation, gc",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("restarted", Type::BOOL),
        ("restart", Type::BOOL),
        ("lease", Type::TEXT),
    ],
};

/// Stores a new checkpoint in a namespace that has a head: what nearly every put does, with as few
/// steps as it takes, since each costs the server time.
///
/// `h` moves the head if the put goes ahead, and everything else follows it. A checkpoint that
/// turns out to be stored already, by an attempt whose answer was lost, has a key that exists: an
/// error, and nothing was changed. Without a row, or after that error, the client looks and sends
/// [`PUT`].
pub(super) const PUT_NEXT: Template = Template {
    sql: "
), h AS (
    UPDATE {schema}.heads AS h SET checkpoint_id = {id}, seq = h.seq + 1, updated_at = now()
    FROM l
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = {ns}
      AND (NOT {guarded} OR h.checkpoint_id = {expected})
      AND NOT EXISTS (
          SELECT FROM {schema}.checkpoints
          WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id})
    RETURNING h.seq, l.generation, l.gc
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM h, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), i AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {thread_id}, {ns}, {id}, {parent}, seq, {checkpoint}, {channels}, {metadata}
    FROM h
)
SELECT generation, gc, true AS done{commit} FROM h",
    parameters: &[
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("parent", Type::TEXT),
        ("guarded", Type::BOOL),
        ("expected", Type::TEXT),
        ("hashes", Type::BYTEA_ARRAY),
        ("contents", Type::JSONB_ARRAY),
        ("refs", Type::BYTEA_ARRAY),
        ("checkpoint", Type::JSONB),
        ("channels", Type::JSONB),
        ("metadata", Type::JSONB),
    ],
};

/// Stores a checkpoint, whatever there is of it.
///
/// `h` locks the head. `n` makes the first head of a namespace; whoever loses the race for it
/// writes nothing and looks again. `s` has a row if the put goes ahead. `p` takes over the parent's
/// values of channels that didn't change; of a checkpoint put again the parent may be gone, so its
/// own serve as well. Without either there is nothing to take them from, and `b` holds the put up.
/// Each is looked up by its key, one row at most, whatever the planner believes. `i` stores a new
/// checkpoint, and `m` moves the head to it; `u` replaces the content of a checkpoint that was
/// stored before, and the head stays.
pub(super) const PUT: Template = Template {
    sql: "
), h AS MATERIALIZED (
    SELECT checkpoint_id, seq FROM {schema}.heads
    WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND EXISTS (SELECT FROM l)
    FOR UPDATE
), b AS MATERIALIZED (
    SELECT {required_id} IS NULL OR EXISTS (
        SELECT FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {required_ns}
          AND checkpoint_id = {required_id}
    ) OR EXISTS (
        SELECT FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
    ) AS belongs, {unchanged} = '{}' OR {parent} IS NULL OR EXISTS (
        SELECT FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}
          AND checkpoint_id IN ({parent}, {id})
    ) AS inherits
    FROM l
), n AS (
    INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT {thread_id}, {ns}, {id}, 1, now() FROM b
    WHERE belongs AND inherits AND {expected} IS NULL AND NOT EXISTS (SELECT FROM h)
    ON CONFLICT DO NOTHING
    RETURNING seq, updated_at
), s AS MATERIALIZED (
    SELECT h.seq + 1 AS seq, now() AS at FROM b, h
    WHERE belongs AND inherits AND (NOT {guarded} OR h.checkpoint_id = {expected})
    UNION ALL SELECT seq, updated_at FROM n
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM s, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), p AS MATERIALIZED (
    SELECT {channels} || coalesce((
        SELECT pg_catalog.jsonb_object_agg(same.key, c.channels -> same.key ORDER BY source.place)
        FROM (VALUES (1, {id}), (2, {parent})) AS source (place, id)
        CROSS JOIN LATERAL (
            SELECT c.checkpoint, c.channels FROM {schema}.checkpoints AS c
            WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
              AND c.checkpoint_id = source.id
            LIMIT 1) AS c
        CROSS JOIN jsonb_each({unchanged}) AS same
        WHERE c.checkpoint -> 'channel_versions' -> same.key = same.value
          AND c.channels ? same.key), '{}') AS channels
    FROM s
), i AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {thread_id}, {ns}, {id}, {parent}, s.seq, {checkpoint}, p.channels, {metadata}
    FROM s, p
    ON CONFLICT DO NOTHING
    RETURNING seq
), m AS (
    UPDATE {schema}.heads SET checkpoint_id = {id}, seq = i.seq, updated_at = s.at
    FROM i, s
    WHERE heads.thread_id = {thread_id} AND heads.checkpoint_ns = {ns}
), u AS (
    UPDATE {schema}.checkpoints AS c
    SET checkpoint = {checkpoint}, channels = p.channels, metadata = {metadata}
    FROM p
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = {id}
)
SELECT l.generation, l.gc, b.belongs, EXISTS (SELECT FROM s) AS done{commit} FROM l, b",
    // Those of [`PUT_NEXT`] first.
    parameters: &[
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("parent", Type::TEXT),
        ("guarded", Type::BOOL),
        ("expected", Type::TEXT),
        ("hashes", Type::BYTEA_ARRAY),
        ("contents", Type::JSONB_ARRAY),
        ("refs", Type::BYTEA_ARRAY),
        ("checkpoint", Type::JSONB),
        ("channels", Type::JSONB),
        ("metadata", Type::JSONB),
        ("unchanged", Type::JSONB),
        ("required_ns", Type::TEXT),
        ("required_id", Type::TEXT),
    ],
};

/// Stores the chunks that [`PUT_WRITES`] needs.
pub(super) const CHUNKS_OF_WRITES: Template = Template {
    sql: "
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM l, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING",
    parameters: &[
        ("hashes", Type::BYTEA_ARRAY),
        ("contents", Type::JSONB_ARRAY),
        ("refs", Type::BYTEA_ARRAY),
    ],
};

/// Stores the outputs of a task: of those of a special channel the last one counts, of those of a
/// regular one the first.
pub(super) const PUT_WRITES: Template = Template {
    sql: "
), w AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT {thread_id}, {ns}, {id}, {task_id}, new.idx, {task_path}, new.channel, new.value
    FROM l, unnest({indexes}, {channels}, {values}) AS new (idx, channel, value)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = excluded.channel, value = excluded.value
    WHERE excluded.idx < 0
)
SELECT generation, gc, true AS done{commit} FROM l",
    parameters: &[
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("task_id", Type::TEXT),
        ("task_path", Type::TEXT),
        ("indexes", Type::INT4_ARRAY),
        ("channels", Type::TEXT_ARRAY),
        ("values", Type::JSONB_ARRAY),
    ],
};

/// Reads a thread's state as of now: before a put that needs to know it, and before a conflict or a
/// missing parent is reported, for the put may have been stored by an attempt that seemed lost. A
/// parent that was pruned since is forgotten.
///
/// What that attempt stored can be seen before a synchronous standby has it, if its wait was cut
/// short. So the look that finds it writes a word to the log, and with that its own commit waits.
pub(super) const LOOK: Template = Template {
    sql: "-- checkpointer::look
SELECT generation, gc, deleted, lease_until, admitted, head, stored, inherits, CASE WHEN stored
    THEN pg_catalog.pg_logical_emit_message(true, 'checkpointer', 'look')::pg_catalog.text
    END AS logged
FROM (
    SELECT generation, gc, deleted_at IS NOT NULL AS deleted, lease_until, {admitted} AS admitted,
        (SELECT checkpoint_id FROM {schema}.heads
         WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}) AS head,
        EXISTS (SELECT FROM {schema}.checkpoints
            WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
              AND (parent_checkpoint_id = {parent} OR parent_checkpoint_id IS NULL)) AS stored,
        EXISTS (SELECT FROM {schema}.checkpoints
            WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}
              AND checkpoint_id IN ({parent}, {id})) AS inherits
    FROM {schema}.threads WHERE thread_id = {thread_id} OFFSET 0) AS look",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("parent", Type::TEXT),
        ("lease", Type::TEXT),
    ],
};

/// Removes the writes to a checkpoint that will never come: its put was refused.
pub(super) const DROP_WRITES: Template = Template {
    sql: "-- checkpointer::drop_writes
DELETE FROM {schema}.pending_writes
WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
  AND NOT EXISTS (SELECT FROM {schema}.checkpoints
      WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id})",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
    ],
};
