//! Threads as a whole: listing, deleting and copying them.

use db::Type;

use super::Template;

/// Lists threads by their last change.
pub(super) const THREADS: &str = "-- checkpointer::threads
SELECT t.thread_id, t.metadata, t.created_at, t.generation, h.head,
    coalesce(h.updated_at, t.created_at) AS updated_at
FROM {schema}.threads AS t CROSS JOIN LATERAL (
    SELECT max(updated_at) AS updated_at, max(checkpoint_id) FILTER (WHERE checkpoint_ns = '') AS head
    FROM {schema}.heads WHERE thread_id = t.thread_id) AS h
WHERE t.deleted_at IS NULL";

/// The order of the threads; the id decides between two that changed at once.
pub(super) const THREADS_ORDER: &str = "
ORDER BY coalesce(h.updated_at, t.created_at) DESC, t.thread_id LIMIT {limit}";

/// Replaces a thread's metadata, and says whether it is there to have any.
pub(super) const SET_THREAD_METADATA: Template = Template {
    sql: "-- checkpointer::set_thread_metadata
WITH u AS (
    UPDATE {schema}.threads SET metadata = {metadata}
    WHERE thread_id = {thread_id} AND deleted_at IS NULL
)
SELECT deleted_at IS NOT NULL AS deleted FROM {schema}.threads
WHERE thread_id = {thread_id} AND (deleted_at IS NULL OR generation > 1)",
    parameters: &[("thread_id", Type::TEXT), ("metadata", Type::JSONB)],
};

/// Locks a thread alone, before anything in it is deleted: what is read next is newer than every
/// write that held the lock.
pub(super) const LOCK_THREAD: Template = Template {
    sql: "-- checkpointer::lock_thread
SELECT generation, deleted_at IS NOT NULL AS deleted, operation, lease_until,
    {admitted} AS admitted
FROM {schema}.threads WHERE thread_id = {thread_id} FOR UPDATE",
    parameters: &[("thread_id", Type::TEXT), ("lease", Type::TEXT)],
};

/// Raises the generation of a thread and removes everything in it. The thread is locked.
pub(super) const DELETE_THREAD: Template = Template {
    sql: "-- checkpointer::delete_thread
WITH w AS (DELETE FROM {schema}.pending_writes WHERE thread_id = {thread_id}),
c AS (DELETE FROM {schema}.checkpoints WHERE thread_id = {thread_id}),
h AS (DELETE FROM {schema}.heads WHERE thread_id = {thread_id}),
k AS (DELETE FROM {schema}.chunks WHERE thread_id = {thread_id})
UPDATE {schema}.threads
SET generation = generation + 1, gc = gc + 1, metadata = '{}', deleted_at = now(),
    operation = {operation}
WHERE thread_id = {thread_id}",
    parameters: &[("thread_id", Type::TEXT), ("operation", Type::TEXT)],
};

/// Removes marks of deleted threads, and places kept for threads that never came, of which the
/// oldest go first. One that somebody has locked stays for the next time; a lease keeps one for as
/// long as a deletion does.
pub(super) const SWEEP_TOMBSTONES: Template = Template {
    sql: "-- checkpointer::sweep_tombstones
DELETE FROM {schema}.threads WHERE thread_id = ANY (ARRAY(
    SELECT t.thread_id FROM {schema}.threads AS t
    CROSS JOIN (SELECT now() - {micros} * interval '1 microsecond' AS oldest) AS x
    WHERE t.deleted_at < x.oldest AND (t.lease_until IS NULL OR t.lease_until < x.oldest)
    ORDER BY t.deleted_at LIMIT {limit} FOR UPDATE OF t SKIP LOCKED))",
    parameters: &[("micros", Type::INT8), ("limit", Type::INT8)],
};

/// Locks both threads of a copy, in the order of their ids.
pub(super) const LOCK_FOR_COPY: Template = Template {
    sql: "-- checkpointer::lock_for_copy
SELECT thread_id = {target} AS is_target, deleted_at IS NOT NULL AS deleted, operation,
    deleted_at IS NOT NULL AND generation = 1 AS reserved,
    lease_until, coalesce(lease_until <= now(), true) AS admitted
FROM {schema}.threads WHERE thread_id IN ({source}, {target}) ORDER BY thread_id FOR SHARE",
    parameters: &[("source", Type::TEXT), ("target", Type::TEXT)],
};

/// Makes the thread that is copied to, unless somebody else just did. Its place may be reserved by
/// a lease that is over.
pub(super) const MAKE_COPY: Template = Template {
    sql: "-- checkpointer::make_copy
INSERT INTO {schema}.threads AS t (thread_id, metadata, operation)
SELECT {target}, metadata, {operation} FROM {schema}.threads WHERE thread_id = {source}
ON CONFLICT (thread_id) DO UPDATE
SET deleted_at = NULL, created_at = excluded.created_at, metadata = excluded.metadata,
    operation = excluded.operation
WHERE t.deleted_at IS NOT NULL AND t.generation = 1
  AND (t.lease_token IS NULL OR t.lease_until <= excluded.created_at)",
    parameters: &[
        ("source", Type::TEXT),
        ("target", Type::TEXT),
        ("operation", Type::TEXT),
    ],
};

/// Copies everything in a thread. Both threads are locked.
pub(super) const COPY_THREAD: Template = Template {
    sql: "-- checkpointer::copy_thread
WITH k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {target}, hash, content, refs FROM {schema}.chunks WHERE thread_id = {source}
), c AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {target}, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        checkpoint, channels, metadata
    FROM {schema}.checkpoints WHERE thread_id = {source}
), w AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value,
         written_at)
    SELECT {target}, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value,
        written_at
    FROM {schema}.pending_writes WHERE thread_id = {source}
)
INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
SELECT {target}, checkpoint_ns, checkpoint_id, seq, now()
FROM {schema}.heads WHERE thread_id = {source}",
    parameters: &[("source", Type::TEXT), ("target", Type::TEXT)],
};
