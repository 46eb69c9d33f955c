//! Storing checkpoints and pending writes.
//!
//! Most texts here are the rest of a statement whose first CTE, `locked`, locks the thread.

use super::counting::{OF_CHECKPOINT, OF_CHUNKS, OF_INHERITED, OF_WRITES};
use super::parameters::parameters;
use super::template::Template;
use crate::codec::ContentHash;
use crate::postgres::wire::Jsonb;

parameters! {
    /// A checkpoint to store.
    struct NewCheckpoint<'a> {
        ns: &'a str,
        id: &'a str,
        parent: Option<&'a str>,
        /// Whether the head must be the one expected.
        guarded: bool,
        expected: Option<&'a str>,
        checkpoint: Jsonb<'a>,
        channels: Jsonb<'a>,
        metadata: Jsonb<'a>,
    }
}

parameters! {
    /// The chunks that a write brings along.
    struct NewChunks<'a> {
        hashes: &'a [ContentHash],
        contents: Vec<Option<Jsonb<'a>>>,
        refs: Vec<Option<&'a [u8]>>,
    }
}

parameters! {
    /// What a put needs of other checkpoints.
    struct Inherited<'a> {
        /// The versions of the channels that keep their parent's value.
        unchanged: Jsonb<'a>,
        /// Whether the put is refused if its parent isn't there.
        needs_parent: bool,
        /// The checkpoint that shows that the put belongs to this generation of the thread.
        required_ns: Option<&'a str>,
        required_id: Option<&'a str>,
    }
}

parameters! {
    /// The outputs of a task to store.
    struct NewWrites<'a> {
        ns: &'a str,
        id: &'a str,
        task_id: &'a str,
        task_path: &'a str,
        indexes: &'a [i32],
        channels: &'a [String],
        values: Vec<Jsonb<'a>>,
    }
}

parameters! {
    /// What a put asks of its thread.
    struct Look<'a> {
        thread_id: &'a str,
        ns: &'a str,
        id: &'a str,
        parent: Option<&'a str>,
        lease: Option<&'a str>,
    }
}

parameters! {
    /// The checkpoint whose pending writes are removed.
    struct DroppedWrites<'a> {
        thread_id: &'a str,
        ns: &'a str,
        id: &'a str,
    }
}

/// Appends a new checkpoint to a namespace that has a head. Nearly every put is sent so, and it has
/// as few steps as possible, since each costs the server time.
///
/// `moved` moves the head if the put goes ahead, and everything else follows it. A checkpoint that
/// turns out to be stored already, by an attempt whose answer was lost, has a key that exists: an
/// error, and nothing was changed. Without a row, or after that error, the client looks and sends
/// [`PUT`].
pub(super) const APPEND: Template<(NewCheckpoint<'static>, NewChunks<'static>)> =
    Template::new(&["moved AS (
    UPDATE {schema}.heads AS h SET checkpoint_id = {id}, seq = h.seq + 1, updated_at = now()
    FROM locked
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = {ns}
      AND (NOT {guarded} OR h.checkpoint_id = {expected})
      AND NOT EXISTS (
          SELECT FROM {schema}.checkpoints
          WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id})
    RETURNING h.seq, locked.generation, locked.gc
), inserted_chunks AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM moved, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), inserted AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {thread_id}, {ns}, {id}, {parent}, seq, {checkpoint}, {channels}, {metadata}
    FROM moved
)
SELECT generation, gc, true AS belongs, true AS done{commit} FROM moved"])
    .storing(&[OF_CHECKPOINT, OF_CHUNKS]);

/// Stores a checkpoint, in whatever state its thread and namespace are.
///
/// - `head` locks the head.
/// - `checked` says whether the put belongs to this generation of the thread, and whether there is a
///   checkpoint to take values from, if it takes any: the parent, or, for a checkpoint that is put
///   again after its parent was pruned, the checkpoint itself. Each is looked up by its key, one row
///   at most, whatever the planner believes. A parent that isn't the head is locked: the snapshot may
///   be older than its removal, for which the put has waited. It may also be older than the put of the
///   parent; then the head isn't the one of the snapshot, and what wasn't seen isn't known to be
///   missing: nothing is stored, and the client looks.
/// - `first_head` makes the first head of a namespace. Of two puts that do so at the same moment one
///   writes nothing, and looks again.
/// - `accepted` has a row if the put goes ahead.
/// - `inherited` adds the values of channels that didn't change.
/// - `inserted` stores a new checkpoint, and `moved` moves the head to it. `replaced` replaces the
///   content of a checkpoint that was stored before, and leaves the head.
/// - `noted` notes that the content before has left chunks: it had a reference (`before`) that the new one hasn't.
///   The row is locked, since another put of the same checkpoint may have come since the snapshot. If that one has
///   stored the checkpoint first, nothing of this put is stored but its chunks.
pub(super) const PUT: Template<(
    (NewCheckpoint<'static>, NewChunks<'static>),
    Inherited<'static>,
)> = Template::new(&[
    "head AS MATERIALIZED (
    SELECT checkpoint_id, seq FROM {schema}.heads
    WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND EXISTS (SELECT FROM locked)
    FOR UPDATE
), checked AS MATERIALIZED (
    SELECT belongs OR ",
    HEAD_IS_NEWER,
    " AS belongs, belongs AND (inherits OR NOT {needs_parent} AND NOT ",
    HEAD_IS_NEWER,
    ") AS inherits
    FROM (SELECT {required_id} IS NULL OR EXISTS (
            SELECT FROM {schema}.checkpoints
            WHERE thread_id = {thread_id} AND checkpoint_ns = {required_ns}
              AND checkpoint_id = {required_id}
        ) OR EXISTS (
            SELECT FROM {schema}.checkpoints
            WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
        ) AS belongs, {unchanged} = '{}' OR EXISTS (
            SELECT FROM head CROSS JOIN LATERAL (
                SELECT FROM {schema}.checkpoints
                WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {parent}
                LIMIT 1) AS seen
            WHERE head.checkpoint_id = {parent}
        ) OR EXISTS (
            SELECT FROM {schema}.checkpoints
            WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}
              AND checkpoint_id IN ({parent}, {id})
            FOR KEY SHARE
        ) AS inherits
        FROM locked OFFSET 0) AS seen
), first_head AS (
    INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT {thread_id}, {ns}, {id}, 1, now() FROM checked
    WHERE belongs AND inherits AND {expected} IS NULL AND NOT EXISTS (SELECT FROM head)
    ON CONFLICT DO NOTHING
    RETURNING seq, updated_at
), accepted AS MATERIALIZED (
    SELECT head.seq + 1 AS seq, now() AS at FROM checked, head
    WHERE belongs AND inherits AND (NOT {guarded} OR head.checkpoint_id = {expected})
    UNION ALL SELECT seq, updated_at FROM first_head
), inserted_chunks AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM accepted, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), inherited AS MATERIALIZED (
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
    FROM accepted
), inserted AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {thread_id}, {ns}, {id}, {parent}, accepted.seq, {checkpoint}, inherited.channels,
        {metadata}
    FROM accepted, inherited
    ON CONFLICT DO NOTHING
    RETURNING seq
), moved AS (
    UPDATE {schema}.heads AS h
    SET checkpoint_id = {id}, seq = inserted.seq, updated_at = accepted.at
    FROM inserted, accepted
    WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = {ns}
), before AS MATERIALIZED (
    SELECT EXISTS (
        SELECT FROM jsonb_each(CASE WHEN jsonb_typeof(c.channels) = 'object' THEN c.channels END)
            AS stored
        WHERE jsonb_typeof(stored.value) = 'object'
          AND stored.value IS DISTINCT FROM inherited.channels -> stored.key) AS leaves_chunks
    FROM inherited CROSS JOIN LATERAL (
        SELECT c.channels FROM {schema}.checkpoints AS c
        WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = {id}
        FOR NO KEY UPDATE) AS c
), replaced AS (
    UPDATE {schema}.checkpoints AS c
    SET checkpoint = {checkpoint}, channels = inherited.channels, metadata = {metadata}
    FROM inherited, before
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = {id}
    RETURNING before.leaves_chunks
), noted AS (
    INSERT INTO {schema}.unswept (thread_id)
    SELECT {thread_id} FROM accepted
    WHERE EXISTS (SELECT FROM replaced WHERE leaves_chunks)
      OR NOT EXISTS (SELECT FROM inserted) AND NOT EXISTS (SELECT FROM before)
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
)
SELECT locked.generation, locked.gc, checked.belongs,
    EXISTS (SELECT FROM accepted) AS done{commit}
FROM locked, checked",
])
.storing(&[OF_CHECKPOINT, OF_CHUNKS, OF_INHERITED]);

/// Whether the head that was locked is another than the statement's snapshot has.
const HEAD_IS_NEWER: &str = "EXISTS (SELECT FROM head WHERE NOT EXISTS (
        SELECT FROM {schema}.heads AS h
        WHERE h.thread_id = {thread_id} AND h.checkpoint_ns = {ns}
          AND h.checkpoint_id = head.checkpoint_id AND h.seq = head.seq OFFSET 0))";

/// Stores outputs of a task, none of them to a special channel, with the chunks they need. Nearly
/// every call is sent so. If a call before this one has stored some, a key exists: an error, and
/// nothing was changed. Then the client sends [`PUT_WRITES`].
pub(super) const NEW_WRITES: Template<(NewChunks<'static>, NewWrites<'static>)> =
    Template::new(&[CHUNKS_OF_WRITES, INSERT_WRITES, ANSWER_TO_WRITES])
        .storing(&[OF_WRITES, OF_CHUNKS]);

/// The same for outputs that need no chunk.
pub(super) const NEW_SMALL_WRITES: Template<NewWrites<'static>> =
    Template::new(&[INSERT_WRITES, ANSWER_TO_WRITES]).storing(&[OF_WRITES]);

/// Stores outputs of a task to channels of any kind, whatever is stored of the task, with the
/// chunks they need.
pub(super) const PUT_WRITES: Template<(NewChunks<'static>, NewWrites<'static>)> = Template::new(&[
    PLACE_WRITES,
    CHUNKS_OF_PLACED,
    REPLACED,
    OR_PASSED_OVER,
    NOTE_LEFT_CHUNKS,
    ANSWER_TO_PLACED,
])
.storing(&[OF_WRITES, OF_CHUNKS]);

/// The same for outputs that need no chunk.
pub(super) const PUT_SMALL_WRITES: Template<NewWrites<'static>> =
    Template::new(&[PLACE_WRITES, REPLACED, NOTE_LEFT_CHUNKS, ANSWER_TO_WRITES])
        .storing(&[OF_WRITES]);

const CHUNKS_OF_WRITES: &str = "inserted_chunks AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM locked, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), ";

const INSERT_WRITES: &str = "inserted_writes AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT {thread_id}, {ns}, {id}, {task_id}, new.idx, {task_path}, new.channel, new.value
    FROM locked, unnest({indexes}, {channels}, {values}) AS new (idx, channel, value)
)";

/// Of a task's outputs to a special channel the last one counts; of those to regular ones, all of
/// the first call.
///
/// The regular writes of every call begin with index 0. Which call is the first is decided by that
/// row: `placed` waits for another call that inserts it at the same moment. The other regular writes
/// follow it, or stay away with it; unless they are added to those that are stored.
///
/// What was there `before` of the outputs to special channels is locked first: another call may have replaced it
/// since the snapshot. What isn't in the snapshot at all `was_there` if it has an `xmax` now.
const PLACE_WRITES: &str = "before AS MATERIALIZED (
    SELECT new.idx, w.value
    FROM unnest({indexes}) AS new (idx) CROSS JOIN LATERAL (
        SELECT w.value FROM {schema}.pending_writes AS w
        WHERE w.thread_id = {thread_id} AND w.checkpoint_ns = {ns} AND w.checkpoint_id = {id}
          AND w.task_id = {task_id} AND w.idx = new.idx
        FOR NO KEY UPDATE) AS w
    WHERE new.idx < 0 AND EXISTS (SELECT FROM locked)
), placed AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT {thread_id}, {ns}, {id}, {task_id}, new.idx, {task_path}, new.channel, new.value
    FROM locked, unnest({indexes}, {channels}, {values}) AS new (idx, channel, value)
    WHERE new.idx <= 0 AND (SELECT count(*) FROM before) >= 0
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = excluded.channel, value = excluded.value
    WHERE excluded.idx < 0
    RETURNING idx, value, xmax <> 0 AS was_there
), following AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT {thread_id}, {ns}, {id}, {task_id}, new.idx, {task_path}, new.channel, new.value
    FROM locked, unnest({indexes}, {channels}, {values}) AS new (idx, channel, value)
    WHERE new.idx > 0{with_the_first}
    ON CONFLICT DO NOTHING
    RETURNING idx
)";

/// The chunks of outputs of which some were stored now (`kept`), which counts them, so that all are stored
/// before the chunks: in that order other statements lock both.
const CHUNKS_OF_PLACED: &str = ", kept AS MATERIALIZED (
    SELECT stored FROM (
        SELECT (SELECT count(*) FROM placed) + (SELECT count(*) FROM following) AS stored
        FROM locked OFFSET 0) AS counted
    WHERE stored > 0
), inserted_chunks AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM kept, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
)";

/// Where an output to a special channel had a reference and was replaced, it has left chunks, which is noted. So
/// it is where what was there isn't known.
const REPLACED: &str = ", left_chunks AS MATERIALIZED (
    SELECT placed.idx FROM placed LEFT JOIN before ON before.idx = placed.idx
    WHERE placed.was_there AND (before.idx IS NULL
        OR jsonb_typeof(before.value) = 'object' AND before.value <> placed.value)";

/// Where only some outputs were stored, the chunks of the others were, too.
const OR_PASSED_OVER: &str = "
    UNION ALL
    SELECT 0 FROM kept
    WHERE stored < pg_catalog.cardinality({indexes}) AND pg_catalog.cardinality({hashes}) > 0";

const NOTE_LEFT_CHUNKS: &str = "
    LIMIT 1
), noted AS (
    INSERT INTO {schema}.unswept (thread_id)
    SELECT {thread_id} FROM left_chunks
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
)";

/// Where nothing was stored, nothing belongs to the thread, and no chunk was.
const ANSWER_TO_PLACED: &str = "
SELECT generation, gc, EXISTS (SELECT FROM kept) AS belongs, true AS done{commit} FROM locked";

const ANSWER_TO_WRITES: &str = "
SELECT generation, gc, true AS belongs, true AS done{commit} FROM locked";

/// Reads a thread's state as of now: before a put that needs to know it, and before a conflict or a
/// missing parent is reported, for the put may have been stored by an attempt that seemed lost. A
/// parent that was pruned since is forgotten.
///
/// What that attempt stored can be seen before a synchronous standby has it, if its wait was cut
/// short. So a look that finds it writes a message to the write-ahead log: then its own commit
/// waits for the standby, too.
pub(super) const LOOK: Template<Look<'static>> = Template::new(&["-- checkpointer::look
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
    FROM {schema}.threads WHERE thread_id = {thread_id} OFFSET 0) AS look"]);

/// Removes the writes to a checkpoint that will never come: its put was refused. If they leave chunks, that is
/// noted.
pub(super) const DROP_WRITES: Template<DroppedWrites<'static>> =
    Template::new(&["-- checkpointer::drop_writes
WITH dropped AS (
    DELETE FROM {schema}.pending_writes
    WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
      AND NOT EXISTS (SELECT FROM {schema}.checkpoints
          WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id})
    RETURNING value
), left_chunks AS MATERIALIZED (
    SELECT value FROM dropped WHERE jsonb_typeof(value) = 'object' LIMIT 1
), noted AS (
    INSERT INTO {schema}.unswept (thread_id) SELECT {thread_id} FROM left_chunks
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
)
SELECT count(*) FROM dropped"]);
