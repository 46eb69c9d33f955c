//! Rows that were changed by SQL: a read gives what they say, or an error that names what
//! can't be read; never a panic, and never something else instead.

use std::fmt::Debug;

use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer, Error, GetChannelHistory,
    GetTuple, List, ListThreads, PostgresCheckpointer, Projection, Result,
};
use expect_test::expect;
use futures_util::TryStreamExt;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use rig::{TestDb, written_columns};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use super::fidelity::any;
use super::step::{Step, checkpointer, large, map, thread, try_write};

/// What can be wrong in one place. The columns that say whose row it is are left alone: a row that
/// was moved is simply another's.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("threads", "metadata", "jsonb"),
    ("threads", "generation", "bigint"),
    ("threads", "gc", "bigint"),
    ("threads", "created_at", "timestamptz"),
    ("threads", "deleted_at", "timestamptz"),
    ("heads", "checkpoint_id", "text"),
    ("heads", "seq", "bigint"),
    ("heads", "updated_at", "timestamptz"),
    ("checkpoints", "checkpoint_id", "text"),
    ("checkpoints", "parent_checkpoint_id", "text"),
    ("checkpoints", "seq", "bigint"),
    ("checkpoints", "checkpoint", "jsonb"),
    ("checkpoints", "channels", "jsonb"),
    ("checkpoints", "metadata", "jsonb"),
    ("chunks", "hash", "bytea"),
    ("chunks", "content", "jsonb"),
    ("chunks", "refs", "bytea"),
    ("pending_writes", "checkpoint_id", "text"),
    ("pending_writes", "task_id", "text"),
    ("pending_writes", "idx", "integer"),
    ("pending_writes", "task_path", "text"),
    ("pending_writes", "channel", "text"),
    ("pending_writes", "value", "jsonb"),
];

/// What happens to the text of a column.
#[derive(Debug, Clone)]
enum Change {
    Null,
    /// To this.
    To(String),
    /// To what is in the same column of another row.
    Other(Index),
    /// One place inside of some JSON, or nothing there any more.
    Inside(Index, Option<Value>),
    /// One digit of a text.
    Digit(Index, char),
    Truncate(Index),
}

fn change(ty: &str) -> BoxedStrategy<Change> {
    let to = |texts: BoxedStrategy<String>| texts.prop_map(Change::To).boxed();
    let json = any::value().prop_filter("JSONB has no U+0000", |value| {
        !value.to_string().contains("\\u0000")
    });
    let json = json.boxed();
    let reference = (
        select(vec!["v", "a", "A", "o", "O", "?"]),
        prop_oneof![0..4_i64, any::<i64>()],
        prop_oneof!["[A-Za-z0-9+/]{22}==", "[A-Za-z0-9+/=]{0,30}"],
    );
    let reference = reference.prop_map(|(k, d, r)| json!({ "k": k, "d": d, "r": r }));
    let inside = prop_oneof![
        json.clone().prop_map(Some),
        reference.prop_map(Some),
        Just(None)
    ];
    let own = match ty {
        "jsonb" => prop_oneof![
            1 => to(json.prop_map(|value| value.to_string()).boxed()),
            6 => (any::<Index>(), inside).prop_map(|(at, new)| Change::Inside(at, new)),
        ]
        .boxed(),
        "bytea" => prop_oneof![
            (any::<Index>(), "[0-9a-f]")
                .prop_map(|(at, digit)| { Change::Digit(at, digit.chars().next().unwrap_or('0')) }),
            any::<Index>().prop_map(Change::Truncate),
            to("([0-9a-f]{2}){0,40}"
                .prop_map(|hex| format!("\\x{hex}"))
                .boxed()),
        ]
        .boxed(),
        "bigint" => to(prop_oneof![any::<i64>(), -2..9_i64]
            .prop_map(|n| n.to_string())
            .boxed()),
        "integer" => to(any::<i32>().prop_map(|n| n.to_string()).boxed()),
        "timestamptz" => to(select(vec![
            "infinity",
            "-infinity",
            "0001-01-01",
            "4713-01-01 BC",
            "294276-12-31 23:59:59",
        ])
        .prop_map(str::to_owned)
        .boxed()),
        _ => to("[^\u{0}]{0,20}".boxed()),
    };
    prop_oneof![
        1 => Just(Change::Null),
        2 => any::<Index>().prop_map(Change::Other),
        7 => own,
    ]
    .boxed()
}

/// A column, one of the thread's rows, and what happens to it there.
fn tampering() -> impl Strategy<Value = (usize, Index, Change)> {
    (0..COLUMNS.len())
        .prop_flat_map(|column| (Just(column), any::<Index>(), change(COLUMNS[column].2)))
}

impl Change {
    /// The column's new text; none to leave the row as it is.
    fn apply(&self, old: &Option<String>, others: &[Option<String>]) -> Option<Option<String>> {
        match self {
            Self::Null => return Some(None),
            Self::To(new) => return Some(Some(new.clone())),
            Self::Other(from) => return Some(from.get(others).clone()),
            _ => {}
        }
        let mut text: Vec<char> = old.as_ref()?.chars().collect();
        match self {
            Self::Digit(at, digit) if text.len() > 2 => {
                let at = 2 + at.index(text.len() - 2);
                text[at] = *digit;
            }
            Self::Truncate(at) if text.len() > 2 => text.truncate(2 + 2 * at.index(text.len() / 2)),
            Self::Inside(at, new) => {
                let mut json: Value = serde_json::from_str(old.as_ref()?).unwrap();
                let places = places(&json);
                let place: &String = at.get(&places);
                replace(&mut json, place, new);
                return Some(Some(json.to_string()));
            }
            _ => return None,
        }
        Some(Some(text.into_iter().collect()))
    }
}

/// The JSON pointers of a value and of all that is in it.
fn places(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut add = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        found.extend(
            places(value)
                .into_iter()
                .map(|inner| format!("/{key}{inner}")),
        );
    };
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, item)| add(&index.to_string(), item));
        }
        Value::Object(members) => members.iter().for_each(|(key, member)| add(key, member)),
        _ => {}
    }
    found
}

/// Replaces what is in a place, or removes it.
fn replace(json: &mut Value, place: &str, new: &Option<Value>) {
    if let Some(new) = new {
        *json.pointer_mut(place).unwrap() = new.clone();
        return;
    }
    let Some((parent, key)) = place.rsplit_once('/') else {
        *json = Value::Null;
        return;
    };
    match json.pointer_mut(parent).unwrap() {
        Value::Array(items) => {
            items.remove(key.parse().unwrap());
        }
        Value::Object(members) => {
            members.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        _ => {}
    }
}

/// What each kind of read gave, as text.
type Reads = Vec<(&'static str, Result<String>)>;

const TABLES: &[&str] = &[
    "threads",
    "heads",
    "checkpoints",
    "chunks",
    "pending_writes",
];

/// What was put before anything was changed.
struct Stored {
    test: TestDb,
    checkpointer: PostgresCheckpointer,
    client: Client,
}

impl Stored {
    async fn new() -> Self {
        let test = TestDb::without_schema().await;
        let checkpointer = checkpointer(&test, &[("DB_STATEMENT_TIMEOUT", "10s")]).await;
        for name in ["neighbour", "tampered"] {
            // Small, cut, and cut with further cut values inside.
            let state = |n: usize| {
                json!({
                    "n": n,
                    "messages": large(n),
                    "nested": { "of": [large(1), large(n)], "note": "y".repeat(1500) },
                    "note": "x".repeat(1500),
                })
            };
            let first = Step::first(&thread(name)).id("1").values(state(1));
            let first = first.metadata("run_id", "run").put(&checkpointer).await;
            let second = Step::after(&first).id("2").values(state(2));
            let second = second.put(&checkpointer).await;
            let third = Step::after(&second).id("3").values(json!({ "n": 3 }));
            let third = third.put(&checkpointer).await;
            for address in [&second, &third] {
                for (task, value) in [("small", json!([1])), ("large", large(9))] {
                    try_write(&checkpointer, address, task, &value)
                        .await
                        .unwrap();
                }
            }
            let metadata = map(json!({ "owner": { "team": [name] } }));
            let thread_id = thread(name);
            let set = checkpointer.set_thread_metadata(&thread_id, metadata);
            set.await.unwrap();
        }
        let client = test.observer().await;
        let stored = Self {
            test,
            checkpointer,
            client,
        };
        for table in TABLES {
            let schema = stored.test.schema();
            let sql = format!("CREATE TABLE {schema}.kept_{table} AS TABLE {schema}.{table}");
            stored.client.batch_execute(&sql).await.unwrap();
        }
        stored
    }

    async fn restore(&self, table: &str) {
        let schema = self.test.schema();
        let columns = written_columns(&format!("{schema}.{table}"));
        let columns = self.client.query_one(&columns, &[]).await.unwrap();
        let columns: &str = columns.get(0);
        let sql = format!(
            "BEGIN; DELETE FROM {schema}.{table};
             INSERT INTO {schema}.{table} ({columns})
             SELECT {columns} FROM {schema}.kept_{table}; COMMIT"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// Changes one column of one row; says whether there is a row that could be changed so.
    async fn tamper(&self, column: usize, row: &Index, change: &Change) -> bool {
        let (table, column, ty) = COLUMNS[column];
        let table = format!("{}.{table}", self.test.schema());
        let sql = format!(
            "SELECT t.ctid::text, t.{column}::text FROM {table} AS t
             WHERE t.thread_id = 'tampered' ORDER BY to_jsonb(t)::text"
        );
        let rows = self.client.query(&sql, &[]).await.unwrap();
        let texts: Vec<Option<String>> = rows.iter().map(|row| row.get(1)).collect();
        let row = row.index(rows.len());
        let Some(new) = change.apply(&texts[row], &texts) else {
            return false;
        };
        let place: &str = rows[row].get(0);
        let sql = format!(
            "UPDATE {table} SET {column} = $1::text::{ty}
             WHERE ctid = '{place}' AND {column} IS DISTINCT FROM $1::text::{ty}"
        );
        // The server refuses some, such as a null, or a second row with the same key.
        let changed = self.client.execute(&sql, &[&new]).await;
        changed.is_ok_and(|changed| changed == 1)
    }

    /// Reads all there is of a thread, in every way.
    async fn read(&self, name: &str) -> Reads {
        let thread_id = thread(name);
        let at = |id: &str| {
            CheckpointAddress::new(thread_id.clone(), CheckpointId::new(id).unwrap()).unwrap()
        };
        let tuple = async |query| shown(self.checkpointer.get_tuple(query).await);
        let list = async |query| {
            let listed = self.checkpointer.list(query);
            shown(listed.try_collect::<Vec<_>>().await)
        };
        let some = Projection::Channels(vec!["messages".to_owned()]);
        let history = GetChannelHistory::new(GetTuple::at(&at("3")), vec!["messages".to_owned()]);
        let history = self.checkpointer.channel_history(history.unwrap());
        let threads = ListThreads::all().filter(map(json!({ "owner": { "team": [name] } })));
        let threads = self.checkpointer.threads(threads);
        vec![
            ("head", tuple(GetTuple::head(&thread_id).unwrap()).await),
            ("first", tuple(GetTuple::at(&at("1"))).await),
            ("second", tuple(GetTuple::at(&at("2"))).await),
            ("some", tuple(GetTuple::at(&at("2")).project(some)).await),
            ("list", list(List::thread(&thread_id).unwrap()).await),
            (
                "in a namespace",
                list(List::thread(&thread_id).unwrap().in_ns(CheckpointNs::ROOT)).await,
            ),
            ("history", shown(history.await)),
            ("threads", shown(threads.try_collect::<Vec<_>>().await)),
        ]
    }
}

fn shown<T: Debug>(read: Result<T>) -> Result<String> {
    read.map(|read| format!("{read:?}"))
}

/// Whether an error names the thread, and what can't be read.
fn is_named(error: &Error) -> bool {
    matches!(error, Error::Corrupt { thread_id, what, .. } if thread_id.as_str() == "tampered" && !what.is_empty())
}

#[test]
fn a_row_that_was_tampered_with_is_read_as_it_is_or_is_an_error_that_names_it() {
    let runtime = Runtime::new().unwrap();
    let stored = runtime.block_on(Stored::new());
    let before = runtime.block_on(stored.read("tampered"));
    let neighbour = runtime.block_on(stored.read("neighbour"));
    for (what, read) in before.iter().chain(&neighbour) {
        assert!(read.is_ok(), "{what}: {read:?}");
    }
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..any::cases(60)
    };
    let outcome = TestRunner::new(config).run(&tampering(), |(column, row, change)| {
        runtime.block_on(async {
            let table = COLUMNS[column].0;
            if !stored.tamper(column, &row, &change).await {
                return Ok(());
            }
            let after = stored.read("tampered").await;
            let beside = stored.read("neighbour").await;
            stored.restore(table).await;
            for ((what, before), (_, after)) in before.iter().zip(&after) {
                match after {
                    Ok(after) => {
                        // What chunks hold is known by their hashes.
                        let must_be_same = table == "chunks";
                        let is_same = before.as_ref().is_ok_and(|before| before == after);
                        prop_assert!(is_same || !must_be_same, "{}: {}", what, after);
                        // A thread that has checkpoints has a head.
                        prop_assert!(*what != "head" || after != "None");
                    }
                    Err(error) => prop_assert!(is_named(error), "{}: {:?}", what, error),
                }
            }
            for ((what, before), (_, after)) in neighbour.iter().zip(&beside) {
                let is_same = matches!((before, after), (Ok(before), Ok(after)) if before == after);
                prop_assert!(is_same, "the neighbour's {}: {:?}", what, after);
            }
            Ok(())
        })
    });
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
}

#[tokio::test]
async fn a_head_that_names_no_checkpoint_is_not_an_empty_thread() {
    let stored = Stored::new().await;
    let schema = stored.test.schema();
    let sql = format!("UPDATE {schema}.heads SET checkpoint_id = 'x' WHERE thread_id = 'tampered'");
    stored.client.batch_execute(&sql).await.unwrap();
    let head = stored
        .checkpointer
        .get_tuple(GetTuple::head(thread("tampered")).unwrap())
        .await;
    expect![
        "stored content of thread `tampered` can't be read: the head of namespace ``, checkpoint `x`, is missing"
    ]
    .assert_eq(&head.unwrap_err().to_string());
}

/// The server walks from a reference to the chunks, and would say no more than that it has failed.
#[tokio::test]
async fn a_reference_that_the_server_cannot_follow_is_named() {
    let stored = Stored::new().await;
    let schema = stored.test.schema();
    for (field, wrong) in [
        ("d", "2292878396"),
        ("d", "-1"),
        ("d", "\"x\""),
        ("r", "\"x\""),
        ("r", "7"),
    ] {
        let sql = format!(
            "UPDATE {schema}.checkpoints
             SET channels = jsonb_set(channels, '{{messages,{field}}}', '{wrong}')
             WHERE thread_id = 'tampered' AND checkpoint_id = '2'"
        );
        stored.client.batch_execute(&sql).await.unwrap();
        for (what, read) in stored.read("tampered").await {
            let Err(error) = read else {
                assert!(["head", "first", "threads"].contains(&what));
                continue;
            };
            let error = error.to_string().replace("checkpoint `2`: ", "");
            expect![
                "stored content of thread `tampered` can't be read: channel `messages` has a reference in an unknown form"
            ]
            .assert_eq(&error);
        }
        stored.restore("checkpoints").await;
    }
}
