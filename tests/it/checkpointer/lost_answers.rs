//! Answers that are lost after the server has done what was asked: it is done once.

use std::collections::HashMap;
use std::future::Future;

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, PostgresCheckpointer, Prune, PruneStrategy,
    Removed,
};
use db::Database;
use futures_util::future::join_all;
use serde_json::json;

use super::step::{Step, large, map, thread, try_write};
use rig::{TcpProxy, TestDb};

/// What is stored, save for times and the ids of operations: a line for each row.
pub(super) async fn dump(test: &TestDb) -> String {
    let tables = [
        "threads",
        "heads",
        "checkpoints",
        "chunks",
        "pending_writes",
    ];
    let selects = tables.map(|table| {
        format!(
            "SELECT '{table} ' || (to_jsonb(r) - '{{changed,created_at,updated_at,put_at,written_at,deleted_at,operation}}'::text[])::text \
             AS line FROM {}.{table} AS r",
            test.schema()
        )
    });
    let sql = format!(
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ({}) AS lines",
        selects.join(" UNION ALL ")
    );
    let observer = test.observer().await;
    observer.query_one(&sql, &[]).await.unwrap().get(0)
}

/// A step whose rows are the same each time.
pub(super) fn fixed(mut step: Step, id: &str) -> Step {
    step.checkpoint.ts = "2026-01-01T00:00:00Z".to_owned();
    let values = json!({ "a": large(1), "b": large(id.len()), "n": id });
    step.id(id).values(values)
}

/// A thread of three checkpoints, each of a run of its own and with a write.
pub(super) async fn three(
    checkpointer: &PostgresCheckpointer,
    name: &str,
) -> [CheckpointAddress; 3] {
    let mut put = Vec::new();
    for (run, id) in ["id-1", "id-2", "id-3"].into_iter().enumerate() {
        let step = match put.last() {
            Some(last) => Step::after(last),
            None => Step::first(&thread(name)),
        };
        let step = fixed(step, id).metadata("run_id", format!("run-{run}"));
        let address = step.put(checkpointer).await;
        let written = try_write(checkpointer, &address, "task", &large(run)).await;
        written.unwrap();
        put.push(address);
    }
    put.try_into().unwrap()
}

/// Compares what a call leaves behind if the answer to the message that holds `text` is lost with
/// what it leaves behind otherwise.
async fn check<Done: Future<Output = ()>>(
    text: &'static str,
    call: impl Fn(PostgresCheckpointer, [CheckpointAddress; 3]) -> Done,
) {
    for mode in ["session", "transaction"] {
        let mut stored = HashMap::new();
        for lost in [false, true] {
            let proxy = TcpProxy::new();
            let test = TestDb::without_schema().await;
            let settings = test.settings_through(&proxy, &[("DB_POOL_MODE", mode)]);
            let database = Database::connect(&settings).await.unwrap();
            let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
            let configs = three(&checkpointer, "thread").await;
            if lost {
                proxy.cut_instead_of_answer_to(text);
            }
            call(checkpointer, configs).await;
            assert_eq!(proxy.sprung(), usize::from(lost), "{text} in mode {mode}");
            stored.insert(lost, dump(&test).await);
        }
        assert_eq!(stored[&true], stored[&false], "in mode {mode}");
    }
}

#[tokio::test]
async fn tables_whose_connection_is_lost_are_made_and_verified_all_the_same() {
    for mode in ["session", "transaction"] {
        let proxy = TcpProxy::new();
        let test = TestDb::without_schema().await;
        let settings = test.settings_through(&proxy, &[("DB_POOL_MODE", mode)]);
        let database = Database::connect(&settings).await.unwrap();
        // First the answer that they were made.
        for (sprung, text) in (1..).zip(["db_commit", "db::find_migrations"]) {
            proxy.cut_instead_of_answer_to(text);
            let made = PostgresCheckpointer::setup(database.clone()).await;
            three(&made.unwrap(), text).await;
            assert_eq!(proxy.sprung(), sprung, "{text} in mode {mode}");
        }
        // On a connection that has prepared nothing yet, the statement's text is sent.
        let database = Database::connect(&settings).await.unwrap();
        proxy.cut_instead_of_answer_to("db::read_migrations");
        PostgresCheckpointer::open(database).await.unwrap();
        assert_eq!(proxy.sprung(), 3, "in mode {mode}");
    }
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_done_once() {
    check("lost-put", async |checkpointer, [_, _, last]| {
        let step = fixed(Step::after(&last), "lost-put");
        let stored = step.put(&checkpointer).await;
        assert_eq!(stored.checkpoint_id, step.checkpoint.id);
    })
    .await;
}

#[tokio::test]
async fn a_guarded_put_whose_answer_is_lost_is_no_conflict_and_done_once() {
    check("lost-guarded", async |checkpointer, [_, _, last]| {
        let step = fixed(Step::after(&last), "lost-guarded").expect_head(&last);
        let stored = step.put(&checkpointer).await;
        let next = fixed(Step::after(&stored), "next").expect_head(&stored);
        next.put(&checkpointer).await;
    })
    .await;
}

#[tokio::test]
async fn a_first_put_whose_answer_is_lost_is_done_once() {
    check("lost-first", async |checkpointer, _| {
        let first = fixed(Step::first(&thread("other")), "lost-first").expect_no_head();
        let stored = first.put(&checkpointer).await;
        fixed(Step::after(&stored), "next").put(&checkpointer).await;
    })
    .await;
}

#[tokio::test]
async fn pending_writes_whose_answer_is_lost_are_done_once() {
    check("lost-task", async |checkpointer, [_, _, last]| {
        let written = try_write(&checkpointer, &last, "lost-task", &large(7)).await;
        written.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_delete_whose_commit_is_not_acknowledged_is_done_once() {
    check("db_commit", async |checkpointer, [_, _, last]| {
        let delete = DeleteThread::new(&last.thread_id).unwrap();
        checkpointer.delete_thread(delete).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_copy_whose_commit_is_not_acknowledged_is_done_once() {
    check("db_commit", async |checkpointer, [_, _, last]| {
        let copied = checkpointer
            .copy_thread(&last.thread_id, &thread("copy"))
            .await;
        copied.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_prune_whose_commit_is_not_acknowledged_is_done_once() {
    check("db_commit", async |checkpointer, [_, _, last]| {
        let prune = Prune::new(vec![last.thread_id], PruneStrategy::KeepLatest).unwrap();
        checkpointer
            .prune(prune)
            .await
            .and_then(Removed::complete)
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn runs_whose_deletion_is_not_acknowledged_are_deleted_once() {
    check("db_commit", async |checkpointer, _| {
        let runs = ["run-1".to_owned(), "run-2".to_owned()];
        checkpointer
            .delete_for_runs(&runs)
            .await
            .and_then(Removed::complete)
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_threads_metadata_whose_answer_is_lost_are_set() {
    check("lost-metadata", async |checkpointer, [_, _, last]| {
        let metadata = map(json!({ "title": "lost-metadata" }));
        let set = checkpointer
            .set_thread_metadata(&last.thread_id, metadata)
            .await;
        set.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_shares_a_transaction_whose_answer_is_lost_is_done_once() {
    check("lost-together-9", async |checkpointer, _| {
        let mut heads = Vec::new();
        for number in 0..20 {
            let first = fixed(Step::first(&thread(&format!("thread {number}"))), "first");
            heads.push(first.put(&checkpointer).await);
        }
        let calls = heads.iter().enumerate().map(async |(number, head)| {
            let id = format!("lost-together-{number}");
            if number % 2 == 0 {
                let written = try_write(&checkpointer, head, &id, &large(2)).await;
                written.unwrap();
            } else {
                let step = fixed(Step::after(head), &id).expect_head(head);
                step.put(&checkpointer).await;
            }
        });
        join_all(calls).await;
    })
    .await;
}
