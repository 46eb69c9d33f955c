//! Writes that wait at the same moment share a transaction, and nobody can tell but by the time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use checkpointer::{
    Checkpoint, CheckpointId, CheckpointNs, CheckpointRef, CheckpointTuple, Checkpointer,
    DeleteThread, Durability, Error, GetTuple, List, Metadata, Options, PostgresCheckpointer,
    Prune, PruneStrategy, Put, PutWrites, Result, Source, TaskId, ThreadId,
};
use expect_test::expect;
use futures_util::future::{join_all, poll_fn};
use futures_util::{FutureExt, TryStreamExt};
use serde_json::{Value, json};

use tests::{TcpProxy, TestDb, chain, eventually};

/// How many threads write at the same moment.
const THREADS: usize = 40;

/// What must happen at once happens within this on a busy machine.
const SOON: Duration = Duration::from_secs(10);

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

async fn put_first(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> CheckpointRef {
    checkpointer
        .put(Put::new(thread_id, &checkpoint("1"), &metadata()))
        .await
        .unwrap()
}

async fn put_after(
    checkpointer: &dyn Checkpointer,
    parent: &CheckpointRef,
    id: &str,
) -> Result<CheckpointRef> {
    checkpointer
        .put(Put::after(parent, &checkpoint(id), &metadata()))
        .await
}

/// Threads with a checkpoint each, known to the checkpointer.
async fn started(checkpointer: &dyn Checkpointer) -> Vec<CheckpointRef> {
    let mut heads = Vec::new();
    for number in 0..THREADS {
        heads.push(put_first(checkpointer, &thread(number)).await);
    }
    heads
}

async fn head(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> CheckpointTuple {
    let tuple = checkpointer.get_tuple(GetTuple::head(thread_id)).await;
    tuple.unwrap().unwrap()
}

async fn head_id(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> String {
    let tuple = head(checkpointer, thread_id).await;
    tuple.checkpoint.id.as_str().to_owned()
}

/// Everything that is stored, as text.
async fn everything(checkpointer: &dyn Checkpointer) -> String {
    let mut tuples: Vec<_> = checkpointer
        .list(List::default())
        .try_collect()
        .await
        .unwrap();
    tuples.sort_by_key(|tuple| {
        let config = &tuple.config;
        (
            config.thread_id.clone(),
            config.checkpoint_ns.clone(),
            config.checkpoint_id.clone(),
        )
    });
    let mut text = String::new();
    for tuple in tuples {
        writeln!(text, "{tuple:#?}").unwrap();
    }
    text
}

/// Polls a call once, which hands its write over.
async fn poll_once<T>(call: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>) {
    let pending = poll_fn(|cx| std::task::Poll::Ready(call.poll_unpin(cx).is_pending())).await;
    assert!(pending, "the call is done after one poll");
}

#[tokio::test]
async fn writes_that_wait_at_the_same_moment_share_a_round_trip() {
    let (test, proxy) = (TestDb::new().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let (task, writes) = (TaskId::new("a").unwrap(), [("short".to_owned(), json!(1))]);
    // The first time statements are prepared as well.
    for id in ["2", "3"] {
        put_after(&checkpointer, &heads[0], id).await.unwrap();

        let before = proxy.round_trips();
        let puts = heads.iter().map(|head| put_after(&checkpointer, head, id));
        assert!(join_all(puts).await.iter().all(Result::is_ok));
        let puts = proxy.round_trips() - before;

        let before = proxy.round_trips();
        let calls = heads
            .iter()
            .map(|head| checkpointer.put_writes(PutWrites::new(head, &task, &writes)));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        let writes = proxy.round_trips() - before;

        let before = proxy.round_trips();
        let alone = format!("{id} alone");
        put_after(&checkpointer, &heads[0], &alone).await.unwrap();
        let alone = proxy.round_trips() - before;
        if id == "3" {
            assert_eq!((puts, writes, alone), (1, 1, 1));
        }
    }
}

#[tokio::test]
async fn a_conflict_fails_alone() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let other = CheckpointId::new("other").unwrap();
    let (checkpoint, metadata) = (checkpoint("2"), metadata());
    let puts = heads.iter().enumerate().map(|(number, head)| {
        let expected = match number % 4 {
            0 => Some(&other),
            _ => Some(&head.checkpoint_id),
        };
        checkpointer.put(Put::after(head, &checkpoint, &metadata).expect_head(expected))
    });
    for (number, outcome) in join_all(puts).await.into_iter().enumerate() {
        let id = head_id(&checkpointer, &thread(number)).await;
        if number % 4 == 0 {
            assert!(
                matches!(&outcome, Err(Error::Conflict { head: Some(head), .. }) if head.as_str() == "1"),
                "{outcome:?}"
            );
            assert_eq!(id, "1");
        } else {
            assert_eq!(outcome.unwrap().checkpoint_id, checkpoint.id);
            assert_eq!(id, "2");
        }
    }
}

#[tokio::test]
async fn a_put_whose_parent_is_missing_fails_alone() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let (mut checkpoint, metadata) = (checkpoint("2"), metadata());
    checkpoint.channel_values.remove("long");
    let lost = CheckpointId::new("lost").unwrap();
    let puts = heads.iter().enumerate().map(|(number, head)| {
        let put = Put::after(head, &checkpoint, &metadata);
        checkpointer.put(match number % 4 {
            0 => put.parent(Some(&lost)),
            _ => put,
        })
    });
    for (number, outcome) in join_all(puts).await.into_iter().enumerate() {
        let head = head(&checkpointer, &thread(number)).await.checkpoint;
        if number % 4 == 0 {
            assert!(
                matches!(&outcome, Err(Error::ParentNotFound { .. })),
                "{outcome:?}"
            );
            assert_eq!(head.id.as_str(), "1");
        } else {
            assert_eq!(outcome.unwrap().checkpoint_id, head.id);
        }
        assert_eq!(head.channel_values["long"][1], "1");
    }
}

#[tokio::test]
async fn a_write_the_server_refuses_fails_alone() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    refuse_bad_ones(&test).await;
    let puts = heads.iter().enumerate().map(|(number, head)| {
        let id = if number == 7 { "bad" } else { "2" };
        put_after(&checkpointer, head, id)
    });
    for (number, outcome) in join_all(puts).await.into_iter().enumerate() {
        let id = head_id(&checkpointer, &thread(number)).await;
        if number == 7 {
            assert!(
                matches!(outcome, Err(Error::Database { .. })),
                "{outcome:?}"
            );
            assert_eq!(id, "1");
        } else {
            outcome.unwrap();
            assert_eq!(id, "2");
        }
    }
}

/// Makes the server refuse checkpoints with the id `bad`.
async fn refuse_bad_ones(test: &TestDb) {
    let sql = format!(
        "ALTER TABLE {}.checkpoints ADD CONSTRAINT no_bad_ones CHECK (checkpoint_id <> 'bad')",
        test.schema()
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_thread_somebody_has_locked_does_not_hold_up_the_others() {
    for table in ["threads", "heads"] {
        let test = TestDb::new().await;
        let checkpointer = PostgresCheckpointer::setup(test.connect(&[("DB_POOL_MAX", "4")]).await)
            .await
            .unwrap();
        let heads = started(&checkpointer).await;
        let somebody = test.observer().await;
        let sql = format!(
            "BEGIN; SELECT FROM {}.{table} WHERE thread_id = 'thread-0' FOR UPDATE",
            test.schema()
        );
        somebody.batch_execute(&sql).await.unwrap();

        // Alone first, then in company.
        let (alone, first) = (checkpointer.clone(), heads[0].clone());
        let alone = tokio::spawn(async move { put_after(&alone, &first, "2").await });
        for id in ["2", "3", "4"] {
            let puts = heads[1..]
                .iter()
                .map(|head| put_after(&checkpointer, head, id));
            let outcomes = tokio::time::timeout(SOON, join_all(puts)).await.unwrap();
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
        assert!(!alone.is_finished(), "{table}");
        alone.abort();

        let (again, all) = (checkpointer.clone(), heads.clone());
        let together = tokio::spawn(async move {
            let puts = all.iter().map(|head| put_after(&again, head, "5"));
            join_all(puts).await
        });
        eventually("all but one are stored", async || {
            head_id(&checkpointer, &thread(THREADS - 1)).await == "5"
        })
        .await;
        assert!(!together.is_finished(), "{table}");
        somebody.batch_execute("ROLLBACK").await.unwrap();
        for outcome in together.await.unwrap() {
            outcome.unwrap();
        }
        assert_eq!(head_id(&checkpointer, &thread(0)).await, "5");
    }
}

#[tokio::test]
async fn a_lost_answer_is_made_good_write_by_write() {
    let (test, proxy) = (TestDb::new().await, TcpProxy::new());
    // In this mode each message holds the statement's text.
    let settings = test.settings_through(&proxy, &[("DB_POOL_MODE", "transaction")]);
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let (checkpoint, metadata) = (checkpoint("2"), metadata());
    proxy.cut_instead_of_answer_to("checkpointer::batch");
    let puts = heads.iter().map(|head| {
        let put = Put::after(head, &checkpoint, &metadata);
        checkpointer.put(put.expect_head(Some(&head.checkpoint_id)))
    });
    for outcome in join_all(puts).await {
        outcome.unwrap();
    }
    for number in 0..THREADS {
        let list = checkpointer.list(List::thread(thread(number)));
        let ids: Vec<_> = list
            .map_ok(|tuple| tuple.checkpoint.id.as_str().to_owned())
            .try_collect()
            .await
            .unwrap();
        assert_eq!(ids, ["2", "1"]);
    }
}

#[tokio::test]
async fn what_is_stored_together_is_what_is_stored_alone() {
    let seed = fastrand::u64(..);
    let mut stored = Vec::new();
    for shared in [true, false] {
        let database = TestDb::new().await.connect(&[]).await;
        let options = Options::default().shared_transactions(shared);
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
            0 => put.expect_head(Some(&root)),
            1 => put.expect_head(Some(&stored[0].checkpoint_id)),
            2 => put.expect_head(None),
            3 => put.in_ns(&subgraph).parent(None),
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
        let config = stored.last().unwrap();
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
                checkpointer.put_writes(PutWrites::new(config, task, writes).task_path("path"))
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
    let config = put_first(&checkpointer, &thread(0)).await;
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
        .map(|writes| checkpointer.put_writes(PutWrites::new(&config, &task, writes)));
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
async fn what_was_accepted_is_sent_although_its_caller_is_gone() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    for head in &heads {
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_after(&checkpointer, head, "2"));
        poll_once(&mut call).await;
    }
    // A later call of a thread comes after the one whose caller is gone.
    let puts = heads
        .iter()
        .map(|head| put_after(&checkpointer, head, "1b"));
    for outcome in join_all(puts).await {
        outcome.unwrap();
    }
    for number in 0..THREADS {
        let list = checkpointer.list(List::thread(thread(number)));
        let found: Vec<_> = list.try_collect().await.unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(head_id(&checkpointer, &thread(number)).await, "1b");
    }
}

#[tokio::test]
async fn close_sends_what_was_accepted() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let mut calls = Vec::new();
    for head in &heads {
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_after(&checkpointer, head, "2"));
        poll_once(&mut call).await;
        calls.push(call);
    }
    checkpointer.close().await.unwrap();
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let refused = put_after(&checkpointer, &heads[0], "3").await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    let reader = PostgresCheckpointer::open(test.connect(&[]).await)
        .await
        .unwrap();
    for number in 0..THREADS {
        assert_eq!(head_id(&reader, &thread(number)).await, "2");
    }
}

#[tokio::test]
async fn close_reports_the_failures_whose_callers_are_gone() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    refuse_bad_ones(&test).await;
    for (number, head) in heads.iter().enumerate() {
        let id = if number < 3 { "bad" } else { "2" };
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_after(&checkpointer, head, id));
        poll_once(&mut call).await;
    }
    let error = checkpointer.close().await.unwrap_err();
    assert!(matches!(&error, Error::CloseFailed { others, .. } if others.len() == 2));
    expect![[r#"
        3 of the writes that were still to be sent failed
        failed to put a checkpoint
        `checkpointer::put` failed
        db error
    "#]]
    .assert_eq(chain(&error).split("ERROR").next().unwrap());
    checkpointer.close().await.unwrap();
    let reader = PostgresCheckpointer::open(test.connect(&[]).await)
        .await
        .unwrap();
    assert_eq!(head_id(&reader, &thread(0)).await, "1");
    assert_eq!(head_id(&reader, &thread(3)).await, "2");
}

#[tokio::test]
async fn relaxed_durability_ends_with_the_transaction() {
    let test = TestDb::new().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let options = Options::default().durability(Durability::Relaxed);
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

/// Two programs write to the same threads, in batches, while a third deletes and prunes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_share_threads_never_break_one() {
    let test = TestDb::new().await;
    let mut programs = Vec::new();
    for _ in 0..3 {
        let database = test.connect(&[("DB_POOL_MAX", "4")]).await;
        programs.push(PostgresCheckpointer::setup(database).await.unwrap());
    }
    let gardener = programs.pop().unwrap();
    let mut agents = Vec::new();
    for number in 0..2 * THREADS {
        let checkpointer = programs[number % 2].clone();
        let seed = fastrand::u64(..);
        agents.push(tokio::spawn(async move {
            careless_agent(&checkpointer, number, seed).await;
        }));
    }
    let garden = tokio::spawn(async move {
        let mut rng = fastrand::Rng::new();
        loop {
            let thread_id = thread(rng.usize(..THREADS / 2));
            match rng.u8(..8) {
                0 => gardener.delete_thread(DeleteThread::new(thread_id)).await,
                _ => {
                    let prune = Prune::new(vec![thread_id], PruneStrategy::KeepLatest);
                    gardener.prune(prune).await
                }
            }
            .unwrap();
        }
    });
    for agent in agents {
        agent.await.unwrap();
    }
    garden.abort();

    // All that is stored can be read, which checks every chunk.
    everything(&programs[0]).await;
    let schema = test.schema();
    let sql = format!(
        "SELECT count(*) FROM {schema}.heads AS h
         JOIN {schema}.threads AS t USING (thread_id)
         LEFT JOIN {schema}.checkpoints AS c
           ON (c.thread_id, c.checkpoint_ns, c.checkpoint_id)
            = (h.thread_id, h.checkpoint_ns, h.checkpoint_id)
         WHERE t.deleted_at IS NOT NULL OR c.seq IS NULL
           OR c.seq <> (SELECT max(seq) FROM {schema}.checkpoints AS o
               WHERE (o.thread_id, o.checkpoint_ns) = (h.thread_id, h.checkpoint_ns))
           OR EXISTS (SELECT FROM {schema}.checkpoints AS o
               WHERE (o.thread_id, o.checkpoint_ns) = (h.thread_id, h.checkpoint_ns)
               GROUP BY seq HAVING count(*) > 1)"
    );
    let row = test.observer().await.query_one(&sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "heads that are none");
}

/// Writes to a thread that another program writes to as well.
async fn careless_agent(checkpointer: &PostgresCheckpointer, number: usize, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let thread_id = thread(number / 4);
    let task = TaskId::new("task").unwrap();
    for _ in 0..25 {
        let found = checkpointer.get_tuple(GetTuple::head(&thread_id)).await;
        let parent = found.unwrap().map(|tuple| tuple.config);
        let id = CheckpointId::generate(parent.as_ref().map(|config| &config.checkpoint_id));
        let mut checkpoint = checkpoint("x");
        checkpoint.id = id;
        let words: Value = (0..rng.usize(..60))
            .map(|n| format!("word {n} {n} {n}"))
            .collect();
        checkpoint.channel_values.insert("long".to_owned(), words);
        let metadata = metadata();
        let outcome = match &parent {
            Some(parent) if rng.bool() => {
                let put = Put::after(parent, &checkpoint, &metadata);
                checkpointer
                    .put(put.expect_head(Some(&parent.checkpoint_id)))
                    .await
            }
            Some(parent) => {
                checkpointer
                    .put(Put::after(parent, &checkpoint, &metadata))
                    .await
            }
            None => {
                checkpointer
                    .put(Put::new(&thread_id, &checkpoint, &metadata))
                    .await
            }
        };
        let outcome = match outcome {
            Ok(config) => {
                let writes = [("long".to_owned(), checkpoint.channel_values["long"].clone())];
                checkpointer
                    .put_writes(PutWrites::new(&config, &task, &writes))
                    .await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) | Err(Error::Conflict { .. } | Error::ThreadDeleted { .. }) => {}
            Err(error) => panic!("{}", chain(&error)),
        }
    }
}
