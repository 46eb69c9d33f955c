//! Reading checkpoints, with everything that belongs to them.

use std::borrow::Cow;

use super::parameters::parameters;
use super::template::Template;
use crate::codec::ContentHash;

parameters! {
    /// What is read of each checkpoint.
    struct Only<'a> {
        /// The keys of the channels to read: null for everything.
        only: Option<Vec<Cow<'a, str>>>,
        /// Whether anything of the state is read, or only ids, metadata, formats and times.
        state: bool,
    }
}

parameters! {
    /// A checkpoint, or a head.
    struct OneCheckpoint<'a> {
        thread_id: &'a str,
        ns: &'a str,
        /// Null for the head.
        id: Option<&'a str>,
    }
}

parameters! {
    /// Chunks whose content the client has.
    struct HeldChunks<'a> {
        held: &'a [ContentHash],
    }
}

/// Chooses a head, or a checkpoint by its id. Neither the chunks that the client has are read, nor those
/// below them.
pub(super) const GET_TUPLE: Template<(
    (Only<'static>, OneCheckpoint<'static>),
    HeldChunks<'static>,
)> = Template::new(&[
    CHOOSE_ONE,
    LOADED,
    "
    WHERE top.hash",
    NOT_HELD,
    BELOW,
    " AND below.hash",
    NOT_HELD,
    ROWS,
    LOST_HEAD,
]);

/// The array is selected: if the server saw how long it is, it would plan each read anew.
const NOT_HELD: &str = " <> ALL ((SELECT {held})::bytea[])";

const CHOOSE_ONE: &str = "-- checkpointer::get_tuple
WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT 1::bigint AS place, c.*, t.generation, t.gc
    FROM {schema}.checkpoints AS c JOIN {schema}.threads AS t USING (thread_id)
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))";

/// What is read of the checkpoints that the CTE `chosen` has chosen, up to the chunks to which they refer.
///
/// `loaded` has all that is read of a checkpoint, so that nothing is joined: the planner takes a
/// page for a few rows, and would compare each of a thousand with each.
///
/// Pending writes and chunks are looked up by their keys, for one checkpoint and one reference after
/// the other. The planner can't know how few they are, and would read the whole table; hence the
/// `LATERAL`s, which `OFFSET 0` keeps from becoming joins. `sign(depth) = 1` says no more than
/// `depth > 0`, but the planner takes an equation for a rare thing.
pub(super) const LOADED: &str = "
), loaded AS MATERIALIZED (
    SELECT place, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, generation, gc,
        metadata, pinned, CASE WHEN {state} THEN checkpoint ELSE pg_catalog.jsonb_build_object(
            'format', checkpoint -> 'format', 'v', checkpoint -> 'v', 'ts', checkpoint -> 'ts'
        ) END AS checkpoint,
        CASE WHEN {only} IS NULL THEN channels
            WHEN NOT {state} THEN NULL
            WHEN jsonb_typeof(channels) <> 'object' THEN channels
            ELSE (SELECT pg_catalog.jsonb_object_agg(key, value) FROM jsonb_each(channels)
                WHERE key = ANY ({only}))
        END AS channels
    FROM chosen
), writes AS MATERIALIZED (
    SELECT chosen.place, w.thread_id, w.task_id, w.task_path, w.idx, w.channel, w.value
    FROM chosen CROSS JOIN LATERAL (
        SELECT * FROM {schema}.pending_writes AS w
        WHERE w.thread_id = chosen.thread_id AND w.checkpoint_ns = chosen.checkpoint_ns
          AND w.checkpoint_id = chosen.checkpoint_id OFFSET 0) AS w
    WHERE {only} IS NULL
), referred AS (
    SELECT loaded.thread_id, stored.value AS reference
    FROM loaded,
        jsonb_each(CASE WHEN jsonb_typeof(loaded.channels) = 'object' THEN loaded.channels END)
        AS stored
    WHERE {is_reference}
    UNION ALL
    SELECT stored.thread_id, stored.value FROM writes AS stored WHERE {is_reference}
), needed AS (
    SELECT referred.thread_id, top.hash, top.depth
    FROM referred, {schema}.top_chunks(referred.reference) AS top";

/// The chunks below those.
pub(super) const BELOW: &str = "
    UNION
    SELECT needed.thread_id, below.hash, needed.depth - 1
    FROM needed CROSS JOIN LATERAL (
        SELECT c.refs FROM {schema}.chunks AS c
        WHERE c.thread_id = needed.thread_id AND c.hash = needed.hash OFFSET 0) AS c,
        {schema}.unpacked(c.refs) AS below
    WHERE sign(needed.depth) = 1";

/// The rows of a read:
///
/// - `checkpoint`: `content` are its own fields.
/// - `write`: a pending write of the checkpoint that has the same place; `content` is its value.
/// - `chunk`: once, however many checkpoints share it.
pub(super) const ROWS: &str = "
)
SELECT 'checkpoint' AS kind, place, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,
    generation, gc, channels, metadata, pinned,
    NULL::text AS task_id, NULL::text AS task_path, NULL::integer AS idx, NULL::text AS channel,
    NULL::bytea AS hash, NULL::bytea AS refs, checkpoint AS content
FROM loaded
UNION ALL
SELECT 'chunk', NULL, c.thread_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, c.hash, c.refs, c.content
FROM (SELECT DISTINCT thread_id, hash FROM needed) AS needed CROSS JOIN LATERAL (
    SELECT * FROM {schema}.chunks AS c
    WHERE c.thread_id = needed.thread_id AND c.hash = needed.hash OFFSET 0) AS c
UNION ALL
SELECT 'write', place, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    task_id, task_path, idx, channel, NULL, NULL, value
FROM writes";

/// A head that names no checkpoint: not the same as none.
const LOST_HEAD: &str = "
UNION ALL
SELECT 'lost head', NULL, h.thread_id, h.checkpoint_ns, h.checkpoint_id, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM {schema}.heads AS h
WHERE {id} IS NULL AND h.thread_id = {thread_id} AND h.checkpoint_ns = {ns}
  AND NOT EXISTS (SELECT FROM chosen)";
