-- Every key begins with thread_id, so that the tables can be partitioned or distributed by thread.
-- Ids compare by their bytes, as the clients compare them.

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
    -- Per channel [value], or {"c": hash} of a chunk.
    channels              jsonb NOT NULL,
    metadata              jsonb NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);

CREATE INDEX checkpoints_metadata ON {schema}.checkpoints USING gin (metadata jsonb_path_ops);

CREATE TABLE {schema}.chunks (
    thread_id  text COLLATE "C" NOT NULL,
    -- Of the content's canonical structure, so that equal content is stored once per thread.
    hash       bytea NOT NULL,
    content    jsonb NOT NULL,
    PRIMARY KEY (thread_id, hash)
);

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
    -- [value], or {"c": hash} of a chunk.
    value          jsonb NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);

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
        SELECT jsonb_object_agg(f.key, CASE
            WHEN jsonb_typeof(f.value) = 'array' THEN f.value -> 0
            WHEN k.hash IS NOT NULL THEN k.content
            -- Fails, and says why: a value that is missing is no null.
            ELSE ('chunk ' || (f.value ->> 'c') || ' is missing')::jsonb
        END)
        FROM jsonb_each(c.channels) AS f
        LEFT JOIN {schema}.chunks AS k
          ON k.thread_id = c.thread_id AND k.hash = decode(f.value ->> 'c', 'hex')
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
