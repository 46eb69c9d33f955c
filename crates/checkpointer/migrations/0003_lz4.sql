-- lz4 takes a fraction of the time that PostgreSQL's own compression takes, and about as much room. A
-- server may have been built without it. What is stored already stays as it is.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_settings
        WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
    ) THEN
        ALTER TABLE {schema}.threads ALTER COLUMN metadata SET COMPRESSION lz4;
        ALTER TABLE {schema}.checkpoints
            ALTER COLUMN checkpoint SET COMPRESSION lz4,
            ALTER COLUMN channels SET COMPRESSION lz4,
            ALTER COLUMN metadata SET COMPRESSION lz4;
        ALTER TABLE {schema}.chunks ALTER COLUMN content SET COMPRESSION lz4;
        ALTER TABLE {schema}.pending_writes ALTER COLUMN value SET COMPRESSION lz4;
    END IF;
END
$$;
