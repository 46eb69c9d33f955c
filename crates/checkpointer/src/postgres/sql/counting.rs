//! Counting what a write brings, before it is stored.
//!
//! The table `thread_bytes` has how many bytes a thread has at most. A write adds, under the thread's
//! lock, what it may store at most: its parameters, before PostgreSQL compresses them. Where that would
//! be more than the limit, nothing is stored, and the client [measures](super::limit) the thread.
//!
//! The row of `thread_bytes` is locked after that of the thread and before any other, so that of two
//! writers one waits for the other, and sees what it has added.

/// A statement that locks a thread, and writes if the limit leaves room for `bytes`, the terms of a sum.
/// As without a limit, every write reads from `locked`.
///
/// - `brought` is what is stored at most, and whether a thread that has nothing has room for that.
/// - `counted` has a row if there is room. A thread without a count is measured, as far as the
///   snapshot shows it: of a deleted one, the chunks that have yet to be swept. If another writer makes
///   its row at the same moment, the thread is counted twice until it is measured again.
/// - The answer has no `done` where there is no room.
pub(super) fn counting(lock: &str, bytes: &[&str], write: &str, limit: u64) -> String {
    let parts = [
        "WITH brought AS MATERIALIZED (
    SELECT bytes, bytes <= {limit} AS fits FROM (SELECT (",
        &bytes.join("\n        + "),
        ")::bigint AS bytes) AS sum
), thread AS MATERIALIZED (",
        lock,
        "
), counted AS (
    INSERT INTO {schema}.thread_bytes AS b (thread_id, bytes)
    SELECT {thread_id}, uncounted.bytes + brought.bytes
    FROM thread, brought, (SELECT CASE
        WHEN EXISTS (SELECT FROM {schema}.thread_bytes AS b WHERE b.thread_id = {thread_id}) THEN 0
        ELSE coalesce((SELECT ",
        MEASURED,
        " FROM {schema}.threads AS t WHERE t.thread_id = {thread_id}), 0)
        END AS bytes) AS uncounted
    WHERE uncounted.bytes + brought.bytes <= {limit}
    ON CONFLICT (thread_id) DO UPDATE SET bytes = b.bytes + excluded.bytes
    WHERE b.bytes + excluded.bytes <= {limit}
    RETURNING true AS has_room
), locked AS MATERIALIZED (
    SELECT generation, gc FROM thread WHERE EXISTS (SELECT FROM counted)
), ",
        write,
        "
UNION ALL
SELECT coalesce((SELECT generation FROM thread), 0), coalesce((SELECT gc FROM thread), 0), true,
    NULL::boolean{commit}
FROM brought
WHERE NOT EXISTS (SELECT FROM counted) AND (EXISTS (SELECT FROM thread) OR NOT brought.fits)",
    ];
    let limit = limit.min(i64::MAX as u64).to_string();
    parts.concat().replace("{limit}", &limit)
}

/// Whether a thread that has nothing has room for what a write brings.
pub(super) const IT_FITS: &str = "(SELECT fits FROM brought)";

/// How many bytes of a put are stored at most, before the values that it keeps.
pub(super) const OF_CHECKPOINT: &str = "pg_catalog.pg_column_size({checkpoint})
        + pg_catalog.pg_column_size({channels}) + pg_catalog.pg_column_size({metadata})";

/// And of the chunks that it brings along.
pub(super) const OF_CHUNKS: &str = "(SELECT coalesce(sum({chunk_bytes}), 0)
            FROM unnest({contents}, {refs}) AS k (content, refs))";

/// And of the values that it may keep: unpacked, as they are written again.
pub(super) const OF_INHERITED: &str =
    "coalesce((SELECT sum(pg_catalog.pg_column_size(c.channels || '{}'))
            FROM {schema}.checkpoints AS c
            WHERE {unchanged} <> '{}' AND c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
              AND c.checkpoint_id IN ({id}, {parent})), 0)";

/// And of a task's outputs.
pub(super) const OF_WRITES: &str = "(SELECT coalesce(sum({write_bytes}), 0)
            FROM pg_catalog.unnest({values}) AS w (value))";

/// What a thread has, as `thread_size` says.
pub(super) const MEASURED: &str = "((SELECT coalesce(sum({checkpoint_bytes}), 0)
            FROM {schema}.checkpoints AS c WHERE c.thread_id = {thread_id})
        + (SELECT coalesce(sum({write_bytes}), 0)
            FROM {schema}.pending_writes AS w WHERE w.thread_id = {thread_id})
        + (SELECT coalesce(sum({chunk_bytes}), 0)
            FROM {schema}.chunks AS k WHERE k.thread_id = {thread_id}))::bigint";
