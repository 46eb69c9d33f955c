//! A network that keeps connections open and moves nothing.

use std::time::{Duration, Instant};

use db::{Connection, Database, Error, GenericClient, Statement, Type};
use expect_test::expect;
use futures_util::FutureExt;
use tokio::time::timeout;

use rig::{TcpProxy, TestDb, chain, eventually, timeless};

use super::SHOP;

static ECHO: Statement = Statement::new("-- echo\nSELECT $1::int8", &[Type::INT8]);
static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);
static NAP: Statement = Statement::new("-- nap\nSELECT pg_sleep(2)", &[]);
const MODES: [&str; 2] = ["session", "transaction"];

async fn pid(connection: &Connection) -> i32 {
    let row = connection.query_one(&PID, &[]).await.unwrap();
    row.get(0)
}

async fn through(proxy: &TcpProxy, variables: &[(&str, &str)]) -> (TestDb, Database) {
    let test = TestDb::new().await;
    let settings = test.settings_through(proxy, variables);
    let db = Database::connect(&settings).await.unwrap();
    (test, db)
}

/// What a call returns if the answer to the next message that holds `text` never comes.
async fn unanswered<T>(proxy: &TcpProxy, text: &'static str, call: impl Future<Output = T>) -> T {
    let before = proxy.sprung();
    proxy.silence_instead_of_answer_to(text);
    let mut call = Box::pin(call);
    tokio::select! {
        _ = &mut call => panic!("{text} was answered"),
        () = eventually("silent", async || proxy.sprung() > before) => {}
    }
    // Nothing else is going on, so the clock runs on to the limit.
    tokio::time::pause();
    let result = call.await;
    tokio::time::resume();
    result
}

#[tokio::test]
async fn a_statement_without_an_answer_is_given_up_after_its_time_and_the_networks() {
    for mode in MODES {
        let proxy = TcpProxy::new();
        let variables = [
            ("DB_POOL_MODE", mode),
            ("DB_POOL_MAX", "1"),
            ("DB_STATEMENT_TIMEOUT", "1s"),
            ("DB_NETWORK_TIMEOUT", "1s"),
        ];
        let (_test, db) = through(&proxy, &variables).await;
        let connection = db.get().await.unwrap();
        connection.query(&ECHO, &[&1_i64]).await.unwrap();
        // Cancel requests get no further either.
        proxy.stall();
        let started = Instant::now();
        let error = connection.query(&ECHO, &[&1_i64]).await.unwrap_err();
        let after = started.elapsed();
        assert!(
            after >= Duration::from_secs(2) && after < Duration::from_secs(20),
            "{after:?}"
        );
        assert!(error.is_outcome_unknown() && error.is_transient());
        expect![[r#"
            the connection was lost during `echo`; whether it took effect is unknown
            there was no answer within TIME
        "#]]
        .assert_eq(&timeless(&error));

        let error = connection.query(&ECHO, &[&1_i64]).await.unwrap_err();
        expect![[r#"
            the connection was lost before `echo` could take effect
            there was no answer within TIME
        "#]]
        .assert_eq(&timeless(&error));

        proxy.release();
        drop(connection);
        db.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_without_an_answer_is_given_up_and_only_its_commit_is_in_doubt() {
    for mode in MODES {
        let proxy = TcpProxy::new();
        let (_test, db) = through(&proxy, &[("DB_POOL_MODE", mode)]).await;
        for (silent, text, in_doubt) in [
            ("BEGIN", "lost before `BEGIN` could take effect", false),
            ("-- echo", "lost before `echo` could take effect", false),
            ("db_commit", "lost during `COMMIT`", true),
        ] {
            let call = db.transaction(async |tx| -> db::Result<()> {
                tx.query(&ECHO, &[&1_i64]).await.map(drop)
            });
            let error = unanswered(&proxy, silent, call).await.unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.is_outcome_unknown(), in_doubt);
            assert!(error.is_transient());
            db.ping().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_ping_is_answered_within_the_networks_time_alone() {
    for mode in MODES {
        for limit in ["24h", "off"] {
            let proxy = TcpProxy::new();
            let variables = [("DB_POOL_MODE", mode), ("DB_STATEMENT_TIMEOUT", limit)];
            let (_test, db) = through(&proxy, &variables).await;
            let error = unanswered(&proxy, "SELECT", db.ping()).await.unwrap_err();
            expect![[r#"
                the connection was lost during `SELECT`; whether it took effect is unknown
                there was no answer within 10.0s
            "#]]
            .assert_eq(&chain(&error));
            db.ping().await.unwrap();
        }
    }
}

/// A connection on which a statement has five seconds.
async fn hurried(mode: &str) -> (TestDb, Connection) {
    let test = TestDb::without_schema().await;
    let variables = [
        ("DB_POOL_MODE", mode),
        ("DB_STATEMENT_TIMEOUT", "5s"),
        ("DB_NETWORK_TIMEOUT", "100ms"),
    ];
    let db = test.connect(&variables).await;
    let connection = db.get().await.unwrap();
    (test, connection)
}

#[tokio::test]
async fn each_of_the_calls_on_a_connection_has_the_whole_time() {
    for mode in MODES {
        let (_test, connection) = hurried(mode).await;
        connection.query(&NAP, &[]).await.unwrap();
        // The third ends after 6 seconds.
        let abandoned = connection.query(&NAP, &[]);
        assert!(timeout(Duration::from_millis(1), abandoned).await.is_err());
        let (second, third) =
            tokio::join!(connection.query(&NAP, &[]), connection.query(&NAP, &[]));
        second.unwrap();
        third.unwrap();
    }
}

#[tokio::test]
async fn each_statement_of_raw_sql_has_the_whole_time() {
    for mode in MODES {
        let (_test, connection) = hurried(mode).await;
        let naps = "SELECT pg_sleep(2); SELECT pg_sleep(2); SELECT pg_sleep(2)";
        connection.batch_execute(naps).await.unwrap();
        // What comes behind it waits for all of them.
        let (naps, nap) = tokio::join!(connection.batch_execute(naps), connection.query(&NAP, &[]));
        naps.unwrap();
        nap.unwrap();
    }
}

#[tokio::test]
async fn a_call_without_an_answer_in_pool_mode_transaction_ends_no_other_connection() {
    let proxy = TcpProxy::new();
    let variables = [("DB_POOL_MODE", "transaction"), ("DB_POOL_MAX", "2")];
    let (_test, db) = through(&proxy, &variables).await;
    let (silent, other) = (db.get().await.unwrap(), db.get().await.unwrap());
    let pid = pid(&other).await;
    let call = silent.query(&ECHO, &[&1_i64]);
    let error = unanswered(&proxy, "-- echo", call).await.unwrap_err();
    assert!(error.is_outcome_unknown());
    drop(silent);
    drop(other);
    assert_eq!(self::pid(&db.get().await.unwrap()).await, pid);
}

#[tokio::test]
async fn a_call_that_was_dropped_on_a_silent_connection_holds_nothing_up() {
    for mode in MODES {
        let proxy = TcpProxy::new();
        let variables = [("DB_POOL_MODE", mode), ("DB_POOL_MAX", "1")];
        let (_test, db) = through(&proxy, &variables).await;
        let connection = db.get().await.unwrap();
        proxy.stall_present();
        let mut query = Box::pin(connection.query(&ECHO, &[&1_i64]));
        assert!(query.as_mut().now_or_never().is_none());
        drop(query);
        drop(connection);
        db.ping().await.unwrap();
    }
}

#[tokio::test]
async fn one_check_without_an_answer_is_enough_for_all_connections_that_lay_idle() {
    let proxy = TcpProxy::new();
    let (test, db) = through(&proxy, &[]).await;
    let mut lent = Vec::new();
    for _ in 0..10 {
        lent.push(db.get().await.unwrap());
    }
    lent.clear();
    proxy.stall_present();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    // One after the other would take longer than a borrower waits.
    db.ping().await.unwrap();
    drop(db.get().await.unwrap());
    drop((test, proxy));
}

#[tokio::test]
async fn migrations_without_an_answer_are_given_up_and_may_be_applied_again() {
    for mode in MODES {
        for silent in [
            "BEGIN",
            "db::lock_migrations",
            "CREATE TABLE IF NOT EXISTS",
            ".orders (id int)",
            "db_commit",
        ] {
            let proxy = TcpProxy::new();
            // Migrations have limits of their own.
            let variables = [("DB_POOL_MODE", mode), ("DB_STATEMENT_TIMEOUT", "1h")];
            let (_test, db) = through(&proxy, &variables).await;
            let error = unanswered(&proxy, silent, SHOP.apply(&db))
                .await
                .unwrap_err();
            assert!(error.is_transient(), "{silent}: {error:?}");
            let text = chain(&error);
            assert!(text.contains("there was no answer within"), "{text}");

            SHOP.apply(&db).await.unwrap();
            SHOP.verify(&db).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_close_ends_though_the_network_is_silent() {
    let proxy = TcpProxy::new();
    let (_test, db) = through(&proxy, &[]).await;
    let connection = db.get().await.unwrap();
    proxy.stall();
    let query = tokio::spawn(async move { connection.query(&ECHO, &[&1_i64]).await });
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { db.get().await }
    });
    tokio::task::yield_now().await;
    let closed = timeout(
        Duration::from_secs(60),
        db.close(Duration::from_millis(100)),
    )
    .await;
    assert!(matches!(
        closed.unwrap(),
        Err(Error::StillInUse { in_use: 1, .. })
    ));
    assert!(query.await.unwrap().unwrap_err().is_outcome_unknown());
    assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
}
