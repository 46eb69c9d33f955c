//! The statements, with their schema filled in once.
//!
//! A statement that writes begins by locking its thread, and every write reads from that lock: no
//! row, and nothing was changed.

use db::{Statement, Type, quote_identifier};

/// A statement whose schema and parameters stand in braces.
struct Template {
    sql: &'static str,
    parameters: &'static [(&'static str, Type)],
}

/// The statements of one schema.
#[derive(Debug)]
pub(super) struct Sql {
    schema: String,
    pub(super) put: Writing,
    pub(super) put_writes: Writing,
    pub(super) batch: Statement,
    pub(super) look: Statement,
    pub(super) get_tuple: Statement,
    pub(super) set_thread_metadata: Statement,
    pub(super) lock_thread: Statement,
    pub(super) delete_thread: Statement,
    pub(super) drop_writes: Statement,
    pub(super) nodes: Statement,
    pub(super) remove: Statement,
    pub(super) threads_of_runs: Statement,
    pub(super) sweep_chunks: Statement,
    pub(super) lock_for_copy: Statement,
    pub(super) make_copy: Statement,
    pub(super) copy_thread: Statement,
    pub(super) channel_history: Statement,
}

/// A statement that locks its thread first, for both ways to lock it.
#[derive(Debug)]
pub(super) struct Writing {
    /// The client knows the thread.
    pub(super) known: Statement,
    /// The client knows nothing of it.
    pub(super) any: Statement,
}

/// What restricts a page of a list; each combination is a statement of its own, so that each gets a
/// plan of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListKey {
    pub(super) thread_id: bool,
    pub(super) checkpoint_ns: bool,
    pub(super) checkpoint_id: bool,
    pub(super) filter: bool,
    pub(super) before: bool,
    /// The page goes on after a checkpoint.
    pub(super) after: bool,
}

impl Sql {
    /// Fills in the schema, and what each write selects besides its answer.
    pub(super) fn new(schema: &str, commit: &str) -> Self {
        let schema = quote_identifier(schema);
        let one = |template: &Template| fill(&schema, template.sql, template.parameters);
        let writing = |name: &str, template: &Template| {
            let statement = |lock: &Template| {
                fill(
                    &schema,
                    &format!(
                        "-- checkpointer::{name}\nWITH l AS MATERIALIZED ({}{}",
                        lock.sql,
                        template.sql.replace("{commit}", commit)
                    ),
                    &[lock.parameters, template.parameters].concat(),
                )
                .keeping_session()
            };
            Writing {
                known: statement(&KNOWN_THREAD),
                any: statement(&ANY_THREAD),
            }
        };
        Self {
            put: writing("put", &PUT),
            put_writes: writing("put_writes", &PUT_WRITES),
            batch: fill(
                &schema,
                &BATCH.sql.replace("{commit}", commit),
                BATCH.parameters,
            )
            .keeping_session(),
            look: one(&LOOK),
            get_tuple: fill(
                &schema,
                &[GET_TUPLE.sql, READ].concat(),
                GET_TUPLE.parameters,
            ),
            set_thread_metadata: one(&SET_THREAD_METADATA),
            lock_thread: one(&LOCK_THREAD),
            delete_thread: one(&DELETE_THREAD),
            drop_writes: one(&DROP_WRITES),
            nodes: one(&NODES),
            remove: one(&REMOVE),
            threads_of_runs: one(&THREADS_OF_RUNS),
            sweep_chunks: one(&SWEEP_CHUNKS),
            lock_for_copy: one(&LOCK_FOR_COPY),
            make_copy: one(&MAKE_COPY),
            copy_thread: one(&COPY_THREAD),
            channel_history: one(&CHANNEL_HISTORY),
            schema,
        }
    }

    /// A page of a list. Its parameters: the channels to read, whether anything of the state is, the
    /// limit, then those of the
    /// restrictions in their order, the page's last checkpoint as id, thread and namespace.
    pub(super) fn list(&self, key: ListKey) -> Statement {
        let mut sql = LIST.to_owned();
        let mut parameters = vec![
            ("only", Type::TEXT_ARRAY),
            ("state", Type::BOOL),
            ("limit", Type::INT8),
        ];
        let mut restrict = |on: bool, condition: &str, of: &[(&'static str, Type)]| {
            if on {
                sql.push_str("\n          AND ");
                sql.push_str(condition);
                parameters.extend_from_slice(of);
            }
        };
        restrict(
            key.thread_id,
            "c.thread_id = {thread_id}",
            &[("thread_id", Type::TEXT)],
        );
        restrict(
            key.checkpoint_ns,
            "c.checkpoint_ns = {ns}",
            &[("ns", Type::TEXT)],
        );
        restrict(
            key.checkpoint_id,
            "c.checkpoint_id = {id}",
            &[("id", Type::TEXT)],
        );
        restrict(
            key.filter,
            "c.metadata @> {filter}",
            &[("filter", Type::JSONB)],
        );
        restrict(
            key.before,
            "c.checkpoint_id < {before}",
            &[("before", Type::TEXT)],
        );
        restrict(
            key.after,
            "c.checkpoint_id <= {last_id} AND (c.checkpoint_id < {last_id}
              OR (c.thread_id, c.checkpoint_ns) > ({last_thread_id}, {last_ns}))",
            &[
                ("last_id", Type::TEXT),
                ("last_thread_id", Type::TEXT),
                ("last_ns", Type::TEXT),
            ],
        );
        sql.push_str(LIST_ORDER);
        sql.push_str(READ);
        fill(&self.schema, &sql, &parameters)
    }

    /// A page of threads. Its parameters: the limit, the filter, then the page's last thread as its
    /// change and its id.
    pub(super) fn threads(&self, filter: bool, after: bool) -> Statement {
        let mut sql = THREADS.to_owned();
        let mut parameters = vec![("limit", Type::INT8)];
        if filter {
            sql.push_str("\n  AND t.metadata @> {filter}");
            parameters.push(("filter", Type::JSONB));
        }
        if after {
            sql.push_str(
                "\n  AND (coalesce(h.updated_at, t.created_at) < {at}
    OR (coalesce(h.updated_at, t.created_at) = {at} AND t.thread_id > {last_thread_id}))",
            );
            parameters.push(("at", Type::TIMESTAMPTZ));
            parameters.push(("last_thread_id", Type::TEXT));
        }
        sql.push_str(THREADS_ORDER);
        fill(&self.schema, &sql, &parameters)
    }
}

/// Puts in the schema, already quoted, and numbers the parameters.
fn fill(schema: &str, sql: &str, parameters: &[(&str, Type)]) -> Statement {
    let mut sql = sql.to_owned();
    for (index, (name, _)) in parameters.iter().enumerate() {
        sql = sql.replace(&format!("{{{name}}}"), &format!("${}", index + 1));
    }
    // Last, so that a schema's name can hold braces.
    let sql = sql.replace("{schema}", schema);
    Statement::from_parts(sql, parameters.iter().map(|(_, ty)| ty.clone()).collect())
}

/// Locks a thread the client knows, if nothing it relies on has changed since.
///
/// After a lock wait only the locked row is read again; everything else is of the statement's
/// snapshot. So what else must hold (the chunks are there) is tied to the row by `gc`.
const KNOWN_THREAD: Template = Template {
    sql: "
    SELECT generation, gc FROM {schema}.threads
    WHERE thread_id = {thread_id} AND generation = {generation} AND gc = {gc} AND deleted_at IS NULL
      AND (cardinality({relied}) = 0 OR cardinality({relied}) = (
          SELECT count(*) FROM {schema}.chunks
          WHERE thread_id = {thread_id} AND hash = ANY ({relied})))
    FOR SHARE",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("generation", Type::INT8),
        ("gc", Type::INT8),
        ("relied", Type::BYTEA_ARRAY),
    ],
};

/// Locks a thread the client knows nothing of, and makes it if it doesn't exist. The client sends
/// every chunk and relies on none.
const ANY_THREAD: Template = Template {
    sql: "
    INSERT INTO {schema}.threads AS t (thread_id) VALUES ({thread_id})
    ON CONFLICT (thread_id) DO UPDATE
    SET deleted_at = NULL,
        created_at = CASE WHEN t.deleted_at IS NULL THEN t.created_at ELSE excluded.created_at END
    WHERE CASE WHEN t.deleted_at IS NULL THEN t.generation = 1 OR {restarted} ELSE {restart} END
    RETURNING generation, gc",
    parameters: &[
        ("thread_id", Type::TEXT),
        // Whether a thread that was deleted and started afresh will do.
        ("restarted", Type::BOOL),
        // Whether a deleted thread is started afresh.
        ("restart", Type::BOOL),
    ],
};

/// Stores a checkpoint.
///
/// `h` locks the head. `n` makes the first head of a namespace; whoever loses the race for it writes
/// nothing and looks again. `s` has a row if the put goes ahead. `p` takes over the parent's values
/// of channels that didn't change; of a checkpoint put again the parent may be gone, so its own serve
/// as well. `i` stores a new checkpoint, and `m` moves the head to it; `u`
/// replaces the content of a checkpoint that was stored before, and the head stays.
const PUT: Template = Template {
    sql: "
), h AS MATERIALIZED (
    SELECT checkpoint_id, seq FROM {schema}.heads
    WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND EXISTS (SELECT FROM l)
    FOR UPDATE
), b AS MATERIALIZED (
    SELECT {required_id} IS NULL OR EXISTS (
        SELECT FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {required_ns}
          AND checkpoint_id = {required_id}
    ) OR EXISTS (
        SELECT FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
    ) AS belongs
    FROM l
), n AS (
    INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT {thread_id}, {ns}, {id}, 1, now() FROM b
    WHERE belongs AND {expected} IS NULL AND NOT EXISTS (SELECT FROM h)
    ON CONFLICT DO NOTHING
    RETURNING seq, updated_at
), s AS MATERIALIZED (
    SELECT h.seq + 1 AS seq, now() AS at FROM b, h
    WHERE belongs AND (NOT {guarded} OR h.checkpoint_id = {expected})
    UNION ALL SELECT seq, updated_at FROM n
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM s, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), p AS MATERIALIZED (
    SELECT {channels} || coalesce((
        SELECT jsonb_object_agg(
            same.key, c.channels -> same.key ORDER BY c.checkpoint_id = {parent})
        FROM jsonb_each({unchanged}) AS same
        JOIN {schema}.checkpoints AS c
          ON c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
            AND c.checkpoint_id IN ({parent}, {id})
        WHERE c.checkpoint -> 'channel_versions' -> same.key = same.value
          AND c.channels ? same.key), '{}') AS channels
    FROM s
), i AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {thread_id}, {ns}, {id}, {parent}, s.seq, {checkpoint}, p.channels, {metadata}
    FROM s, p
    ON CONFLICT DO NOTHING
    RETURNING seq
), m AS (
    UPDATE {schema}.heads SET checkpoint_id = {id}, seq = i.seq, updated_at = s.at
    FROM i, s
    WHERE heads.thread_id = {thread_id} AND heads.checkpoint_ns = {ns}
), u AS (
    UPDATE {schema}.checkpoints AS c
    SET checkpoint = {checkpoint}, channels = p.channels, metadata = {metadata}
    FROM p
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = {id}
)
SELECT l.generation, l.gc, b.belongs, EXISTS (SELECT FROM s) AS done{commit} FROM l, b",
    parameters: &[
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("parent", Type::TEXT),
        ("guarded", Type::BOOL),
        ("expected", Type::TEXT),
        ("required_ns", Type::TEXT),
        ("required_id", Type::TEXT),
        ("hashes", Type::BYTEA_ARRAY),
        ("contents", Type::JSONB_ARRAY),
        ("refs", Type::BYTEA_ARRAY),
        ("checkpoint", Type::JSONB),
        ("channels", Type::JSONB),
        ("unchanged", Type::JSONB),
        ("metadata", Type::JSONB),
    ],
};

/// Stores the outputs of a task: `r` those of special channels, where the last one counts, `w` the
/// regular ones, where the first one does.
const PUT_WRITES: Template = Template {
    sql: "
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {thread_id}, new.hash, new.content, new.refs
    FROM l, unnest({hashes}, {contents}, {refs}) AS new (hash, content, refs)
    ON CONFLICT DO NOTHING
), v AS MATERIALIZED (
    SELECT new.idx, new.channel, new.value
    FROM l, unnest({indexes}, {channels}, {values}) AS new (idx, channel, value)
), r AS (
    INSERT INTO {schema}.pending_writes AS old
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT {thread_id}, {ns}, {id}, {task_id}, idx, {task_path}, channel, value
    FROM v WHERE idx < 0
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    DO UPDATE SET channel = excluded.channel, value = excluded.value
), w AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT {thread_id}, {ns}, {id}, {task_id}, idx, {task_path}, channel, value
    FROM v WHERE idx >= 0
    ON CONFLICT DO NOTHING
)
SELECT generation, gc, true AS done{commit} FROM l",
    parameters: &[
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("task_id", Type::TEXT),
        ("task_path", Type::TEXT),
        ("hashes", Type::BYTEA_ARRAY),
        ("contents", Type::JSONB_ARRAY),
        ("refs", Type::BYTEA_ARRAY),
        ("indexes", Type::INT4_ARRAY),
        ("channels", Type::TEXT_ARRAY),
        ("values", Type::JSONB_ARRAY),
    ],
};

/// Stores many puts and pending writes of many threads, each as if it were alone.
///
/// Nothing in it waits for a lock that is held for long: a thread or head that somebody else has locked
/// is skipped, and its call has no row in the answer. So has one whose thread isn't as expected, whose
/// chunks are missing (`f`), or whose namespace has no head yet: whoever sent it sends it alone. Since
/// no lock is waited for, what is read is as old as the lock, or else `gc` has changed.
///
/// `l` locks the threads, `h` the heads, `s` are the puts that go ahead. `i` stores a checkpoint, or
/// the new content of one that was stored before, whose `seq` shows it: then `m` doesn't move the head.
///
/// Each lookup is by a key, one after the other and in the order of the arrays, whatever the planner
/// believes of the tables: hence the `LATERAL`s, and `ON CONFLICT` where an `UPDATE` would do.
const BATCH: Template = Template {
    sql: "-- checkpointer::batch
WITH f AS MATERIALIZED (
    SELECT r.call
    FROM unnest({relied_calls}, {relied_threads}, {relied_hashes}) AS r (call, thread_id, hash)
    LEFT JOIN LATERAL (
        SELECT true AS stored FROM {schema}.chunks AS k
        WHERE k.thread_id = r.thread_id AND k.hash = r.hash OFFSET 0
    ) AS k ON true
    WHERE k.stored IS NULL
), l AS MATERIALIZED (
    SELECT x.call, x.put, x.generation, x.gc
    FROM unnest({threads}, {generations}, {gcs}, {puts})
        WITH ORDINALITY AS x (thread_id, generation, gc, put, call)
    CROSS JOIN LATERAL (
        SELECT FROM {schema}.threads AS t
        WHERE t.thread_id = x.thread_id AND t.generation = x.generation AND t.gc = x.gc
          AND t.deleted_at IS NULL
        FOR SHARE SKIP LOCKED
    ) AS t
    WHERE x.call <> ALL (ARRAY(SELECT call FROM f))
), h AS MATERIALIZED (
    SELECT p.*, h.checkpoint_id AS head, h.seq
    FROM unnest({put_calls}, {put_threads}, {put_ns}, {put_ids}, {put_parents}, {put_guarded},
            {put_expected}, {put_checkpoints}, {put_channels}, {put_unchanged}, {put_metadata})
        AS p (call, thread_id, ns, id, parent, guarded, expected, checkpoint, channels, unchanged,
            metadata)
    CROSS JOIN LATERAL (
        SELECT h.checkpoint_id, h.seq FROM {schema}.heads AS h
        WHERE h.thread_id = p.thread_id AND h.checkpoint_ns = p.ns
        FOR UPDATE SKIP LOCKED
    ) AS h
    WHERE p.call = ANY (ARRAY(SELECT call FROM l))
), s AS NOT MATERIALIZED (
    SELECT * FROM h WHERE NOT guarded OR head = expected
), k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT new.thread_id, new.hash, new.content, new.refs
    FROM unnest({chunk_calls}, {chunk_threads}, {chunk_hashes}, {chunk_contents}, {chunk_refs})
        AS new (call, thread_id, hash, content, refs)
    WHERE new.call = ANY (ARRAY(SELECT call FROM l WHERE NOT put UNION ALL SELECT call FROM s))
    ON CONFLICT DO NOTHING
), i AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT s.thread_id, s.ns, s.id, s.parent, s.seq + 1, s.checkpoint,
        CASE WHEN s.unchanged = '{}' THEN s.channels ELSE s.channels || coalesce((
            SELECT jsonb_object_agg(
                same.key, c.channels -> same.key ORDER BY c.checkpoint_id = s.parent)
            FROM {schema}.checkpoints AS c, jsonb_each(s.unchanged) AS same
            WHERE c.thread_id = s.thread_id AND c.checkpoint_ns = s.ns
              AND c.checkpoint_id IN (s.parent, s.id)
              AND c.checkpoint -> 'channel_versions' -> same.key = same.value
              AND c.channels ? same.key), '{}') END,
        s.metadata
    FROM s
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
    SET checkpoint = excluded.checkpoint, channels = excluded.channels,
        metadata = excluded.metadata
    RETURNING thread_id, checkpoint_ns, checkpoint_id, seq
), m AS (
    INSERT INTO {schema}.heads AS h (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT thread_id, checkpoint_ns, checkpoint_id, seq, now() FROM i
    ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE
    SET checkpoint_id = excluded.checkpoint_id, seq = excluded.seq,
        updated_at = excluded.updated_at
    WHERE h.seq < excluded.seq
), w AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
    SELECT w.thread_id, w.ns, w.id, w.task_id, w.idx, w.task_path, w.channel, w.value
    FROM unnest({write_calls}, {write_threads}, {write_ns}, {write_ids}, {write_tasks},
            {write_paths}, {write_indexes}, {write_channels}, {write_values})
        AS w (call, thread_id, ns, id, task_id, task_path, idx, channel, value)
    WHERE w.call = ANY (ARRAY(SELECT call FROM l))
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = excluded.channel, value = excluded.value
    WHERE excluded.idx < 0
)
SELECT l.call, l.generation, l.gc,
    NOT l.put OR l.call = ANY (ARRAY(SELECT call FROM s)) AS done{commit}
FROM l WHERE NOT l.put OR l.call = ANY (ARRAY(SELECT call FROM h))",
    parameters: &[
        ("threads", Type::TEXT_ARRAY),
        ("generations", Type::INT8_ARRAY),
        ("gcs", Type::INT8_ARRAY),
        ("puts", Type::BOOL_ARRAY),
        ("relied_calls", Type::INT8_ARRAY),
        ("relied_threads", Type::TEXT_ARRAY),
        ("relied_hashes", Type::BYTEA_ARRAY),
        ("chunk_calls", Type::INT8_ARRAY),
        ("chunk_threads", Type::TEXT_ARRAY),
        ("chunk_hashes", Type::BYTEA_ARRAY),
        ("chunk_contents", Type::JSONB_ARRAY),
        ("chunk_refs", Type::BYTEA_ARRAY),
        ("put_calls", Type::INT8_ARRAY),
        ("put_threads", Type::TEXT_ARRAY),
        ("put_ns", Type::TEXT_ARRAY),
        ("put_ids", Type::TEXT_ARRAY),
        ("put_parents", Type::TEXT_ARRAY),
        ("put_guarded", Type::BOOL_ARRAY),
        ("put_expected", Type::TEXT_ARRAY),
        ("put_checkpoints", Type::JSONB_ARRAY),
        ("put_channels", Type::JSONB_ARRAY),
        ("put_unchanged", Type::JSONB_ARRAY),
        ("put_metadata", Type::JSONB_ARRAY),
        ("write_calls", Type::INT8_ARRAY),
        ("write_threads", Type::TEXT_ARRAY),
        ("write_ns", Type::TEXT_ARRAY),
        ("write_ids", Type::TEXT_ARRAY),
        ("write_tasks", Type::TEXT_ARRAY),
        ("write_paths", Type::TEXT_ARRAY),
        ("write_indexes", Type::INT4_ARRAY),
        ("write_channels", Type::TEXT_ARRAY),
        ("write_values", Type::JSONB_ARRAY),
    ],
};

/// Reads a thread's state as of now: before a put that needs to know it, and before a conflict is
/// reported, for the put may have been stored by an attempt that seemed lost. A parent that was pruned
/// since is forgotten.
const LOOK: Template = Template {
    sql: "-- checkpointer::look
SELECT generation, gc, deleted_at IS NOT NULL AS deleted,
    (SELECT checkpoint_id FROM {schema}.heads
     WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}) AS head,
    EXISTS (SELECT FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}
          AND (parent_checkpoint_id = {parent} OR parent_checkpoint_id IS NULL)) AS stored
FROM {schema}.threads WHERE thread_id = {thread_id}",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("parent", Type::TEXT),
    ],
};

/// The rows of a read, after the CTE `c` that chooses checkpoints. `only` are the channels to read, or
/// null for everything; without `state` only ids and metadata are read.
///
/// The kinds of rows: `c` a checkpoint, `w` a pending write of the checkpoint with the same place,
/// `k` a chunk, once however many checkpoints share it.
///
/// Chunks are looked up one by one, by their keys: the planner can't know how few they are, and
/// would read the whole table, or compile the statement. `sign(depth) = 1` says no more than
/// `depth > 0`, but the planner takes an equation for a rare thing.
const READ: &str = "
), e AS MATERIALIZED (
    SELECT place, thread_id,
        CASE WHEN {only} IS NULL THEN channels WHEN {state} THEN (SELECT jsonb_object_agg(key, value) FROM jsonb_each(channels) WHERE key = ANY ({only}))
        END AS channels
    FROM c
), w AS MATERIALIZED (
    SELECT c.place, w.thread_id, w.task_id, w.task_path, w.idx, w.channel, w.value
    FROM c JOIN {schema}.pending_writes AS w
      ON w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.checkpoint_id
    WHERE {only} IS NULL
), r AS (
    SELECT e.thread_id, f.value AS reference
    FROM e, jsonb_each(e.channels) AS f WHERE jsonb_typeof(f.value) = 'object'
    UNION ALL
    SELECT thread_id, value FROM w WHERE jsonb_typeof(value) = 'object'
), k AS (
    SELECT r.thread_id, top.hash, top.depth FROM r, {schema}.top_chunks(r.reference) AS top
    UNION
    SELECT k.thread_id, below.hash, k.depth - 1
    FROM k JOIN {schema}.chunks AS c USING (thread_id, hash), {schema}.unpacked(c.refs) AS below
    WHERE sign(k.depth) = 1
)
SELECT 'c' AS kind, c.place, c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
    NULL::integer AS idx, NULL::bytea AS hash, NULL::bytea AS refs, c.generation, c.gc,
    CASE WHEN {state} THEN c.checkpoint END AS content,
    e.channels, c.metadata
FROM c JOIN e USING (place)
UNION ALL
SELECT 'k', NULL, c.thread_id, NULL, NULL, NULL, NULL, c.hash, c.refs, NULL, NULL, c.content,
    NULL, NULL
FROM (SELECT DISTINCT thread_id, hash FROM k) AS k CROSS JOIN LATERAL (
    SELECT * FROM {schema}.chunks AS c
    WHERE c.thread_id = k.thread_id AND c.hash = k.hash OFFSET 0) AS c
UNION ALL
SELECT 'w', w.place, w.task_id, w.task_path, w.channel, NULL, w.idx, NULL, NULL, NULL, NULL, w.value,
    NULL, NULL
FROM w";

/// Chooses a head, or a checkpoint by its id.
const GET_TUPLE: Template = Template {
    sql: "-- checkpointer::get_tuple
WITH RECURSIVE c AS MATERIALIZED (
    SELECT 1::bigint AS place, c.*, t.generation, t.gc
    FROM {schema}.checkpoints AS c JOIN {schema}.threads AS t USING (thread_id)
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))",
    parameters: &[
        ("only", Type::TEXT_ARRAY),
        ("state", Type::BOOL),
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
    ],
};

/// Chooses a page of checkpoints; [`ListKey`] says what else it is restricted by.
const LIST: &str = "-- checkpointer::list
WITH RECURSIVE c AS MATERIALIZED (
    SELECT row_number() OVER () AS place, page.* FROM (
        SELECT c.*, t.generation, t.gc
        FROM {schema}.checkpoints AS c JOIN {schema}.threads AS t USING (thread_id)
        WHERE true";

/// The order of a list: by id, and by place where two ids are the same.
const LIST_ORDER: &str = "
        ORDER BY c.checkpoint_id DESC, c.thread_id, c.checkpoint_ns LIMIT {limit}) AS page";

/// Lists threads by their last change.
const THREADS: &str = "-- checkpointer::threads
SELECT t.thread_id, t.metadata, t.created_at, t.generation, h.head,
    coalesce(h.updated_at, t.created_at) AS updated_at
FROM {schema}.threads AS t CROSS JOIN LATERAL (
    SELECT max(updated_at) AS updated_at, max(checkpoint_id) FILTER (WHERE checkpoint_ns = '') AS head
    FROM {schema}.heads WHERE thread_id = t.thread_id) AS h
WHERE t.deleted_at IS NULL";

/// The order of the threads; the id decides between two that changed at once.
const THREADS_ORDER: &str = "
ORDER BY coalesce(h.updated_at, t.created_at) DESC, t.thread_id LIMIT {limit}";

/// Replaces a thread's metadata, and says whether it is there to have any.
const SET_THREAD_METADATA: Template = Template {
    sql: "-- checkpointer::set_thread_metadata
WITH u AS (
    UPDATE {schema}.threads SET metadata = {metadata}
    WHERE thread_id = {thread_id} AND deleted_at IS NULL
)
SELECT deleted_at IS NOT NULL AS deleted FROM {schema}.threads WHERE thread_id = {thread_id}",
    parameters: &[("thread_id", Type::TEXT), ("metadata", Type::JSONB)],
};

/// Raises the generation of a thread and removes everything in it. The thread is locked.
const DELETE_THREAD: Template = Template {
    sql: "-- checkpointer::delete_thread
WITH w AS (DELETE FROM {schema}.pending_writes WHERE thread_id = {thread_id}),
c AS (DELETE FROM {schema}.checkpoints WHERE thread_id = {thread_id}),
h AS (DELETE FROM {schema}.heads WHERE thread_id = {thread_id}),
k AS (DELETE FROM {schema}.chunks WHERE thread_id = {thread_id})
UPDATE {schema}.threads
SET generation = generation + 1, gc = gc + 1, metadata = '{}', deleted_at = now(),
    operation = {operation}
WHERE thread_id = {thread_id}",
    parameters: &[("thread_id", Type::TEXT), ("operation", Type::TEXT)],
};

/// Locks a thread alone, before anything in it is deleted: what is read next is newer than every
/// write that held the lock.
const LOCK_THREAD: Template = Template {
    sql: "-- checkpointer::lock_thread
SELECT generation, deleted_at IS NOT NULL AS deleted, operation
FROM {schema}.threads WHERE thread_id = {thread_id} FOR UPDATE",
    parameters: &[("thread_id", Type::TEXT)],
};

/// Removes the writes to a checkpoint that will never come: its put was refused.
const DROP_WRITES: Template = Template {
    sql: "-- checkpointer::drop_writes
DELETE FROM {schema}.pending_writes
WHERE thread_id = {thread_id} AND checkpoint_ns = {ns} AND checkpoint_id = {id}",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
    ],
};

/// Reads what decides which of a thread's checkpoints may go.
const NODES: Template = Template {
    sql: "-- checkpointer::nodes
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, h.checkpoint_id AS head,
    ARRAY(SELECT jsonb_object_keys(c.channels)) AS filled,
    ARRAY(SELECT jsonb_object_keys(c.checkpoint -> 'channel_versions')
        EXCEPT SELECT jsonb_object_keys(c.channels)) AS empty,
    ARRAY(SELECT DISTINCT w.channel FROM {schema}.pending_writes AS w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
          AND w.checkpoint_id = c.checkpoint_id) AS written,
    (c.checkpoint ->> 'v')::bigint AS v,
    c.metadata -> 'parents' ->> '' AS root,
    EXISTS (SELECT FROM unnest({runs}) AS run (metadata)
        WHERE c.metadata @> run.metadata) AS of_runs
FROM {schema}.checkpoints AS c
JOIN {schema}.heads AS h USING (thread_id, checkpoint_ns)
WHERE c.thread_id = {thread_id}",
    parameters: &[("thread_id", Type::TEXT), ("runs", Type::JSONB_ARRAY)],
};

/// Removes checkpoints with their writes, and whole namespaces.
///
/// Where a head goes, the checkpoint put last among the rest becomes the head. A parent that goes is
/// forgotten. Writes whose checkpoint hasn't come within a day go as well. The thread is locked.
const REMOVE: Template = Template {
    sql: "-- checkpointer::remove
WITH d AS MATERIALIZED (
    SELECT checkpoint_ns, checkpoint_id
    FROM unnest({removed_ns}, {removed_ids}) AS d (checkpoint_ns, checkpoint_id)
), c AS (
    DELETE FROM {schema}.checkpoints AS c USING d
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = d.checkpoint_ns
      AND c.checkpoint_id = d.checkpoint_id
), w AS (
    DELETE FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND (
        w.checkpoint_ns = ANY ({over_ns})
        OR (w.checkpoint_ns, w.checkpoint_id) IN (SELECT checkpoint_ns, checkpoint_id FROM d)
        OR (w.written_at < now() - interval '1 day' AND NOT EXISTS (
            SELECT FROM {schema}.checkpoints AS c
            WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = w.checkpoint_ns
              AND c.checkpoint_id = w.checkpoint_id)))
), p AS (
    UPDATE {schema}.checkpoints AS c SET parent_checkpoint_id = NULL
    WHERE c.thread_id = {thread_id}
      AND (c.checkpoint_ns, c.parent_checkpoint_id) IN (SELECT checkpoint_ns, checkpoint_id FROM d)
      AND (c.checkpoint_ns, c.checkpoint_id) NOT IN (SELECT checkpoint_ns, checkpoint_id FROM d)
), lost AS MATERIALIZED (
    SELECT h.checkpoint_ns FROM {schema}.heads AS h JOIN d USING (checkpoint_ns, checkpoint_id)
    WHERE h.thread_id = {thread_id}
), last AS MATERIALIZED (
    SELECT DISTINCT ON (c.checkpoint_ns) c.checkpoint_ns, c.checkpoint_id
    FROM {schema}.checkpoints AS c JOIN lost USING (checkpoint_ns)
    WHERE c.thread_id = {thread_id}
      AND (c.checkpoint_ns, c.checkpoint_id) NOT IN (SELECT checkpoint_ns, checkpoint_id FROM d)
    ORDER BY c.checkpoint_ns, c.seq DESC
), h AS (
    UPDATE {schema}.heads SET checkpoint_id = last.checkpoint_id, updated_at = now()
    FROM last
    WHERE heads.thread_id = {thread_id} AND heads.checkpoint_ns = last.checkpoint_ns
), e AS (
    DELETE FROM {schema}.heads USING lost
    WHERE heads.thread_id = {thread_id} AND heads.checkpoint_ns = lost.checkpoint_ns
      AND NOT EXISTS (SELECT FROM last WHERE last.checkpoint_ns = lost.checkpoint_ns)
)
UPDATE {schema}.threads SET gc = gc + 1 WHERE thread_id = {thread_id}",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("removed_ns", Type::TEXT_ARRAY),
        ("removed_ids", Type::TEXT_ARRAY),
        // The namespaces that go with the writes whose checkpoint never came.
        ("over_ns", Type::TEXT_ARRAY),
    ],
};

/// Finds the threads of runs.
const THREADS_OF_RUNS: Template = Template {
    sql: "-- checkpointer::threads_of_runs
SELECT DISTINCT c.thread_id FROM unnest({runs}) AS run (metadata)
JOIN {schema}.checkpoints AS c ON c.metadata @> run.metadata
ORDER BY c.thread_id",
    parameters: &[("runs", Type::JSONB_ARRAY)],
};

/// Removes the chunks of a thread that nothing refers to any more: a statement of its own, after the
/// references are gone. The thread is locked.
const SWEEP_CHUNKS: Template = Template {
    sql: "-- checkpointer::sweep_chunks
WITH RECURSIVE r AS (
    SELECT f.value AS reference
    FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS f
    WHERE c.thread_id = {thread_id} AND jsonb_typeof(f.value) = 'object'
    UNION ALL
    SELECT w.value FROM {schema}.pending_writes AS w
    WHERE w.thread_id = {thread_id} AND jsonb_typeof(w.value) = 'object'
), k AS (
    SELECT top.hash FROM r, {schema}.top_chunks(r.reference) AS top
    UNION
    SELECT below.hash
    FROM k JOIN {schema}.chunks AS c ON c.thread_id = {thread_id} AND c.hash = k.hash,
        {schema}.unpacked(c.refs) AS below
)
DELETE FROM {schema}.chunks WHERE thread_id = {thread_id} AND hash NOT IN (SELECT hash FROM k)",
    parameters: &[("thread_id", Type::TEXT)],
};

/// Locks both threads of a copy, in the order of their ids.
const LOCK_FOR_COPY: Template = Template {
    sql: "-- checkpointer::lock_for_copy
SELECT thread_id = {target} AS is_target, deleted_at IS NOT NULL AS deleted, operation
FROM {schema}.threads WHERE thread_id IN ({source}, {target}) ORDER BY thread_id FOR SHARE",
    parameters: &[("source", Type::TEXT), ("target", Type::TEXT)],
};

/// Makes the thread that is copied to, unless somebody else just did.
const MAKE_COPY: Template = Template {
    sql: "-- checkpointer::make_copy
INSERT INTO {schema}.threads (thread_id, metadata, operation)
SELECT {target}, metadata, {operation} FROM {schema}.threads WHERE thread_id = {source}
ON CONFLICT DO NOTHING",
    parameters: &[
        ("source", Type::TEXT),
        ("target", Type::TEXT),
        ("operation", Type::TEXT),
    ],
};

/// Copies everything in a thread. Both threads are locked.
const COPY_THREAD: Template = Template {
    sql: "-- checkpointer::copy_thread
WITH k AS (
    INSERT INTO {schema}.chunks (thread_id, hash, content, refs)
    SELECT {target}, hash, content, refs FROM {schema}.chunks WHERE thread_id = {source}
), c AS (
    INSERT INTO {schema}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
         checkpoint, channels, metadata)
    SELECT {target}, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        checkpoint, channels, metadata
    FROM {schema}.checkpoints WHERE thread_id = {source}
), w AS (
    INSERT INTO {schema}.pending_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value,
         written_at)
    SELECT {target}, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value,
        written_at
    FROM {schema}.pending_writes WHERE thread_id = {source}
)
INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
SELECT {target}, checkpoint_ns, checkpoint_id, seq, now()
FROM {schema}.heads WHERE thread_id = {source}",
    parameters: &[("source", Type::TEXT), ("target", Type::TEXT)],
};

/// Walks from a checkpoint's parent towards the root, for each channel to its nearest stored value.
///
/// `a` is the target and then its ancestors; `wanted` are the channels whose value wasn't found
/// before, `rest` those whose value isn't stored here either. The kinds of rows: `s` a stored value,
/// `w` a write, `k` a chunk.
const CHANNEL_HISTORY: Template = Template {
    sql: "-- checkpointer::channel_history
WITH RECURSIVE a AS (
    SELECT 0 AS depth, c.checkpoint_id, c.parent_checkpoint_id, NULL::jsonb AS found,
        '{}'::text[] AS wanted, {keys} AS rest
    FROM {schema}.checkpoints AS c
    WHERE c.thread_id = {thread_id} AND c.checkpoint_ns = {ns} AND c.checkpoint_id = coalesce({id}, (
        SELECT checkpoint_id FROM {schema}.heads
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns}))
    UNION ALL
    SELECT a.depth + 1, c.checkpoint_id, c.parent_checkpoint_id,
        (SELECT jsonb_object_agg(key, c.channels -> key) FROM unnest(a.rest) AS key
            WHERE c.channels ? key),
        a.rest,
        ARRAY(SELECT key FROM unnest(a.rest) AS key WHERE NOT c.channels ? key)
    FROM a
    JOIN {schema}.checkpoints AS c
      ON c.thread_id = {thread_id} AND c.checkpoint_ns = {ns}
        AND c.checkpoint_id = a.parent_checkpoint_id
    WHERE cardinality(a.rest) > 0 AND a.depth <= (
        SELECT count(*) FROM {schema}.checkpoints
        WHERE thread_id = {thread_id} AND checkpoint_ns = {ns})
), m AS MATERIALIZED (
    SELECT channel, key FROM unnest({channels}, {keys}) AS m (channel, key)
), v AS MATERIALIZED (
    SELECT 's' AS kind, a.depth, m.channel, NULL AS task_id, NULL AS task_path,
        NULL::integer AS idx, a.found -> m.key AS content
    FROM a JOIN m ON a.found ? m.key
    UNION ALL
    SELECT 'w', a.depth, w.channel, w.task_id, w.task_path, w.idx, w.value
    FROM a JOIN m ON m.key = ANY (a.wanted)
    JOIN {schema}.pending_writes AS w
      ON w.thread_id = {thread_id} AND w.checkpoint_ns = {ns}
        AND w.checkpoint_id = a.checkpoint_id AND w.channel = m.channel
), k AS (
    SELECT top.hash, top.depth FROM v, {schema}.top_chunks(v.content) AS top
    WHERE jsonb_typeof(v.content) = 'object'
    UNION
    SELECT below.hash, k.depth - 1
    FROM k JOIN {schema}.chunks AS c ON c.thread_id = {thread_id} AND c.hash = k.hash,
        {schema}.unpacked(c.refs) AS below
    WHERE sign(k.depth) = 1
)
SELECT kind, depth, channel, task_id, task_path, idx, NULL::bytea AS hash, NULL::bytea AS refs,
    content
FROM v
UNION ALL
SELECT 'k', NULL, NULL, NULL, NULL, NULL, c.hash, c.refs, c.content
FROM {schema}.chunks AS c WHERE c.thread_id = {thread_id} AND c.hash IN (SELECT hash FROM k)",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("ns", Type::TEXT),
        ("id", Type::TEXT),
        ("channels", Type::TEXT_ARRAY),
        ("keys", Type::TEXT_ARRAY),
    ],
};
