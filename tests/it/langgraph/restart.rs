//! An import that was killed, or that is run again.

use std::time::Duration;

use checkpointer::PostgresCheckpointer;
use tokio::sync::Notify;

use super::compare::check_all;
use super::source::Source;

/// Ends an import without a word, as if its process were killed: its lease stays.
async fn kill_after(checkpoints: u64, source: &Source, target: &PostgresCheckpointer) {
    let import = source.import().await.lease_ttl(Duration::from_millis(300));
    let stop = Notify::new();
    let run = import.run_with(target, |report| {
        if report.checkpoints >= checkpoints {
            stop.notify_one();
        }
    });
    tokio::select! {
        biased;
        () = stop.notified() => {}
        report = run => panic!("it ended: {report:?}"),
    }
}

#[tokio::test]
async fn an_import_that_was_killed_is_completed_by_the_next() {
    let source = Source::recorded().await;
    for checkpoints in [1, 20, 50, 90, 120] {
        kill_after(checkpoints, &source, &source.target().await).await;
    }
    let (target, report) = source.imported().await;
    assert_eq!(
        check_all(&source, &target).await,
        report.checkpoints as usize
    );
}

/// All rows that state is in.
async fn rows(source: &Source) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, columns) in [
        (
            "threads",
            "thread_id, generation, gc, created_at, metadata, deleted_at",
        ),
        ("heads", "t.*"),
        ("checkpoints", "t.*"),
        ("chunks", "t.*"),
        ("pending_writes", "t.*"),
    ] {
        let schema = source.target_schema();
        let sql = format!("SELECT ROW({columns})::text FROM {schema}.{table} AS t ORDER BY 1");
        let found = source.client.query(&sql, &[]).await.unwrap();
        rows.extend(
            found
                .iter()
                .map(|row| format!("{table}: {}", row.get::<_, &str>(0))),
        );
    }
    rows
}

#[tokio::test]
async fn an_import_that_is_repeated_changes_nothing() {
    let source = Source::recorded().await;
    let (_, first) = source.imported().await;
    let before = rows(&source).await;
    let (target, second) = source.imported().await;
    assert!(rows(&source).await == before);
    assert_eq!(first.checkpoints, second.checkpoints);
    check_all(&source, &target).await;
}
