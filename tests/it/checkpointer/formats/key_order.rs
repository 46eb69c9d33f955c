//! Objects whose keys aren't sorted, as a program stores them that keeps their order: `serde_json`'s
//! `preserve_order`. Such rows are read by each program.

use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, GetTuple, PostgresCheckpointer, PutWrites,
    TaskId, Thread,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{CUT, fill, fixture, rows};
use crate::checkpointer::step::{Step, checkpointer, get, large, map, thread, values};
use rig::{TestDb, without_orders};

const FIXTURE: &str = "key-order";

/// A call of a tool, as a model makes it.
fn call(n: usize) -> Value {
    let call = r#"{
        "type": "tool_call", "name": "search", "id": "call",
        "args": {"query": "it's \\ \u0000 \"é\"", "limit": 5, "": {"until": -0.0, "from": null}}
    }"#;
    let mut call: Value = serde_json::from_str(call).unwrap();
    call["id"] = format!("call-{n}").into();
    call
}

/// Objects in each of the forms in which they are stored: in the checkpoint's own row, in a chunk,
/// in a tree, and in a tree whose keys are a tree.
fn state() -> Value {
    let file = |n: usize| (format!("file \0 {}", n * 7919 % 1000), json!(n));
    let files = |count: usize| (0..count).map(file).collect::<Value>();
    let calls = |count: usize| (0..count).map(call).collect::<Value>();
    json!({
        "small": call(0),
        "chunk": calls(8),
        "messages": calls(60),
        "files": files(250),
        "long": { "z": "long ".repeat(600), "a": 1 },
        "nested": { "z": [files(150), 1], "call": call(1), "a": large(1) },
        "many": files(1000),
    })
}

fn address() -> CheckpointAddress {
    CheckpointAddress::new(thread("ordered"), CheckpointId::new("0001").unwrap()).unwrap()
}

async fn play(checkpointer: &dyn Checkpointer) -> CheckpointAddress {
    let mut step = Step::first(&thread("ordered")).id("0001").values(state());
    step.checkpoint.ts = "2026-01-02T03:04:05.678901+00:00".to_owned();
    let address = step.put(checkpointer).await;
    let task_id = TaskId::new("task").unwrap();
    let writes: Vec<_> = map(state()).into_iter().collect();
    let writes = PutWrites::new(&address, &task_id, &writes);
    checkpointer.put_writes(writes).await.unwrap();
    address
}

/// Checks that all comes back as a program puts it that is built as this one: to the byte.
async fn check(checkpointer: &dyn Checkpointer, address: &CheckpointAddress) {
    let state = map(state());
    let tuple = get(checkpointer, address).await;
    let writes = tuple.pending_writes.iter();
    let writes = writes.map(|write| (write.channel.clone(), Value::clone(&write.value)));
    for got in [map(values(&tuple)), writes.collect()] {
        assert_eq!(got.len(), state.len());
        for (channel, value) in &state {
            assert_eq!(got[channel].to_string(), value.to_string(), "{channel}");
        }
    }
}

#[tokio::test]
async fn what_was_stored_in_an_order_is_read_in_it() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    fill(&test, FIXTURE).await;
    check(&checkpointer, &address()).await;

    // Most of it is stored already.
    let head = get(&checkpointer, &address()).await;
    let mut next = values(&head);
    next["files"]["a further file"] = json!(0);
    let next = Step::after(&head.address).values(next);
    let next = next.put(&checkpointer).await;
    let mut expected = state();
    expected["files"]["a further file"] = json!(0);
    let got = values(&get(&checkpointer, &next).await);
    for (channel, value) in map(expected) {
        assert_eq!(got[&channel].to_string(), value.to_string(), "{channel}");
    }
    check(&checkpointer, &address()).await;
}

/// The fixture is worth cutting, whether or not it is cut now. Only a program that keeps the order of
/// keys should cut it.
#[tokio::test]
async fn a_fixture_with_an_order_of_keys_can_be_cut() {
    let test = TestDb::without_schema().await;
    let first = checkpointer(&test, &[]).await;
    let address = play(&first).await;
    check(&first, &address).await;
    check(&checkpointer(&test, &[]).await, &address).await;

    let rows = rows(&test.observer().await, &test).await;
    let keeps_order = state()["small"].to_string().starts_with(r#"{"type""#);
    for order in [
        r#""3 2 1 0""#,
        r#"["z", "a"]"#,
        r#"[["z", "call", "a"]]"#,
        "{",
    ] {
        let stored = format!(r#""\\u0001o": {order}"#);
        assert_eq!(rows.contains(&stored), keeps_order, "{stored}");
    }
    if std::env::var(CUT).is_ok_and(|format| format == FIXTURE) {
        let folder = fixture(FIXTURE);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("rows.sql"), rows).unwrap();
    }
}

/// A key as it is stored.
fn plain_keys(document: Value) -> Value {
    let text = document.to_string();
    let text = text.replace(r"\u0001sfile \u00010 ", r"file \u0000 ");
    let text = text.replace(
        r#""\u0001sit's \\ \u00010 \"é\"""#,
        r#""it's \\ \u0000 \"é\"""#,
    );
    serde_json::from_str(&text.replace(r#""\u0001n-0.0""#, "-0.0")).unwrap()
}

#[tokio::test]
async fn sql_sees_at_most_one_more_key() {
    let test = TestDb::without_schema().await;
    checkpointer(&test, &[]).await;
    fill(&test, FIXTURE).await;
    let client = test.observer().await;
    let got = document(&client, &test).await;
    assert_eq!(got["small"]["\u{1}o"], "3 2 1 0");
    let sql = "SELECT state #> '{messages,0}' ? U&'\\0001o',
        (state #> '{messages,0}') - U&'\\0001o' ? U&'\\0001o' FROM {schema}.state('ordered')";
    let sql = sql.replace("{schema}", test.schema());
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (true, false));
    assert_eq!(plain_keys(without_orders(got)), state());
}

async fn document(client: &Client, test: &TestDb) -> Value {
    let sql = format!("SELECT {}.state('ordered')::text", test.schema());
    let row = client.query_one(&sql, &[]).await.unwrap();
    serde_json::from_str(row.get(0)).unwrap()
}

/// An agent's state.
#[derive(Debug, Serialize, Deserialize)]
struct Agent {
    model: String,
    messages: Vec<Value>,
}

/// What is sent to a model: its cache compares the bytes.
fn request(agent: &Agent) -> Vec<u8> {
    serde_json::to_vec(agent).unwrap()
}

fn agent(checkpointer: &PostgresCheckpointer) -> Thread<Agent> {
    checkpointer.thread("agent").unwrap()
}

#[tokio::test]
async fn what_is_sent_to_a_model_after_a_resume_is_what_was_sent_before() {
    let test = TestDb::without_schema().await;
    let before = checkpointer(&test, &[]).await;
    let mut saved = agent(&before);
    let mut sent = Vec::new();
    for n in 0..40 {
        let state = Agent {
            model: "a model".to_owned(),
            messages: (0..=n).map(call).collect(),
        };
        saved.save(&state).await.unwrap();
        sent = request(&state);
    }

    let after = checkpointer(&test, &[]).await;
    let state = agent(&after).load().await.unwrap().unwrap();
    assert_eq!(request(&state), sent);
    let query = GetTuple::head(thread("agent")).unwrap();
    let head = after.get_tuple(query).await.unwrap().unwrap();
    let messages = &head.checkpoint.channel_values["messages"];
    assert_eq!(messages.to_string(), json!(state.messages).to_string());
}
