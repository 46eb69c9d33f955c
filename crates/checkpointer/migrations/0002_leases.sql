-- Types are PostgreSQL's own, whatever is on the search_path of whoever makes the tables.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A lease on a thread. It outlives the thread's deletion, so that a late writer stays fenced off.
ALTER TABLE {schema}.threads
    -- Of the lease that was taken last.
    ADD COLUMN lease_number  bigint NOT NULL DEFAULT 0,
    -- Tells it from every other; none once it was released.
    ADD COLUMN lease_token   text,
    -- Until when others are kept out.
    ADD COLUMN lease_until   timestamptz,
    ADD CHECK ((lease_token IS NULL) = (lease_until IS NULL));

-- The marks of deleted threads, by their age: old ones are swept.
CREATE INDEX threads_deleted ON {schema}.threads (deleted_at) WHERE deleted_at IS NOT NULL;
