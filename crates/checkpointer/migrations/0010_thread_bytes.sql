-- How many bytes threads have, for programs that set a limit. It adds a table only, which no other program
-- touches, and programs of the version before may go on running: what they write isn't counted until the
-- thread is measured again.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE {schema}.thread_bytes (
    thread_id  text COLLATE "C" NOT NULL PRIMARY KEY,
    bytes      bigint NOT NULL
);
COMMENT ON TABLE {schema}.thread_bytes IS
    'How many bytes threads have, as programs that set a limit count them';
COMMENT ON COLUMN {schema}.thread_bytes.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.thread_bytes.bytes IS
    'What it has at most: what it had when it was measured, and all that such programs have sent since. It is measured again before a write is refused';
