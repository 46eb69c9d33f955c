-- Every key begins with thread_id, so that the tables can be partitioned or distributed by thread.
-- Ids compare by their bytes, as the clients compare them.

-- Whoever makes the tables may have a search_path on which others have put functions and operators;
-- defaults, the function and the view are bound to PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE {schema}.threads (
    thread_id   text COLLATE "C" NOT NULL PRIMARY KEY,
    -- Which life of the thread this is: raised by each deletion.
    generation  bigint NOT NULL DEFAULT 1,
    -- Raised by whatever deletes chunks: a writer that relies on stored chunks compares it.
    gc          bigint NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- The user's own metadata of the thread.
    metadata    jsonb NOT NULL DEFAULT '{}',
    -- Set while the thread is deleted: the row is a tombstone then.
    deleted_at  timestamptz,
    -- The call that deleted or copied it last, so that its retry is known.
    operation   text
);

CREATE INDEX threads_metadata ON {schema}.threads USING gin (metadata jsonb_path_ops);

CREATE TABLE {schema}.heads (
    thread_id      text COLLATE "C" NOT NULL,
    checkpoint_ns  text COLLATE "C" NOT NULL,
    -- The checkpoint put last.
    checkpoint_id  text COLLATE "C" NOT NULL,
    -- How many checkpoints were put so far.
    seq            bigint NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_ns)
);

CREATE TABLE {schema}.checkpoints (
    thread_id             text COLLATE "C" NOT NULL,
    checkpoint_ns         text COLLATE "C" NOT NULL,
    checkpoint_id         text COLLATE "C" NOT NULL,
    parent_checkpoint_id  text COLLATE "C",
    -- The order in which a namespace's checkpoints were put.
    seq                   bigint NOT NULL,
    -- All but the values: format, v, ts, channel_versions, versions_seen, updated_channels.
    checkpoint            jsonb NOT NULL,
    -- Per channel [value], or a reference to chunks.
    channels              jsonb NOT NULL,
    metadata              jsonb NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);

CREATE INDEX checkpoints_metadata ON {schema}.checkpoints USING gin (metadata jsonb_path_ops);

-- The pieces of large values, shared by everything in a thread that holds them.
CREATE TABLE {schema}.chunks (
    thread_id  text COLLATE "C" NOT NULL,
    -- Made of the hashes of what it holds, so that equal content is stored once per thread.
    hash       bytea NOT NULL,
    -- A leaf's piece of the value; an inner node has none.
    content    jsonb,
    -- The hashes it refers to, 16 bytes each.
    refs       bytea,
    PRIMARY KEY (thread_id, hash)
) WITH (toast_tuple_target = 128);

-- Compressed where that helps, but kept in the row.
ALTER TABLE {schema}.chunks ALTER COLUMN content SET STORAGE MAIN;

CREATE TABLE {schema}.pending_writes (
    thread_id      text COLLATE "C" NOT NULL,
    checkpoint_ns  text COLLATE "C" NOT NULL,
    -- May be stored before its checkpoint.
    checkpoint_id  text COLLATE "C" NOT NULL,
    task_id        text COLLATE "C" NOT NULL,
    -- The place in the task's batch; below 0 for the special channels.
    idx            integer NOT NULL,
    task_path      text COLLATE "C" NOT NULL,
    channel        text COLLATE "C" NOT NULL,
    -- [value], or a reference to chunks.
    value          jsonb NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);

-- Hashes that are packed, one behind the other. The condition always holds: it makes the planner
-- expect a few of them instead of a thousand, so that chunks are looked up by their keys.
CREATE FUNCTION {schema}.unpacked(refs bytea)
RETURNS TABLE (place integer, hash bytea)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT i, substring(refs FROM 16 * i + 1 FOR 16)
    FROM generate_series(0, length(refs) / 16 - 1) AS i
    WHERE sign(i + 1) = 1;
END;

-- The chunks a reference names, and how many levels of further chunks may be below each.
CREATE FUNCTION {schema}.top_chunks(reference jsonb)
RETURNS TABLE (hash bytea, depth integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The leaves of nested trees refer to further trees.
    SELECT u.hash, CASE WHEN reference ->> 'k' IN ('A', 'O') THEN 1000000
        ELSE (reference ->> 'd')::integer END
    FROM {schema}.unpacked(decode(reference ->> 'r', 'base64')) AS u;
END;

-- The value of [value], or of a reference. It calls itself, which a body that is bound when it is
-- made can't; so its search_path is fixed and all it names is qualified.
CREATE FUNCTION {schema}.stored_value(thread_id text, stored jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE t AS (
        SELECT ARRAY[u.place] AS path, u.hash, (stored ->> 'd')::integer AS depth
        FROM {schema}.unpacked(decode(stored ->> 'r', 'base64')) AS u
        UNION ALL
        SELECT t.path || u.place, u.hash, t.depth - 1
        FROM t
        JOIN {schema}.chunks AS c ON c.thread_id = stored_value.thread_id AND c.hash = t.hash,
            {schema}.unpacked(c.refs) AS u
        WHERE t.depth > 0
    ), node AS (
        SELECT t.path, t.depth, c.content,
            -- Fails, and says why: a value that is missing is no null.
            CASE WHEN c.hash IS NULL
                THEN ('chunk ' || encode(t.hash, 'hex') || ' is missing')::jsonb END AS missing
        FROM t
        LEFT JOIN {schema}.chunks AS c ON c.thread_id = stored_value.thread_id AND c.hash = t.hash
    ), leaf AS (
        SELECT path, content, jsonb_typeof(content) = 'object' AS nested
        FROM node WHERE depth = 0 AND missing IS NULL
    )
    SELECT CASE
        WHEN jsonb_typeof(stored) = 'array' THEN stored -> 0
        WHEN EXISTS (SELECT FROM node WHERE missing IS NOT NULL) THEN NULL
        WHEN stored ->> 'k' = 'v' THEN (SELECT content FROM leaf)
        WHEN stored ->> 'k' IN ('a', 'A') THEN (
            SELECT coalesce(jsonb_agg(
                CASE WHEN leaf.nested
                    THEN {schema}.stored_value(stored_value.thread_id, item.value)
                    ELSE item.value END
                ORDER BY leaf.path, item.place), '[]')
            FROM leaf, jsonb_array_elements(
                CASE WHEN leaf.nested THEN leaf.content -> 'm' ELSE leaf.content END
            ) WITH ORDINALITY AS item (value, place))
        ELSE (
            SELECT coalesce(jsonb_object_agg(member.key,
                CASE WHEN leaf.nested
                    THEN {schema}.stored_value(stored_value.thread_id, member.value)
                    ELSE member.value END), '{}')
            FROM leaf, jsonb_each(
                CASE WHEN leaf.nested THEN leaf.content -> 'm' ELSE leaf.content -> 0 END
            ) AS member)
    END
$$;

-- The state of a checkpoint, the head's by default, as one document. Its body is bound when it is
-- made, so that a caller's search_path can't change its meaning.
CREATE FUNCTION {schema}.state(
    thread_id text,
    checkpoint_ns text DEFAULT '',
    checkpoint_id text DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((
        SELECT jsonb_object_agg(f.key, {schema}.stored_value(c.thread_id, f.value))
        FROM jsonb_each(c.channels) AS f
    ), '{}')
    FROM {schema}.checkpoints AS c
    WHERE c.thread_id = state.thread_id AND c.checkpoint_ns = state.checkpoint_ns
      AND c.checkpoint_id = coalesce(state.checkpoint_id, (
          SELECT h.checkpoint_id FROM {schema}.heads AS h
          WHERE h.thread_id = state.thread_id AND h.checkpoint_ns = state.checkpoint_ns));
END;

-- The threads with their heads, for people who look after them.
CREATE VIEW {schema}.thread_overview AS
SELECT t.thread_id, h.checkpoint_ns, h.checkpoint_id AS head,
    c.metadata -> 'step' AS step,
    (SELECT count(*) FROM {schema}.checkpoints AS n
     WHERE n.thread_id = h.thread_id AND n.checkpoint_ns = h.checkpoint_ns) AS checkpoints,
    h.updated_at AS last_change, t.created_at, t.metadata
FROM {schema}.threads AS t
JOIN {schema}.heads AS h ON h.thread_id = t.thread_id
LEFT JOIN {schema}.checkpoints AS c
  ON c.thread_id = h.thread_id AND c.checkpoint_ns = h.checkpoint_ns
    AND c.checkpoint_id = h.checkpoint_id
WHERE t.deleted_at IS NULL;
