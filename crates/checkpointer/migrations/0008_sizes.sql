-- How much a thread takes, for people who look after a database. It adds a function only, and programs of
-- the version before may go on running.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION {schema}.thread_size(thread_id text)
RETURNS TABLE (bytes bigint, checkpoints bigint, pending_writes bigint, chunks bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.bytes + w.bytes + k.bytes, c.number, w.number, k.number
    FROM {schema}.threads AS t
    CROSS JOIN LATERAL (
        SELECT count(*) AS number, coalesce(sum(pg_column_size(own.checkpoint)
            + pg_column_size(own.channels) + pg_column_size(own.metadata)), 0) AS bytes
        FROM {schema}.checkpoints AS own WHERE own.thread_id = t.thread_id
    ) AS c
    CROSS JOIN LATERAL (
        SELECT count(*) AS number, coalesce(sum(pg_column_size(own.value)), 0) AS bytes
        FROM {schema}.pending_writes AS own WHERE own.thread_id = t.thread_id
    ) AS w
    CROSS JOIN LATERAL (
        SELECT count(*) AS number, coalesce(sum(coalesce(pg_column_size(own.content), 0)
            + coalesce(pg_column_size(own.refs), 0)), 0) AS bytes
        FROM {schema}.chunks AS own WHERE own.thread_id = t.thread_id
    ) AS k
    WHERE t.thread_id = thread_size.thread_id AND t.deleted_at IS NULL;
END;
COMMENT ON FUNCTION {schema}.thread_size(text) IS
    'How many bytes a thread takes, as its values are stored, and how many checkpoints, pending writes and chunks it has. No row if there is no such thread';
