//! Tests that need no server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use settings::Settings;

use crate::connect::failure::{Failed, classify_io};
use crate::connect::options::Options;
use crate::error::Chain;
use crate::{ConnectFailure, Error, Migration, Migrations, Statement, Type, quote_identifier};

/// An error of the driver's that needs no server.
fn driver_error() -> tokio_postgres::Error {
    "port=x".parse::<tokio_postgres::Config>().unwrap_err()
}

#[track_caller]
fn check(error: &Error, expect: &Expect) {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        text.push_str(&format!("{error}\n"));
        cause = error.source();
    }
    expect.assert_eq(&text);
    assert_eq!(
        Chain(error).to_string(),
        text.trim_end().replace('\n', ": ")
    );
    let links: String = Chain(error)
        .links()
        .map(|link| format!("{link}\n"))
        .collect();
    assert_eq!(links, text);
}

#[test]
fn errors_say_what_failed_and_their_sources_why() {
    let statement = || "orders::insert".to_owned();
    let connect = || Error::Connect {
        target: "db.internal:5432/agents".to_owned(),
        failure: ConnectFailure::Refused,
        tried: Duration::from_millis(30_040),
        source: Some(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
    };
    check(
        &connect(),
        &expect![[r#"
        failed to connect to `db.internal:5432/agents`: the connection was refused (tried for 30.0s)
        connection refused
    "#]],
    );
    check(
        &Error::AcquireTimeout {
            in_use: 10,
            by_caller: 0,
            max: 10,
            waited: Duration::from_millis(5_001),
        },
        &expect![[r#"
            no connection became free within 5.0s: 10 of 10 are in use
        "#]],
    );
    check(
        &Error::Unreachable {
            waited: Duration::from_secs(5),
            source: Arc::new(connect()),
        },
        &expect![[r#"
            no connection could be opened within 5.0s
            failed to connect to `db.internal:5432/agents`: the connection was refused (tried for 30.0s)
            connection refused
        "#]],
    );
    check(
        &Error::Connecting {
            waited: Duration::from_secs(5),
        },
        &expect![[r#"
            no connection was open within 5.0s: the server hasn't answered so far
        "#]],
    );
    check(
        &Error::Closed,
        &expect![[r#"
        the database is closed; `init_db` or `Database::connect` opens it again
    "#]],
    );
    check(
        &Error::StillInUse {
            in_use: 1,
            waited: Duration::from_secs(10),
        },
        &expect![[r#"
            closed with 1 still in use after 10.0s
        "#]],
    );
    check(
        &Error::NotInitialised,
        &expect![[r#"
        the database is not initialised; call `init_db` first
    "#]],
    );
    check(
        &Error::AlreadyInitialised,
        &expect![[r#"
        the database is already initialised; call `close_db` before another `init_db`
    "#]],
    );
    check(
        &Error::Query {
            statement: statement(),
            source: driver_error(),
        },
        &expect![[r#"
            `orders::insert` failed
            invalid connection string
            invalid value for option `port`
        "#]],
    );
    check(
        &Error::ParameterCount {
            statement: statement(),
            expected: 2,
            given: 1,
        },
        &expect![[r#"
            `orders::insert` was given 1 parameters instead of 2
        "#]],
    );
    check(
        &Error::RowCount {
            statement: statement(),
            expected: "at most one",
            rows: 3,
        },
        &expect![[r#"
            `orders::insert` returned 3 rows where at most one was expected
        "#]],
    );
    check(
        &Error::StatementTimeout {
            statement: statement(),
            limit: Duration::from_secs(30),
            source: driver_error(),
        },
        &expect![[r#"
            `orders::insert` was cancelled after 30.0s: no longer is allowed by DB_STATEMENT_TIMEOUT
            invalid connection string
            invalid value for option `port`
        "#]],
    );
    check(
        &Error::ConnectionLost {
            statement: statement(),
            source: None,
        },
        &expect![[r#"
            the connection was lost before `orders::insert` could take effect
        "#]],
    );
    check(
        &Error::OutcomeUnknown {
            statement: "COMMIT".to_owned(),
            source: Some(Arc::new(driver_error())),
        },
        &expect![[r#"
            the connection was lost during `COMMIT`; whether it took effect is unknown
            invalid connection string
            invalid value for option `port`
        "#]],
    );
    check(
        &Error::TransactionFailed {
            source: driver_error(),
        },
        &expect![[r#"
            a statement of the transaction failed, so it was rolled back
            invalid connection string
            invalid value for option `port`
        "#]],
    );
    check(
        &Error::TransactionEnded {
            source: driver_error(),
        },
        &expect![[r#"
            the transaction was ended by a statement in its own body
            invalid connection string
            invalid value for option `port`
        "#]],
    );
}

#[test]
fn errors_of_migrations_name_the_set() {
    let (set, number, name) = ("shop", 2, "prices");
    check(
        &Error::Migration {
            set,
            number,
            name,
            source: Box::new(Error::Closed),
        },
        &expect![[r#"
            migration 2 `prices` of `shop` failed
            the database is closed; `init_db` or `Database::connect` opens it again
        "#]],
    );
    check(
        &Error::MigrationChanged { set, number, name },
        &expect![[r#"
            migration 2 `prices` of `shop` is not the one that was applied
        "#]],
    );
    check(
        &Error::MigrationGap { set, number },
        &expect![[r#"
        migration 2 of `shop` is missing from the database, later ones are there
    "#]],
    );
    let (schema, database, program) = ("tenant".to_owned(), 3, 2);
    check(
        &Error::DatabaseNewer {
            set,
            schema: schema.clone(),
            database,
            program,
        },
        &expect![[r#"
            schema `tenant` is at migration 3 of `shop`, this program knows 2: use a newer program
        "#]],
    );
    check(
        &Error::DatabaseOlder {
            set,
            schema,
            database: 1,
            program,
        },
        &expect![[r#"
            schema `tenant` is at migration 1 of `shop`, this program needs 2: apply the migrations (`setup` or `apply`)
        "#]],
    );
}

#[test]
fn errors_know_whether_to_try_again() {
    let connect = |failure| Error::Connect {
        target: String::new(),
        failure,
        tried: Duration::ZERO,
        source: None,
    };
    assert!(connect(ConnectFailure::NotReady).is_transient());
    assert!(!connect(ConnectFailure::Authentication).is_transient());
    let unknown = Error::OutcomeUnknown {
        statement: String::new(),
        source: None,
    };
    assert!(unknown.is_transient() && unknown.is_outcome_unknown());
    assert!(!Error::Closed.is_transient() && !Error::Closed.is_outcome_unknown());
    assert_eq!(Error::Closed.code(), None);
}

#[test]
fn the_first_word_and_a_few_functions_tell_whether_the_session_may_change() {
    for sql in [
        "SELECT 1",
        "select 1",
        "-- orders::insert\n  INSERT INTO orders VALUES ($1)",
        "/* a /* nested */ comment */ UPDATE orders SET id = 1",
        "(VALUES (1))",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "TABLE orders",
        "MERGE INTO orders USING a ON true WHEN MATCHED THEN DELETE",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT attempt INTO templates FROM temperatures",
        "SELECT setting FROM pg_settings",
    ] {
        assert!(
            !Statement::from_parts(sql.to_owned(), Vec::new()).changes_session(),
            "{sql}"
        );
    }
    for sql in [
        "",
        "SET search_path = nowhere",
        "BEGIN",
        "-- SELECT\nLISTEN news",
        "SELECT_INTO",
        "CALL something()",
        "SELECT Set_Config('a.b', 'c', false)",
        "SELECT pg_advisory_lock_shared(1)",
        "SELECT pg_try_advisory_lock(1)",
        "/* never closed SELECT",
        "SELECT 1 AS one INTO TEMP t",
        "WITH a AS (SELECT 1 AS one) SELECT one INTO /* local */ temporary t FROM a",
        "SELECT 1 AS one INTO pg_temp.t",
        "UPDATE pg_settings SET setting = 'off' WHERE name = 'jit'",
        "WITH u AS (UPDATE pg_catalog.pg_settings SET setting = 'off' RETURNING 1) SELECT 1",
    ] {
        assert!(
            Statement::from_parts(sql.to_owned(), Vec::new()).changes_session(),
            "{sql}"
        );
    }
}

#[test]
fn a_statement_is_named_by_its_first_line() {
    #[track_caller]
    fn check(sql: &'static str, name: &str) {
        assert_eq!(Statement::new(sql, &[]).name(), name);
    }
    check("-- orders::insert\nINSERT INTO orders", "orders::insert");
    check("\n    --orders::insert\r\n", "orders::insert");
    check("SELECT 1\nFROM orders", "SELECT 1");
    check("", "");
    check(
        "SELECT 'ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé'",
        "SELECT 'éééééééééééééééééééééééééééééééééééééééééééééééééééé",
    );
}

#[test]
fn statements_are_equal_however_they_were_made() {
    static ONE: Statement = Statement::new("SELECT $1", &[Type::INT8]);
    assert_eq!(
        ONE,
        Statement::from_parts("SELECT $1".to_owned(), vec![Type::INT8])
    );
    assert_ne!(
        ONE,
        Statement::from_parts("SELECT $1".to_owned(), vec![Type::INT4])
    );
}

#[test]
fn identifiers_are_quoted() {
    assert_eq!(quote_identifier(""), "\"\"");
    assert_eq!(
        quote_identifier("a\"; DROP TABLE b"),
        "\"a\"\"; DROP TABLE b\""
    );
}

#[test]
fn failures_of_the_network_are_told_apart() {
    let classify = |kind: io::ErrorKind| classify_io(&io::Error::from(kind));
    assert_eq!(
        classify(io::ErrorKind::ConnectionRefused),
        ConnectFailure::Refused
    );
    assert_eq!(
        classify(io::ErrorKind::ConnectionReset),
        ConnectFailure::BrokenOff
    );
    assert_eq!(
        classify(io::ErrorKind::HostUnreachable),
        ConnectFailure::Network
    );
    // A Unix socket that may not be opened.
    let denied = io::Error::from_raw_os_error(13);
    assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(classify_io(&denied), ConnectFailure::Rejected);
}

#[test]
fn a_name_that_is_unknown_is_waited_for_but_not_for_long_at_start_up() {
    let unknown = "failed to lookup address information: Name or service not known";
    let failed = Failed::lookup(io::Error::other(unknown));
    assert_eq!(failed.failure, ConnectFailure::UnknownHost);
    // In a running program it is an outage as any other.
    assert!(failed.failure.is_transient());
    let minute = Duration::from_secs(60);
    assert_eq!(failed.failure.patience(minute), Duration::from_secs(5));
    assert_eq!(ConnectFailure::Refused.patience(minute), minute);
    let temporary = "failed to lookup address information: Temporary failure in name resolution";
    let failed = Failed::lookup(io::Error::other(temporary));
    assert_eq!(failed.failure, ConnectFailure::NameLookup);
}

#[test]
fn the_statement_time_out_is_the_servers_task_only_in_a_session() {
    let options = |variables: &[(&str, &str)]| {
        let own = [("DATABASE_URL", "postgres://app@db.internal/agents")];
        let variables = own.iter().chain(variables).copied();
        Options::new(&Settings::from_iter(variables).unwrap()).with(None)
    };
    assert_eq!(
        options(&[]).unwrap(),
        "-c jit=off -c statement_timeout=30000 -c lock_timeout=15000"
    );
    assert_eq!(
        options(&[("DB_STATEMENT_TIMEOUT", "off")]).unwrap(),
        "-c jit=off"
    );
    assert_eq!(options(&[("DB_POOL_MODE", "transaction")]), None);
    let url = (
        "DATABASE_URL",
        "postgres://app@db.internal/agents?options=-c%20jit%3Don",
    );
    assert_eq!(
        options(&[url]).unwrap(),
        "-c jit=off -c statement_timeout=30000 -c lock_timeout=15000 -c jit=on"
    );
}

const SHOP: Migrations = Migrations::new(
    "shop",
    &[
        Migration {
            number: 1,
            name: "orders",
            sql: "CREATE TABLE {schema}.orders (id bigint PRIMARY KEY);\n",
        },
        Migration {
            number: 2,
            name: "the customer's index",
            sql: "CREATE INDEX ON {schema}.orders (id)",
        },
    ],
);

#[test]
fn the_sql_of_a_set_can_be_printed() {
    expect![[r#"
        BEGIN;

        CREATE SCHEMA IF NOT EXISTS "my ""schema""";

        CREATE TABLE IF NOT EXISTS "my ""schema"""."shop_migrations" (
            number integer PRIMARY KEY,
            name text NOT NULL,
            checksum text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT pg_catalog.now()
        );
        COMMENT ON TABLE "my ""schema"""."shop_migrations" IS 'The migrations that were applied to this schema';
        COMMENT ON COLUMN "my ""schema"""."shop_migrations".number IS 'The number of the migration, from 1 without gaps';
        COMMENT ON COLUMN "my ""schema"""."shop_migrations".name IS 'What the migration does';
        COMMENT ON COLUMN "my ""schema"""."shop_migrations".checksum IS 'The SHA-256 of its SQL: once applied it must not change';
        COMMENT ON COLUMN "my ""schema"""."shop_migrations".applied_at IS 'When it was applied';

        -- 1: orders

        CREATE TABLE "my ""schema""".orders (id bigint PRIMARY KEY);

        INSERT INTO "my ""schema"""."shop_migrations" (number, name, checksum)
            VALUES (1, 'orders', 'b83aaec892b441ce52ba0abf559f25a6d1e80acac4e0edce81255e45043aae82');

        -- 2: the customer's index

        CREATE INDEX ON "my ""schema""".orders (id)
        ;

        INSERT INTO "my ""schema"""."shop_migrations" (number, name, checksum)
            VALUES (2, 'the customer''s index', 'f281f0d51dce4e4ac132403c2a62fc939a4ca08ff4f948fdb5ad939b1bcfdb22');

        COMMIT;
    "#]].assert_eq(&SHOP.sql("my \"schema\""));
    expect![[r#"
        BEGIN;

        -- 2: the customer's index

        CREATE INDEX ON "shop".orders (id)
        ;

        INSERT INTO "shop"."shop_migrations" (number, name, checksum)
            VALUES (2, 'the customer''s index', 'f281f0d51dce4e4ac132403c2a62fc939a4ca08ff4f948fdb5ad939b1bcfdb22');

        COMMIT;
    "#]].assert_eq(&SHOP.sql_after("shop", 1));
    assert_eq!(SHOP.sql_after("shop", 2), "");
}

#[test]
#[should_panic(expected = "migrations are numbered from 1 without gaps")]
fn a_set_with_a_gap_is_a_mistake_of_the_programmer() {
    let _ = Migrations::new(
        "shop",
        &[Migration {
            number: 2,
            name: "prices",
            sql: "",
        }],
    );
}

#[test]
fn the_statements_of_raw_sql_are_counted() {
    for (count, sql) in [
        (1, ""),
        (1, " ; ;; "),
        (1, "SELECT 1"),
        (1, "SELECT 1;\n-- done;"),
        (2, "SELECT 1; SELECT 2"),
        (3, "SELECT 1;SELECT 2;;SELECT $1;"),
        (2, "/* a; /* b; */ c; */ SELECT 1; SELECT 2"),
        (2, "SELECT ';', 'it''s;', \";\"; SELECT '\\'; -- ;"),
        (2, "SELECT E'\\';', e'\\\\'; SELECT 2"),
        (3, "SELECT table'\\'; SELECT 2; SELECT ';"),
        (2, "DO $$ BEGIN; END; $$; DO $a$; $$; $b$; $a$"),
        (2, "SELECT a$b; SELECT c$b"),
        (1, "DO $ä$;$ä$"),
        (1, "SELECT 'open;"),
        (1, "DO $$;"),
    ] {
        assert_eq!(crate::statement::count(sql), count, "{sql}");
    }
}
