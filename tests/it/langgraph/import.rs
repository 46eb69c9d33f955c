//! What was recorded of real graphs comes over, all of it.

use checkpointer::{CheckpointAddress, Checkpointer, Error, GetChannelHistory, GetTuple, ThreadId};
use expect_test::expect;
use langgraph::{Reason, Serialized};
use serde_json::{Value, json};

use super::compare::check_all;
use super::source::{Source, is_lost};

async fn count(source: &Source, table: &str) -> usize {
    let sql = format!("SELECT thread_id FROM {}.{table}", source.test.schema());
    let rows = source.client.query(&sql, &[]).await.unwrap();
    rows.iter().filter(|row| !is_lost(row.get(0))).count()
}

#[tokio::test]
async fn everything_comes_over_to_the_byte() {
    let source = Source::recorded().await;
    let (target, report) = source.imported().await;

    let checked = check_all(&source, &target).await;
    assert_eq!(report.checkpoints as usize, checked);
    assert_eq!(
        report.checkpoints as usize,
        count(&source, "checkpoints").await
    );
    assert_eq!(
        report.writes as usize,
        count(&source, "checkpoint_writes").await
    );
    let mut losses: Vec<_> = report.losses.iter().map(ToString::to_string).collect();
    losses.sort();
    let losses = losses.join("\n").replace(&"x".repeat(600), "xx…");
    expect![[r#"
        thread ``: the thread_id is empty
        thread `xx…`: the thread_id has 600 bytes, at most 512 are allowed"#]]
    .assert_eq(&losses);
    let figures = [
        report.threads,
        report.checkpoints,
        report.writes,
        report.opaque,
    ];
    expect!["[13, 141, 356, 3]"].assert_eq(&format!("{figures:?}"));
}

#[tokio::test]
async fn the_tables_of_langgraph_js_come_over_to_the_byte() {
    let source = Source::recorded_of_js().await;
    let (target, report) = source.imported().await;
    assert!(report.losses.is_empty(), "{:?}", report.losses);
    let figures = [
        report.threads,
        report.checkpoints,
        report.writes,
        report.opaque,
    ];
    expect!["[4, 29, 53, 0]"].assert_eq(&format!("{figures:?}"));
    source.add_task_paths().await;
    let checked = check_all(&source, &target).await;
    assert_eq!(checked, count(&source, "checkpoints").await);
}

#[tokio::test]
async fn the_last_message_of_a_python_graph_is_found_by_sql() {
    let source = Source::recorded().await;
    source.imported().await;
    let sql = format!(
        "SELECT state -> 'messages' -> -1 ->> 'content', state -> 'messages' -> -1 ->> '!',
             state -> 'messages' -> -3 -> 'tool_calls' -> 0 -> 'args' ->> 'pattern'
         FROM {}.state('agent', '') AS state",
        source.target_schema(),
    );
    let row = source.client.query_one(&sql, &[]).await.unwrap();
    let texts: [&str; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(
        texts,
        ["Done.", "5 langchain_core.messages.ai AIMessage", "word 2"]
    );
}

/// A checkpointer numbers writes by their position: a task that stores its writes again, because
/// it is run again, stores none twice.
#[tokio::test]
async fn a_task_that_is_run_again_finds_its_writes() {
    let source = Source::recorded().await;
    let (target, _) = source.imported().await;
    let address = CheckpointAddress::new("by hand", "10").unwrap();
    let writes = || async {
        let tuple = target
            .get_tuple(GetTuple::at(&address))
            .await
            .unwrap()
            .unwrap();
        tuple.pending_writes
    };
    let before = writes().await;

    let task_id = checkpointer::TaskId::new("task 1").unwrap();
    let again = [
        ("__error__".to_owned(), json!("no")),
        ("a".to_owned(), json!({ "b": 1 })),
        ("c".to_owned(), Serialized::new("bytes", [1]).to_json()),
    ];
    let put = checkpointer::PutWrites::new(&address, &task_id, &again).task_path("path");
    target.put_writes(put).await.unwrap();
    assert_eq!(writes().await, before);
}

/// Writes may come before their checkpoint, and are there when it comes.
#[tokio::test]
async fn writes_without_a_checkpoint_come_over() {
    let source = Source::recorded().await;
    let (target, _) = source.imported().await;
    let at = CheckpointAddress::new("by hand", "10").unwrap();
    let at = target.get_tuple(GetTuple::at(&at)).await.unwrap().unwrap();
    let mut next = checkpointer::Checkpoint::child_of(&at);
    next.id = checkpointer::CheckpointId::new("11").unwrap();
    let put = checkpointer::Put::after(&at.address, &next, &at.metadata);
    let address = target.put(put).await.unwrap();
    let next = target
        .get_tuple(GetTuple::at(&address))
        .await
        .unwrap()
        .unwrap();
    let values: Vec<_> = next
        .pending_writes
        .iter()
        .map(|write| &*write.value)
        .collect();
    assert_eq!(values, [&json!("early")]);
}

/// The writes that a channel is rebuilt from end at a snapshot, as in LangGraph.
#[tokio::test]
async fn the_history_of_a_channel_that_is_stored_as_writes_comes_over() {
    let source = Source::recorded().await;
    let (target, _) = source.imported().await;
    let query = GetChannelHistory::new(GetTuple::head("snapshots").unwrap(), ["log"]).unwrap();
    let history = target.channel_history(query).await.unwrap();
    let log = &history["log"];
    let lines = |value: &Value| value.as_array().unwrap().clone();
    let seed = log.seed.as_ref().map(|seed| lines(&seed["v"])).unwrap();
    let writes = log.writes.iter().flat_map(|write| lines(&write.value));
    let log: Vec<_> = seed.into_iter().chain(writes).collect();
    let turn = |turn: i64| {
        let steps = (7 * turn + 1)..(7 * turn + 7);
        let steps = steps.map(|n| json!({ "line": n }));
        [json!(format!("turn {turn}"))].into_iter().chain(steps)
    };
    assert_eq!(log, turn(0).chain(turn(1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_progress_is_told() {
    let source = Source::recorded().await;
    let target = source.target().await;
    let mut seen = Vec::new();
    let report = source
        .import()
        .await
        .run_with(&target, |report| {
            seen.push((report.threads, report.checkpoints))
        })
        .await
        .unwrap();
    assert!(seen.is_sorted());
    assert_eq!(
        source.import().await.threads().await.unwrap(),
        report.threads
    );
    assert_eq!(seen.last(), Some(&(report.threads, report.checkpoints)));
    assert!(seen.len() as u64 > report.threads);
}

/// Others see none of it before all of it is there.
#[tokio::test]
async fn a_thread_is_there_as_a_whole_or_not_at_all() {
    let source = Source::of_thread("agent").await;
    let (target, other) = (source.target().await, source.target().await);
    let import = source.import().await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let run = import.run_with(&target, |report| {
        let _ = sender.send(report.checkpoints);
    });
    let mut run = std::pin::pin!(run);
    // The import stands still after the thread's checkpoints, before its writes.
    tokio::select! {
        biased;
        checkpoints = async {
            loop {
                if let Some(1..) = receiver.recv().await { break }
            }
        } => checkpoints,
        report = &mut run => panic!("it ended: {report:?}"),
    }
    let thread_id = ThreadId::new("agent").unwrap();
    assert_eq!(other.thread_info(&thread_id).await.unwrap(), None);

    let report = run.await.unwrap();
    assert_eq!(
        check_all(&source, &other).await,
        report.checkpoints as usize
    );
}

/// A thread that another program begins meanwhile is that program's.
#[tokio::test]
async fn a_thread_that_is_begun_while_it_is_imported_stays_as_it_is() {
    let source = Source::of_thread("agent").await;
    let (target, other) = (source.target().await, source.target().await);
    let blobs = format!("{}.checkpoint_blobs", source.test.schema());
    let lock = format!("BEGIN; LOCK TABLE {blobs} IN ACCESS EXCLUSIVE MODE");
    source.client.batch_execute(&lock).await.unwrap();

    let import = source.import().await;
    let begun = async {
        // The import has found no thread, and reads its values.
        let waits =
            format!("SELECT FROM pg_locks WHERE NOT granted AND relation = '{blobs}'::regclass");
        rig::eventually("the import waits", async || {
            !source.client.query(&waits, &[]).await.unwrap().is_empty()
        })
        .await;
        let mut thread = other.thread::<Value>("agent").unwrap();
        let address = thread.save(&json!({ "begun": true })).await.unwrap();
        source.client.batch_execute("COMMIT").await.unwrap();
        address
    };
    let (report, address) = tokio::join!(import.run(&target), begun);
    let report = report.unwrap();
    let reasons: Vec<_> = report.losses.iter().map(|loss| &loss.reason).collect();
    assert!(
        matches!(reasons[..], [Reason::Refused(Error::Conflict { .. })]),
        "{reasons:?}"
    );
    assert_eq!((report.checkpoints, report.writes), (0, 0));
    let head = other.get_tuple(GetTuple::head("agent").unwrap()).await;
    assert_eq!(head.unwrap().map(|head| head.address), Some(address));
}
