//! What must hold of the tables at any moment, asked in SQL.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use checkpointer::PostgresCheckpointer;
use db::{Database, GenericClient, Statement, quote_identifier};

/// Heads that aren't the checkpoint put last, and checkpoints without a head.
const HEADS: &str = "-- rig::heads
SELECT pg_catalog.format('thread %s, namespace %L: the head is %s, the checkpoint put last %s',
    thread_id, checkpoint_ns, h.checkpoint_id, last.checkpoint_id)
FROM {schema}.heads AS h
FULL JOIN (
    SELECT DISTINCT ON (thread_id, checkpoint_ns) thread_id, checkpoint_ns, checkpoint_id
    FROM {schema}.checkpoints ORDER BY thread_id, checkpoint_ns, seq DESC
) AS last USING (thread_id, checkpoint_ns)
WHERE h.checkpoint_id IS DISTINCT FROM last.checkpoint_id";

/// Rows of threads that don't exist or are deleted.
const STRAYS: &str = "-- rig::strays
SELECT pg_catalog.format('%s has rows of thread %s, which is gone', name, thread_id)
FROM (
    SELECT DISTINCT 'heads' AS name, thread_id FROM {schema}.heads
    UNION ALL SELECT DISTINCT 'checkpoints', thread_id FROM {schema}.checkpoints
    UNION ALL SELECT DISTINCT 'chunks', thread_id FROM {schema}.chunks
    UNION ALL SELECT DISTINCT 'pending_writes', thread_id FROM {schema}.pending_writes
) AS rows
WHERE NOT EXISTS (
    SELECT FROM {schema}.threads AS t
    WHERE t.thread_id = rows.thread_id AND t.deleted_at IS NULL)";

/// The chunks that anything refers to.
const REFERENCED: &str = "
WITH RECURSIVE r AS (
    SELECT c.thread_id, f.value AS reference
    FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS f
    WHERE jsonb_typeof(f.value) = 'object'
    UNION ALL
    SELECT w.thread_id, w.value FROM {schema}.pending_writes AS w
    WHERE jsonb_typeof(w.value) = 'object'
), k AS (
    SELECT r.thread_id, top.hash FROM r, {schema}.top_chunks(r.reference) AS top
    UNION
    SELECT k.thread_id, below.hash
    FROM k JOIN {schema}.chunks AS c USING (thread_id, hash), {schema}.unpacked(c.refs) AS below
)";

/// Chunks that are referred to and not there.
const MISSING: &str = "
SELECT pg_catalog.format('thread %s: chunk %s is missing', thread_id, encode(hash, 'hex'))
FROM k LEFT JOIN {schema}.chunks AS c USING (thread_id, hash)
WHERE c.thread_id IS NULL";

/// How many chunks nothing refers to, by thread.
const UNREFERENCED: &str = "
SELECT thread_id, count(*) FROM {schema}.chunks AS c
WHERE NOT EXISTS (SELECT FROM k WHERE k.thread_id = c.thread_id AND k.hash = c.hash)
GROUP BY thread_id";

/// Finds what must not be.
pub(super) async fn violations(database: &Database) -> Result<Vec<String>> {
    let missing = ["-- rig::missing", REFERENCED, MISSING].concat();
    let mut found = Vec::new();
    for sql in [HEADS, STRAYS, &missing] {
        let rows = ask(database, sql).await?;
        found.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(found)
}

/// Counts the chunks that nothing refers to, by thread.
pub(super) async fn unreferenced(database: &Database) -> Result<BTreeMap<String, i64>> {
    let sql = ["-- rig::unreferenced", REFERENCED, UNREFERENCED].concat();
    let rows = ask(database, &sql).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn ask(database: &Database, sql: &str) -> Result<Vec<db::Row>> {
    let schema = quote_identifier(PostgresCheckpointer::migrations().schema(database));
    let statement = Statement::from_parts(sql.replace("{schema}", &schema), Vec::new());
    let rows = async { database.get().await?.query(&statement, &[]).await };
    rows.await.context("look at the tables")
}
