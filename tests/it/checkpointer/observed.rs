//! What is seen from outside: spans, metrics, and never a state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use checkpointer::{
    AcquireLease, CheckpointNs, Checkpointer, DeleteThread, Error, GetChannelHistory, GetTuple,
    List, ListThreads, OpenTransaction, PostgresCheckpointer, Prune, PruneStrategy, PutWrites,
    Removed, Result, Retention, TaskId, Verify, Watch,
};
use db::Database;
use futures_util::TryStreamExt;
use rig::{Figures, Seen, Spans, TestDb};
use serde_json::{Value, json};
use tracing::Level;

use super::step::{Step, get, map, thread, try_write};

mod attempts;
mod counted;
mod dropped;

const DOCS: &str = include_str!("../../../docs/observability.md");

/// What a state, metadata and a filter hold here: no log and no metric may show it.
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
        .verify(Verify::thread(&thread_id).unwrap())
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
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
