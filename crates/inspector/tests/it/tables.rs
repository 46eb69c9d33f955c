//! Commands for the tables: `migrate` and `import`.

use std::fs;

use rig::{TestDb, package_folder};

use crate::program::{Program, finished};

#[tokio::test]
async fn tables_that_are_missing_are_made_once_confirmed() {
    let program = Program::without_tables().await;
    let ran = program.run(&["threads"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("checkpointer migrate"), "{ran:?}");
    assert_eq!(program.run(&["migrate", "check"]).await.code, 1);
    assert_eq!(program.run(&["migrate", "check", "--json"]).await.code, 1);
    assert_eq!(program.run(&["migrate", "apply"]).await.code, 6);
    let sql = program.done(&["migrate", "print"]).await;
    assert!(
        sql.starts_with("BEGIN;") && sql.ends_with("COMMIT;\n"),
        "{sql}"
    );

    program.done(&["migrate", "apply", "--yes"]).await;
    program.done(&["migrate", "check"]).await;
    assert_eq!(program.done(&["migrate", "print"]).await, "");
    assert_eq!(program.done(&["migrate", "print", "--all"]).await, sql);
    assert_eq!(
        program.json(&["migrate", "apply"]).await[0]["applied"],
        false
    );
}

#[tokio::test]
async fn tables_that_cannot_be_looked_at_are_a_problem_with_its_cause() {
    let program = Program::new().await;
    let observer = program.test.observer().await;
    let schema = program.test.schema();
    let sql = format!("ALTER TABLE {schema}.checkpointer_migrations RENAME COLUMN checksum TO sum");
    observer.batch_execute(&sql).await.unwrap();
    let ran = program.run(&["migrate", "check", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("does not exist (42703)"), "{ran:?}");
}

#[tokio::test]
async fn the_sql_that_is_printed_makes_the_tables() {
    let program = Program::without_tables().await;
    let sql = program.done(&["migrate", "print"]).await;
    program
        .test
        .observer()
        .await
        .batch_execute(&sql)
        .await
        .unwrap();
    program.done(&["migrate", "check"]).await;
    assert_eq!(program.done(&["threads"]).await, "no threads\n");
}

#[tokio::test]
async fn threads_of_langgraph_are_imported() {
    let source = TestDb::new().await;
    let recorded = "../../tests/fixtures/langgraph/tables.sql";
    let recorded = package_folder().join(recorded);
    let sql = fs::read_to_string(recorded).unwrap();
    let sql = sql.replace("{schema}", source.schema());
    source.observer().await.batch_execute(&sql).await.unwrap();

    let program = Program::new().await;
    let args = ["import", "--langgraph", "--schema", source.schema()];
    assert_eq!(program.run(&args).await.code, 6);
    let args: Vec<_> = args
        .into_iter()
        .chain(["--yes", "--json", "--url-from", "SOURCE"])
        .collect();
    let mut command = program.command(&args);
    let ran = finished(command.env("SOURCE", rig::url()).spawn().unwrap()).await;
    let report: checkpointer::serde_json::Value =
        checkpointer::serde_json::from_str(&ran.stdout).unwrap();
    let complete = report["losses"].as_array().unwrap().is_empty();
    assert_eq!(ran.code, i32::from(!complete), "{ran:?}");
    assert!(report["threads"].as_u64().unwrap() > 0, "{report}");
    assert!(!program.json(&["threads", "-n", "0"]).await.is_empty());
}

#[tokio::test]
async fn an_import_without_tables_says_so() {
    let program = Program::new().await;
    let ran = program
        .run(&["import", "--langgraph", "--schema", "nowhere", "--yes"])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
}
