//! Parameters of the server: those that a proxy hides, and those that are set for a role.

use std::time::Duration;

use checkpointer::{Checkpointer, GetTuple, PostgresCheckpointer, Verify};
use db::Database;
use expect_test::expect;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use super::step::{Step, checkpointer, get, large, thread, try_write, values};
use rig::{TcpProxy, TestDb, chain, url};

/// How long a connection may take to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// What changes the meaning of SQL, or the text in which values are shown.
const PARAMETERS: &[&str] = &[
    "standard_conforming_strings=off",
    "backslash_quote=off",
    "transform_null_equals=on",
    "array_nulls=off",
    "quote_all_identifiers=on",
    "bytea_output=escape",
    "DateStyle=SQL,DMY",
    "IntervalStyle=sql_standard",
    "TimeZone=Pacific/Chatham",
    "extra_float_digits=-15",
    "client_min_messages=debug1",
];

/// Values in which a backslash, a quote, a null or a digit may get lost.
fn content() -> Value {
    json!({
        "messages": large(1),
        "text": r#"a \ b \\ c ' d '' e \' f " g \" h \n $1 E'\\x41'"#,
        "numbers": [0.1, 1e-300, 123_456_789.123_456_79, 9_007_199_254_740_993_u64],
        "nulls": [null, { "a": null }],
        "null": null,
    })
}

fn with_options(url: &str, parameters: &[&str]) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let options: Vec<_> = parameters
        .iter()
        .map(|parameter| format!("-c{}", parameter.replace('=', "%3D")))
        .collect();
    format!("{url}{separator}options={}", options.join("%20"))
}

/// The URL, for another database.
fn in_database(url: &str, name: &str) -> String {
    let (authority, query) = match url.split_once('?') {
        Some((authority, query)) => (authority, format!("?{query}")),
        None => (url, String::new()),
    };
    let (server, _) = authority.rsplit_once('/').unwrap();
    format!("{server}/{name}{query}")
}

/// A proxy that hides parameters, as a bare client sees it.
async fn hiding() -> TcpProxy {
    let proxy = TcpProxy::new();
    proxy.hide_parameters();
    let client = tokio_postgres::connect(proxy.url(), NoTls).await;
    let (_client, connection) = client.unwrap();
    for hidden in ["server_version", "server_encoding", "integer_datetimes"] {
        assert_eq!(connection.parameter(hidden), None);
    }
    proxy
}

/// Puts, reads and checks a thread, and returns what the database has of it.
async fn work(checkpointer: &PostgresCheckpointer, test: &TestDb) -> Value {
    let first = Step::first(&thread("support-4711")).values(content());
    let first = first.put(checkpointer).await;
    let written = content();
    try_write(checkpointer, &first, "task", &written)
        .await
        .unwrap();
    let second = Step::after(&first).values(json!({ "messages": large(2) }));
    let second = second.put(checkpointer).await;

    let stored = get(checkpointer, &first).await;
    assert_eq!(values(&stored), content());
    assert_eq!(*stored.pending_writes[0].value, written);
    let verified: Vec<_> = checkpointer
        .verify(Verify::all())
        .try_collect()
        .await
        .unwrap();
    assert!(verified[0].findings.is_empty(), "{verified:?}");
    let sql = format!("SELECT {}.state('support-4711')::text", test.schema());
    let state: String = test
        .observer()
        .await
        .query_one(&sql, &[])
        .await
        .unwrap()
        .get(0);
    let state = serde_json::from_str(&state).unwrap();
    assert_eq!(values(&get(checkpointer, &second).await), state);
    state
}

#[tokio::test]
async fn a_proxy_that_hides_parameters_changes_nothing() {
    let test = TestDb::without_schema().await;
    let proxy = hiding().await;
    let settings = test.settings_through(&proxy, &[("DB_SSLMODE", "disable")]);
    let database = Database::connect(&settings).await.unwrap();
    let seen = test.connect(&[]).await;
    assert_eq!(database.server_version(), seen.server_version());
    assert_eq!(database.server_encoding(), "UTF8");
    let hidden = PostgresCheckpointer::setup(database).await.unwrap();
    work(&hidden, &test).await;
}

#[tokio::test]
async fn what_is_set_for_a_role_changes_nothing() {
    let test = TestDb::without_schema().await;
    let url = with_options(&url(), PARAMETERS);
    let database = Database::connect(&test.settings_for(&url, &[])).await;
    let set = PostgresCheckpointer::setup(database.unwrap())
        .await
        .unwrap();
    let state = work(&set, &test).await;

    let usual = checkpointer(&test, &[]).await;
    let head = usual.get_tuple(GetTuple::head(thread("support-4711")).unwrap());
    assert_eq!(values(&head.await.unwrap().unwrap()), state);
}

#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused() {
    let test = TestDb::without_schema().await;
    let name = format!("{}_ascii", test.schema());
    let observer = test.observer().await;
    let create = format!(
        "CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    observer.batch_execute(&create).await.unwrap();
    // What the server reports at the start of a connection may be hidden.
    let proxy = hiding().await;
    let without_tls = [("DB_SSLMODE", "disable")];
    for url in [url(), proxy.url().to_owned()] {
        let other = test.settings_for(&in_database(&url, &name), &without_tls);
        let database = Database::connect(&other).await.unwrap();
        for refused in [
            PostgresCheckpointer::setup(database.clone()).await,
            PostgresCheckpointer::open(database.clone()).await,
        ] {
            let expected = expect![[r#"
                the database can't be used: its encoding is SQL_ASCII; make one with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`
            "#]];
            expected.assert_eq(&chain(&refused.unwrap_err()));
        }
        database.close(PATIENCE).await.unwrap();
    }
    let drop = format!("DROP DATABASE {name}");
    observer.batch_execute(&drop).await.unwrap();
}
