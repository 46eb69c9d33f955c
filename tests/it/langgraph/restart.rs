//! An import that was killed, or that is run again.

use std::collections::BTreeMap;

use checkpointer::{
    Checkpoint, Checkpointer, GetTuple, PostgresCheckpointer, Prune, PruneStrategy, Put, Removed,
};
use tokio::sync::Notify;

use super::compare::check_all;
use super::source::Source;

/// Ends an import without a word, as if its process were killed.
async fn kill_after(checkpoints: u64, source: &Source, target: &PostgresCheckpointer) {
    let import = source.import().await;
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

/// How many checkpoints each thread has in a schema.
async fn threads(source: &Source, schema: &str) -> BTreeMap<String, i64> {
    let sql = format!("SELECT thread_id, count(*) FROM {schema}.checkpoints GROUP BY thread_id");
    let rows = source.client.query(&sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn an_import_that_was_killed_has_whole_threads_and_is_completed_by_the_next() {
    let source = Source::recorded().await;
    let whole = threads(&source, source.test.schema()).await;
    for checkpoints in [1, 20, 50] {
        kill_after(checkpoints, &source, &source.target().await).await;
        for (thread, checkpoints) in threads(&source, source.target_schema()).await {
            assert_eq!(whole.get(&thread), Some(&checkpoints), "{thread}");
        }
    }
    let (target, report) = source.imported().await;
    // Two have ids that can't be one.
    let imported = threads(&source, source.target_schema()).await;
    assert_eq!(imported.len() + 2, whole.len());
    assert!(report.present < imported.len() as u64, "{report:?}");
    check_all(&source, &target).await;
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
    assert_eq!((second.checkpoints, second.writes), (0, 0));
    assert_eq!(second.present + second.losses.len() as u64, first.threads);
    check_all(&source, &target).await;
}

/// Not even where its old checkpoints were removed.
#[tokio::test]
async fn an_import_that_is_repeated_leaves_threads_alone_that_agents_went_on_with() {
    let source = Source::recorded().await;
    let (target, _) = source.imported().await;
    let head = async || {
        let head = target.get_tuple(GetTuple::head("agent").unwrap()).await;
        head.unwrap().unwrap()
    };
    let at = head().await;
    let next = Checkpoint::child_of(&at);
    let put = Put::after(&at.address, &next, &at.metadata);
    target.put(put).await.unwrap();
    let prune = Prune::new(["agent"], PruneStrategy::KeepLatest).unwrap();
    target
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    let before = rows(&source).await;
    source.imported().await;
    assert!(rows(&source).await == before);
    assert_eq!(head().await.address.checkpoint_id, next.id);
}
