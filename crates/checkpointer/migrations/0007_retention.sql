-- What a policy goes by when it chooses what is kept, and how far its rounds have come. The indexes are
-- made while nothing else writes to their tables: about 2 s for a million heads. Programs of the version
-- before may go on running: they store checkpoints as before, and heed no pins when they prune.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Neither column costs a rewrite: a default that doesn't change is kept once for all older rows.
ALTER TABLE {schema}.checkpoints
    ADD COLUMN put_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN pinned  boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN {schema}.checkpoints.put_at IS
    'When it was put; for those that were put before this column existed, when it was added';
COMMENT ON COLUMN {schema}.checkpoints.pinned IS
    'Whether it stays whatever a policy says';

-- Pinned checkpoints, by thread. It has no entry for any other.
CREATE INDEX checkpoints_pinned ON {schema}.checkpoints (thread_id) WHERE pinned;

-- Heads by the hour of their last change, and those of an hour by their threads: a round can go on
-- behind any thread, however many have changed in the same hour.
DROP INDEX {schema}.heads_changed;
CREATE INDEX heads_changed ON {schema}.heads (changed, thread_id);

-- Where rows are removed all the time: a vacuum comes when a twentieth of the rows is dead, not a fifth.
ALTER TABLE {schema}.checkpoints SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE {schema}.chunks SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE {schema}.pending_writes SET (autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE {schema}.unswept (
    thread_id   text COLLATE "C" NOT NULL PRIMARY KEY,
    removed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {schema}.unswept IS
    'Threads of which checkpoints were removed, and whose chunks have yet to be swept';
COMMENT ON COLUMN {schema}.unswept.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.unswept.removed_at IS
    'When some were removed last. The removal sweeps the thread itself, unless it is cut short';

CREATE TABLE {schema}.upkeep (
    policy        text COLLATE "C" NOT NULL PRIMARY KEY,
    token         text,
    until         timestamptz,
    begun         timestamptz,
    looks_at_all  boolean NOT NULL DEFAULT true,
    part          integer NOT NULL DEFAULT 0,
    changed       timestamptz,
    thread_id     text COLLATE "C" NOT NULL DEFAULT '',
    failing       text[] NOT NULL DEFAULT '{}',
    failed        text[] NOT NULL DEFAULT '{}',
    done          timestamptz,
    done_all      timestamptz
);
COMMENT ON TABLE {schema}.upkeep IS
    'How far the rounds have come in which a policy is applied to the threads that are due: a row for each policy';
COMMENT ON COLUMN {schema}.upkeep.policy IS
    'The hash of the policy';
COMMENT ON COLUMN {schema}.upkeep.token IS
    'The call that is at work. Null if there is none';
COMMENT ON COLUMN {schema}.upkeep.until IS
    'Until when other calls leave the work to it';
COMMENT ON COLUMN {schema}.upkeep.begun IS
    'When the round began that goes on. Null between rounds';
COMMENT ON COLUMN {schema}.upkeep.looks_at_all IS
    'Whether that round looks at all threads';
COMMENT ON COLUMN {schema}.upkeep.part IS
    'The part of the round that it has come to';
COMMENT ON COLUMN {schema}.upkeep.changed IS
    'The hour of the last thread that it has looked at';
COMMENT ON COLUMN {schema}.upkeep.thread_id IS
    'The last thread that it has looked at';
COMMENT ON COLUMN {schema}.upkeep.failing IS
    'The threads that it failed at';
COMMENT ON COLUMN {schema}.upkeep.failed IS
    'The threads that the round before failed at';
COMMENT ON COLUMN {schema}.upkeep.done IS
    'When the last round began that came to its end';
COMMENT ON COLUMN {schema}.upkeep.done_all IS
    'The same of those that looked at all threads';
