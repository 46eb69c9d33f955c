-- Lists read about a page, whatever is there. The indexes are made while nothing else writes to their
-- tables: about 3 s for a million checkpoints, and 6 s for a million heads. Programs of the version
-- before may go on running.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Checkpoints of all threads by their ids. Ids ascend, so it grows at one end.
CREATE INDEX checkpoints_checkpoint_id ON {schema}.checkpoints (checkpoint_id);

-- Heads by their last change. An index on the time itself would have to follow each put, and no
-- update of a head could be a heap-only one any more; the hour changes once an hour.
ALTER TABLE {schema}.heads ADD COLUMN changed timestamp NOT NULL
    GENERATED ALWAYS AS (date_trunc('hour', updated_at AT TIME ZONE 'UTC')) STORED;
CREATE INDEX heads_changed ON {schema}.heads (changed);

-- Whether the thread has a head. False if it may have none: pending writes made it, or a removal took
-- its heads. A head that comes later needn't change it.
ALTER TABLE {schema}.threads ADD COLUMN has_head boolean NOT NULL DEFAULT true;
UPDATE {schema}.threads AS t SET has_head = false
WHERE NOT EXISTS (SELECT FROM {schema}.heads AS h WHERE h.thread_id = t.thread_id);
ALTER TABLE {schema}.threads ALTER COLUMN has_head SET DEFAULT false;

-- Threads without a head by their only time.
CREATE INDEX threads_without_head ON {schema}.threads (created_at)
WHERE NOT has_head AND deleted_at IS NULL;
