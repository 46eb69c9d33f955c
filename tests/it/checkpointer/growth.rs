//! What a step costs: what changed, and a small constant.

use checkpointer::{
    CheckpointAddress, Checkpointer, Error, GetTuple, List, PostgresCheckpointer, PostgresOptions,
    Projection,
};
use db::Database;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::step::{Step, checkpointer, get, map, thread, try_write, values};
use rig::{TcpProxy, TestDb, chain, without_orders};

/// What a change in one place takes at most besides itself: the row of the checkpoint, the leaf
/// around the change, and the nodes above it.
const CONSTANT: usize = 12 * 1024;

/// The most chunks of such a change: its leaf, the next one, a node or two at each of three levels.
const CHUNKS: i64 = 8;

/// A checkpointer that can be seen from both sides.
struct Watched {
    test: TestDb,
    proxy: TcpProxy,
    checkpointer: PostgresCheckpointer,
    client: Client,
}

/// What a call has cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    sent: usize,
    received: usize,
    /// Rows of chunks, and their bytes.
    chunks: i64,
    chunk_bytes: i64,
}

impl Watched {
    async fn new() -> Self {
        Self::with(PostgresOptions::default()).await
    }

    async fn with(options: PostgresOptions) -> Self {
        let test = TestDb::without_schema().await;
        let proxy = TcpProxy::new();
        let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
        let database = Database::connect(&settings).await.unwrap();
        let checkpointer = options.setup(database).await.unwrap();
        let client = test.observer().await;
        let watched = Self {
            test,
            proxy,
            checkpointer,
            client,
        };
        // So that the statements are prepared.
        let first = watched.first("warm", json!({})).await;
        let second = watched.after(&first, json!({})).await;
        get(&watched.checkpointer, &second).await;
        watched
    }

    async fn first(&self, name: &str, values: Value) -> CheckpointAddress {
        let step = Step::first(&thread(name)).values(values);
        step.put(&self.checkpointer).await
    }

    async fn after(&self, parent: &CheckpointAddress, values: Value) -> CheckpointAddress {
        let step = Step::after(parent).values(values);
        step.put(&self.checkpointer).await
    }

    async fn ask<T>(&self, question: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let sql = question.replace("{schema}", self.test.schema());
        self.client.query_one(&sql, &[]).await.unwrap().get(0)
    }

    async fn chunks(&self) -> (i64, i64) {
        let count = self.ask("SELECT count(*) FROM {schema}.chunks").await;
        let bytes = "SELECT coalesce(sum(pg_column_size(c)), 0) FROM {schema}.chunks AS c";
        (count, self.ask(bytes).await)
    }

    async fn cost_of<T>(&self, call: impl Future<Output = T>) -> (T, Cost) {
        let (chunks, chunk_bytes) = self.chunks().await;
        let (sent, received) = (self.proxy.bytes_sent(), self.proxy.bytes_received());
        let answer = call.await;
        let sent = self.proxy.bytes_sent() - sent;
        let received = self.proxy.bytes_received() - received;
        let after = self.chunks().await;
        let cost = Cost {
            sent,
            received,
            chunks: after.0 - chunks,
            chunk_bytes: after.1 - chunk_bytes,
        };
        (answer, cost)
    }

    /// Puts a state after another, and compares the cost with the size of what changed.
    async fn check(&self, name: &str, before: Value, after: Value, changed: usize) {
        let first = self.first(name, before).await;
        let (second, cost) = self.cost_of(self.after(&first, after.clone())).await;
        cost.check(name, changed);
        let whole = after.to_string().len();
        assert!(10 * cost.sent < whole, "{name}: {cost:?} of {whole}");
        assert_eq!(values(&get(&self.checkpointer, &second).await), after);
    }
}

impl Cost {
    #[track_caller]
    fn check(self, name: &str, changed: usize) {
        assert!(self.sent <= changed + CONSTANT, "{name}: {self:?}");
        let stored = usize::try_from(self.chunk_bytes).unwrap();
        assert!(stored <= changed + CONSTANT, "{name}: {self:?}");
        assert!(self.chunks <= CHUNKS, "{name}: {self:?}");
    }
}

/// Text that no compression makes much shorter, the same for the same seed.
fn text(seed: usize, bytes: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed as u64);
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(bytes)
        .collect()
}

fn message(n: usize) -> Value {
    json!({ "type": "ai", "id": format!("m-{n}"), "content": text(n, 500) })
}

fn messages(numbers: impl IntoIterator<Item = usize>) -> Value {
    numbers.into_iter().map(message).collect()
}

#[tokio::test]
async fn a_change_costs_what_changed() {
    let watched = Watched::new().await;
    let state = |messages: Value| json!({ "messages": messages, "next": "tool" });
    let all = state(messages(0..1000));
    let one = message(0).to_string().len();

    let appended = state(messages(0..1001));
    watched.check("append", all.clone(), appended, one).await;

    let window = state(messages(3..1003));
    // At both ends.
    watched
        .check("sliding window", all.clone(), window, 3 * one + CONSTANT)
        .await;

    let edited = state(messages((0..1000).map(|n| if n == 500 { 5000 } else { n })));
    watched
        .check("edit in the middle", all.clone(), edited, one)
        .await;

    let removed = state(messages((0..1000).filter(|n| *n != 500)));
    watched
        .check("removal in the middle", all.clone(), removed, 0)
        .await;

    let files = |changed: usize| {
        let file = |n: usize| {
            let seed = if n == changed { 9999 } else { n };
            (format!("src/file_{n}.rs"), json!(text(seed, 1000 + 20 * n)))
        };
        json!({ "files": (0..200).map(file).collect::<Value>() })
    };
    let changed = 1000 + 20 * 77;
    watched
        .check("one changed file", files(1000), files(77), changed)
        .await;

    let unchanged = json!({ "document": text(1, 500_000), "list": messages(0..200) });
    watched
        .check("new versions alone", unchanged.clone(), unchanged, 0)
        .await;
}

#[tokio::test]
async fn an_append_costs_what_is_new_and_reads_nothing() {
    let watched = Watched::new().await;
    let checkpointer = &watched.checkpointer;
    for is_told in [false, true] {
        let state = json!({ "messages": messages(0..1000) });
        let first = Step::first(&thread(&format!("append {is_told}"))).values(state);
        let first = match is_told {
            true => first.grows("messages"),
            false => first,
        };
        let mut last = first.put(checkpointer).await;
        for n in 1000..1010 {
            let step = Step::after(&last).append("messages", n, json!([message(n)]));
            let round_trips = watched.proxy.round_trips();
            let (put, cost) = watched.cost_of(step.put(checkpointer)).await;
            // The first one reads the list, which was put as a whole, unless it was told to grow.
            if is_told || n > 1000 {
                cost.check("append", message(0).to_string().len());
                assert!(cost.received < 1024, "{cost:?}");
                assert_eq!(watched.proxy.round_trips() - round_trips, 1);
            }
            last = put;
        }
        let stored = values(&get(checkpointer, &last).await);
        assert_eq!(stored, json!({ "messages": messages(0..1010) }));
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chat {
    messages: Vec<Value>,
    turn: usize,
}

#[tokio::test]
async fn a_typed_save_of_a_long_chat_costs_what_is_new_and_reads_nothing() {
    let watched = Watched::new().await;
    let mut chat = Chat {
        messages: (0..1000).map(message).collect(),
        turn: 0,
    };
    let mut first = watched.checkpointer.thread("chat").unwrap();
    first.save(&chat).await.unwrap();
    let mut thread = watched.checkpointer.thread::<Chat>("chat").unwrap();
    chat.turn = thread.load().await.unwrap().unwrap().turn;
    for n in 1000..1010 {
        chat.turn += 1;
        chat.messages.push(message(n));
        let round_trips = watched.proxy.round_trips();
        let (saved, cost) = watched.cost_of(thread.save(&chat)).await;
        saved.unwrap();
        cost.check("save", message(0).to_string().len());
        assert!(cost.received < 1024, "{cost:?}");
        assert_eq!(watched.proxy.round_trips() - round_trips, 1);
    }
    assert_eq!(thread.load().await.unwrap(), Some(chat));
}

#[tokio::test]
async fn an_update_after_another_sends_what_is_new_and_reads_nothing() {
    let watched = Watched::new().await;
    let thread = watched.checkpointer.thread::<Vec<Value>>("updates");
    let mut thread = thread.unwrap();
    let fill = |list: &mut Vec<Value>| list.extend((0..500).map(message));
    thread.update(fill).await.unwrap();
    for n in 500..505 {
        let round_trips = watched.proxy.round_trips();
        let update = thread.update(|list| list.push(message(n)));
        let (updated, cost) = watched.cost_of(update).await;
        assert_eq!(updated.unwrap().len(), n + 1);
        cost.check("update", message(0).to_string().len());
        assert!(cost.received < 1024, "{cost:?}");
        assert_eq!(watched.proxy.round_trips() - round_trips, 1);
    }
    let loaded = thread.load().await.unwrap();
    assert_eq!(loaded.map(Value::from), Some(messages(0..505)));
}

/// What is forgotten is sent again, and stored once all the same.
#[tokio::test]
async fn a_cache_without_room_costs_what_is_sent_again_only() {
    // One for nothing at all, one for a few threads but no long value.
    for bytes in [0, 16 << 10] {
        let watched = Watched::with(PostgresOptions::default().cache_bytes(bytes)).await;
        let state = |length: usize| json!({ "messages": messages(0..length) });
        let first = watched.first("forgotten", state(1000)).await;
        let (second, cost) = watched.cost_of(watched.after(&first, state(1001))).await;
        let whole = state(1001).to_string().len();
        assert!(cost.sent > whole, "{cost:?} with {bytes} bytes");
        assert!(cost.chunks <= CHUNKS, "{cost:?} with {bytes} bytes");
        for (address, length) in [(first, 1000), (second, 1001)] {
            let tuple = get(&watched.checkpointer, &address).await;
            assert_eq!(values(&tuple), state(length));
        }
    }
}

/// The server sends a checkpointer only those items of a list that it hasn't read before.
#[tokio::test]
async fn a_read_costs_what_is_new_since_the_one_before() {
    let watched = Watched::new().await;
    let state = |length: usize| json!({ "messages": messages(0..length) });
    let mut last = watched.first("read", state(1000)).await;
    let read = async |last: &CheckpointAddress| {
        let (tuple, cost) = watched.cost_of(get(&watched.checkpointer, last)).await;
        (values(&tuple), cost.received)
    };
    let (_, whole) = read(&last).await;
    assert!(whole > state(1000).to_string().len());
    for length in 1001..1011 {
        last = watched.after(&last, state(length)).await;
        let (values, received) = read(&last).await;
        assert_eq!(values, state(length));
        // The last leaf, the node above it, and the checkpoint itself.
        assert!(received < 24 << 10, "{received} bytes of {whole}");
        let (values, received) = read(&last).await;
        assert_eq!(values, state(length));
        assert!(received < 4 << 10, "{received} bytes for nothing new");
    }
}

/// A put that meets another head forgets which chunks are stored. The read after it brings only what is new, and
/// yet the next put knows all of them.
#[tokio::test]
async fn a_put_after_a_conflict_costs_what_is_new() {
    let watched = Watched::new().await;
    let state = |length: usize| json!({ "messages": messages(0..length) });
    let ours = &watched.checkpointer;
    let theirs = checkpointer(&watched.test, &[]).await;
    let first = watched.first("conflict", state(1000)).await;
    get(ours, &first).await;
    let second = Step::after(&first).values(state(1001)).put(&theirs).await;
    let late = Step::after(&first).expect_head(&first);
    let late = late.values(json!({})).try_put(ours).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let (_, read) = watched.cost_of(get(ours, &second)).await;
    assert!(read.received < 24 << 10, "{read:?}");
    let (_, cost) = watched.cost_of(watched.after(&second, state(1002))).await;
    cost.check("after a conflict", 2 * message(0).to_string().len());
}

#[tokio::test]
async fn a_fork_costs_what_changed() {
    let watched = Watched::new().await;
    let state = |last: usize| json!({ "messages": messages((0..999).chain([last])) });
    let root = watched.first("forks", state(1)).await;
    watched.after(&root, state(2)).await;
    let (fork, cost) = watched.cost_of(watched.after(&root, state(3))).await;
    cost.check("fork", message(0).to_string().len());
    assert_eq!(values(&get(&watched.checkpointer, &fork).await), state(3));
}

#[tokio::test]
async fn a_pending_write_shares_what_the_state_holds() {
    let watched = Watched::new().await;
    let list = messages(0..500);
    let address = watched.first("writes", json!({ "messages": list })).await;
    let checkpointer = &watched.checkpointer;
    try_write(checkpointer, &address, "warm", &json!(1))
        .await
        .unwrap();
    let write = try_write(checkpointer, &address, "task", &list);
    let (written, cost) = watched.cost_of(write).await;
    written.unwrap();
    cost.check("write", 0);
    assert_eq!(cost.chunks, 0);
    let tuple = get(checkpointer, &address).await;
    assert_eq!(*tuple.pending_writes[0].value, list);
}

#[tokio::test]
async fn a_copy_sends_nothing_and_stores_each_chunk_once() {
    let watched = Watched::new().await;
    let checkpointer = &watched.checkpointer;
    let mut last = watched.first("source", json!({})).await;
    for length in 100..110 {
        last = watched
            .after(&last, json!({ "messages": messages(0..length) }))
            .await;
    }
    // So that the statements are prepared.
    checkpointer
        .copy_thread(&thread("warm"), &thread("warm copy"))
        .await
        .unwrap();
    let chunks = watched.chunks().await;
    let (source, target) = (thread("source"), thread("target"));
    let (copied, cost) = watched
        .cost_of(checkpointer.copy_thread(&source, &target))
        .await;
    copied.unwrap();
    assert!(cost.sent < 2048, "{cost:?}");
    assert_eq!((cost.chunks, cost.chunk_bytes), chunks);
    let copy = checkpointer
        .get_tuple(GetTuple::head(&target).unwrap())
        .await
        .unwrap();
    assert_eq!(
        values(&copy.unwrap()),
        values(&get(checkpointer, &last).await)
    );
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Project {
    title: String,
    workspace: Workspace,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Workspace {
    agents: Vec<Agent>,
    notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Agent {
    name: String,
    history: Vec<Value>,
}

#[tokio::test]
async fn a_save_of_a_large_struct_costs_what_changed() {
    let watched = Watched::new().await;
    let agent = |n: usize| Agent {
        name: format!("agent {n}"),
        history: (100 * n..100 * n + 50).map(message).collect(),
    };
    let mut project = Project {
        title: "A project".to_owned(),
        workspace: Workspace {
            agents: (0..20).map(agent).collect(),
            notes: (0..300).map(|n| text(n, 300)).collect(),
        },
    };
    let mut thread = watched.checkpointer.thread::<Project>("typed").unwrap();
    thread.save(&project).await.unwrap();
    project.title.push('!');
    thread.save(&project).await.unwrap();

    project.workspace.agents[7].history.push(message(9999));
    let (saved, cost) = watched.cost_of(thread.save(&project)).await;
    saved.unwrap();
    cost.check("struct", message(0).to_string().len());
    let loaded = watched
        .checkpointer
        .thread::<Project>("typed")
        .unwrap()
        .load()
        .await;
    assert_eq!(loaded.unwrap().as_ref(), Some(&project));
    let state: String = watched.ask("SELECT {schema}.state('typed')::text").await;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(
        without_orders(state),
        serde_json::to_value(&project).unwrap()
    );
}

/// How many times the bytes a thread takes that it would take if each checkpoint held its values
/// whole; indexes included.
async fn ratio_to_whole(state: impl Fn(usize) -> Value) -> f64 {
    const STEPS: usize = 100;
    let watched = Watched::new().await;
    let sql = |text: &str| text.replace("{schema}", watched.test.schema());
    let delete = sql("DELETE FROM {schema}.checkpoints");
    watched.client.batch_execute(&delete).await.unwrap();
    let mut last = watched
        .first("0190f6a8-6a5c-7cc2-b6f3-0e4d9c1f8a11", state(0))
        .await;
    for n in 1..STEPS {
        last = watched.after(&last, state(n)).await;
    }
    let whole = sql("
        CREATE TABLE {schema}.whole (LIKE {schema}.checkpoints INCLUDING ALL);
        INSERT INTO {schema}.whole
        SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, checkpoint,
            {schema}.state(thread_id, checkpoint_ns, checkpoint_id), metadata
        FROM {schema}.checkpoints");
    watched.client.batch_execute(&whole).await.unwrap();
    let mut sizes = Vec::new();
    for table in ["checkpoints", "chunks", "whole"] {
        let table = format!("{}.{table}", watched.test.schema());
        let vacuum = format!("VACUUM FULL {table}");
        watched.client.batch_execute(&vacuum).await.unwrap();
        let size = format!("SELECT pg_total_relation_size('{table}')");
        sizes.push(watched.ask::<i64>(&size).await as f64);
    }
    (sizes[0] + sizes[1]) / sizes[2]
}

#[track_caller]
fn check_ratio(name: &str, ratio: f64, at_most: f64) {
    assert!(
        ratio <= at_most,
        "{name}: {ratio:.2} times storing them whole"
    );
}

#[tokio::test]
async fn small_values_cost_little_more_than_they_would_whole() {
    for bytes in [20, 300, 500, 550, 1000, 2000] {
        let ratio = ratio_to_whole(|n| json!({ "text": text(n, bytes) })).await;
        check_ratio(&format!("{bytes} bytes"), ratio, 1.2);
    }
}

#[tokio::test]
async fn random_values_cost_little_more_than_they_would_whole() {
    let ratio = ratio_to_whole(|n| json!({ "text": text(n, 3000) })).await;
    check_ratio("texts", ratio, 1.2);
    let ratio = ratio_to_whole(|n| json!({ "text": text(n, 30_000) })).await;
    check_ratio("long texts", ratio, 1.2);
    let ratio = ratio_to_whole(|n| json!({ "list": messages(100 * n..100 * n + 30) })).await;
    check_ratio("lists", ratio, 1.2);
    let numbers = |n: usize| {
        let mut rng = fastrand::Rng::with_seed(n as u64);
        let numbers = std::iter::repeat_with(|| rng.f64()).take(1000);
        json!({ "numbers": numbers.collect::<Vec<_>>() })
    };
    check_ratio("numbers", ratio_to_whole(numbers).await, 1.2);
}

#[tokio::test]
async fn a_list_that_is_reversed_every_time_costs_less_than_it_would_whole() {
    let reversed = |n: usize| {
        let list: Vec<_> = (0..40).map(message).collect();
        match n % 2 {
            0 => json!({ "list": list }),
            _ => json!({ "list": list.into_iter().rev().collect::<Vec<_>>() }),
        }
    };
    check_ratio("reversed", ratio_to_whole(reversed).await, 0.5);
}

/// The server compresses a text of 20,000 bytes better than ten of 2,000.
#[tokio::test]
async fn lists_of_new_prose_cost_what_their_compression_saves() {
    let words: Vec<_> = include_str!("../../../LICENSE-APACHE")
        .split_whitespace()
        .collect();
    let prose = |rng: &mut fastrand::Rng| {
        let words = std::iter::repeat_with(|| words[rng.usize(..words.len())]);
        words.take(80).collect::<Vec<_>>().join(" ")
    };
    let state = |n: usize| {
        let mut rng = fastrand::Rng::with_seed(n as u64);
        let list = std::iter::repeat_with(|| prose(&mut rng)).take(40);
        json!({ "list": list.collect::<Vec<_>>() })
    };
    // PostgreSQL's own compression saves more of a whole list than lz4 does.
    let most = if has_lz4().await { 1.8 } else { 1.9 };
    check_ratio("prose", ratio_to_whole(state).await, most);
}

/// Whether the server was built with lz4, which values are compressed with then.
async fn has_lz4() -> bool {
    let client = rig::client(&rig::url()).await.unwrap();
    let sql = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings \
               WHERE name = 'default_toast_compression'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_missing_or_altered_chunk_is_an_error_that_names_it() {
    let watched = Watched::new().await;
    let address = watched
        .first("torn", json!({ "messages": messages(0..300) }))
        .await;
    let read = async || {
        let found = watched.checkpointer.get_tuple(GetTuple::at(&address)).await;
        chain(&found.unwrap_err()).replace(address.checkpoint_id.as_str(), "ID")
    };
    let hash: String = watched
        .ask("SELECT encode(hash, 'hex') FROM {schema}.chunks WHERE content IS NOT NULL LIMIT 1")
        .await;
    let alter = async |change: &str| {
        let sql = change.replace("{schema}", watched.test.schema());
        let sql = format!("{sql} WHERE hash = decode('{hash}', 'hex')");
        watched.client.batch_execute(&sql).await.unwrap();
    };
    alter("UPDATE {schema}.chunks SET content = content - 0").await;
    assert_eq!(
        read().await,
        format!(
            "stored content of thread `torn` can't be read: checkpoint `ID`: \
             channel `messages` has chunk {hash}, whose content doesn't match its hash\n"
        )
    );
    alter("DELETE FROM {schema}.chunks").await;
    assert_eq!(
        read().await,
        format!(
            "stored content of thread `torn` can't be read: checkpoint `ID`: \
             channel `messages` misses chunk {hash}\n"
        )
    );
}

#[tokio::test]
async fn a_list_fetches_a_shared_chunk_once() {
    let watched = Watched::new().await;
    let checkpointer = &watched.checkpointer;
    let mut last = watched
        .first("list", json!({ "messages": messages(0..300) }))
        .await;
    for length in 301..330 {
        let state = json!({ "messages": messages(0..length), "length": length });
        last = watched.after(&last, state).await;
    }
    let (tuple, one) = watched.cost_of(get(checkpointer, &last)).await;
    let list = |query: List| checkpointer.list(query).try_collect::<Vec<_>>();
    let all = List::thread(&last.thread_id).unwrap();
    let (listed, page) = watched.cost_of(list(all.clone())).await;
    let listed = listed.unwrap();
    assert_eq!(listed.len(), 30);
    assert_eq!(listed[0], tuple);
    let lengths = listed
        .iter()
        .map(|tuple| tuple.checkpoint.channel_values["messages"].as_array());
    assert!(lengths.map(|list| list.unwrap().len()).eq((300..330).rev()));
    assert!(
        page.received < one.received + 30 * CONSTANT,
        "{page:?} for {one:?}"
    );

    // What isn't asked for isn't touched.
    let sql = format!("DELETE FROM {}.chunks", watched.test.schema());
    watched.client.batch_execute(&sql).await.unwrap();
    let metadata = list(all.clone().project(Projection::Metadata)).await;
    assert_eq!(metadata.unwrap().len(), 30);
    let chosen = Projection::Channels(vec!["length".to_owned()]);
    let chosen = list(all.project(chosen)).await.unwrap();
    assert_eq!(
        values(&chosen[0]),
        Value::from(map(json!({ "length": 329 })))
    );
}
