//! What is logged, and what must not be.

use std::time::Duration;

use db::{Database, Error, GenericClient, Statement, Type};
use rig::{TestDb, log, url};
use settings::Settings;

#[tokio::test]
async fn connect_acquire_close_and_failures_are_logged_with_their_causes() {
    static INSERT: Statement = Statement::new(
        "-- secrets::insert
         WITH secret AS (SELECT $1::text AS secret) SELECT secret::int FROM secret",
        &[Type::TEXT],
    );
    let test = TestDb::new().await;
    let settings = test.settings(&[("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")]);
    let text = log(async {
        let db = Database::connect(&settings).await.unwrap();
        test.with_notes(&db).await;
        let connection = db.get().await.unwrap();
        db.get().await.unwrap_err();
        connection.query(&INSERT, &[&"12x"]).await.unwrap_err();
        let twice = format!(
            "INSERT INTO {0}.notes VALUES (1, 'hunter2'), (1, 'hunter2')",
            test.schema()
        );
        connection.batch_execute(&twice).await.unwrap_err();
        db.close(Duration::from_millis(10)).await.unwrap_err();
    })
    .await;
    for expected in [
        "INFO db::database: connected",
        "TRACE db::database: acquired a connection",
        "INFO db::migrate: applied a migration",
        "WARN db::database: failed to acquire a connection error=no connection became free",
        "DEBUG db::watch: statement failed statement=\"secrets::insert\"",
        "duplicate key value violates unique constraint",
        "WARN db::close: closed by force error=closed with 1 still in use",
    ] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    // The server's messages quote a row, and a parameter.
    assert!(!text.contains("(id)=(1)"), "{text}");
    assert!(!text.contains("12x"), "{text}");
    let settings = Settings::from_url(&url()).unwrap();
    let password = settings.password().unwrap().expose();
    if password != settings.user() {
        assert!(!text.contains(password), "{text}");
    }
}

#[tokio::test]
async fn a_failure_to_connect_is_logged_without_the_password() {
    let test = TestDb::without_schema().await;
    let settings = Settings::from_url(&url()).unwrap();
    let wrong = format!("postgres://nobody:hunter2@{}/x", settings.hosts()[0]);
    let settings = test.settings_for(&wrong, &[]);
    let text = log(async {
        let error = Database::connect(&settings).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }));
    })
    .await;
    assert!(text.contains("failed to connect"), "{text}");
    assert!(
        text.contains("(28P01)") || text.contains("(28000)"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_server_that_may_compile_statements_is_warned_of() {
    static JIT: Statement = Statement::new("SELECT pg_catalog.current_setting('jit')", &[]);
    const WARNING: &str = "the server may compile statements";
    let test = TestDb::without_schema().await;
    for (options, jit) in [("", "off"), ("?options=-c%20jit%3Don", "on")] {
        let settings = test.settings_for(&format!("{}{options}", url()), &[]);
        let text = log(async {
            let db = Database::connect(&settings).await.unwrap();
            let row = db.get().await.unwrap().query_one(&JIT, &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), jit);
        })
        .await;
        assert_eq!(text.contains(WARNING), jit == "on", "{options}\n{text}");
    }
}
