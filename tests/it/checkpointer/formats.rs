//! What a format stored is read for ever: its fixture, written by the program of the time, gives
//! the answers of the time, whether its rows are put into today's tables or into the oldest ones,
//! which are then migrated.

mod key_order;
mod scenario;

use std::fs;
use std::path::PathBuf;

use checkpointer::{
    CheckpointNs, CheckpointTuple, Checkpointer, GetChannelHistory, GetTuple, List, ListThreads,
    MemoryCheckpointer, PendingWrite, PostgresCheckpointer,
};
use expect_test::expect;
use futures_util::TryStreamExt;
use serde_json::{Map, Number, Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use self::scenario::{HISTORY_CHANNEL, NAMESPACES, play};
use super::step::{checkpointer, map, thread};
use rig::TestDb;

/// The folder of the fixture.
const FORMAT: &str = "format-1";

/// Names the folder of a new fixture, for a new format.
const CUT: &str = "CUT_FIXTURE";

/// What stands above the rows.
const HEADER: &str = "\
-- What this format stores, as PostgresCheckpointer wrote it; README.md says what it is for.
";

/// The tables with their columns and keys, and what replaces the time and the chance of the day.
const TABLES: [(&str, &[&str], &str, &str); 5] = [
    (
        "threads",
        &[
            "thread_id",
            "generation",
            "gc",
            "created_at",
            "metadata",
            "deleted_at",
            "operation",
        ],
        "thread_id",
        "created_at = '2026-01-02 03:04:05.678901+00', \
         deleted_at = CASE WHEN deleted_at IS NOT NULL \
             THEN timestamptz '2026-01-02 03:04:06.5+00' END, \
         operation = CASE WHEN operation IS NOT NULL THEN 'operation' END",
    ),
    (
        "heads",
        &[
            "thread_id",
            "checkpoint_ns",
            "checkpoint_id",
            "seq",
            "updated_at",
        ],
        "thread_id, checkpoint_ns",
        "updated_at = '2026-01-02 03:04:06.25+00'",
    ),
    (
        "checkpoints",
        &[
            "thread_id",
            "checkpoint_ns",
            "checkpoint_id",
            "parent_checkpoint_id",
            "seq",
            "checkpoint",
            "channels",
            "metadata",
        ],
        "thread_id, checkpoint_ns, checkpoint_id",
        "",
    ),
    (
        "chunks",
        &["thread_id", "hash", "content", "refs"],
        "thread_id, hash",
        "",
    ),
    (
        "pending_writes",
        &[
            "thread_id",
            "checkpoint_ns",
            "checkpoint_id",
            "task_id",
            "idx",
            "task_path",
            "channel",
            "value",
            "written_at",
        ],
        "thread_id, checkpoint_ns, checkpoint_id, task_id, idx",
        "written_at = '2026-01-02 03:04:06+00'",
    ),
];

/// One row for each form that a stored value, a chunk, a write or a thread may have.
const FORMS: &str = "
    SELECT DISTINCT 'value ' || coalesce(v ->> 'k', 'inline') || coalesce(v ->> 'd', '') FROM (
        SELECT f.value AS v FROM {schema}.checkpoints AS c, jsonb_each(c.channels) AS f
        UNION ALL SELECT value FROM {schema}.pending_writes
        UNION ALL SELECT part FROM {schema}.chunks,
            jsonb_path_query(content, 'strict $.m[*]', '{}', true) AS part
        UNION ALL SELECT part FROM {schema}.chunks,
            jsonb_path_query(content, 'strict $.m.*', '{}', true) AS part
    ) AS stored
    UNION SELECT 'chunk ' || CASE WHEN content IS NULL THEN 'inner'
        WHEN refs IS NULL THEN 'leaf' ELSE 'nested' END FROM {schema}.chunks
    UNION SELECT 'write ' || CASE WHEN idx < 0 THEN channel ELSE 'regular' END
        FROM {schema}.pending_writes
    UNION SELECT 'thread ' || CASE WHEN deleted_at IS NOT NULL THEN 'deleted'
        WHEN generation > 1 THEN 'again' ELSE 'first' END FROM {schema}.threads
    ORDER BY 1";

fn fixture(format: &str) -> PathBuf {
    let fixtures = rig::package_folder().join("fixtures");
    fixtures.join(format)
}

/// A checkpointer that finds the rows of format 1 in today's tables.
async fn stored() -> PostgresCheckpointer {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    fill(&test, FORMAT).await;
    checkpointer
}

/// A checkpointer that finds them in the oldest tables, and migrates those.
async fn migrated() -> PostgresCheckpointer {
    let test = TestDb::without_schema().await;
    let oldest = oldest_tables(test.schema());
    test.observer().await.batch_execute(&oldest).await.unwrap();
    fill(&test, FORMAT).await;
    checkpointer(&test, &[]).await
}

/// The SQL of the first migration alone.
fn oldest_tables(schema: &str) -> String {
    let migrations = PostgresCheckpointer::migrations();
    let all = migrations.sql(schema);
    let later = migrations.sql_after(schema, 1);
    let later = later.strip_prefix("BEGIN;\n").unwrap();
    format!("{}COMMIT;", all.strip_suffix(later).unwrap())
}

async fn fill(test: &TestDb, format: &str) {
    let rows = fs::read_to_string(fixture(format).join("rows.sql")).unwrap();
    let rows = rows.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&rows).await.unwrap();
}

#[tokio::test]
async fn what_format_1_stored_is_read_as_it_was_put() {
    check_answers(&stored().await).await;
}

#[tokio::test]
async fn what_the_oldest_tables_hold_is_read_after_all_migrations() {
    check_answers(&migrated().await).await;
}

async fn check_answers(checkpointer: &PostgresCheckpointer) {
    let expected = fs::read_to_string(fixture(FORMAT).join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    check_same("", &expected, &answers(checkpointer).await);
}

/// The documents of all checkpoints and the values of all writes, as SQL gives them.
const DOCUMENTS: &str = "
    SELECT concat_ws(' ', thread_id, checkpoint_ns, checkpoint_id),
        {schema}.state(thread_id, checkpoint_ns, checkpoint_id)
    FROM {schema}.checkpoints
    UNION ALL
    SELECT concat_ws(' ', thread_id, checkpoint_ns, checkpoint_id, task_id, idx),
        {schema}.stored_value(thread_id, value)
    FROM {schema}.pending_writes
    ORDER BY 1";

#[tokio::test]
async fn the_functions_in_sql_give_the_same_documents_after_all_migrations() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let oldest = oldest_tables(test.schema());
    observer.batch_execute(&oldest).await.unwrap();
    fill(&test, FORMAT).await;
    // JSONB compares numbers by their value, text by their digits.
    let documents = async || {
        let sql = DOCUMENTS.replace("{schema}", test.schema());
        let rows = observer.simple_query(&sql).await.unwrap();
        format!("{rows:#?}")
    };
    let before = documents().await;

    checkpointer(&test, &[]).await;
    assert_eq!(before, documents().await);
}

/// The threads that aren't deleted, whether they are said to have a head, and whether they do.
const HEADS: &str = "
    SELECT t.thread_id, t.has_head, h.changed FROM {schema}.threads AS t
    LEFT JOIN {schema}.heads AS h ON h.thread_id = t.thread_id AND h.checkpoint_ns = ''
    WHERE t.deleted_at IS NULL ORDER BY 1";

#[tokio::test]
async fn heads_and_threads_without_one_are_found_by_their_time_after_all_migrations() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let oldest = oldest_tables(test.schema());
    observer.batch_execute(&oldest).await.unwrap();
    fill(&test, FORMAT).await;
    let headless = "INSERT INTO {schema}.threads (thread_id) VALUES ('writes only')";
    let headless = headless.replace("{schema}", test.schema());
    observer.batch_execute(&headless).await.unwrap();
    checkpointer(&test, &[]).await;

    let heads = HEADS.replace("{schema}", test.schema());
    let heads = observer.simple_query(&heads).await.unwrap();
    let heads = heads.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(format!(
            "{}: {} {}\n",
            row.get(0).unwrap(),
            row.get(1).unwrap(),
            row.get(2).unwrap_or("no head")
        )),
        _ => None,
    });
    expect![[r#"
        again: t 2026-01-02 03:00:00
        it's \ %s "é" 🦀: t 2026-01-02 03:00:00
        main: t 2026-01-02 03:00:00
        typed: t 2026-01-02 03:00:00
        writes only: f no head
    "#]]
    .assert_eq(&heads.collect::<String>());
}

/// Answers may stay the same though a put that relies on the old rows would lose some.
#[tokio::test]
async fn what_format_1_stored_goes_on() {
    check_goes_on(&stored().await).await;
}

#[tokio::test]
async fn what_the_oldest_tables_hold_goes_on_after_all_migrations() {
    check_goes_on(&migrated().await).await;
}

async fn check_goes_on(checkpointer: &PostgresCheckpointer) {
    scenario::go_on(checkpointer).await;

    let memory = MemoryCheckpointer::new();
    play(&memory).await;
    scenario::go_on(&memory).await;
    check_same("", &answers(&memory).await, &answers(checkpointer).await);
}

/// The scenario is worth cutting, whether or not it is cut now.
#[tokio::test]
async fn a_fixture_of_a_new_format_can_be_cut() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    play(&checkpointer).await;
    let answers = answers(&checkpointer).await;

    // What is kept for ever must be right, not only what this program happens to read.
    let memory = MemoryCheckpointer::new();
    play(&memory).await;
    check_same("", &self::answers(&memory).await, &answers);

    let client = test.observer().await;
    let forms = forms(&client, &test).await;
    expect![[r#"
        chunk inner
        chunk leaf
        chunk nested
        thread again
        thread deleted
        thread first
        value A0
        value O0
        value a0
        value a1
        value inline
        value o0
        value v0
        write __error__
        write __interrupt__
        write __resume__
        write __scheduled__
        write regular
    "#]]
    .assert_eq(&forms);
    let rows = rows(&client, &test).await;
    if let Ok(format) = std::env::var(CUT)
        && format.starts_with("format-")
    {
        let folder = fixture(&format);
        // A fixture that exists stands for what users have stored.
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rows.sql"), rows).unwrap();
        let answers = serde_json::to_string_pretty(&answers).unwrap();
        fs::write(folder.join("expected.json"), answers + "\n").unwrap();
    }
}

async fn forms(client: &Client, test: &TestDb) -> String {
    let sql = FORMS.replace("{schema}", test.schema());
    let forms = client.query(&sql, &[]).await.unwrap();
    let forms = forms.iter().map(|row| row.get::<_, &str>(0));
    forms.map(|form| format!("{form}\n")).collect()
}

/// Every row as an `INSERT`, in the order of the keys.
async fn rows(client: &Client, test: &TestDb) -> String {
    let mut rows = HEADER.to_owned();
    let sql = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'";
    client.batch_execute(sql).await.unwrap();
    for (table, columns, key, fixed) in TABLES {
        let schema = test.schema();
        if !fixed.is_empty() {
            let sql = format!("UPDATE {schema}.{table} SET {fixed}");
            client.batch_execute(&sql).await.unwrap();
        }
        let quoted = columns
            .iter()
            .map(|name| format!("quote_nullable({name}::text)"));
        let quoted: Vec<_> = quoted.collect();
        let sql = format!(
            "SELECT concat_ws(', ', {}) FROM {schema}.{table} ORDER BY {key}",
            quoted.join(", ")
        );
        let columns = columns.join(", ");
        rows += &format!("\n-- {table}\n");
        for row in client.query(&sql, &[]).await.unwrap() {
            let values: &str = row.get(0);
            rows += &format!("INSERT INTO {{schema}}.{table} ({columns}) VALUES ({values});\n");
        }
    }
    rows
}

/// Everything the checkpointer has to say, as one document.
async fn answers(checkpointer: &dyn Checkpointer) -> Value {
    let listed: Vec<_> = checkpointer.list(List::all()).try_collect().await.unwrap();
    for listed in &listed {
        let query = GetTuple::at(&listed.address);
        let found = checkpointer.get_tuple(query).await.unwrap().unwrap();
        check_same("get_tuple", &tuple(listed), &tuple(&found));
    }
    let mut heads = Map::new();
    for (name, checkpoint_ns) in NAMESPACES {
        let query = GetTuple::head(thread(name))
            .unwrap()
            .in_ns(CheckpointNs::new(checkpoint_ns).unwrap());
        let head = checkpointer.get_tuple(query).await.unwrap();
        let head = head.map(|head| address(&head));
        heads.insert(
            format!("{name}/{checkpoint_ns}"),
            head.into_iter().collect(),
        );
    }
    let filter = map(json!({ "nested": { "found": [1] } }));
    let filtered = checkpointer.list(List::all().filter(filter));
    let filtered: Vec<_> = filtered.try_collect().await.unwrap();
    let query = GetTuple::head(thread("main")).unwrap();
    let query = GetChannelHistory::new(query, vec![HISTORY_CHANNEL.to_owned()]).unwrap();
    let histories = checkpointer.channel_history(query).await.unwrap();
    let history = &histories[HISTORY_CHANNEL];
    let threads = checkpointer.threads(ListThreads::all());
    let mut threads: Vec<_> = threads.try_collect().await.unwrap();
    // They changed at the same time in the fixture.
    threads.sort_by(|left, right| left.thread_id.cmp(&right.thread_id));
    let threads = threads.into_iter().map(|info| {
        Value::Array(vec![
            info.thread_id.as_str().into(),
            info.generation.0.into(),
            info.head.map(|head| head.as_str().to_owned()).into(),
            info.metadata.into(),
        ])
    });
    Value::Object(Map::from_iter([
        ("checkpoints".to_owned(), listed.iter().map(tuple).collect()),
        ("heads".to_owned(), heads.into()),
        (
            "filtered".to_owned(),
            filtered.iter().map(address).collect(),
        ),
        (
            "history_seed".to_owned(),
            history.seed.as_deref().cloned().into_iter().collect(),
        ),
        (
            "history_writes".to_owned(),
            history.writes.iter().map(write).collect(),
        ),
        ("threads".to_owned(), threads.collect()),
    ]))
}

fn tuple(tuple: &CheckpointTuple) -> Value {
    let parent = tuple.parent_address.as_ref();
    let parent = parent.map(|parent| parent.checkpoint_id.as_str().to_owned());
    let writes = tuple.pending_writes.iter().map(write);
    Value::Object(Map::from_iter([
        ("config".to_owned(), address(tuple)),
        ("parent".to_owned(), parent.into()),
        ("checkpoint".to_owned(), tuple.checkpoint.to_json()),
        (
            "metadata".to_owned(),
            tuple.metadata.as_map().clone().into(),
        ),
        ("pending_writes".to_owned(), writes.collect()),
    ]))
}

fn address(tuple: &CheckpointTuple) -> Value {
    let address = &tuple.address;
    Value::Array(vec![
        address.thread_id.as_str().into(),
        address.checkpoint_ns.as_str().into(),
        address.checkpoint_id.as_str().into(),
        address.generation.map(|generation| generation.0).into(),
    ])
}

fn write(write: &PendingWrite) -> Value {
    Value::Array(vec![
        write.task_id.as_str().into(),
        write.channel.as_str().into(),
        Value::clone(&write.value),
    ])
}

/// Compares to the bits of every float, and says where the first difference is.
#[track_caller]
fn check_same(place: &str, expected: &Value, got: &Value) {
    match (expected, got) {
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                check_same(&format!("{place}[{index}]"), expected, got);
            }
        }
        (Value::Object(expected), Value::Object(got)) if expected.len() == got.len() => {
            for (key, expected) in expected {
                let inner = format!("{place}.{key}");
                match got.get(key) {
                    Some(got) => check_same(&inner, expected, got),
                    None => panic!("{inner} is missing"),
                }
            }
        }
        (Value::Number(expected), Value::Number(got)) => {
            assert_eq!(number(expected), number(got), "at {place}");
        }
        _ => assert_eq!(expected, got, "at {place}"),
    }
}

/// What a number is, however its text is kept.
fn number(number: &Number) -> (Option<i64>, Option<u64>, Option<u64>) {
    let bits = number.as_f64().map(f64::to_bits);
    (number.as_i64(), number.as_u64(), bits)
}
