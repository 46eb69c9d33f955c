//! What a client leaves behind on a connection to the server, which the next client gets.

use std::collections::BTreeSet;

use checkpointer::{Durability, PostgresOptions};
use db::{Database, GenericClient, Statement, Type};
use futures_util::future::join_all;
use rig::{NOTES, Release, at_every_poll};
use tokio::sync::Barrier;
use tokio_postgres::SimpleQueryMessage;

use super::{PATIENT, Pooled, client};

/// Settings that the pooler itself sets for each client are none of it, nor are the statements that
/// it keeps there itself, for all of them.
const LOOK: &str = "
    SELECT 'setting ' || name FROM pg_settings WHERE source = 'session' AND name NOT IN
        ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
         'standard_conforming_strings')
    UNION ALL SELECT 'prepared statement ' || name FROM pg_prepared_statements
        WHERE name NOT LIKE 'PGBOUNCER%'
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors
    UNION ALL SELECT 'advisory lock' FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
    UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'transaction' WHERE pg_current_xact_id_if_assigned() IS NOT NULL
    ORDER BY 1";

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);
static INSERT: Statement = Statement::new(
    "INSERT INTO notes.notes (id, body) VALUES ($1, $2)
     ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    &[Type::INT8, Type::TEXT],
);

/// What is left on the connections to the server, which are all waited for.
pub(super) async fn leftovers(pooled: &Pooled, connections: usize) -> Vec<String> {
    let url = pooled.pooler.url();
    // Each keeps the others away from the connection that it looks at.
    let look = async || {
        let client = client(&url).await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        let pid = client
            .simple_query("SELECT pg_backend_pid()")
            .await
            .unwrap();
        let found = client.simple_query(LOOK).await.unwrap();
        (client, first_columns(pid), first_columns(found))
    };
    let looked = join_all((0..connections).map(|_| look())).await;
    let seen: BTreeSet<_> = looked.iter().map(|(_, pid, _)| pid).collect();
    assert_eq!(seen.len(), connections);
    let found = looked.iter().flat_map(|(_, _, found)| found.clone());
    found.collect()
}

fn first_columns(answer: Vec<SimpleQueryMessage>) -> Vec<String> {
    let column = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0)?.to_owned()),
        _ => None,
    };
    answer.iter().filter_map(column).collect()
}

async fn what_a_client_leaves_on_a_server_connection_is_found(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let careless = client(&pooled.pooler.url()).await.unwrap();
    careless
        .batch_execute(
            "SET statement_timeout = '7min'; PREPARE kept AS SELECT 1; LISTEN kept;
             SELECT pg_advisory_lock(7); CREATE TEMP TABLE kept (); SET application_name = 'x'",
        )
        .await
        .unwrap();
    expect_test::expect![[r#"
        [
            "advisory lock",
            "channel kept",
            "prepared statement kept",
            "setting statement_timeout",
            "table kept",
        ]
    "#]]
    .assert_debug_eq(&leftovers(&pooled, 1).await);
}

/// Drops a call at each of its polls; the next call on the only connection to the server
/// finds nothing.
async fn check(pooled: &Pooled, db: &Database, call: impl AsyncFn(&Database)) {
    at_every_poll(
        async || call(db).await,
        async || assert_eq!(leftovers(pooled, 1).await, [""; 0]),
    )
    .await;
}

async fn what_is_dropped_at_any_point_leaves_nothing_for_the_next_client(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&PATIENT).await;
    let insert = async |db: &Database| {
        let connection = db.get().await.unwrap();
        connection
            .execute(&INSERT, &[&1_i64, &"alone"])
            .await
            .unwrap();
    };
    let transaction = async |db: &Database| {
        db.transaction(async |tx| {
            tx.batch_execute("SET LOCAL statement_timeout = '7min'")
                .await?;
            tx.execute(&INSERT, &[&2_i64, &"in a transaction"]).await
        })
        .await
        .unwrap();
    };
    let left_open = async |db: &Database| {
        let connection = db.get().await.unwrap();
        connection.batch_execute("BEGIN").await.unwrap();
        connection
            .execute(&INSERT, &[&3_i64, &"never"])
            .await
            .unwrap();
    };
    check(&pooled, &db, async |db| NOTES.apply(db).await.unwrap()).await;
    check(&pooled, &db, insert).await;
    check(&pooled, &db, transaction).await;
    check(&pooled, &db, left_open).await;

    let sql = "SELECT string_agg(body, ', ' ORDER BY id) FROM notes.notes";
    let observer = pooled.observer().await;
    let kept: String = observer.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(kept, "alone, in a transaction");
}

async fn a_relaxed_write_that_is_dropped_at_any_point_leaves_nothing_for_the_next_client(
    release: Release,
) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&PATIENT).await;
    let options = PostgresOptions::default().durability(Durability::Relaxed);
    let checkpointer = options.setup(db).await.unwrap();
    at_every_poll(
        async || {
            let mut thread = checkpointer.thread::<Vec<u32>>("dropped").unwrap();
            thread.update(|state| state.push(1)).await.unwrap();
        },
        async || assert_eq!(leftovers(&pooled, 1).await, [""; 0]),
    )
    .await;
}

async fn a_transaction_stays_on_one_server_connection(release: Release) {
    let pooled = Pooled::start(release, 4).await;
    let variables: Vec<_> = PATIENT
        .iter()
        .chain(&[("DB_POOL_MAX", "16")])
        .copied()
        .collect();
    let db = pooled.connect(&variables).await;
    // As many as the pooler has connections are open at once, each time.
    let all_open = Barrier::new(4);
    let pids = join_all((0..16).map(async |_| {
        db.transaction(async |tx| -> db::Result<BTreeSet<i32>> {
            let mut pids = BTreeSet::new();
            for _ in 0..4 {
                pids.insert(tx.query_one(&PID, &[]).await?.get(0));
                all_open.wait().await;
            }
            Ok(pids)
        })
        .await
        .unwrap()
    }))
    .await;
    assert!(pids.iter().all(|pids| pids.len() == 1), "{pids:?}");
    let used: BTreeSet<_> = pids.into_iter().flatten().collect();
    assert_eq!(used.len(), 4);
}

async fn statements_that_are_sent_as_one_are_one_transaction(release: Release) {
    let pooled = Pooled::start(release, 4).await;
    let db = pooled.connect(&PATIENT).await;
    NOTES.apply(&db).await.unwrap();
    let connection = db.get().await.unwrap();
    let two = "INSERT INTO notes.notes VALUES (1, 'first'); SELECT 1/0";
    connection.batch_execute(two).await.unwrap_err();
    let sql = "SELECT count(*) FROM notes.notes";
    let count: i64 = pooled
        .observer()
        .await
        .query_one(sql, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
}

through_each_release!(
    what_a_client_leaves_on_a_server_connection_is_found,
    what_is_dropped_at_any_point_leaves_nothing_for_the_next_client,
    a_relaxed_write_that_is_dropped_at_any_point_leaves_nothing_for_the_next_client,
    a_transaction_stays_on_one_server_connection,
    statements_that_are_sent_as_one_are_one_transaction,
);
