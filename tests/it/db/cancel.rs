//! Every call may be dropped at each of its await points.

use std::time::Duration;

use db::{Connection, Database, GenericClient, Statement, Type};

use futures_util::FutureExt;

use rig::{TestDb, at_every_poll, eventually};

use super::SHOP;

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);
static ECHO: Statement = Statement::new("SELECT $1::int8", &[Type::INT8]);
const MODES: [&str; 2] = ["session", "transaction"];

/// A pool of one, in which everything left behind would show.
async fn pool_of_one(mode: &str) -> (TestDb, Database) {
    let test = TestDb::new().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "1"), ("DB_POOL_MODE", mode)])
        .await;
    (test, db)
}

/// Whether the pool lends a connection that works and is as new, and nothing else is borrowed or
/// open.
async fn sound(test: &TestDb, db: &Database) {
    let connection = db.get().await.unwrap();
    let row = connection.query_one(&PID, &[]).await.unwrap();
    let pid: i32 = row.get(0);
    let observer = test.observer().await;
    let lent = format!("pid = {pid} AND state = 'idle'");
    assert_eq!(test.backends(&observer, &lent).await, 1);
    // The server process of one that was discarded may have to end its statement first.
    eventually("nothing is left running", async || {
        test.backends(&observer, "state <> 'idle'").await == 0
    })
    .await;
    drop(connection);
    let state = db.state();
    assert_eq!((state.in_use, state.waiting), (0, 0));
}

/// Drops a call on a connection at each of its polls.
async fn check(mode: &str, call: impl AsyncFn(&mut Connection)) {
    let (test, db) = pool_of_one(mode).await;
    test.with_notes(&db).await;
    at_every_poll(
        async || {
            let mut connection = db.get().await.unwrap();
            call(&mut connection).await;
        },
        async || sound(&test, &db).await,
    )
    .await;
}

#[tokio::test]
async fn queries_may_be_dropped() {
    for mode in MODES {
        check(mode, async |connection| {
            connection.query(&ECHO, &[&1_i64]).await.unwrap();
        })
        .await;
        check(mode, async |connection| {
            connection.query_opt(&ECHO, &[&1_i64]).await.unwrap();
        })
        .await;
        check(mode, async |connection| {
            connection.query_one(&ECHO, &[&1_i64]).await.unwrap();
        })
        .await;
        check(mode, async |connection| {
            connection.execute(&ECHO, &[&1_i64]).await.unwrap();
        })
        .await;
        check(mode, async |connection| {
            connection.batch_execute("BEGIN; SELECT 1").await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn transactions_may_be_dropped() {
    for mode in MODES {
        let (test, db) = pool_of_one(mode).await;
        test.with_notes(&db).await;
        let insert = Statement::from_parts(
            format!("INSERT INTO {}.notes VALUES ($1, 'x')", test.schema()),
            vec![Type::INT8],
        );
        let mut attempts = 0_i64;
        at_every_poll(
            async || {
                attempts += 1;
                let attempt = attempts;
                db.transaction(async |tx| -> db::Result<()> {
                    tx.execute(&insert, &[&attempt]).await?;
                    tx.query(&ECHO, &[&1_i64]).await?;
                    tx.query_opt(&ECHO, &[&1_i64]).await?;
                    tx.query_one(&ECHO, &[&1_i64]).await?;
                    tx.batch_execute("SELECT 1").await?;
                    tx.execute(&insert, &[&-attempt]).await?;
                    Ok(())
                })
                .await
                .unwrap();
            },
            async || sound(&test, &db).await,
        )
        .await;
        // Each took effect as a whole or not at all, and the last one did.
        let sql = format!("SELECT sum(id)::int8, max(id) FROM {}.notes", test.schema());
        let row = test.observer().await.query_one(&sql, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (0_i64, attempts));
    }
}

#[tokio::test]
async fn a_transaction_that_fails_may_be_dropped() {
    for mode in MODES {
        let (test, db) = pool_of_one(mode).await;
        at_every_poll(
            async || {
                let body = async |tx: &db::Transaction<'_>| tx.batch_execute("SELECT 1 / 0").await;
                db.transaction(body).await.unwrap_err();
            },
            async || sound(&test, &db).await,
        )
        .await;
    }
}

#[tokio::test]
async fn borrowing_and_pinging_may_be_dropped() {
    let (test, db) = pool_of_one("session").await;
    at_every_poll(
        async || drop(db.get().await.unwrap()),
        async || sound(&test, &db).await,
    )
    .await;
    at_every_poll(
        async || db.ping().await.unwrap(),
        async || sound(&test, &db).await,
    )
    .await;
}

#[tokio::test]
async fn a_borrower_who_gives_up_when_it_is_its_turn_takes_nothing_along() {
    let (test, db) = pool_of_one("session").await;
    let lent = db.get().await.unwrap();
    let mut waiting = Box::pin(db.get());
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(lent);
    drop(waiting);
    sound(&test, &db).await;
}

#[tokio::test]
async fn connecting_may_be_dropped() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    // With more, the pool would open another as soon as `sound` borrows the first.
    let settings = test.settings(&[("DB_POOL_MAX", "1")]);
    let db = at_every_poll(
        async || Database::connect(&settings).await.unwrap(),
        async || (),
    )
    .await;
    // A server process that has a statement ends it before it notices that its client is gone.
    eventually("only this pool's connections are left", async || {
        test.backends(&observer, "true").await == i64::from(db.state().connections)
    })
    .await;
    sound(&test, &db).await;
}

#[tokio::test]
async fn closing_may_be_dropped() {
    let (test, db) = pool_of_one("session").await;
    db.ping().await.unwrap();
    at_every_poll(
        async || db.close(Duration::from_secs(10)).await.unwrap(),
        async || assert!(db.get().await.is_err()),
    )
    .await;
    let observer = test.observer().await;
    eventually("all is closed", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
}

#[tokio::test]
async fn migrating_may_be_dropped() {
    for mode in MODES {
        let (test, db) = pool_of_one(mode).await;
        at_every_poll(
            async || SHOP.apply(&db).await.unwrap(),
            async || sound(&test, &db).await,
        )
        .await;
        at_every_poll(
            async || SHOP.verify(&db).await.unwrap(),
            async || sound(&test, &db).await,
        )
        .await;
    }
}
