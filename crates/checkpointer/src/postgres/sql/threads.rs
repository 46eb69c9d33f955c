//! Threads as a whole: locking, deleting and copying them.

use super::parameters::parameters;
use super::template::Template;
use crate::postgres::wire::Jsonb;

parameters! {
    /// A thread to read.
    struct OneThread<'a> {
        thread_id: &'a str,
    }
}

parameters! {
    /// Metadata for a thread.
    struct ThreadMetadata<'a> {
        thread_id: &'a str,
        metadata: Jsonb<'a>,
    }
}

parameters! {
    /// Changes of a thread's metadata.
    struct ChangedMetadata<'a> {
        thread_id: &'a str,
        set: Jsonb<'a>,
        /// Keys as they are stored.
        removed: &'a [String],
    }
}

parameters! {
    /// A thread to lock alone.
    struct LockedThread<'a> {
        thread_id: &'a str,
        lease: Option<&'a str>,
    }
}

parameters! {
    /// A thread to delete.
    struct DeletedThread<'a> {
        thread_id: &'a str,
        operation: &'a str,
        /// Up to how many chunks go with it at once.
        most: i64,
    }
}

parameters! {
    /// A thread, and what a policy asks of it.
    struct JudgedThread<'a> {
        thread_id: &'a str,
        lease: Option<&'a str>,
        only: Option<Jsonb<'a>>,
        /// A list: it must contain none of these.
        except: Option<Jsonb<'a>>,
        /// For how long it must have rested to be deleted.
        rests: Option<i64>,
    }
}

parameters! {
    /// A checkpoint to pin or unpin.
    struct PinnedCheckpoint<'a> {
        thread_id: &'a str,
        ns: &'a str,
        id: &'a str,
        generation: Option<i64>,
        pinned: bool,
    }
}

parameters! {
    /// A thread and its copy.
    struct ThreadsOfCopy<'a> {
        source: &'a str,
        target: &'a str,
    }
}

parameters! {
    /// A copy to make.
    struct MadeCopy<'a> {
        source: &'a str,
        target: &'a str,
        operation: &'a str,
    }
}

/// What is known of one thread.
pub(super) const THREAD_INFO: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::thread_info
SELECT t.thread_id, t.metadata, t.created_at, t.generation,
    coalesce((SELECT max(h.updated_at) FROM {schema}.heads AS h
        WHERE h.thread_id = t.thread_id), t.created_at) AS updated_at,
    (SELECT h.checkpoint_id FROM {schema}.heads AS h
        WHERE h.thread_id = t.thread_id AND h.checkpoint_ns = '') AS head
FROM {schema}.threads AS t WHERE t.thread_id = {thread_id} AND t.deleted_at IS NULL"]);

/// Replaces a thread's metadata, and says whether it is there to have any.
pub(super) const SET_THREAD_METADATA: Template<ThreadMetadata<'static>> =
    Template::new(&["-- checkpointer::set_thread_metadata
WITH updated AS (
    UPDATE {schema}.threads SET metadata = {metadata}
    WHERE thread_id = {thread_id} AND deleted_at IS NULL
)
SELECT deleted_at IS NOT NULL AS deleted FROM {schema}.threads
WHERE thread_id = {thread_id} AND (deleted_at IS NULL OR generation > 1)"]);

/// Changes some of the keys of a thread's metadata, and says whether it is there to have any.
pub(super) const UPDATE_THREAD_METADATA: Template<ChangedMetadata<'static>> =
    Template::new(&["-- checkpointer::update_thread_metadata
WITH updated AS (
    UPDATE {schema}.threads SET metadata = (metadata || {set}) - {removed}
    WHERE thread_id = {thread_id} AND deleted_at IS NULL
)
SELECT deleted_at IS NOT NULL AS deleted FROM {schema}.threads
WHERE thread_id = {thread_id} AND (deleted_at IS NULL OR generation > 1)"]);

/// Locks a thread whose metadata a put changes, before the put locks it as one of several writers.
pub(super) const LOCK_FOR_METADATA: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::lock_for_metadata
SELECT FROM {schema}.threads WHERE thread_id = {thread_id} FOR NO KEY UPDATE"]);

/// Locks a thread alone, before anything in it is deleted: what is read next is newer than every
/// write that held the lock.
pub(super) const LOCK_THREAD: Template<LockedThread<'static>> =
    Template::new(&["-- checkpointer::lock_thread
SELECT generation, deleted_at IS NOT NULL AS deleted, operation, lease_until,
    {admitted} AS admitted
FROM {schema}.threads WHERE thread_id = {thread_id} FOR UPDATE"]);

/// Raises the generation of a thread, removes everything in it and counts that. The thread is locked.
///
/// If it has many chunks, they stay, which is noted: nothing refers to them any more, and they are swept
/// in steps.
pub(super) const DELETE_THREAD: Template<DeletedThread<'static>> =
    Template::new(&["-- checkpointer::delete_thread
WITH few_chunks AS MATERIALIZED (
    SELECT count(*) <= {most} AS are_few FROM (
        SELECT FROM {schema}.chunks WHERE thread_id = {thread_id} LIMIT {most} + 1) AS first
), removed_writes AS (
    DELETE FROM {schema}.pending_writes AS w WHERE w.thread_id = {thread_id}
    RETURNING {write_bytes} AS bytes
), removed_checkpoints AS (
    DELETE FROM {schema}.checkpoints AS c WHERE c.thread_id = {thread_id}
    RETURNING {checkpoint_bytes} AS bytes
), removed_chunks AS (
    DELETE FROM {schema}.chunks AS k
    WHERE k.thread_id = {thread_id} AND (SELECT are_few FROM few_chunks)
    RETURNING {chunk_bytes} AS bytes
),
removed_heads AS (DELETE FROM {schema}.heads WHERE thread_id = {thread_id}),
removed_count AS (DELETE FROM {schema}.thread_bytes WHERE thread_id = {thread_id}),
noted AS (
    INSERT INTO {schema}.unswept (thread_id)
    SELECT {thread_id} FROM few_chunks WHERE NOT are_few
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
),
swept AS (
    DELETE FROM {schema}.unswept
    WHERE thread_id = {thread_id} AND (SELECT are_few FROM few_chunks)
)
UPDATE {schema}.threads
SET generation = generation + 1, gc = gc + 1, metadata = '{}', deleted_at = now(),
    operation = {operation}
WHERE thread_id = {thread_id}
RETURNING (SELECT count(*) FROM removed_checkpoints) AS checkpoints,
    (SELECT count(*) FROM removed_writes) AS writes,
    (SELECT coalesce(sum(bytes), 0)::bigint FROM (
        SELECT bytes FROM removed_checkpoints UNION ALL SELECT bytes FROM removed_writes
        UNION ALL SELECT bytes FROM removed_chunks) AS removed) AS bytes,
    (SELECT NOT are_few FROM few_chunks) AS leaves_chunks"]);

/// Counts everything in a thread, as [`DELETE_THREAD`] does.
pub(super) const COUNT_THREAD: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::count_thread
WITH of_thread AS (
    SELECT 'checkpoint' AS kind, {checkpoint_bytes} AS bytes
    FROM {schema}.checkpoints AS c WHERE c.thread_id = {thread_id}
    UNION ALL SELECT 'write', {write_bytes}
    FROM {schema}.pending_writes AS w WHERE w.thread_id = {thread_id}
    UNION ALL SELECT 'chunk', {chunk_bytes}
    FROM {schema}.chunks AS k WHERE k.thread_id = {thread_id}
)
SELECT count(*) FILTER (WHERE kind = 'checkpoint') AS checkpoints,
    count(*) FILTER (WHERE kind = 'write') AS writes, coalesce(sum(bytes), 0)::bigint AS bytes
FROM of_thread"]);

/// Says what a policy asks of a thread: whether it concerns it, and whether the thread rests for the
/// age after which it is deleted.
pub(super) const JUDGE_THREAD: Template<JudgedThread<'static>> =
    Template::new(&["-- checkpointer::judge_thread
SELECT generation, deleted_at IS NOT NULL AS deleted, lease_until, {admitted} AS admitted,
    ({only} IS NULL OR metadata @> {only}) AND NOT EXISTS (
        SELECT FROM jsonb_array_elements({except}) AS e (part) WHERE metadata @> e.part
    ) AS concerned,
    coalesce((SELECT max(h.updated_at) FROM {schema}.heads AS h WHERE h.thread_id = {thread_id})
        <= now() - {rests} * interval '1 microsecond', false) AS rests,
    EXISTS (SELECT FROM {schema}.checkpoints AS c WHERE c.thread_id = {thread_id} AND c.pinned)
        AS pinned,
    EXISTS (SELECT FROM {schema}.unswept AS u WHERE u.thread_id = {thread_id}) AS unswept
FROM {schema}.threads WHERE thread_id = {thread_id}"]);

/// Pins a checkpoint or unpins it, and says whether it is there.
pub(super) const SET_PINNED: Template<PinnedCheckpoint<'static>> =
    Template::new(&["-- checkpointer::set_pinned
WITH locked AS MATERIALIZED (
    SELECT FROM {schema}.threads
    WHERE thread_id = {thread_id} AND deleted_at IS NULL
      AND ({generation} IS NULL OR generation = {generation})
    FOR SHARE
)
UPDATE {schema}.checkpoints SET pinned = {pinned}
WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
  AND EXISTS (SELECT FROM locked)
RETURNING true AS found"]);

/// Locks both threads of a copy, in the order of their ids.
pub(super) const LOCK_FOR_COPY: Template<ThreadsOfCopy<'static>> =
    Template::new(&["-- checkpointer::lock_for_copy
SELECT thread_id = {target} AS is_target, deleted_at IS NOT NULL AS deleted, operation,
    deleted_at IS NOT NULL AND generation = 1 AS reserved,
    lease_until, coalesce(lease_until <= now(), true) AS admitted
FROM {schema}.threads WHERE thread_id IN ({source}, {target}) ORDER BY thread_id FOR SHARE"]);

/// Makes the thread that is copied to, unless another client just did. Its place may be reserved by
/// a lease that is over.
pub(super) const MAKE_COPY: Template<MadeCopy<'static>> =
    Template::new(&["-- checkpointer::make_copy
WITH source AS MATERIALIZED (
    SELECT metadata, has_head FROM {schema}.threads WHERE thread_id = {source}
)
INSERT INTO {schema}.threads AS t (thread_id, metadata, operation, has_head)
SELECT {target}, source.metadata, {operation}, source.has_head FROM source
ON CONFLICT (thread_id) DO UPDATE
SET deleted_at = NULL, created_at = excluded.created_at, metadata = excluded.metadata,
    operation = excluded.operation, has_head = excluded.has_head
WHERE t.deleted_at IS NOT NULL AND t.generation = 1
  AND (t.lease_token IS NULL OR t.lease_until <= excluded.created_at)"]);

/// Copies everything in a thread. Both threads are locked. If chunks were left that nothing needs, the copy has
/// them, too, and the note that they are to be swept.
///
/// The heads and the note are read first: Citus can't carry out an `INSERT` whose `SELECT` reads a table and gives it
/// another `thread_id`, unless it is a CTE.
pub(super) const COPY_THREAD: Template<ThreadsOfCopy<'static>> =
    Template::new(&["-- checkpointer::copy_thread
WITH copied_chunks AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {target}, hash, content, refs FROM {schema}.chunks WHERE thread_id = {source}
), copied_checkpoints AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata, put_at, pinned)
    SELECT {target}, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        checkpoint, channels, metadata, put_at, pinned
    FROM {schema}.checkpoints WHERE thread_id = {source}
), copied_writes AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value,
         written_at)
    SELECT {target}, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value,
        written_at
    FROM {schema}.pending_writes WHERE thread_id = {source}
), head AS MATERIALIZED (
    SELECT checkpoint_ns, checkpoint_id, seq FROM {schema}.heads WHERE thread_id = {source}
), unswept AS MATERIALIZED (
    SELECT removed_at FROM {schema}.unswept WHERE thread_id = {source}
), noted AS (
    INSERT INTO {schema}.unswept (thread_id, removed_at) SELECT {target}, removed_at FROM unswept
    ON CONFLICT (thread_id) DO NOTHING
)
INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
SELECT {target}, checkpoint_ns, checkpoint_id, seq, now() FROM head"]);
