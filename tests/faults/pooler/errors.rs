//! What a pooler says when it can't serve, and what is made of it.

use db::{ConnectFailure, Database, Error, GenericClient, Statement};
use expect_test::{Expect, expect};
use rig::{PgBouncer, PrivateServer, Release, Stop, chain, eventually};

use super::{Pooled, TRANSACTION, client, settings_for};

static ONE: Statement = Statement::new("-- tests::one\nSELECT 1::int8", &[]);
static LONG: Statement = Statement::new("-- tests::long\nSELECT pg_sleep(3600)", &[]);

/// An attempt to connect that must fail, and at once if it is no use to go on.
async fn refused(url: &str, variables: &[(&str, &str)]) -> Error {
    let error = Database::connect(&settings_for(url, variables)).await;
    error.unwrap_err()
}

/// Compares the kind of failure, and what is said about it.
#[track_caller]
fn check(error: &Error, kind: ConnectFailure, expect: &Expect) {
    let Error::Connect { failure, tried, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*failure, kind);
    let text = chain(error).replace(&format!("{tried:.1?}"), "TIME");
    let (before, port) = text.split_once("127.0.0.1:").unwrap();
    let port = port.trim_start_matches(|c: char| c.is_ascii_digit());
    expect.assert_eq(&format!("{before}HOST{port}"));
}

async fn pool_mode_session_behind_a_pooler_says_what_to_set(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let error = refused(&pooled.pooler.url(), &[]).await;
    assert!(!error.is_transient());
    let says = match release {
        Release::Old => expect![[r#"
            failed to connect to `HOST/postgres`: a start-up parameter was refused; behind a pooler set DB_POOL_MODE=transaction (tried for TIME)
            db error
            FATAL: unsupported startup parameter: options
        "#]],
        Release::New => expect![[r#"
            failed to connect to `HOST/postgres`: a start-up parameter was refused; behind a pooler set DB_POOL_MODE=transaction (tried for TIME)
            db error
            FATAL: unsupported startup parameter in options: db.connection
        "#]],
    };
    check(&error, ConnectFailure::StartupParameter, &says);
}

async fn pool_mode_session_behind_a_pooler_that_ignores_options_says_what_to_set(release: Release) {
    let ignore = [("ignore_startup_parameters", "options")];
    let pooled = Pooled::with(release, 2, &ignore).await;
    let error = refused(&pooled.pooler.url(), &[]).await;
    assert!(!error.is_transient());
    let says = &expect![[r#"
        failed to connect to `HOST/postgres`: the start-up options were ignored; behind a pooler set DB_POOL_MODE=transaction (tried for TIME)
    "#]];
    check(&error, ConnectFailure::OptionsIgnored, says);

    // The limit for statements isn't what shows it.
    let error = refused(&pooled.pooler.url(), &[("DB_STATEMENT_TIMEOUT", "off")]).await;
    check(&error, ConnectFailure::OptionsIgnored, says);
}

async fn a_pooler_that_turns_a_client_away_for_good_is_not_tried_again(release: Release) {
    let server = PrivateServer::start(&[]).await.unwrap();
    let passwords = [("auth_type", "scram-sha-256"), ("auth_file", "passwords")];
    let pooler = PgBouncer::before(server.port(), release, &passwords)
        .await
        .unwrap();
    let users = "\"postgres\" \"right\"\n\"stranger\" \"right\"\n";
    pooler.workspace().write("passwords", users).unwrap();
    pooler.start_again().await.unwrap();
    let url = |user: &str, dbname: &str| {
        let port = pooler.port();
        format!("postgres://{user}@127.0.0.1:{port}/{dbname}")
    };

    let error = refused(&url("postgres:wrong", "postgres"), &[TRANSACTION]).await;
    check(
        &error,
        ConnectFailure::Authentication,
        &expect![[r#"
        failed to connect to `HOST/postgres`: the user or password was rejected (tried for TIME)
        db error
        FATAL: SASL authentication failed
    "#]],
    );
    let error = refused(&url("nobody:right", "postgres"), &[TRANSACTION]).await;
    check(
        &error,
        ConnectFailure::Authentication,
        &expect![[r#"
        failed to connect to `HOST/postgres`: the user or password was rejected (tried for TIME)
        db error
        FATAL: SASL authentication failed
    "#]],
    );
    // These the server says, and the pooler passes them on.
    let error = refused(&url("stranger:right", "postgres"), &[TRANSACTION]).await;
    check(
        &error,
        ConnectFailure::Authentication,
        &expect![[r#"
        failed to connect to `HOST/postgres`: the user or password was rejected (tried for TIME)
        db error
        FATAL: role "stranger" does not exist
    "#]],
    );
    let error = refused(&url("postgres:right", "nowhere"), &[TRANSACTION]).await;
    check(
        &error,
        ConnectFailure::UnknownDatabase,
        &expect![[r#"
        failed to connect to `HOST/nowhere`: the database does not exist (tried for TIME)
        db error
        FATAL: database "nowhere" does not exist
    "#]],
    );
}

async fn a_pooler_without_room_for_a_client_is_a_transient_failure(release: Release) {
    let pooled = Pooled::with(release, 1, &[("max_client_conn", "1")]).await;
    let _first = pooled.connect(&[]).await;
    let once = [TRANSACTION, ("DB_STARTUP_TIMEOUT", "0")];
    let error = refused(&pooled.pooler.url(), &once).await;
    assert!(error.is_transient());
    check(
        &error,
        ConnectFailure::TooManyConnections,
        &expect![[r#"
        failed to connect to `HOST/postgres`: the server has no room for another connection (tried for TIME)
        db error
        FATAL: no more connections allowed (max_client_conn)
    "#]],
    );
}

async fn a_statement_that_waited_too_long_in_the_pooler_had_no_effect(release: Release) {
    let pooled = Pooled::with(release, 1, &[("query_wait_timeout", "1")]).await;
    let db = pooled.connect(&[]).await;
    let connection = db.get().await.unwrap();
    let other = client(&pooled.pooler.url()).await.unwrap();
    other.batch_execute("BEGIN").await.unwrap();
    let error = connection.query(&ONE, &[]).await.unwrap_err();
    assert!(error.is_transient() && !error.is_outcome_unknown());
    expect![[r#"
        the connection was lost before `tests::one` could take effect
        db error
        FATAL: query_wait_timeout
    "#]]
    .assert_eq(&chain(&error));
}

async fn a_server_that_crashes_behind_a_pooler_leaves_the_outcome_unknown(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&[]).await;
    let observer = pooled.observer().await;
    let connection = db.get().await.unwrap();
    let call = tokio::spawn(async move { connection.query(&LONG, &[]).await });
    eventually("the statement runs", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '-- tests::long%'";
        observer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    pooled.server.stop(Stop::Immediate).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_transient() && error.is_outcome_unknown());
    expect![[r#"
        the connection was lost during `tests::long`; whether it took effect is unknown
        db error
        FATAL: server conn crashed?
    "#]]
    .assert_eq(&chain(&error));

    pooled.server.start_again().await.unwrap();
    eventually("the pooler serves again", async || db.ping().await.is_ok()).await;
}

through_each_release!(
    pool_mode_session_behind_a_pooler_says_what_to_set,
    pool_mode_session_behind_a_pooler_that_ignores_options_says_what_to_set,
    a_pooler_that_turns_a_client_away_for_good_is_not_tried_again,
    a_pooler_without_room_for_a_client_is_a_transient_failure,
    a_statement_that_waited_too_long_in_the_pooler_had_no_effect,
    a_server_that_crashes_behind_a_pooler_leaves_the_outcome_unknown,
);
