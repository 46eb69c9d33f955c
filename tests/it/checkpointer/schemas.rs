//! Several checkpointers over one pool, each in a schema of its own.

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Error, GetTuple, HeadChange, ListThreads,
    PostgresCheckpointer, Result, Thread, Watch,
};
use db::{Database, GenericClient, Statement, Type};
use futures_util::TryStreamExt;
use serde_json::json;

use super::step::{Step, get, large, thread, try_write, values};
use rig::{NOTES, TestDb};

const MODES: [&str; 2] = ["session", "transaction"];

/// One connection, which all must share.
fn alone(mode: &str) -> [(&str, &str); 3] {
    [
        ("DB_POOL_MODE", mode),
        ("DB_POOL_MAX", "1"),
        ("DB_ACQUIRE_TIMEOUT", "10s"),
    ]
}

fn tenant(test: &TestDb, database: &Database, name: &str) -> Database {
    let schema = format!("{}_{name}", test.schema());
    database.in_schema(&schema).unwrap()
}

/// The checkpointers of two tenants on one pool.
async fn two(test: &TestDb, mode: &str) -> [PostgresCheckpointer; 2] {
    let database = test.connect(&alone(mode)).await;
    let setup = |name| PostgresCheckpointer::setup(tenant(test, &database, name));
    [setup("a").await.unwrap(), setup("b").await.unwrap()]
}

/// The last of some checkpoints of a thread, each with its large value and pending write.
async fn run(checkpointer: &dyn Checkpointer, seeds: &[usize]) -> CheckpointAddress {
    let mut last: Option<CheckpointAddress> = None;
    for &seed in seeds {
        let step = match &last {
            None => Step::first(&thread("thread")).expect_no_head(),
            Some(last) => Step::after(last).expect_head(last),
        };
        let step = step.values(json!({ "large": large(seed) }));
        let address = step.put(checkpointer).await;
        let output = large(seed + 1000);
        let written = try_write(checkpointer, &address, "task", &output);
        written.await.unwrap();
        last = Some(address);
    }
    last.unwrap()
}

#[tokio::test]
async fn one_thread_id_is_two_threads_in_two_schemas() {
    for mode in MODES {
        let test = TestDb::without_schema().await;
        let [a, b] = two(&test, mode).await;
        let seeds: [Vec<usize>; 2] = [(0..12).collect(), (100..112).collect()];
        // On one connection each waits for the other at every step.
        let [of_a, of_b] = &seeds;
        let (last_of_a, last_of_b) = tokio::join!(run(&a, of_a), run(&b, of_b));
        for (checkpointer, last, seed) in [(&a, &last_of_a, 11), (&b, &last_of_b, 111)] {
            let read = get(checkpointer, last).await;
            assert_eq!(values(&read), json!({ "large": large(seed) }), "{mode}");
            assert_eq!(*read.pending_writes[0].value, large(seed + 1000));
        }
        let foreign = b.get_tuple(GetTuple::at(&last_of_a)).await.unwrap();
        assert_eq!(foreign, None);

        let delete = DeleteThread::new(thread("thread")).unwrap();
        a.delete_thread(delete).await.unwrap();
        let threads = async |of: &PostgresCheckpointer| -> usize {
            let listed = of.threads(ListThreads::all()).try_collect::<Vec<_>>();
            listed.await.unwrap().len()
        };
        assert_eq!([threads(&a).await, threads(&b).await], [0, 1]);
        Step::after(&last_of_b).put(&b).await;
        let late = Step::after(&last_of_a).try_put(&a).await;
        assert!(matches!(late, Err(Error::ThreadDeleted { .. })), "{mode}");
    }
}

#[tokio::test]
async fn a_watch_tells_the_heads_of_its_schema() {
    for mode in MODES {
        let test = TestDb::without_schema().await;
        let [a, b] = two(&test, mode).await;
        let mut changes = b.watch(Watch::all()).await.unwrap();
        Step::first(&thread("of a")).put(&a).await;
        let put = Step::first(&thread("of b")).put(&b).await;
        let told = changes.try_next().await.unwrap();
        assert_eq!(told, Some(HeadChange::Moved(put)), "{mode}");
    }
}

#[tokio::test]
async fn a_closed_checkpointer_leaves_that_of_another_schema_open() {
    let test = TestDb::without_schema().await;
    let [a, b] = two(&test, "session").await;
    a.close().await.unwrap();
    let refused = Step::first(&thread("thread")).try_put(&a).await;
    assert!(matches!(refused, Err(Error::Closed)));
    Step::first(&thread("thread")).put(&b).await;
}

#[tokio::test]
async fn a_users_tables_lie_in_a_schema_of_their_own_and_share_a_transaction_with_two_tenants() {
    for mode in MODES {
        let test = TestDb::without_schema().await;
        let database = test.connect(&alone(mode)).await;
        let shop = tenant(&test, &database, "shop");
        NOTES.apply(&shop).await.unwrap();
        let [a, b] = ["a", "b"].map(|name| tenant(&test, &database, name));
        let a = PostgresCheckpointer::setup(a).await.unwrap();
        let b = PostgresCheckpointer::setup(b).await.unwrap();
        let insert = Statement::in_schema(
            "INSERT INTO {schema}.notes VALUES ($1, 'an order')",
            vec![Type::INT8],
            NOTES.schema(&shop),
        );
        let counters = [&a, &b].map(|of| of.thread::<i64>("counter").unwrap());
        let [mut of_a, mut of_b]: [Thread<i64>; 2] = counters;
        for (number, commits) in [(1_i64, true), (2, false), (3, true)] {
            let ordered: Result<()> = database
                .transaction(async |tx| {
                    tx.execute(&insert, &[&number]).await?;
                    of_a.save_within(tx, &number).await?;
                    of_b.save_within(tx, &-number).await?;
                    match commits {
                        true => Ok(()),
                        false => Err(Error::unsupported("to go on")),
                    }
                })
                .await;
            assert_eq!(ordered.is_ok(), commits);
        }
        assert_eq!(of_a.load().await.unwrap(), Some(3), "{mode}");
        assert_eq!(of_b.load().await.unwrap(), Some(-3), "{mode}");
        let ids = Statement::in_schema(
            "SELECT array_agg(id ORDER BY id) FROM {schema}.notes",
            Vec::new(),
            NOTES.schema(&shop),
        );
        let connection = database.get().await.unwrap();
        let row = connection.query_one(&ids, &[]).await.unwrap();
        assert_eq!(row.get::<_, Vec<i64>>(0), [1, 3]);
    }
}
