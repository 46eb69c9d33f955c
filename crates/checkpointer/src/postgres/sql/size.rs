//! How much is stored.

use super::parameters::parameters;
use super::template::Template;
use super::threads::OneThread;

parameters! {
    /// The name of the schema, as the catalog has it.
    struct MeasuredSchema<'a> {
        schema_name: &'a str,
    }
}

/// What a thread takes: a row for all of it, and one for each channel.
///
/// `needed` has every chunk of each channel, and `chunk` says how many channels have it. A channel of
/// checkpoints has its name as a key is stored (`is_key`), and one of pending writes as it is.
pub(super) const THREAD_SIZE: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::thread_size
WITH RECURSIVE referred AS MATERIALIZED (
    SELECT true AS is_key, stored.key AS channel, stored.value AS value
    FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS stored
    WHERE c.thread_id = {thread_id}
    UNION ALL
    SELECT false, w.channel, w.value FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id}
), needed AS (
    SELECT stored.is_key, stored.channel, top.hash
    FROM referred AS stored, {schema}.top_chunks(stored.value) AS top
    WHERE {is_reference}
    UNION
    SELECT needed.is_key, needed.channel, below.hash
    FROM needed CROSS JOIN LATERAL (
        SELECT c.refs FROM {schema}.chunks AS c
        WHERE c.thread_id = {thread_id} AND c.hash = needed.hash OFFSET 0) AS c,
        {schema}.unpacked(c.refs) AS below
), chunk AS MATERIALIZED (
    SELECT c.hash, coalesce(pg_catalog.pg_column_size(c.content), 0)
            + coalesce(pg_catalog.pg_column_size(c.refs), 0) AS bytes, holder.channels
    FROM {schema}.chunks AS c LEFT JOIN (
        SELECT needed.hash, count(DISTINCT needed.channel) AS channels
        FROM needed GROUP BY needed.hash) AS holder USING (hash)
    WHERE c.thread_id = {thread_id}
), of_chunks AS (
    SELECT needed.is_key, needed.channel,
        sum(chunk.bytes) FILTER (WHERE chunk.channels = 1) AS own,
        sum(chunk.bytes) FILTER (WHERE chunk.channels > 1) AS shared, count(*) AS chunks
    FROM needed JOIN chunk USING (hash) GROUP BY needed.is_key, needed.channel
), of_rows AS (
    SELECT is_key, channel, sum(pg_catalog.pg_column_size(value)) AS own
    FROM referred GROUP BY is_key, channel
)
SELECT NULL::text AS channel, NULL::boolean AS is_key, c.number AS checkpoints,
    w.number AS pending_writes, h.number AS chunks, c.bytes + w.bytes + h.bytes AS own_bytes,
    0::bigint AS shared_bytes
FROM {schema}.threads AS t,
    (SELECT count(*) AS number, coalesce(sum(pg_catalog.pg_column_size(checkpoint)
        + pg_catalog.pg_column_size(channels) + pg_catalog.pg_column_size(metadata)), 0) AS bytes
     FROM {schema}.checkpoints WHERE thread_id = {thread_id}) AS c,
    (SELECT count(*) AS number, coalesce(sum(pg_catalog.pg_column_size(value)), 0) AS bytes
     FROM {schema}.pending_writes WHERE thread_id = {thread_id}) AS w,
    (SELECT count(*) AS number, coalesce(sum(bytes), 0) AS bytes FROM chunk) AS h
WHERE t.thread_id = {thread_id} AND t.deleted_at IS NULL
UNION ALL
SELECT of_rows.channel, of_rows.is_key, 0, 0, coalesce(of_chunks.chunks, 0),
    of_rows.own + coalesce(of_chunks.own, 0), coalesce(of_chunks.shared, 0)
FROM of_rows LEFT JOIN of_chunks USING (is_key, channel)"]);

/// What each table takes, with its indexes and what is stored out of line.
pub(super) const SCHEMA_SIZE: Template<MeasuredSchema<'static>> =
    Template::new(&["-- checkpointer::schema_size
SELECT c.relname::text AS name, pg_catalog.pg_total_relation_size(c.oid) AS bytes,
    greatest(c.reltuples, 0)::bigint AS rows
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {schema_name} AND c.relkind IN ('r', 'p')
  AND c.relname IN ('threads', 'heads', 'checkpoints', 'chunks', 'pending_writes')"]);
