//! Writes that wait at the same moment share a transaction, and callers can't tell but by the time.

mod callers;
mod failures;
mod programs;

use db::GenericClient;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer,
    Durability, GetTuple, List, Metadata, PostgresCheckpointer, PostgresOptions, Put, PutWrites,
    Result, Source, TaskId, ThreadId,
};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};

use rig::{TcpProxy, TestDb};
use tokio_postgres::Client;

/// How many threads write at the same moment.
const THREADS: usize = 40;

fn thread(number: usize) -> ThreadId {
    ThreadId::new(format!("thread-{number}")).unwrap()
}

/// A checkpoint with a large value, which becomes chunks, and a small one.
fn checkpoint(id: &str) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(CheckpointId::new(id).unwrap());
    checkpoint.ts = "2026-01-01T00:00:00Z".to_owned();
    let long: Vec<_> = (0..20).map(|n| format!("line {n} of many")).collect();
    checkpoint
        .channel_values
        .insert("long".to_owned(), json!([long, id]));
    checkpoint
        .channel_values
        .insert("short".to_owned(), json!(id));
    for channel in ["long", "short"] {
        let version = checkpointer::Version::Int(1);
        checkpoint
            .channel_versions
            .insert(channel.to_owned(), version);
    }
    checkpoint
}

fn metadata() -> Metadata {
    Metadata::new(Source::Loop, 1)
}

async fn put_first(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> CheckpointAddress {
    checkpointer
        .put(Put::new(thread_id, &checkpoint("1"), &metadata()))
        .await
        .unwrap()
}

async fn put_after(
    checkpointer: &dyn Checkpointer,
    parent: &CheckpointAddress,
    id: &str,
) -> Result<CheckpointAddress> {
    checkpointer
        .put(Put::after(parent, &checkpoint(id), &metadata()))
        .await
}

/// Threads with a checkpoint each, known to the checkpointer.
async fn started(checkpointer: &dyn Checkpointer) -> Vec<CheckpointAddress> {
    let mut heads = Vec::new();
    for number in 0..THREADS {
        heads.push(put_first(checkpointer, &thread(number)).await);
    }
    heads
}

async fn head(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> CheckpointTuple {
    let tuple = checkpointer
        .get_tuple(GetTuple::head(thread_id).unwrap())
        .await;
    tuple.unwrap().unwrap()
}

async fn head_id(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> String {
    let tuple = head(checkpointer, thread_id).await;
    tuple.checkpoint.id.as_str().to_owned()
}

/// A session that has locked thread 0 in a table.
async fn somebody_with(test: &TestDb, table: &str) -> Client {
    let somebody = test.observer().await;
    let sql = format!(
        "BEGIN; SELECT FROM {}.{table} WHERE thread_id = 'thread-0' FOR UPDATE",
        test.schema()
    );
    somebody.batch_execute(&sql).await.unwrap();
    somebody
}

/// Makes the server refuse checkpoints with the id `bad`.
async fn refuse_bad_ones(test: &TestDb) {
    let sql = format!(
        "ALTER TABLE {}.checkpoints ADD CONSTRAINT no_bad_ones CHECK (checkpoint_id <> 'bad')",
        test.schema()
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
}

/// Everything that is stored, as text.
async fn everything(checkpointer: &dyn Checkpointer) -> String {
    let mut tuples: Vec<_> = checkpointer
        .list(List::default())
        .try_collect()
        .await
        .unwrap();
    tuples.sort_by_key(|tuple| {
        let address = &tuple.address;
        (
            address.thread_id.clone(),
            address.checkpoint_ns.clone(),
            address.checkpoint_id.clone(),
        )
    });
    let mut text = String::new();
    for tuple in tuples {
        writeln!(text, "{tuple:#?}").unwrap();
    }
    text
}

#[tokio::test]
async fn writes_that_wait_at_the_same_moment_share_a_round_trip() {
    let (test, proxy) = (TestDb::new().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let writes = [("short".to_owned(), json!(1))];
    // The first time statements are prepared as well.
    for id in ["2", "3"] {
        let prepared = format!("{id} prepared");
        put_after(&checkpointer, &heads[0], &prepared)
            .await
            .unwrap();

        let before = proxy.round_trips();
        let puts = heads.iter().map(|head| put_after(&checkpointer, head, id));
        assert!(join_all(puts).await.iter().all(Result::is_ok));
        let puts = proxy.round_trips() - before;

        let task = TaskId::new(id).unwrap();
        let mut of_writes = Vec::new();
        for _ in ["the first time", "again"] {
            let before = proxy.round_trips();
            let calls = heads
                .iter()
                .map(|head| checkpointer.put_writes(PutWrites::new(head, &task, &writes)));
            assert!(join_all(calls).await.iter().all(Result::is_ok));
            of_writes.push(proxy.round_trips() - before);
        }

        let before = proxy.round_trips();
        let alone = format!("{id} alone");
        put_after(&checkpointer, &heads[0], &alone).await.unwrap();
        let alone = proxy.round_trips() - before;
        if id == "3" {
            // The first call finds no other under way, and is sent at once. Those that find that
            // their task has stored its outputs are sent once more, but together.
            assert_eq!((puts, of_writes, alone), (2, vec![2, 4], 1));
        }
    }
}

#[tokio::test]
async fn what_a_batch_replaces_is_swept() {
    let test = TestDb::new().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let observer = test.observer().await;
    let noted = async || -> i64 {
        let sql = format!(
            "WITH noted AS (DELETE FROM {}.unswept RETURNING thread_id) SELECT count(*) FROM noted",
            test.schema()
        );
        observer.query_one(&sql, &[]).await.unwrap().get(0)
    };
    let task = TaskId::new("task").unwrap();
    let large = json!(vec!["line of many"; 200]);
    for (value, noted_puts, noted_writes) in [(large, 0, 0), (json!(1), THREADS, THREADS)] {
        let mut again = checkpoint("2");
        again
            .channel_values
            .insert("long".to_owned(), value.clone());
        let metadata = metadata();
        let puts = heads
            .iter()
            .map(|head| checkpointer.put(Put::after(head, &again, &metadata)));
        assert!(join_all(puts).await.iter().all(Result::is_ok));
        assert_eq!(noted().await, noted_puts as i64);
        let writes = [("__error__".to_owned(), value)];
        let calls = heads
            .iter()
            .map(|head| checkpointer.put_writes(PutWrites::new(head, &task, &writes)));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!(noted().await, noted_writes as i64);
    }
}

#[tokio::test]
async fn outputs_that_are_passed_over_leave_no_chunk_unnoted() {
    for shared in [true, false] {
        let test = TestDb::new().await;
        let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
        let options = PostgresOptions::default().shared_transactions(shared);
        let checkpointer = options.setup(database).await.unwrap();
        let heads = started(&checkpointer).await;
        let observer = test.observer().await;
        let counts = async || -> (i64, i64) {
            let sql = "SELECT (SELECT count(*) FROM {schema}.chunks),
                (SELECT count(*) FROM {schema}.unswept)";
            let sql = sql.replace("{schema}", test.schema());
            let row = observer.query_one(&sql, &[]).await.unwrap();
            (row.get(0), row.get(1))
        };
        let task = TaskId::new("task").unwrap();
        let store = async |writes: &[(String, Value)]| {
            let calls = heads
                .iter()
                .map(|head| checkpointer.put_writes(PutWrites::new(head, &task, writes)));
            assert!(join_all(calls).await.iter().all(Result::is_ok));
        };
        store(&[("short".to_owned(), json!(1))]).await;
        let (chunks, noted) = counts().await;
        assert_eq!(noted, 0);

        // The task was executed again, with another result.
        let output = ("short".to_owned(), json!(vec!["line of many"; 200]));
        store(std::slice::from_ref(&output)).await;
        assert_eq!(counts().await, (chunks, 0), "{shared}");

        // With an error it is stored in part.
        store(&[("__error__".to_owned(), json!(1)), output]).await;
        let (more, noted) = counts().await;
        assert!(more >= chunks + THREADS as i64, "{shared}");
        assert_eq!(noted, THREADS as i64, "{shared}");
    }
}

#[tokio::test]
async fn what_is_stored_together_is_what_is_stored_alone() {
    let seed = fastrand::u64(..);
    let mut stored = Vec::new();
    for shared in [true, false] {
        let database = TestDb::new().await.connect(&[]).await;
        let options = PostgresOptions::default().shared_transactions(shared);
        let checkpointer = options.setup(database).await.unwrap();
        let agents = (0..THREADS).map(|number| agent(&checkpointer, number, seed));
        let verdicts = join_all(agents).await;
        stored.push((verdicts, everything(&checkpointer).await));
    }
    let (alone, together) = (stored.pop().unwrap(), stored.pop().unwrap());
    assert_eq!(together.0, alone.0, "seed {seed}");
    assert!(together.1 == alone.1, "what is stored differs, seed {seed}");
}

/// Does what an agent may do, at random, and returns the verdicts.
async fn agent(checkpointer: &PostgresCheckpointer, number: usize, seed: u64) -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(seed ^ (number as u64) << 32);
    let (thread_id, metadata) = (thread(number), metadata());
    let mut stored = vec![put_first(checkpointer, &thread_id).await];
    let mut verdicts = Vec::new();
    let subgraph = CheckpointNs::new("subgraph").unwrap();
    for step in 2..14 {
        let mut parent = stored[rng.usize(..stored.len())].clone();
        // A foreign front names no generation.
        if rng.bool() {
            parent.generation = None;
        }
        let id = match rng.u8(..4) {
            0 => stored[rng.usize(..stored.len())].checkpoint_id.clone(),
            _ => CheckpointId::new(format!("{step:02}")).unwrap(),
        };
        let mut checkpoint = checkpoint(id.as_str());
        // Keeps the parent's value.
        if rng.bool() {
            checkpoint.channel_values.remove("long");
        }
        let mut put = Put::after(&parent, &checkpoint, &metadata);
        let root = stored.last().unwrap().checkpoint_id.clone();
        put = match rng.u8(..5) {
            0 => put.expect_head(&root),
            1 => put.expect_head(&stored[0].checkpoint_id),
            2 => put.expect_no_head(),
            3 => {
                put.parent = None;
                put.in_ns(&subgraph)
            }
            _ => put,
        };
        match checkpointer.put(put).await {
            Ok(reference) => {
                verdicts.push(format!("{}", reference.checkpoint_id));
                if reference.checkpoint_ns.is_root() {
                    stored.push(reference);
                }
            }
            Err(error) => verdicts.push(error.to_string()),
        }
        let address = stored.last().unwrap();
        let writes = ["a", "b", "a"].map(|task| {
            let channel = *rng.choice(&["long", "short", "__error__"]).unwrap();
            let text = "word ".repeat(rng.usize(1..200));
            (
                TaskId::new(task).unwrap(),
                vec![(channel.to_owned(), json!(text))],
            )
        });
        // The two of one task follow each other, so that one of them is the first.
        for together in [&writes[..2], &writes[2..]] {
            let calls = together.iter().map(|(task, writes)| {
                checkpointer.put_writes(PutWrites::new(address, task, writes).task_path("path"))
            });
            for outcome in join_all(calls).await {
                verdicts.push(format!("{outcome:?}"));
            }
        }
    }
    verdicts
}

#[tokio::test]
async fn two_writes_of_one_task_at_the_same_moment_are_both_done() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let address = put_first(&checkpointer, &thread(0)).await;
    let task = TaskId::new("task").unwrap();
    let writes: Vec<_> = (0..30)
        .map(|n| {
            [
                ("__error__".to_owned(), json!(n)),
                (format!("c{n}"), json!(n)),
            ]
        })
        .collect();
    let calls = writes
        .iter()
        .map(|writes| checkpointer.put_writes(PutWrites::new(&address, &task, writes)));
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let tuple = head(&checkpointer, &thread(0)).await;
    let written: BTreeMap<_, _> = tuple
        .pending_writes
        .iter()
        .map(|write| (write.channel.as_str(), &write.value))
        .collect();
    assert_eq!(
        written.len(),
        2,
        "one special write, one regular: {written:?}"
    );
}

#[tokio::test]
async fn relaxed_durability_ends_with_the_transaction() {
    let test = TestDb::new().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let options = PostgresOptions::default().durability(Durability::Relaxed);
    let checkpointer = options.setup(database.clone()).await.unwrap();
    let observer = test.observer().await;
    // Says at each commit how durable it is.
    observer
        .batch_execute(&format!(
            "SET search_path = {};
             CREATE TABLE commits (setting text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = {} AS
             $$BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit'));
               RETURN NULL; END$$;
             CREATE CONSTRAINT TRIGGER note AFTER INSERT OR UPDATE ON checkpoints
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
             CREATE CONSTRAINT TRIGGER note AFTER INSERT ON pending_writes
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()",
            test.schema(),
            test.schema()
        ))
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let (task, writes) = (TaskId::new("a").unwrap(), [("short".to_owned(), json!(1))]);
    checkpointer
        .put_writes(PutWrites::new(&heads[0], &task, &writes))
        .await
        .unwrap();
    let puts = heads.iter().map(|head| put_after(&checkpointer, head, "2"));
    assert!(join_all(puts).await.iter().all(Result::is_ok));

    let sql = "SELECT setting, count(*) FROM commits GROUP BY setting";
    let rows = observer.query(sql, &[]).await.unwrap();
    let counts: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(counts, [("off".to_owned(), 2 * THREADS as i64 + 1)]);
    let show = db::Statement::new("SELECT current_setting('synchronous_commit')", &[]);
    let row = database.get().await.unwrap().query_one(&show, &[]).await;
    assert_eq!(row.unwrap().get::<_, &str>(0), "on");
}
