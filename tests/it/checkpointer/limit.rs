//! A limit of bytes per thread, where several programs, the caller's transactions and programs without
//! a limit meet.

use std::sync::Arc;
use std::time::Duration;

use checkpointer::{
    AcquireLease, CheckpointAddress, Checkpointer, DeleteThread, Error, MemoryCheckpointer,
    OpenTransaction, PostgresCheckpointer, PostgresOptions, Prune, PruneStrategy, PutWrites,
    Result, Retention, TaskId, Thread, ThreadId,
};
use checkpointer_suite::limit::MAX_THREAD_BYTES;
use checkpointer_suite::within::Transactions;
use db::Database;
use futures_util::future::join;
use futures_util::poll;
use serde_json::{Value, json};

use super::removal::is_unswept;
use super::step::{Step, checkpointer, get, ids, map, thread, try_write, values};
use rig::{TcpProxy, TestDb};

/// A tenth of what fits.
const A_TENTH: usize = MAX_THREAD_BYTES as usize / 10;

/// Text that isn't compressed to much less.
fn text(bytes: usize) -> Value {
    let text: String = (0..bytes).map(|_| fastrand::alphanumeric()).collect();
    json!(text)
}

fn a_tenth_after(last: &CheckpointAddress) -> Step {
    Step::after(last).values(json!({ "a": text(A_TENTH) }))
}

fn is_full<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::ThreadFull { .. }))
}

/// Another program, whose threads are limited.
async fn limited(test: &TestDb, options: PostgresOptions) -> PostgresCheckpointer {
    limited_through(test, options, &[]).await
}

async fn limited_through(
    test: &TestDb,
    options: PostgresOptions,
    variables: &[(&str, &str)],
) -> PostgresCheckpointer {
    let database = test.connect(variables).await;
    let options = options.max_thread_bytes(MAX_THREAD_BYTES);
    options.setup(database).await.unwrap()
}

async fn bytes(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> u64 {
    let size = checkpointer.thread_size(thread_id).await.unwrap();
    size.unwrap().bytes
}

/// Puts until the thread is full; returns the checkpoint put last.
async fn fill(checkpointer: &dyn Checkpointer, mut last: CheckpointAddress) -> CheckpointAddress {
    for _ in 0..20 {
        match a_tenth_after(&last).try_put(checkpointer).await {
            Ok(address) => last = address,
            refused => {
                assert!(is_full(&refused), "{refused:?}");
                return last;
            }
        }
    }
    panic!("twice as much as fits was stored");
}

/// All rows of all tables, with the transactions that wrote them.
async fn rows(test: &TestDb) -> Vec<String> {
    let observer = test.observer().await;
    let mut rows = Vec::new();
    for table in [
        "threads",
        "heads",
        "checkpoints",
        "chunks",
        "pending_writes",
    ] {
        let schema = test.schema();
        let sql = format!(
            "SELECT '{table}' || xmin::text || to_jsonb(r)::text FROM {schema}.{table} AS r ORDER BY 1"
        );
        let found = observer.query(&sql, &[]).await.unwrap();
        rows.extend(found.iter().map(|row| row.get::<_, String>(0)));
    }
    rows
}

/// What is counted of a thread.
async fn counted(test: &TestDb, thread_id: &ThreadId) -> Option<i64> {
    let sql = format!(
        "SELECT bytes FROM {}.thread_bytes WHERE thread_id = $1",
        test.schema()
    );
    let observer = test.observer().await;
    let row = observer.query_opt(&sql, &[&thread_id.as_str()]).await;
    row.unwrap().map(|row| row.get(0))
}

#[tokio::test]
async fn two_programs_at_once_never_exceed_it_together() {
    let test = TestDb::without_schema().await;
    let one = limited(&test, PostgresOptions::default()).await;
    let other = limited(&test, PostgresOptions::default()).await;
    for round in 0..8 {
        let thread_id = thread(&format!("race {round}"));
        let first = Step::first(&thread_id).put(&one).await;
        // Two at once fit in some rounds, one in others.
        let mut last = first.clone();
        for _ in 0..7 + round % 2 {
            last = a_tenth_after(&last).put(&one).await;
        }
        let write = async |program: &PostgresCheckpointer, task: &str| {
            let large = text(A_TENTH + A_TENTH / 3);
            try_write(program, &last, task, &large).await
        };
        let put = async |program: &PostgresCheckpointer, ns: &str| {
            let put = Step::first(&thread_id).in_ns(ns);
            let put = put.values(json!({ "a": text(A_TENTH + A_TENTH / 3) }));
            put.try_put(program).await.map(drop)
        };
        let outcomes = join(
            join(write(&one, "one"), write(&other, "other")),
            join(put(&one, "one:1"), put(&other, "other:1")),
        );
        let ((a, b), (c, d)) = outcomes.await;
        let outcomes = [a, b, c, d];
        assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
        assert!(outcomes.iter().any(is_full), "{outcomes:?}");
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.is_ok() || is_full(outcome))
        );
        let stored = bytes(&one, &thread_id).await;
        assert!(stored <= MAX_THREAD_BYTES, "{stored} in round {round}");
    }
}

#[tokio::test]
async fn of_two_first_puts_at_once_no_more_is_stored_than_fits() {
    let test = TestDb::without_schema().await;
    let one = limited(&test, PostgresOptions::default()).await;
    let other = limited(&test, PostgresOptions::default()).await;
    for round in 0..8 {
        let thread_id = thread(&format!("first {round}"));
        let put = async |program: &PostgresCheckpointer, ns: &str| {
            let step = Step::first(&thread_id).in_ns(ns);
            let step = step.values(json!({ "a": text(6 * A_TENTH) }));
            step.try_put(program).await
        };
        let (a, b) = join(put(&one, ""), put(&other, "child:1")).await;
        assert!(a.is_ok() != b.is_ok(), "{a:?}, {b:?}");
        assert!(is_full(&a) || is_full(&b), "{a:?}, {b:?}");
        assert!(bytes(&one, &thread_id).await <= MAX_THREAD_BYTES);
    }
}

#[tokio::test]
async fn a_refused_write_changes_no_row() {
    let test = TestDb::without_schema().await;
    for variables in [
        [("DB_POOL_MODE", "session")],
        [("DB_POOL_MODE", "transaction")],
    ] {
        let program = limited_through(&test, PostgresOptions::default(), &variables).await;
        let name = variables[0].1;
        let first = Step::first(&thread(name)).put(&program).await;
        let last = fill(&program, first).await;
        let acquire = AcquireLease::new("leased", Duration::from_secs(60)).unwrap();
        let lease = program.acquire_lease(acquire).await.unwrap();
        let before = rows(&test).await;

        let large = || json!({ "a": text(MAX_THREAD_BYTES as usize) });
        let new = thread(&format!("new in {name}"));
        let first = Step::first(&new).values(large());
        assert!(is_full(&first.try_put(&program).await));
        assert!(is_full(
            &first.clone().expect_no_head().try_put(&program).await
        ));
        let address = first.address();
        let large_write = text(MAX_THREAD_BYTES as usize);
        assert!(is_full(
            &try_write(&program, &address, "task", &large_write).await
        ));
        let reserved = Step::first(&thread("leased")).lease(&lease).values(large());
        assert!(is_full(&reserved.try_put(&program).await));
        assert!(is_full(&a_tenth_after(&last).try_put(&program).await));
        let written = try_write(&program, &last, "task", &text(A_TENTH)).await;
        assert!(is_full(&written));
        assert_eq!(rows(&test).await, before);
        assert_eq!(counted(&test, &new).await, None);
        program.release_lease(&lease).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_program_without_a_limit_wrote_is_measured() {
    let test = TestDb::without_schema().await;
    let unlimited = checkpointer(&test, &[]).await;
    let program = limited(&test, PostgresOptions::default()).await;
    let mut last = Step::first(&thread("shared")).put(&unlimited).await;
    for _ in 0..15 {
        last = a_tenth_after(&last).put(&unlimited).await;
    }
    assert_eq!(counted(&test, &last.thread_id).await, None);
    let refused = a_tenth_after(&last).try_put(&program).await;
    assert!(is_full(&refused), "{refused:?}");

    // What makes it no larger is stored, as is what others write.
    let again = Step::after(&last).id("again").values(json!({ "a": 1 }));
    let again = again.put(&unlimited).await;
    let put_again = Step::after(&last).id("again").values(json!({ "a": 2 }));
    put_again.put(&program).await;
    assert_eq!(values(&get(&program, &again).await), json!({ "a": 2 }));
    a_tenth_after(&again).put(&unlimited).await;
}

/// Sweeps a thread by a prune that removes no checkpoint.
async fn sweep(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) {
    let keep = PruneStrategy::Keep(Retention::keep_last(100));
    let prune = Prune::new([thread_id], keep).unwrap();
    let removed = checkpointer.prune(prune).await.unwrap();
    assert_eq!((removed.checkpoints, removed.failed.len()), (0, 0));
}

#[tokio::test]
async fn room_comes_back_after_large_content_was_replaced() {
    let test = TestDb::without_schema().await;
    for (name, program) in [
        ("limited", limited(&test, PostgresOptions::default()).await),
        ("unlimited", checkpointer(&test, &[]).await),
    ] {
        let thread_id = thread(name);
        let first = Step::first(&thread_id).put(&program).await;
        let task = TaskId::new("task").unwrap();
        let note = async |channel: &str, value: &Value| {
            let writes = [(channel.to_owned(), value.clone())];
            let writes = PutWrites::new(&first, &task, &writes);
            program.put_writes(writes).await.unwrap();
        };
        let large = text(3 * A_TENTH);
        let step = Step::after(&first).id("again");
        let step_of = |value: &Value| step.clone().values(json!({ "a": value, "b": value }));
        for value in [&large, &large] {
            step_of(value).put(&program).await;
            note("__error__", value).await;
            // One of another kind replaces none.
            note("__interrupt__", value).await;
        }
        assert!(!is_unswept(&test, &thread_id).await, "{name}");
        assert!(bytes(&program, &thread_id).await > MAX_THREAD_BYTES / 5);

        step_of(&json!(1)).put(&program).await;
        assert!(is_unswept(&test, &thread_id).await, "{name}");
        sweep(&program, &thread_id).await;
        for (at, channel) in ["__error__", "__interrupt__"].into_iter().enumerate() {
            assert!(!is_unswept(&test, &thread_id).await, "{name}");
            // Another chunk, or none.
            let value = [text(2 * A_TENTH), json!(1)];
            note(channel, &value[at]).await;
            assert!(is_unswept(&test, &thread_id).await, "{name}, {channel}");
            sweep(&program, &thread_id).await;
        }
        let left = bytes(&program, &thread_id).await;
        assert!((2..3).contains(&(left / A_TENTH as u64)), "{left}");
    }
}

#[tokio::test]
async fn what_is_sent_again_and_stored_once_fills_no_thread() {
    let test = TestDb::without_schema().await;
    let shared = json!({ "a": text(4 * A_TENTH) });
    let first = Step::first(&thread("shared")).values(shared.clone());
    let program = limited(&test, PostgresOptions::default()).await;
    let mut last = first.put(&program).await;
    // Programs that don't know yet what is stored.
    for _ in 0..6 {
        let options = PostgresOptions::default().cache_bytes(0);
        let program = limited(&test, options).await;
        let step = Step::after(&last).values(shared.clone());
        last = step.put(&program).await;
    }
    assert!(bytes(&program, &last.thread_id).await < MAX_THREAD_BYTES / 2);
}

#[tokio::test]
async fn nothing_is_counted_without_a_limit_or_of_a_deleted_thread() {
    let test = TestDb::without_schema().await;
    let unlimited = checkpointer(&test, &[]).await;
    let last = Step::first(&thread("unlimited")).put(&unlimited).await;
    try_write(&unlimited, &last, "task", &text(A_TENTH))
        .await
        .unwrap();
    assert_eq!(counted(&test, &last.thread_id).await, None);

    let program = limited(&test, PostgresOptions::default()).await;
    let deleted = Step::first(&thread("deleted")).put(&program).await;
    let count = counted(&test, &deleted.thread_id).await.unwrap();
    assert!(u64::try_from(count).unwrap() >= bytes(&program, &deleted.thread_id).await);
    let delete = DeleteThread::new(&deleted.thread_id).unwrap();
    unlimited.delete_thread(delete).await.unwrap();
    assert_eq!(counted(&test, &deleted.thread_id).await, None);
}

#[tokio::test]
async fn chunks_of_a_deleted_thread_that_have_yet_to_be_swept_count() {
    let test = TestDb::without_schema().await;
    let program = limited(&test, PostgresOptions::default()).await;
    let first = Step::first(&thread("again")).put(&program).await;
    let delete = DeleteThread::new(&first.thread_id).unwrap();
    program.delete_thread(delete).await.unwrap();
    // As a program leaves them that ends before it has swept them.
    let schema = test.schema();
    let leave = format!(
        "INSERT INTO {schema}.unswept (thread_id) VALUES ('again');
         INSERT INTO {schema}.chunks (thread_id, hash, content)
         SELECT 'again', decode(md5(n::text), 'hex'), to_jsonb(md5((-n)::text))
         FROM generate_series(1, 1100) AS n"
    );
    test.observer().await.batch_execute(&leave).await.unwrap();
    let first = Step::first(&first.thread_id).put(&program).await;
    let count = counted(&test, &first.thread_id).await.unwrap();
    let stored = bytes(&program, &first.thread_id).await;
    assert!(stored > MAX_THREAD_BYTES / 2, "{stored}");
    assert!(
        u64::try_from(count).unwrap() >= stored,
        "{count} of {stored}"
    );
    let last = fill(&program, first).await;
    let stored = bytes(&program, &last.thread_id).await;
    assert!(stored <= MAX_THREAD_BYTES, "{stored}");
}

#[tokio::test]
async fn a_count_is_never_less_than_what_is_stored() {
    let test = TestDb::without_schema().await;
    let program = limited(&test, PostgresOptions::default()).await;
    let numbers: Value = (0..700).map(|n| n * 1_000_003).collect();
    let same = "the same words ".repeat(1_000);
    for (name, value) in [
        ("text", text(A_TENTH)),
        ("compressed", json!(same)),
        ("numbers", numbers.clone()),
        ("small", json!([1, "two", { "three": null }])),
    ] {
        let thread_id = thread(name);
        let first =
            Step::first(&thread_id).values(json!({ "a": value, "b": [1], "c": { "d": 2 } }));
        let version = json!(first.checkpoint.id.as_str());
        let first = first.put(&program).await;
        let kept =
            Step::after(&first).versions(json!({ "a": version, "b": version, "c": version }));
        let last = kept.put(&program).await;
        try_write(&program, &last, "task", &value).await.unwrap();
        let stored = bytes(&program, &thread_id).await;
        let count = u64::try_from(counted(&test, &thread_id).await.unwrap()).unwrap();
        assert!(count >= stored, "{count} of {stored} for {name}");
    }
}

#[tokio::test]
async fn a_close_stores_what_fits_and_reports_what_does_not() {
    let test = TestDb::without_schema().await;
    let program = limited(&test, PostgresOptions::default()).await;
    let first = Step::first(&thread("closed")).put(&program).await;
    let fits = a_tenth_after(&first);
    let too_large = Step::first(&thread("too large")).values(json!({ "a": text(11 * A_TENTH) }));
    for step in [&fits, &too_large] {
        let mut put = Box::pin(step.try_put(&program));
        // Handed over, and left alone.
        assert!(poll!(put.as_mut()).is_pending());
    }
    let error = program.close().await.unwrap_err();
    let Error::CloseFailed { source, others, .. } = error else {
        panic!("{error:?}");
    };
    assert!(matches!(*source, Error::ThreadFull { .. }), "{source:?}");
    assert!(others.is_empty(), "{others:?}");
    let after = checkpointer(&test, &[]).await;
    assert_eq!(ids(&after, &first.thread_id).await.len(), 2);
    assert_eq!(after.thread_info(&thread("too large")).await.unwrap(), None);
}

/// Transactions of a checkpointer on PostgreSQL.
struct Program {
    database: Database,
    checkpointer: PostgresCheckpointer,
}

impl Transactions for Program {
    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(self.checkpointer.clone())
    }

    async fn run<T>(&self, body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>) -> Result<T> {
        let body = async |tx: &db::Transaction<'_>| body(OpenTransaction::from(tx)).await;
        self.database.transaction(body).await
    }
}

/// In a transaction a refusal leaves nothing of its write, and the rest is committed.
async fn a_refusal_in_a_transaction_leaves_the_rest(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let first = Step::first(&thread("full")).put(checkpointer).await;
    let last = fill(checkpointer, first).await;
    let task_id = TaskId::new("task").unwrap();
    let large = [("a".to_owned(), text(A_TENTH))];
    let new = Step::first(&thread("new")).values(json!({ "a": text(11 * A_TENTH) }));
    let other = Step::first(&thread("other")).values(json!({ "a": text(A_TENTH) }));
    let stored = transactions.run(async |within| {
        let stored = checkpointer.put_within(within, other.request()).await?;
        let step = a_tenth_after(&last);
        assert!(is_full(
            &checkpointer.put_within(within, step.request()).await
        ));
        assert!(is_full(
            &checkpointer.put_within(within, new.request()).await
        ));
        let writes = PutWrites::new(&last, &task_id, &large);
        let written = checkpointer.put_writes_within(within, writes).await;
        assert!(is_full(&written), "{written:?}");
        let next = Step::after(&stored).values(json!({ "a": text(A_TENTH) }));
        checkpointer.put_within(within, next.request()).await
    });
    let stored = stored.await.unwrap();
    assert_eq!(ids(checkpointer, &stored.thread_id).await.len(), 2);
    assert_eq!(
        checkpointer.thread_info(&thread("new")).await.unwrap(),
        None
    );
    let head = get(checkpointer, &last).await;
    assert_eq!(head.pending_writes, []);
    assert!(bytes(checkpointer, &last.thread_id).await <= MAX_THREAD_BYTES);
    // What the transaction stored is counted.
    let full = fill(checkpointer, stored).await;
    assert!(bytes(checkpointer, &full.thread_id).await <= MAX_THREAD_BYTES);
}

#[tokio::test]
async fn a_refusal_in_a_transaction_in_memory_leaves_the_rest() {
    let memory = MemoryCheckpointer::new().max_thread_bytes(MAX_THREAD_BYTES);
    a_refusal_in_a_transaction_leaves_the_rest(&memory).await;
}

#[tokio::test]
async fn a_refusal_in_a_transaction_on_postgresql_leaves_the_rest() {
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let database = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let options = PostgresOptions::default().max_thread_bytes(MAX_THREAD_BYTES);
        let checkpointer = options.setup(database.clone()).await.unwrap();
        let program = Program {
            database,
            checkpointer,
        };
        a_refusal_in_a_transaction_leaves_the_rest(&program).await;
    }
}

/// A typed save that doesn't fit is refused, and a smaller one follows the last that was stored.
async fn a_typed_save_beyond_it_is_refused(mut thread: Thread<Vec<Value>>) {
    let mut state = vec![text(A_TENTH)];
    thread.save(&state).await.unwrap();
    state.push(text(10 * A_TENTH));
    assert!(is_full(&thread.save(&state).await));
    let stored = thread.load().await.unwrap();
    assert_eq!(stored.map(|state| state.len()), Some(1));
    state[1] = text(100);
    thread.save(&state).await.unwrap();
    assert_eq!(thread.load().await.unwrap(), Some(state));
}

#[tokio::test]
async fn a_typed_save_beyond_it_is_refused_in_memory_and_on_postgresql() {
    let memory = MemoryCheckpointer::new().max_thread_bytes(MAX_THREAD_BYTES);
    a_typed_save_beyond_it_is_refused(memory.thread("typed").unwrap()).await;
    let test = TestDb::without_schema().await;
    let program = limited(&test, PostgresOptions::default()).await;
    a_typed_save_beyond_it_is_refused(program.thread("typed").unwrap()).await;
}

#[tokio::test]
async fn thread_metadata_with_a_refused_put_is_not_changed() {
    let test = TestDb::without_schema().await;
    let program = limited(&test, PostgresOptions::default()).await;
    let first = Step::first(&thread("named")).put(&program).await;
    let step = Step::after(&first).values(json!({ "a": text(11 * A_TENTH) }));
    let names = map(json!({ "name": "new" }));
    let refused = program.put(step.request().thread_metadata(&names)).await;
    assert!(is_full(&refused), "{refused:?}");
    let info = program
        .thread_info(&first.thread_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(info.metadata, map(json!({})));
}

#[tokio::test]
async fn a_put_is_one_round_trip_and_a_refused_one_ten() {
    for mode in ["session", "transaction"] {
        let proxy = TcpProxy::new();
        let test = TestDb::without_schema().await;
        let variables = [("DB_POOL_MAX", "1"), ("DB_POOL_MODE", mode)];
        let settings = test.settings_through(&proxy, &variables);
        let database = Database::connect(&settings).await.unwrap();
        let options = PostgresOptions::default().max_thread_bytes(MAX_THREAD_BYTES);
        let program = options.setup(database).await.unwrap();
        let round_trips = async |step: Step| {
            let before = proxy.round_trips();
            let fits = step.try_put(&program).await.is_ok();
            (fits, proxy.round_trips() - before)
        };
        let mut last = Step::first(&thread("counted")).put(&program).await;
        for _ in 0..2 {
            last = a_tenth_after(&last).put(&program).await;
        }
        let step = a_tenth_after(&last);
        let address = step.address();
        assert_eq!(round_trips(step).await, (true, 1), "{mode}");
        last.checkpoint_id = address.checkpoint_id;
        // After this its statements are prepared.
        last = fill(&program, last).await;
        assert_eq!(
            round_trips(a_tenth_after(&last)).await,
            (false, 10),
            "{mode}"
        );
    }
}
