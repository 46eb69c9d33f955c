//! Tables that aren't those of a saver that is known.

use expect_test::{Expect, expect};
use rig::chain;

use super::compare::check_all;
use super::source::Source;

/// The first statements of `ShallowPostgresSaver`.
const SHALLOW: &str = "
    CREATE TABLE {schema}.checkpoint_migrations (v INTEGER PRIMARY KEY);
    CREATE TABLE {schema}.checkpoints (
        thread_id TEXT NOT NULL,
        checkpoint_ns TEXT NOT NULL DEFAULT '',
        type TEXT,
        checkpoint JSONB NOT NULL,
        metadata JSONB NOT NULL DEFAULT '{}',
        PRIMARY KEY (thread_id, checkpoint_ns)
    );
    INSERT INTO {schema}.checkpoint_migrations VALUES (0), (1), (2), (3), (4), (5), (6)";

async fn check(source: &Source, expected: Expect) {
    let target = source.target().await;
    let error = source.import().await.run(&target).await.unwrap_err();
    expected.assert_eq(&error.to_string().replace(source.test.schema(), "langgraph"));
}

#[tokio::test]
async fn a_schema_without_tables_is_refused() {
    check(
        &Source::with("").await,
        expect![
            "schema `langgraph` has no tables of LangGraph's PostgreSQL saver; name another schema"
        ],
    )
    .await;
}

#[tokio::test]
async fn the_tables_of_the_shallow_saver_are_refused() {
    check(&Source::with(SHALLOW).await, expect!["the tables in schema `langgraph` are those of ShallowPostgresSaver, which can't be imported; start its threads again"]).await;
}

#[tokio::test]
async fn tables_of_unknown_versions_are_refused() {
    let source = Source::recorded().await;
    source
        .run("INSERT INTO {schema}.checkpoint_migrations VALUES (10)")
        .await;
    check(&source, expect!["the tables in schema `langgraph` have version 10, and versions 3 to 9 are known; for older ones call `setup()` of LangGraph's saver first"]).await;
    source
        .run("DELETE FROM {schema}.checkpoint_migrations WHERE v > 2")
        .await;
    check(&source, expect!["the tables in schema `langgraph` have version 2, and versions 3 to 9 are known; for older ones call `setup()` of LangGraph's saver first"]).await;
    source
        .run("DELETE FROM {schema}.checkpoint_migrations")
        .await;
    check(&source, expect!["the tables in schema `langgraph` have no version, and versions 3 to 9 are known; for older ones call `setup()` of LangGraph's saver first"]).await;
}

/// Savers that knew no task paths made such tables.
#[tokio::test]
async fn tables_without_task_paths_are_read() {
    let source = Source::recorded().await;
    source
        .run(
            "DELETE FROM {schema}.checkpoint_migrations WHERE v > 4;
             ALTER TABLE {schema}.checkpoint_writes DROP COLUMN task_path",
        )
        .await;
    let (target, report) = source.imported().await;
    assert!(report.writes > 0);
    source.add_task_paths().await;
    check_all(&source, &target).await;
}

#[tokio::test]
async fn a_table_that_cannot_be_read_is_reported() {
    let source = Source::recorded().await;
    source.run("DROP TABLE {schema}.checkpoint_writes").await;
    let target = source.target().await;
    let error = source.import().await.run(&target).await.unwrap_err();
    let text = chain(&error).replace(source.test.schema(), "langgraph");
    expect![[r#"
        failed to read LangGraph's tables
        `langgraph::thread` failed: a schema or a table is missing
        db error
        ERROR: relation "langgraph.checkpoint_writes" does not exist
    "#]]
    .assert_eq(&text);
}
