//! Removing what removals have left: chunks that nothing refers to any more, and tombstones.
//!
//! Which chunks of a thread nothing refers to is found without its lock, since that takes longer the more
//! the thread holds. Under the lock, a step looks only at what was written since. A row says by its
//! `xmin` which transaction wrote it: what the search hasn't seen was written by one that had not ended
//! then, or came later. Its number is that of the oldest one under way, or greater.
//!
//! After a crash, a server gives numbers a second time if nothing of them had reached the disk. So a sweep
//! begins with a commit that does reach it ([`BEGIN_SWEEP`]), whose number is a bound, too. On another server
//! the numbers say nothing, and the sweep begins anew.

use std::time::SystemTime;

use super::parameters::parameters;
use super::remove::{NEEDED_CHUNKS, UNNEEDED_CHUNKS};
use super::template::Template;
use crate::codec::ContentHash;

parameters! {
    /// A thread whose chunks are swept.
    struct SweptThread<'a> {
        thread_id: &'a str,
    }
}

parameters! {
    /// Which of its chunks are looked at: those after one. So many are found at most.
    struct MarkedPage {
        after: ContentHash,
        limit: i64,
    }
}

parameters! {
    /// Chunks that nothing referred to, by a search on that server.
    struct FoundChunks<'a> {
        found: &'a [ContentHash],
        /// The oldest transaction that the search may not have seen.
        oldest: i64,
        server: SystemTime,
    }
}

parameters! {
    /// When a sweep was noted that has come to its end.
    struct EndedSweep {
        noted: SystemTime,
    }
}

parameters! {
    /// How old the tombstones are that go, and how many go.
    struct SweptTombstones {
        micros: i64,
        limit: i64,
        /// How long a removal must have done nothing to be taken for cut short.
        silent: i64,
    }
}

parameters! {
    /// How many unswept threads are asked for.
    struct UnsweptPage {
        /// How long a removal must have done nothing to be taken for cut short.
        silent: i64,
        limit: i64,
    }
}

/// Notes that a thread is being swept, on disk.
///
/// The condition of `server` always holds. It names a table so that the server that has the rows
/// answers, where several share them: Citus's coordinator has another start and other numbers.
pub(super) const BEGIN_SWEEP: Template<SweptThread<'static>> =
    Template::new(&["-- checkpointer::begin_sweep
WITH server AS MATERIALIZED (
    SELECT number.number::text::bigint AS transaction, start.start AS server, set_to
    FROM pg_current_xact_id() AS number (number), pg_postmaster_start_time() AS start (start),
        set_config('synchronous_commit', 'local', true) AS set_to
    WHERE NOT EXISTS (SELECT FROM {schema}.threads WHERE thread_id IS NULL)
), noted AS (
    INSERT INTO {schema}.unswept (thread_id) SELECT {thread_id} FROM server
    ON CONFLICT (thread_id) DO UPDATE SET removed_at = excluded.removed_at
    RETURNING removed_at
)
SELECT noted.removed_at AS noted, server.transaction, server.server FROM noted, server"]);

/// Finds chunks that nothing refers to, in the order of their hashes.
pub(super) const FIND_UNNEEDED_CHUNKS: Template<(SweptThread<'static>, MarkedPage)> =
    Template::new(&[
        "-- checkpointer::find_unneeded_chunks
WITH RECURSIVE referred AS (
    SELECT stored.value AS reference
    FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS stored
    WHERE c.thread_id = {thread_id} AND jsonb_typeof(stored.value) = 'object'
    UNION ALL
    SELECT w.value FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND jsonb_typeof(w.value) = 'object'
)",
        NEEDED_CHUNKS,
        UNNEEDED_CHUNKS,
        "
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
    pg_postmaster_start_time() AS server,
    ARRAY(SELECT hash FROM unneeded WHERE hash > {after} ORDER BY hash LIMIT {limit}) AS found",
    ]);

/// Removes such chunks of a thread that is locked, but for those that something refers to that was written
/// since. What these refer to is looked up by its key, whatever the planner expects: writers wait
/// meanwhile.
pub(super) const SWEEP_CHUNKS: Template<(SweptThread<'static>, FoundChunks<'static>)> =
    Template::new(&[
        "-- checkpointer::sweep_chunks
WITH RECURSIVE look AS MATERIALIZED (
    SELECT pg_postmaster_start_time() = {server} AS same_server,
        pg_snapshot_xmax(snapshot)::text::bigint - {oldest}
            + age(pg_snapshot_xmax(snapshot)::xid) AS span
    FROM pg_current_snapshot() AS snapshot
), recent AS MATERIALIZED (
    SELECT c.channels FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND age(c.xmin) <= (SELECT span FROM look)
), referred AS (
    SELECT stored.value AS reference
    FROM recent, jsonb_each(recent.channels) AS stored
    WHERE jsonb_typeof(stored.value) = 'object'
    UNION ALL
    SELECT w.value FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND age(w.xmin) <= (SELECT span FROM look)
      AND jsonb_typeof(w.value) = 'object'
)",
        NEEDED_CHUNKS,
        ", swept AS (
    DELETE FROM {schema}.chunks AS k
    WHERE k.thread_id = {thread_id} AND (SELECT same_server FROM look)
      AND k.hash = ANY (ARRAY(
          SELECT pg_catalog.unnest({found}) EXCEPT SELECT hash FROM needed))
    RETURNING {chunk_bytes} AS bytes
), raised AS (
    UPDATE {schema}.threads SET gc = gc + 1
    WHERE thread_id = {thread_id} AND EXISTS (SELECT FROM swept)
)
SELECT (SELECT same_server FROM look) AS same_server,
    (SELECT coalesce(sum(bytes), 0)::bigint FROM swept) AS bytes",
    ]);

/// Notes that a thread's chunks were swept, unless something was removed since.
pub(super) const END_SWEEP: Template<(SweptThread<'static>, EndedSweep)> =
    Template::new(&["-- checkpointer::end_sweep
DELETE FROM {schema}.unswept WHERE thread_id = {thread_id} AND removed_at = {noted}"]);

/// Lets a thread whose sweep has failed wait behind the others.
pub(super) const POSTPONE_SWEEP: Template<SweptThread<'static>> =
    Template::new(&["-- checkpointer::postpone_sweep
UPDATE {schema}.unswept SET removed_at = now() WHERE thread_id = {thread_id}"]);

/// Finds threads whose removal was cut short: their chunks have yet to be swept, and no step of it was
/// done for a while. Those that have waited for longest come first, so that each has its turn.
pub(super) const UNSWEPT: Template<UnsweptPage> = Template::new(&["-- checkpointer::unswept
SELECT u.thread_id, EXISTS (
    SELECT FROM {schema}.threads AS t WHERE t.thread_id = u.thread_id AND t.deleted_at IS NULL) AS live
FROM {schema}.unswept AS u
WHERE u.removed_at < now() - {silent} * interval '1 microsecond'
ORDER BY u.removed_at, u.thread_id LIMIT {limit}"]);

/// Removes tombstones, and places reserved for threads that never came, the oldest first. A row
/// that another transaction has locked stays for the next time. A lease keeps its row for as long
/// as a deletion does, and so do chunks that have yet to be swept.
///
/// Returns a deleted thread whose chunks have yet to be swept because its deletion was cut short.
pub(super) const SWEEP_TOMBSTONES: Template<SweptTombstones> =
    Template::new(&["-- checkpointer::sweep_tombstones
WITH swept AS (
    DELETE FROM {schema}.threads WHERE thread_id = ANY (ARRAY(
        SELECT t.thread_id FROM {schema}.threads AS t
        CROSS JOIN (SELECT now() - {micros} * interval '1 microsecond' AS oldest) AS kept
        WHERE t.deleted_at < kept.oldest AND (t.lease_until IS NULL OR t.lease_until < kept.oldest)
          AND NOT EXISTS (
              SELECT FROM {schema}.unswept AS u WHERE u.thread_id = t.thread_id OFFSET 0)
        ORDER BY t.deleted_at LIMIT {limit} FOR UPDATE OF t SKIP LOCKED))
)
SELECT u.thread_id FROM {schema}.unswept AS u CROSS JOIN LATERAL (
    SELECT FROM {schema}.threads AS t
    WHERE t.thread_id = u.thread_id AND t.deleted_at IS NOT NULL OFFSET 0) AS t
WHERE u.removed_at < now() - {silent} * interval '1 microsecond' LIMIT 1"]);
