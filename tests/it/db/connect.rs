//! Connecting: what is waited for, what ends it, and what is said about it.

use std::time::{Duration, Instant};

use db::{ConnectFailure, Database, Error};
use expect_test::{Expect, expect};
use settings::Settings;

use rig::{Fault, Instead, Moment, TcpProxy, TestDb, chain, url};

/// Compares the kind of failure, and what is said about it.
#[track_caller]
fn check(error: &Error, kind: ConnectFailure, expect: &Expect) {
    let Error::Connect { failure, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*failure, kind);
    let settings = Settings::from_url(&url()).unwrap();
    let mut text = chain(error).replace(&settings.hosts()[0].to_string(), "HOST");
    text = text.replace(&format!("HOST/{}", settings.dbname()), "HOST/DBNAME");
    text = text.replace(settings.user(), "USER");
    if let Some(password) = settings.password() {
        assert!(!text.contains(password.expose()), "{text}");
    }
    let tried = text.find("(tried for ").unwrap()..text.find("s)\n").unwrap() + 2;
    text.replace_range(tried, "(tried for TIME)");
    expect.assert_eq(&text);
}

/// The URL of the test server with one part replaced.
fn url_with(
    user: Option<&str>,
    password: Option<&str>,
    host: Option<&str>,
    dbname: &str,
) -> String {
    let settings = Settings::from_url(&url()).unwrap();
    let user = user.unwrap_or(settings.user());
    let known = settings.password().map_or("", |password| password.expose());
    let password = password.unwrap_or(known);
    let own = settings.hosts()[0].to_string();
    format!(
        "postgres://{user}:{password}@{}/{dbname}",
        host.unwrap_or(&own)
    )
}

async fn refused_by(url: &str, startup_timeout: &str) -> (Error, Duration) {
    let db = TestDb::without_schema().await;
    let settings = db.settings_for(url, &[("DB_STARTUP_TIMEOUT", startup_timeout)]);
    let started = Instant::now();
    (
        Database::connect(&settings).await.unwrap_err(),
        started.elapsed(),
    )
}

/// Less than any second attempt would take, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_connection_that_is_lost_before_it_is_proven_is_opened_again() {
    let proxy = TcpProxy::new();
    let test = TestDb::new().await;
    proxy.cut_instead_of_answer_to("db::ask_session");
    let database = Database::connect(&test.settings_through(&proxy, &[])).await;
    assert_eq!(proxy.sprung(), 1);
    database.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_refused_port_is_tried_until_the_start_up_time_is_over() {
    let proxy = TcpProxy::refusing();
    let settings = Settings::from_url(&url()).unwrap();
    let host = format!("127.0.0.1:{}", proxy.port());
    let url = url_with(None, None, Some(&host), settings.dbname());
    let (error, after) = refused_by(&url, "300ms").await;
    assert!(after >= Duration::from_millis(300), "{after:?}");
    assert!(
        error
            .to_string()
            .contains(&format!("`{host}/{}`", settings.dbname())),
        "{error}"
    );
    assert!(error.is_transient());
    let Error::Connect { failure, tried, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(failure, ConnectFailure::Refused);
    assert!(
        tried >= Duration::from_millis(300) && tried <= after,
        "{tried:?}"
    );
}

#[tokio::test]
async fn one_attempt_is_all_if_the_start_up_time_is_zero() {
    let proxy = TcpProxy::refusing();
    let host = format!("127.0.0.1:{}", proxy.port());
    let (error, after) = refused_by(&url_with(None, None, Some(&host), "x"), "0").await;
    assert!(after < AT_ONCE);
    assert!(
        chain(&error).contains("the connection was refused"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_host_is_looked_up_for_a_few_seconds() {
    // Two dots in a row are no name, so that no name server is needed to say no.
    let url = url_with(None, None, Some("no..such.host:5432"), "agents");
    let (error, after) = refused_by(&url, "1min").await;
    assert!(after >= Duration::from_secs(5) && after < Duration::from_secs(20));
    // The name may come: a service without a ready instance has none.
    assert!(error.is_transient());
    let Error::Connect {
        failure, target, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*failure, ConnectFailure::UnknownHost);
    assert_eq!(target, "no..such.host:5432/agents");
    assert!(error.to_string().contains("the host is unknown"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_ends_it_at_the_first_answer() {
    let settings = Settings::from_url(&url()).unwrap();
    let url = url_with(None, Some("wrong-hunter2"), None, settings.dbname());
    let (error, after) = refused_by(&url, "1min").await;
    assert!(after < AT_ONCE);
    assert!(!error.is_transient());
    assert!(!format!("{error:?} {}", chain(&error)).contains("hunter2"));
    check(
        &error,
        ConnectFailure::Authentication,
        &expect![[r#"
        failed to connect to `HOST/DBNAME`: the user or password was rejected (tried for TIME)
        db error
        FATAL: password authentication failed for user "USER"
    "#]],
    );
}

#[tokio::test]
async fn an_unknown_database_ends_it_at_the_first_answer() {
    let (error, after) = refused_by(&url_with(None, None, None, "no_such_database"), "1min").await;
    assert!(after < AT_ONCE);
    assert!(!error.is_transient());
    check(
        &error,
        ConnectFailure::UnknownDatabase,
        &expect![[r#"
        failed to connect to `HOST/no_such_database`: the database does not exist (tried for TIME)
        db error
        FATAL: database "no_such_database" does not exist
    "#]],
    );
}

#[tokio::test]
async fn a_server_that_comes_up_two_seconds_late_is_waited_for() {
    let db = TestDb::without_schema().await;
    let proxy = TcpProxy::refusing();
    proxy.listen_after(Duration::from_secs(2));
    let started = Instant::now();
    let db = Database::connect(&db.settings_through(&proxy, &[]))
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2));
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_starting_up_is_waited_for() {
    let db = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    let starting_up = Fault {
        moment: Moment::StartUp,
        instead: Instead::Error {
            is_fatal: true,
            code: "57P03",
            text: "the database system is starting up",
        },
    };
    proxy.fail([starting_up; 3]);
    let db = Database::connect(&db.settings_through(&proxy, &[]))
        .await
        .unwrap();
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let db = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    proxy.stall();
    let settings = db.settings_through(
        &proxy,
        &[
            ("DB_CONNECT_TIMEOUT", "100ms"),
            ("DB_STARTUP_TIMEOUT", "250ms"),
        ],
    );
    let error = Database::connect(&settings).await.unwrap_err();
    let Error::Connect { failure, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*failure, ConnectFailure::TimedOut);
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_is_down_or_read_only() {
    let db = TestDb::without_schema().await;
    let down = TcpProxy::refusing();
    let settings = Settings::from_url(&url()).unwrap();
    let hosts = format!("127.0.0.1:{},{}", down.port(), settings.hosts()[0]);
    let url = url_with(None, None, Some(&hosts), settings.dbname());
    let up = Database::connect(&db.settings_for(&url, &[]))
        .await
        .unwrap();
    up.ping().await.unwrap();

    let read_only = "options=-c%20default_transaction_read_only%3Don";
    let url = format!("{url}?target_session_attrs=read-write&{read_only}");
    let settings = db.settings_for(&url, &[("DB_STARTUP_TIMEOUT", "0")]);
    let error = Database::connect(&settings).await.unwrap_err();
    let Error::Connect { failure, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(failure, ConnectFailure::ReadOnly), "{error}");
    assert!(error.is_transient(), "a fail-over may be under way");
}

#[tokio::test]
async fn a_host_that_is_down_is_waited_for_although_another_is_unknown() {
    let db = TestDb::without_schema().await;
    let proxy = TcpProxy::refusing();
    let settings = Settings::from_url(&url()).unwrap();
    let hosts = format!("127.0.0.1:{},no..such.host:5432", proxy.port());
    let url = url_with(None, None, Some(&hosts), settings.dbname());
    proxy.listen_after(Duration::from_secs(7));
    let settings = db.settings_for(&url, &[("DB_STARTUP_TIMEOUT", "1min")]);
    let db = Database::connect(&settings).await.unwrap();
    db.ping().await.unwrap();
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let db = TestDb::without_schema().await;
    let observer = db.observer().await;
    let version = observer
        .query_one("SELECT current_setting('server_version_num')", &[])
        .await;
    let database = db.connect(&[]).await;
    assert_eq!(
        database.server_version().to_string(),
        version.unwrap().get::<_, String>(0)
    );
    assert_eq!(database.server_encoding(), "UTF8");
    assert_eq!(database.schema(), Some(db.schema()));
}
