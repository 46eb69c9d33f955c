//! What is tried again, how often, and for how long.

use std::time::{Duration, Instant};

use checkpointer::{CheckpointAddress, Checkpointer, Error, PostgresCheckpointer};
use db::Database;
use expect_test::expect;
use futures_util::FutureExt;
use serde_json::json;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::step::{Step, get, map, thread, try_write};
use rig::{TcpProxy, TestDb, chain, eventually, log};

/// What would take an hour if it weren't ended.
const SOON: Duration = Duration::from_secs(60);

/// A checkpoint to write to, and a server that can be told to refuse.
struct Refusing {
    test: TestDb,
    observer: Client,
    checkpointer: PostgresCheckpointer,
    address: CheckpointAddress,
}

impl Refusing {
    async fn new(variables: &[(&str, &str)]) -> Self {
        let test = TestDb::without_schema().await;
        let settings = test.settings(variables);
        Self::with(test, Database::connect(&settings).await.unwrap()).await
    }

    async fn with(test: TestDb, database: Database) -> Self {
        let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
        let address = Step::first(&thread("refused")).put(&checkpointer).await;
        let observer = test.observer().await;
        // Unlike rows, what a sequence has counted stays when a transaction fails.
        let sql = format!("CREATE SEQUENCE {}.attempts", test.schema());
        observer.batch_execute(&sql).await.unwrap();
        Self {
            test,
            observer,
            checkpointer,
            address,
        }
    }

    /// Makes the server refuse writes with a code, if a condition on the number of the `attempt`
    /// holds.
    async fn refuse(&self, code: &str, condition: &str) {
        // Each by itself: a transaction of all could wait for a write that waits for it.
        for sql in [
            "ALTER SEQUENCE {schema}.attempts RESTART",
            "CREATE OR REPLACE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                DECLARE attempt bigint := nextval('{schema}.attempts');
                BEGIN
                    IF {condition} THEN
                        RAISE EXCEPTION 'no, says the test' USING ERRCODE = '{code}';
                    END IF;
                    RETURN NEW;
                END $$",
            "CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON {schema}.pending_writes
                FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()",
        ] {
            let sql = sql
                .replace("{schema}", self.test.schema())
                .replace("{condition}", condition)
                .replace("{code}", code);
            self.observer.batch_execute(&sql).await.unwrap();
        }
    }

    async fn write(&self, task: &str) -> checkpointer::Result<()> {
        try_write(&self.checkpointer, &self.address, task, &json!(1)).await
    }

    async fn attempts(&self) -> i64 {
        let sql = format!(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}.attempts",
            self.test.schema()
        );
        let row = self.observer.query_one(&sql, &[]).await.unwrap();
        row.get(0)
    }

    async fn stored(&self) -> usize {
        let tuple = get(&self.checkpointer, &self.address).await;
        tuple.pending_writes.len()
    }
}

#[tokio::test]
async fn the_servers_code_decides_whether_an_operation_is_tried_again() {
    let variables = [("DB_RETRY_ATTEMPTS", "3"), ("DB_RETRY_PAUSE", "1ms")];
    let refusing = Refusing::new(&variables).await;
    for code in [
        "08001", "40000", "40001", "40P01", "53000", "53100", "53200", "53300", "55P03", "57P03",
        "25006",
    ] {
        refusing.refuse(code, "true").await;
        let error = refusing.write("task").await.unwrap_err();
        assert!(
            error.is_transient() && !error.is_outcome_unknown(),
            "{code}"
        );
        assert_eq!(refusing.attempts().await, 3, "{code}");
    }
    for code in ["08000", "08006", "08007", "40003", "57P01", "57P02"] {
        refusing.refuse(code, "true").await;
        let error = refusing.write("task").await.unwrap_err();
        assert!(error.is_transient() && error.is_outcome_unknown(), "{code}");
        assert_eq!(refusing.attempts().await, 3, "{code}");
    }
    // A key that exists may be that of the task's outputs: the call is sent once more, in another
    // form, and only then is refused.
    refusing.refuse("23505", "true").await;
    let error = refusing.write("task").await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(refusing.attempts().await, 2);
    for code in [
        "22000", "40002", "42501", "53400", "57014", "58030", "P0001", "XX000",
    ] {
        refusing.refuse(code, "true").await;
        let error = refusing.write("task").await.unwrap_err();
        assert!(!error.is_transient(), "{code}");
        assert_eq!(refusing.attempts().await, 1, "{code}");
    }
    refusing.refuse("53400", "true").await;
    let error = refusing.write("task").await.unwrap_err();
    let text = chain(&error);
    let (text, _) = text.split_once("CONTEXT").unwrap_or((&text, ""));
    expect![[r#"
        failed to put pending writes
        `checkpointer::put_writes` failed
        db error
        ERROR: no, says the test
    "#]]
    .assert_eq(text);
    assert_eq!(refusing.stored().await, 0);
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_until_it_passes() {
    let refusing = Refusing::new(&[]).await;
    refusing.refuse("40001", "attempt <= 5").await;
    refusing.write("task").await.unwrap();
    assert_eq!(refusing.attempts().await, 6);
    assert_eq!(refusing.stored().await, 1);
}

#[tokio::test]
async fn the_time_for_retries_ends_them_and_may_be_nothing() {
    let refusing = Refusing::new(&[("DB_RETRY_TIMEOUT", "0")]).await;
    refusing.refuse("40001", "true").await;
    refusing.write("task").await.unwrap_err();
    assert_eq!(refusing.attempts().await, 1);

    let variables = [
        ("DB_RETRY_TIMEOUT", "2s"),
        ("DB_RETRY_PAUSE", "10ms"),
        ("DB_RETRY_ATTEMPTS", "10000"),
    ];
    let refusing = Refusing::new(&variables).await;
    refusing.refuse("40001", "true").await;
    let started = Instant::now();
    let error = refusing.write("task").await.unwrap_err();
    assert!(started.elapsed() < SOON);
    assert!(error.is_transient());
    assert!(refusing.attempts().await > 1);
}

#[tokio::test]
async fn an_unknown_outcome_stays_unknown_if_trying_again_fails_for_good() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[]);
    let database = Database::connect(&settings).await.unwrap();
    let refusing = Refusing::with(test, database).await;
    refusing.refuse("23505", "attempt > 1").await;
    proxy.cut_instead_of_answer_to("lost-task");
    let error = refusing.write("lost-task").await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{}", chain(&error));
    assert_eq!(refusing.stored().await, 1, "this time it was");
}

#[tokio::test]
async fn a_close_does_not_wait_for_the_whole_time_for_retries() {
    let variables = [
        ("DB_RETRY_TIMEOUT", "1h"),
        ("DB_RETRY_PAUSE", "1h"),
        ("DB_RETRY_ATTEMPTS", "10000"),
    ];
    let refusing = Refusing::new(&variables).await;
    refusing.refuse("40001", "true").await;
    let write = tokio::spawn({
        let (checkpointer, address) = (refusing.checkpointer.clone(), refusing.address.clone());
        async move { try_write(&checkpointer, &address, "task", &json!(1)).await }
    });
    eventually("it is tried again", async || refusing.attempts().await > 2).await;
    let closed = timeout(SOON, refusing.checkpointer.close()).await;
    closed.unwrap().unwrap();
    let error = write.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Database { .. }) && error.is_transient());
}

#[tokio::test]
async fn a_failure_that_passes_while_closing_does_no_harm() {
    let refusing = Refusing::new(&[("DB_RETRY_PAUSE", "10ms")]).await;
    refusing.refuse("40001", "true").await;
    let mut write = Box::pin(refusing.write("task"));
    tokio::select! {
        outcome = &mut write => panic!("{outcome:?}"),
        () = eventually("it is tried again", async || refusing.attempts().await > 2) => {}
    }
    let mut closing = refusing.checkpointer.close();
    assert!(closing.as_mut().now_or_never().is_none());
    refusing.refuse("40001", "false").await;
    closing.await.unwrap();
    write.await.unwrap();
}

#[tokio::test]
async fn what_is_logged_of_a_failure_quotes_no_row() {
    let refusing = Refusing::new(&[]).await;
    let sql = format!(
        "ALTER TABLE {}.threads ADD CHECK (metadata = '{{}}')",
        refusing.test.schema()
    );
    refusing.observer.batch_execute(&sql).await.unwrap();
    let text = log(async {
        let metadata = map(json!({ "password": "hunter2" }));
        let thread_id = &refusing.address.thread_id;
        let set = refusing
            .checkpointer
            .set_thread_metadata(thread_id, metadata);
        let error = set.await.unwrap_err();
        // The caller may see it.
        assert!(chain(&error).contains("hunter2"), "{}", chain(&error));
    })
    .await;
    assert!(text.contains("giving up"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_call_inside_ones_own_transaction_ends_after_the_time_for_a_connection() {
    let test = TestDb::without_schema().await;
    let variables = [("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")];
    let database = test.connect(&variables).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let started = Instant::now();
    let put = database.transaction(async |_| -> db::Result<_> {
        Ok(Step::first(&thread("inside")).try_put(&checkpointer).await)
    });
    let error = put.await.unwrap().unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(chain(&error).contains("1 of 1 are in use"), "{error:?}");
}
