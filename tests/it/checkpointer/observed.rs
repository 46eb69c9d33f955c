//! What is seen from outside: spans, metrics, and never a state.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use checkpointer::{
    AcquireLease, CheckpointAddress, CheckpointNs, Checkpointer, DeleteThread, Error,
    GetChannelHistory, GetTuple, List, ListThreads, OpenTransaction, PostgresCheckpointer, Prune,
    PruneStrategy, PutWrites, Removed, Result, Retention, TaskId, ThreadId, Watch,
};
use db::Database;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, TryStreamExt, poll};
use rig::{Figures, Seen, Spans, TestDb, at_every_poll, eventually};
use serde_json::{Value, json};
use tracing::Level;

use super::step::{Step, checkpointer, get, map, thread, try_write};

const DOCS: &str = include_str!("../../../docs/observability.md");

/// What a state, metadata and a filter hold here: nobody is to see it.
const SECRET: &str = "hunter2";

const OPERATIONS: &str = "checkpointer_operations_total";

/// A list whose items become chunks.
fn conversation(messages: usize) -> Value {
    let message = |n: usize| format!("message {n} says {SECRET}, and more of it").repeat(4);
    (0..messages).map(message).collect()
}

/// A write that the server refuses with a code, as often as it is told to.
async fn refuse(test: &TestDb, code: &str, times: u32) {
    let sql = "CREATE SEQUENCE {schema}.attempts;
        CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('{schema}.attempts') <= {times} THEN
                RAISE EXCEPTION 'no, says the test'
                    USING ERRCODE = '{code}', DETAIL = NEW.value::text;
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON {schema}.pending_writes
            FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()"
        .replace("{schema}", test.schema())
        .replace("{times}", &times.to_string())
        .replace("{code}", code);
    test.observer().await.batch_execute(&sql).await.unwrap();
}

/// Calls everything there is, and some of it so that it fails.
async fn call_everything(test: &TestDb) {
    let variables = [("DB_POOL_MAX", "2"), ("DB_RETRY_PAUSE", "1ms")];
    let database = Database::connect(&test.settings(&variables)).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let thread_id = thread("seen");
    let first = Step::first(&thread_id)
        .values(json!({ "messages": conversation(100), SECRET: SECRET }))
        .metadata("secret", SECRET)
        .put(&checkpointer)
        .await;
    let next = Step::after(&first)
        .values(json!({ "messages": conversation(101) }))
        .expect_head(&first)
        .put(&checkpointer)
        .await;
    let late = Step::after(&first).expect_head(&first);
    let error = late.try_put(&checkpointer).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }));
    let unstorable = (0..200).fold(json!(SECRET), |value, _| json!([value]));
    let unstorable = Step::after(&next).values(json!({ "deep": unstorable }));
    let error = unstorable.try_put(&checkpointer).await.unwrap_err();
    assert!(matches!(error, Error::Unstorable { .. }));

    refuse(test, "40001", 1).await;
    let output = json!({ "said": SECRET });
    try_write(&checkpointer, &next, "task", &output)
        .await
        .unwrap();
    get(&checkpointer, &next).await;
    let history = GetChannelHistory::new(GetTuple::at(&next), vec!["written".to_owned()]).unwrap();
    checkpointer.channel_history(history).await.unwrap();
    let filter = map(json!({ "secret": SECRET }));
    let list = List::thread(&thread_id).unwrap().filter(filter.clone());
    checkpointer
        .list(list)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let metadata = map(json!({ "owner": SECRET }));
    checkpointer
        .set_thread_metadata(&thread_id, metadata)
        .await
        .unwrap();
    let metadata = map(json!({ "status": SECRET }));
    checkpointer
        .update_thread_metadata(&thread_id, metadata)
        .await
        .unwrap();
    checkpointer.thread_info(&thread_id).await.unwrap();
    checkpointer.thread_size(&thread_id).await.unwrap();
    checkpointer.schema_size().await.unwrap();
    checkpointer
        .threads(ListThreads::all())
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    checkpointer
        .copy_thread(&thread_id, &thread("copy"))
        .await
        .unwrap();

    let within: Result<()> = database
        .transaction(async |tx| {
            let tx = OpenTransaction::from(tx);
            let step = Step::after(&next).values(json!({ SECRET: SECRET }));
            let last = checkpointer.put_within(tx, step.request()).await?;
            let (task_id, writes) = (TaskId::new("task")?, [("said".to_owned(), json!(SECRET))]);
            let writes = PutWrites::new(&last, &task_id, &writes);
            checkpointer.put_writes_within(tx, writes).await?;
            let read = checkpointer.get_tuple_within(tx, GetTuple::at(&last));
            read.await.map(drop)
        })
        .await;
    within.unwrap();

    let watch = Watch::thread(&thread_id).unwrap().in_ns(CheckpointNs::ROOT);
    let mut changes = checkpointer.watch(watch).await.unwrap();
    changes.try_next().await.unwrap();
    drop(changes);

    let ttl = Duration::from_secs(60);
    let lease = AcquireLease::new(thread("leased"), ttl).unwrap();
    let lease = checkpointer.acquire_lease(lease).await.unwrap();
    let lease = checkpointer.renew_lease(&lease, ttl).await.unwrap();
    checkpointer.release_lease(&lease).await.unwrap();

    let pinned = checkpointer.set_pinned(&next, true).await;
    pinned.unwrap();
    let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    apply_policies(&checkpointer).await;
    checkpointer
        .delete_for_runs(&[SECRET.to_owned()])
        .await
        .and_then(Removed::complete)
        .unwrap();
    checkpointer
        .delete_thread(DeleteThread::new(thread_id).unwrap())
        .await
        .unwrap();
    checkpointer.close().await.unwrap();
    database.close(Duration::from_secs(10)).await.unwrap();
}

/// Applies a policy to all threads, and one to a thread on which there is a lease.
async fn apply_policies(checkpointer: &PostgresCheckpointer) {
    let only = map(json!({ "secret": SECRET }));
    let due = Prune::due(Retention::keep_last(1).except(only));
    let removed = checkpointer.prune(due).await;
    removed.and_then(Removed::complete).unwrap();
    let lease = AcquireLease::new("copy", Duration::from_secs(60)).unwrap();
    let lease = checkpointer.acquire_lease(lease).await.unwrap();
    let delete = PruneStrategy::Keep(Retention::keep_all().delete_after(Duration::ZERO));
    let held = checkpointer
        .prune(Prune::new(["copy"], delete).unwrap())
        .await;
    assert_eq!(held.unwrap().failed.len(), 1);
    checkpointer.release_lease(&lease).await.unwrap();
}

/// The rows of those tables in the docs whose heading begins with a word.
fn rows(heading: &str) -> BTreeSet<&str> {
    let mut rows = BTreeSet::new();
    let mut inside = false;
    for line in DOCS.lines() {
        if line.starts_with(&format!("| {heading} |")) {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            rows.insert(line);
        }
    }
    rows
}

/// The names in backquotes.
fn names(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn ended(spans: &Spans, name: &str) -> Seen {
    let mut seen = spans.named(name);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

#[tokio::test]
async fn the_docs_list_every_metric_and_every_value_of_a_label() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    call_everything(&test).await;
    let table = figures.table();
    let table: BTreeSet<_> = table.iter().map(String::as_str).collect();
    assert_eq!(table, rows("Metric"));

    let documented = names(DOCS);
    for (label, value) in figures.labels() {
        let is_name = label == "pool";
        assert!(
            is_name || documented.contains(value.as_str()),
            "{label}={value}"
        );
    }
    // And those that didn't come up here.
    let outcomes = include_str!("../../../crates/checkpointer/src/postgres/call.rs");
    for outcome in outcomes.split("=> \"").skip(1) {
        let (outcome, _) = outcome.split_once('"').unwrap();
        assert!(documented.contains(outcome), "{outcome}");
    }
}

#[tokio::test]
async fn the_docs_list_every_span_with_its_fields() {
    let spans = Spans::default();
    let _watching = spans.watch();
    let test = TestDb::without_schema().await;
    call_everything(&test).await;
    let mut fields: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for seen in spans
        .all()
        .iter()
        .filter(|seen| seen.target == "checkpointer")
    {
        assert_eq!(seen.level, Level::DEBUG, "{seen:?}");
        let mut own: BTreeSet<_> = seen.fields.keys().copied().collect();
        for at_the_end in ["attempts", "outcome", "duration_seconds"] {
            assert!(own.remove(at_the_end), "{seen:?}");
        }
        fields.entry(seen.name).or_default().extend(own);
    }
    // The list of one thread asks for neither.
    let list = fields.get_mut("list").unwrap();
    list.extend(["checkpoint_ns", "checkpoint_id"]);
    let documented = rows("Span").into_iter().map(|row| {
        let (name, fields) = row[1..].split_once('|').unwrap();
        (*names(name).first().unwrap(), names(fields))
    });
    assert_eq!(fields, documented.collect());
}

#[tokio::test]
async fn no_state_no_metadata_and_no_password_is_in_a_span_an_event_or_a_label() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    call_everything(&test).await;
    let own = |seen: &Seen| !seen.target.starts_with("tokio_postgres") && seen.target != "log";
    let seen: Vec<_> = spans.all().into_iter().filter(own).collect();
    assert!(
        seen.iter()
            .any(|seen| seen.fields.contains_key("thread_id"))
    );
    let mut text = format!("{seen:#?}");
    for (label, value) in figures.labels() {
        text.push_str(&format!("{label}={value}\n"));
    }
    let settings = test.settings(&[]);
    let password = settings.password().map(|password| password.expose());
    for secret in [Some(SECRET), password].into_iter().flatten() {
        if secret != settings.user() {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
    }
}

#[tokio::test]
async fn what_a_prune_removes_is_counted_for_each_strategy() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("pruned");
    let first = Step::first(&thread_id).put(&checkpointer).await;
    let second = Step::after(&first).put(&checkpointer).await;
    Step::after(&second).put(&checkpointer).await;
    for (strategy, total) in [(PruneStrategy::KeepLatest, 2), (PruneStrategy::Delete, 3)] {
        let prune = Prune::new([&thread_id], strategy).unwrap();
        let removed = checkpointer.prune(prune).await.unwrap();
        removed.complete().unwrap();
        let counted = figures.counter("checkpointer_removed_checkpoints_total", &[]);
        assert_eq!(counted, total);
    }
}

#[tokio::test]
async fn a_conflict_is_counted_as_one() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("contended")).put(&checkpointer).await;
    let one = Step::after(&first).expect_head(&first);
    one.put(&checkpointer).await;
    let other = Step::after(&first).expect_head(&first);
    other.try_put(&checkpointer).await.unwrap_err();
    assert_eq!(figures.counter("checkpointer_conflicts_total", &[]), 1);
    assert_eq!(figures.counter("checkpointer_stale_writes_total", &[]), 1);
    let puts = |outcome| figures.counter(OPERATIONS, &[("operation", "put"), ("outcome", outcome)]);
    assert_eq!((puts("ok"), puts("conflict")), (2, 1));
    let took = [("operation", "put"), ("outcome", "conflict")];
    assert_eq!(
        figures
            .histogram("checkpointer_operation_seconds", &took)
            .len(),
        1
    );
}

#[tokio::test]
async fn writes_that_share_a_transaction_are_seen_as_so_many() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let mut heads = Vec::new();
    for number in 0..7 {
        let first = Step::first(&thread(&format!("thread-{number}")));
        heads.push(first.put(&checkpointer).await);
    }
    let sizes = || figures.histogram("checkpointer_batch_writes", &[]);
    assert_eq!(sizes(), [1.0; 7]);
    let steps: Vec<_> = heads.iter().map(Step::after).collect();
    let puts = steps.iter().map(|step| step.put(&checkpointer));
    join_all(puts).await;
    // The first finds nobody at work, and goes at once.
    assert_eq!(sizes()[7..], [1.0, 6.0]);
    assert_eq!(figures.gauge("checkpointer_writes_under_way", &[]), 0.0);
}

#[tokio::test]
async fn an_append_reuses_the_chunks_that_are_there_and_sends_little() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let sent = || {
        (
            figures.counter("checkpointer_sent_bytes_total", &[]),
            figures.counter("checkpointer_sent_chunks_total", &[]),
            figures.counter("checkpointer_reused_chunks_total", &[]),
        )
    };
    let values = |messages| json!({ "messages": conversation(messages) });
    let first = Step::first(&thread("growing")).values(values(500));
    let first = first.put(&checkpointer).await;
    let (bytes, chunks, reused) = sent();
    let content = conversation(500).to_string().len() as u64;
    assert!(
        bytes > content && bytes < content * 6 / 5,
        "{bytes} of {content}"
    );
    assert!(chunks > 10, "{chunks}");
    assert_eq!(reused, 0);
    Step::after(&first)
        .values(values(501))
        .put(&checkpointer)
        .await;
    let (bytes_after, chunks_after, reused_after) = sent();
    assert!(bytes_after - bytes < content / 10, "{bytes_after}");
    assert!(chunks_after - chunks < chunks, "{chunks_after}");
    assert!(reused_after > 0);
}

#[tokio::test]
async fn a_failure_that_passes_is_a_second_attempt() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[("DB_RETRY_PAUSE", "1ms")]).await;
    let address = Step::first(&thread("refused")).put(&checkpointer).await;
    refuse(&test, "40001", 1).await;
    try_write(&checkpointer, &address, "task", &json!(SECRET))
        .await
        .unwrap();
    let seen = ended(&spans, "put_writes");
    assert_eq!(
        (&*seen.fields["attempts"], &*seen.fields["outcome"]),
        ("2", "ok")
    );
    assert_eq!(ended(&spans, "put").fields["attempts"], "1");
    let retries =
        |operation| figures.counter("checkpointer_retries_total", &[("operation", operation)]);
    assert_eq!((retries("put_writes"), retries("put")), (1, 0));
    let events = spans.all();
    let again = events.iter().find(|seen| {
        seen.fields
            .get("message")
            .is_some_and(|message| message == "trying again")
    });
    let again = again.unwrap();
    assert_eq!(again.within, Some("put_writes"));
    assert_eq!(
        again.fields["error"],
        "`checkpointer::put_writes` failed: db error: no, says the test (40001)"
    );
}

#[tokio::test]
async fn a_failure_for_good_is_logged_with_its_cause_and_without_the_row() {
    let spans = Spans::default();
    let _watching = spans.watch();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let address = Step::first(&thread("refused")).put(&checkpointer).await;
    refuse(&test, "23514", 1).await;
    let error = try_write(&checkpointer, &address, "task", &json!(SECRET))
        .await
        .unwrap_err();
    assert!(
        rig::chain(&error).contains(SECRET),
        "the error itself has the detail"
    );
    let events = spans.all();
    let given_up = events.iter().find(|seen| {
        seen.fields
            .get("message")
            .is_some_and(|message| message == "giving up")
    });
    assert_eq!(
        given_up.unwrap().fields["error"],
        "`checkpointer::put_writes` failed: db error: no, says the test (23514)"
    );
    let seen = ended(&spans, "put_writes");
    assert_eq!(
        (&*seen.fields["attempts"], &*seen.fields["outcome"]),
        ("1", "database")
    );
}

#[tokio::test]
async fn a_killed_backend_is_a_retry() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("killed")).put(&checkpointer).await;
    let observer = test.observer().await;
    let lock = format!(
        "BEGIN; LOCK TABLE {}.checkpoints IN EXCLUSIVE MODE",
        test.schema()
    );
    observer.batch_execute(&lock).await.unwrap();
    let step = Step::after(&first);
    let kill = async {
        let killer = test.observer().await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = $1 AND wait_event_type = 'Lock'";
        let schema = test.schema();
        eventually("the put waits, and is killed", async || {
            killer.execute(sql, &[&schema]).await.unwrap() > 0
        })
        .await;
        observer.batch_execute("ROLLBACK").await.unwrap();
    };
    tokio::join!(step.put(&checkpointer), kill);
    assert_eq!(
        figures.counter("checkpointer_retries_total", &[("operation", "put")]),
        1
    );
    assert_eq!(spans.named("put")[1].fields["attempts"], "2");
    assert_eq!(
        figures.counter("db_pool_disconnects_total", &[("reason", "lost")]),
        1
    );
}

#[tokio::test]
async fn a_dropped_call_is_counted_as_dropped_and_its_write_as_under_way() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("left")).put(&checkpointer).await;
    let under_way = || figures.gauge("checkpointer_writes_under_way", &[]);
    let step = Step::after(&first);
    let mut put = Box::pin(step.try_put(&checkpointer));
    assert!(put.as_mut().now_or_never().is_none());
    assert_eq!(under_way(), 1.0);
    drop(put);
    assert_eq!(
        figures.counter(OPERATIONS, &[("operation", "put"), ("outcome", "dropped")]),
        1
    );
    eventually("it is stored all the same", async || under_way() == 0.0).await;
    get(&checkpointer, &step.address()).await;
    assert_eq!(spans.named("put")[1].fields["outcome"], "dropped");

    // What was never polled is no call.
    drop(step.try_put(&checkpointer));
    drop(checkpointer.list(List::default()));
    assert_eq!(spans.named("put").len(), 2);
    assert_eq!(figures.counter(OPERATIONS, &[("operation", "list")]), 0);
}

#[tokio::test]
async fn nothing_stays_under_way_wherever_a_put_is_dropped() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("left");
    let mut calls = 0;
    at_every_poll(
        async || Step::first(&thread_id).put(&checkpointer).await,
        async || {
            calls += 1;
            eventually("nothing is under way", async || {
                figures.gauge("checkpointer_writes_under_way", &[]) == 0.0
                    && figures.gauge("db_pool_waiting", &[]) == 0.0
                    && figures.gauge("db_pool_connections", &[("state", "in_use")]) == 0.0
            })
            .await;
            let puts = [("operation", "put")];
            assert_eq!(figures.counter(OPERATIONS, &puts), calls);
        },
    )
    .await;
    assert!(calls > 1);
    let ok = [("operation", "put"), ("outcome", "ok")];
    assert_eq!(figures.counter(OPERATIONS, &ok), 1);
}

#[tokio::test]
async fn a_batch_that_fails_is_an_attempt_of_each_of_its_writes() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let address = Step::first(&thread("shared")).put(&checkpointer).await;
    refuse(&test, "23514", 1).await;
    let value = json!(1);
    let tasks = ["one", "two", "three"];
    let writes = tasks.map(|task| try_write(&checkpointer, &address, task, &value));
    // While somebody is at work, none of them goes by itself.
    let mut read = pin!(get(&checkpointer, &address));
    assert!(poll!(read.as_mut()).is_pending());
    for outcome in join_all(writes).await {
        outcome.unwrap();
    }
    read.await;
    let sizes = figures.histogram("checkpointer_batch_writes", &[]);
    assert_eq!(sizes, [1.0, 3.0]);
    let retries = [("operation", "put_writes")];
    assert_eq!(figures.counter("checkpointer_retries_total", &retries), 3);
    for seen in spans.named("put_writes") {
        assert_eq!(seen.fields["attempts"], "2");
    }
}

#[tokio::test]
async fn a_list_is_over_at_its_end_or_when_its_caller_has_enough() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("listed");
    let first: CheckpointAddress = Step::first(&thread_id).put(&checkpointer).await;
    Step::after(&first).put(&checkpointer).await;
    let lists =
        |outcome| figures.counter(OPERATIONS, &[("operation", "list"), ("outcome", outcome)]);

    let mut list = checkpointer.list(List::thread(&thread_id).unwrap());
    while list.next().await.is_some() {
        assert_eq!(lists("ok"), 0);
        // A call inside the loop is not inside the span.
        get(&checkpointer, &first).await;
    }
    assert_eq!(lists("ok"), 1);
    drop(list);
    let mut list = checkpointer.list(List::thread(&thread_id).unwrap());
    list.next().await.unwrap().unwrap();
    drop(list);
    assert_eq!(lists("ok"), 2);
    let mut list = checkpointer.list(List::thread(&thread_id).unwrap());
    assert!(list.next().now_or_never().is_none());
    drop(list);
    assert_eq!((lists("ok"), lists("dropped")), (2, 1));

    let seen = spans.named("list");
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.fields["thread_id"] == "listed"));
    assert!(
        spans
            .named("get_tuple")
            .iter()
            .all(|seen| seen.within.is_none())
    );

    checkpointer.close().await.unwrap();
    let mut list = checkpointer.list(List::thread(ThreadId::new("listed").unwrap()).unwrap());
    assert!(matches!(list.next().await, Some(Err(Error::Closed))));
    assert_eq!(lists("closed"), 1);
}
