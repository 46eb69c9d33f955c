//! The statements that read LangGraph's tables. `{schema}` is the quoted schema, `{after}` begins a
//! page behind the last row of the one before, and is empty for the first page.

use db::{Statement, Type, quote_identifier};

/// The columns of the tables, to tell which tables they are.
pub(super) static COLUMNS: Statement = Statement::new(
    "-- langgraph::columns
     SELECT c.relname::text, a.attname::text
     FROM pg_class AS c
     JOIN pg_namespace AS n ON n.oid = c.relnamespace
     JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE n.nspname = $1
       AND c.relname IN ('checkpoints', 'checkpoint_blobs', 'checkpoint_writes', 'checkpoint_migrations')",
    &[Type::TEXT],
);

const VERSION: &str = "\
-- langgraph::version
SELECT max(v) FROM {schema}.checkpoint_migrations";

const THREAD: &str = "\
-- langgraph::thread
SELECT min(thread_id) FROM (
    SELECT min(thread_id) AS thread_id FROM {schema}.checkpoints {after}
    UNION ALL
    SELECT min(thread_id) FROM {schema}.checkpoint_writes {after}
) AS threads";

/// Counts the threads by a step in the index for each: the rows may be many more.
const THREADS: &str = "\
-- langgraph::threads
WITH RECURSIVE threads (thread_id) AS (
    SELECT min(thread_id) FROM (
        SELECT min(thread_id) AS thread_id FROM {schema}.checkpoints
        UNION ALL
        SELECT min(thread_id) FROM {schema}.checkpoint_writes
    ) AS first
    UNION ALL
    SELECT (
        SELECT min(thread_id) FROM (
            SELECT min(c.thread_id) AS thread_id FROM {schema}.checkpoints AS c
            WHERE c.thread_id > threads.thread_id
            UNION ALL
            SELECT min(w.thread_id) FROM {schema}.checkpoint_writes AS w
            WHERE w.thread_id > threads.thread_id
        ) AS next
    ) FROM threads WHERE threads.thread_id IS NOT NULL
)
SELECT count(thread_id) FROM threads";

/// How many rows are read at once.
pub(super) const PAGE: usize = 64;

const CHECKPOINTS: &str = "\
-- langgraph::checkpoints
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint::text, metadata::text
FROM {schema}.checkpoints
WHERE thread_id = $1 {after}
ORDER BY checkpoint_ns, checkpoint_id LIMIT {page}";

const BLOBS: &str = "\
-- langgraph::blobs
SELECT b.channel, b.type, b.blob
FROM {schema}.checkpoint_blobs AS b
JOIN unnest($3, $4) AS wanted (channel, version)
    ON b.channel = wanted.channel AND b.version = wanted.version
WHERE b.thread_id = $1 AND b.checkpoint_ns = $2";

const WRITES: &str = "\
-- langgraph::writes
SELECT checkpoint_ns, checkpoint_id, task_id, idx, {task_path}, channel, coalesce(type, ''), blob
FROM {schema}.checkpoint_writes
WHERE thread_id = $1 {after}
ORDER BY checkpoint_ns, checkpoint_id, task_id, idx LIMIT {page}";

/// A statement that reads pages.
#[derive(Debug)]
pub(super) struct Paged {
    pub(super) first: Statement,
    pub(super) next: Statement,
}

/// The statements for the tables of one schema.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) thread: Paged,
    pub(super) threads: Statement,
    pub(super) checkpoints: Paged,
    pub(super) blobs: Statement,
    pub(super) writes: Paged,
}

/// The statement that reads the tables' version.
pub(super) fn version(schema: &str) -> Statement {
    statement(VERSION, schema, &[])
}

impl Statements {
    pub(super) fn new(schema: &str, has_task_paths: bool) -> Self {
        let task_path = if has_task_paths { "task_path" } else { "''" };
        Self {
            thread: paged(THREAD, schema, &[], "WHERE thread_id > $1", &[Type::TEXT]),
            threads: statement(THREADS, schema, &[]),
            checkpoints: paged(
                CHECKPOINTS,
                schema,
                &[Type::TEXT],
                "AND (checkpoint_ns, checkpoint_id) > ($2, $3)",
                &[Type::TEXT, Type::TEXT],
            ),
            blobs: statement(
                BLOBS,
                schema,
                &[Type::TEXT, Type::TEXT, Type::TEXT_ARRAY, Type::TEXT_ARRAY],
            ),
            writes: paged(
                &WRITES.replace("{task_path}", task_path),
                schema,
                &[Type::TEXT],
                "AND (checkpoint_ns, checkpoint_id, task_id, idx) > ($2, $3, $4, $5)",
                &[Type::TEXT, Type::TEXT, Type::TEXT, Type::INT4],
            ),
        }
    }
}

fn paged(sql: &str, schema: &str, types: &[Type], after: &str, position: &[Type]) -> Paged {
    Paged {
        first: statement(&sql.replace("{after}", ""), schema, types),
        next: statement(
            &sql.replace("{after}", after),
            schema,
            &[types, position].concat(),
        ),
    }
}

fn statement(sql: &str, schema: &str, types: &[Type]) -> Statement {
    let sql = sql.replace("{page}", &PAGE.to_string());
    let sql = sql.replace("{schema}", &quote_identifier(schema));
    Statement::from_parts(sql, types.to_vec())
}
