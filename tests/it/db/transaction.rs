//! Transactions: what is committed, and what is said if it is not.

use std::sync::{Arc, Mutex};

use db::{Database, Error, GenericClient, Statement, Transaction, Type};

use rig::{TcpProxy, TestDb, chain, url};

/// An error of a program's own.
#[derive(Debug)]
enum OwnError {
    Refused,
    Database,
}

impl From<Error> for OwnError {
    fn from(_: Error) -> Self {
        Self::Database
    }
}

struct Notes {
    test: TestDb,
    insert: Statement,
}

impl Notes {
    async fn new(db: &Database, test: TestDb) -> Self {
        test.with_notes(db).await;
        let sql = format!(
            "-- notes::insert\nINSERT INTO {}.notes VALUES ($1, $2)",
            test.schema()
        );
        let insert = Statement::from_parts(sql, vec![Type::INT8, Type::TEXT]);
        Self { test, insert }
    }

    /// What a stranger sees.
    async fn ids(&self) -> Vec<i64> {
        let sql = format!("SELECT id FROM {}.notes ORDER BY id", self.test.schema());
        let rows = self.test.observer().await.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn notes() -> (Database, Notes) {
    let test = TestDb::new().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let notes = Notes::new(&db, test).await;
    (db, notes)
}

#[tokio::test]
async fn ok_commits_and_err_rolls_back() {
    let (db, notes) = notes().await;
    let count = db
        .transaction(async |tx| -> Result<u64, OwnError> {
            Ok(tx.execute(&notes.insert, &[&1_i64, &"one"]).await?)
        })
        .await
        .unwrap();
    assert_eq!(count, 1);
    let error = db
        .transaction(async |tx| -> Result<(), OwnError> {
            tx.execute(&notes.insert, &[&2_i64, &"two"]).await?;
            Err(OwnError::Refused)
        })
        .await
        .unwrap_err();
    assert!(matches!(error, OwnError::Refused));
    assert_eq!(notes.ids().await, [1]);
    let idle = db.state();
    assert_eq!(
        (idle.in_use, idle.idle),
        (0, 1),
        "nothing was left to clean"
    );
}

#[tokio::test]
async fn a_transaction_can_be_spawned() {
    let (db, notes) = notes().await;
    let insert = notes.insert.clone();
    let task = tokio::spawn(async move {
        let body = String::from("one");
        let borrowed = body.as_str();
        db.transaction(async |tx| -> Result<(), OwnError> {
            tx.execute(&insert, &[&1_i64, &borrowed]).await?;
            tx.execute(&insert, &[&2_i64, &borrowed]).await?;
            Ok(())
        })
        .await
    });
    task.await.unwrap().unwrap();
    assert_eq!(notes.ids().await, [1, 2]);
}

#[tokio::test]
async fn a_failed_statement_never_commits_as_ok() {
    let (db, notes) = notes().await;
    let mut runs = 0;
    let error = db
        .transaction(async |tx| -> db::Result<()> {
            runs += 1;
            tx.execute(&notes.insert, &[&1_i64, &"one"]).await?;
            let twice = tx.execute(&notes.insert, &[&1_i64, &"one"]).await;
            assert!(twice.is_err(), "and the body looks away");
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::TransactionFailed { .. }),
        "{error:?}"
    );
    assert_eq!(runs, 1);
    assert!(notes.ids().await.is_empty());
}

#[tokio::test]
async fn a_transaction_ended_by_its_own_body_is_reported() {
    for sql in ["ROLLBACK", "COMMIT"] {
        let (db, notes) = notes().await;
        let error = db
            .transaction(async |tx| -> db::Result<()> {
                tx.execute(&notes.insert, &[&1_i64, &"one"]).await?;
                // Where the server's warning isn't seen.
                tx.batch_execute("SET client_min_messages = error").await?;
                tx.batch_execute(sql).await
            })
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::TransactionEnded { .. }),
            "{sql}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_is_its_error() {
    let (db, notes) = notes().await;
    let schema = notes.test.schema();
    let sql = format!(
        "ALTER TABLE {schema}.notes ADD COLUMN next bigint \
         REFERENCES {schema}.notes DEFERRABLE INITIALLY DEFERRED"
    );
    notes
        .test
        .observer()
        .await
        .batch_execute(&sql)
        .await
        .unwrap();
    let error = db
        .transaction(async |tx| -> db::Result<()> {
            let sql = format!("INSERT INTO {schema}.notes VALUES (1, 'one', 2)");
            tx.batch_execute(&sql).await
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&db::SqlState::FOREIGN_KEY_VIOLATION));
    assert!(!error.is_outcome_unknown());
    assert!(notes.ids().await.is_empty());
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_lost_before_the_commit_took_nothing_with_it() {
    let test = TestDb::new().await;
    let proxy = TcpProxy::new();
    let db = Database::connect(&test.settings_through(&proxy, &[]))
        .await
        .unwrap();
    let notes = Notes::new(&db, test).await;
    let error = db
        .transaction(async |tx| -> db::Result<()> {
            proxy.cut_instead_of_answer_to("notes::insert");
            tx.execute(&notes.insert, &[&1_i64, &"one"]).await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    assert!(error.is_transient() && !error.is_outcome_unknown());
    assert!(notes.ids().await.is_empty());
}

#[tokio::test]
async fn a_connection_lost_during_the_commit_leaves_the_outcome_unknown() {
    let test = TestDb::new().await;
    let proxy = TcpProxy::new();
    let db = Database::connect(&test.settings_through(&proxy, &[]))
        .await
        .unwrap();
    let notes = Notes::new(&db, test).await;
    let error = db
        .transaction(async |tx| -> db::Result<()> {
            tx.execute(&notes.insert, &[&1_i64, &"one"]).await?;
            proxy.cut_instead_of_answer_to("db_commit");
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.is_outcome_unknown(), "{}", chain(&error));
    assert_eq!(notes.ids().await, [1], "this time it was committed");
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_transaction_is_read_committed_whatever_the_default_is() {
    static LEVELS: Statement = Statement::new(
        "SELECT current_setting('default_transaction_isolation'),
             current_setting('transaction_isolation')",
        &[],
    );
    let test = TestDb::without_schema().await;
    let options = "options=-c%20default_transaction_isolation%3Dserializable";
    let settings = test.settings_for(&format!("{}?{options}", url()), &[]);
    let db = Database::connect(&settings).await.unwrap();
    let row = db
        .transaction(async |tx| tx.query_one(&LEVELS, &[]).await)
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "serializable");
    assert_eq!(row.get::<_, &str>(1), "read committed");
}

#[tokio::test]
async fn what_is_to_be_done_after_the_commit_is_done_after_a_commit_only() {
    let test = TestDb::new().await;
    let proxy = TcpProxy::new();
    let db = Database::connect(&test.settings_through(&proxy, &[]))
        .await
        .unwrap();
    let notes = Notes::new(&db, test).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    let note = |tx: &Transaction<'_>, number: i64| {
        let done = Arc::clone(&done);
        tx.after_commit(move || done.lock().unwrap().push(number));
    };
    let committed = db.transaction(async |tx| -> db::Result<()> {
        note(tx, 1);
        tx.execute(&notes.insert, &[&1_i64, &"one"]).await?;
        note(tx, 2);
        assert!(done.lock().unwrap().is_empty());
        Ok(())
    });
    committed.await.unwrap();
    assert_eq!(*done.lock().unwrap(), [1, 2]);

    let rolled_back = db.transaction(async |tx| -> Result<(), OwnError> {
        note(tx, 3);
        Err(OwnError::Refused)
    });
    rolled_back.await.unwrap_err();
    let failed = db.transaction(async |tx| -> db::Result<()> {
        note(tx, 4);
        tx.execute(&notes.insert, &[&1_i64, &"one"]).await.ok();
        Ok(())
    });
    failed.await.unwrap_err();
    let unknown = db.transaction(async |tx| -> db::Result<()> {
        note(tx, 5);
        tx.execute(&notes.insert, &[&2_i64, &"two"]).await?;
        proxy.cut_instead_of_answer_to("db_commit");
        Ok(())
    });
    assert!(unknown.await.unwrap_err().is_outcome_unknown());
    let taken_back = db.transaction(async |tx| -> db::Result<()> {
        tx.batch_execute("SAVEPOINT a").await?;
        note(tx, 6);
        tx.batch_execute("ROLLBACK TO a").await?;
        note(tx, 7);
        Ok(())
    });
    taken_back.await.unwrap();
    assert_eq!(*done.lock().unwrap(), [1, 2, 7]);
}

#[tokio::test]
async fn a_transaction_of_the_driver_runs_statements_and_says_what_failed() {
    async fn insert(client: &impl GenericClient, insert: &Statement, id: i64) -> db::Result<u64> {
        client.execute(insert, &[&id, &"a note"]).await
    }
    let (db, notes) = notes().await;
    let mut client = notes.test.observer().await;
    let tx = client.transaction().await.unwrap();
    assert_eq!(insert(&tx, &notes.insert, 1).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(
        insert(&db.get().await.unwrap(), &notes.insert, 2)
            .await
            .unwrap(),
        1
    );
    assert_eq!(notes.ids().await, [1, 2]);

    let tx = client.transaction().await.unwrap();
    let twice = insert(&tx, &notes.insert, 1).await.unwrap_err();
    assert_eq!(twice.code(), Some(&db::SqlState::UNIQUE_VIOLATION));
    let too_many = GenericClient::execute(&tx, &notes.insert, &[]).await;
    assert!(matches!(too_many, Err(Error::ParameterCount { .. })));
    drop(tx);

    let tx = client.transaction().await.unwrap();
    let kill = Statement::new("SELECT pg_terminate_backend(pg_backend_pid())", &[]);
    let lost = GenericClient::query(&tx, &kill, &[]).await.unwrap_err();
    assert!(matches!(lost, Error::ConnectionLost { .. }), "{lost:?}");
    assert!(lost.is_transient() && !lost.is_outcome_unknown());
}
