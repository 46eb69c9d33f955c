-- Citus distributes a schema table by table, and each with the functions that are bound to it. So a
-- function is bound to tables or to other functions of the schema, but not to both: otherwise the table
-- that comes first would need one that is still to come. Nothing is locked that a program needs, and
-- programs of the version before may go on running.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION {schema}.stored_channels(
    thread_id text,
    checkpoint_ns text,
    checkpoint_id text
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.channels FROM {schema}.checkpoints AS c
    WHERE c.thread_id = stored_channels.thread_id
      AND c.checkpoint_ns = stored_channels.checkpoint_ns
      AND c.checkpoint_id = coalesce(stored_channels.checkpoint_id, (
          SELECT h.checkpoint_id FROM {schema}.heads AS h
          WHERE h.thread_id = stored_channels.thread_id
            AND h.checkpoint_ns = stored_channels.checkpoint_ns));
END;
COMMENT ON FUNCTION {schema}.stored_channels(text, text, text) IS
    'The channels of a checkpoint as they are stored, of the head if no checkpoint is named. The function state() puts the values together';

CREATE OR REPLACE FUNCTION {schema}.state(
    thread_id text,
    checkpoint_ns text DEFAULT '',
    checkpoint_id text DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((
        SELECT jsonb_object_agg(f.key, {schema}.stored_value(state.thread_id, f.value))
        FROM jsonb_each(stored.channels) AS f
    ), '{}')
    FROM (
        SELECT {schema}.stored_channels(
            state.thread_id, state.checkpoint_ns, state.checkpoint_id) AS channels
        OFFSET 0) AS stored
    WHERE stored.channels IS NOT NULL;
END;
