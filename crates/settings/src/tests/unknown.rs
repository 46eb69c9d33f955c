//! Variables that begin as ours do, and aren't.

use expect_test::expect;

use super::{check_error, log_of, read};

#[test]
fn a_variable_that_looks_misspelt_is_an_error() {
    check_error(
        read(&[
            ("DB_POOLMAX", "hunter2"),
            ("DB_SSL_MODE", "hunter2"),
            ("DB_schema", "hunter2"),
            ("DB_AQUIRE_TIMEOUT", "hunter2"),
            ("DB_STATMENT_TIMOUT", "hunter2"),
            ("DB_SCHEMA\n", "hunter2"),
        ]),
        expect![[r#"
            invalid settings:
              `DB_AQUIRE_TIMEOUT`: expected the name `DB_ACQUIRE_TIMEOUT`, of which this looks like a misspelling
              `DB_POOLMAX`: expected the name `DB_POOL_MAX`, of which this looks like a misspelling
              `DB_SCHEMA\n`: expected the name `DB_SCHEMA`, of which this looks like a misspelling
              `DB_SSL_MODE`: expected the name `DB_SSLMODE`, of which this looks like a misspelling
              `DB_STATMENT_TIMOUT`: expected the name `DB_STATEMENT_TIMEOUT`, of which this looks like a misspelling
              `DB_schema`: expected the name `DB_SCHEMA`, of which this looks like a misspelling
        "#]],
    );
}

#[test]
fn the_variables_of_other_programs_stop_nothing() {
    let log = log_of(|| {
        for name in [
            "DB_",
            "DB_CONNECTION",
            "DB_DATABASE",
            "DB_DRIVER",
            "DB_ENGINE",
            "DB_HOST",
            "DB_NAME",
            "DB_PASS",
            "DB_PASSWORD",
            "DB_POOL",
            "DB_POOL_SIZE",
            "DB_POOL_TIMEOUT",
            "DB_PORT",
            "DB_QUERY_TIMEOUT",
            "DB_SSL",
            "DB_SSL_CA",
            "DB_TIMEOUT",
            "DB_TYPE",
            "DB_URL",
            "DB_USER",
            "DB_USERNAME",
            "DB_\nfaked line",
            "DBT_PROFILE",
            "PGPASSWORD",
            "db_pool_max",
        ] {
            let settings = read(&[(name, "hunter2")]);
            assert_eq!(settings.unwrap(), read(&[]).unwrap(), "{name}");
        }
    });
    let first: Vec<_> = log.lines().take(2).map(str::trim_start).collect();
    expect![[r#"
        DEBUG settings::given: ignored an unknown variable variable="DB_"
        DEBUG settings::given: ignored an unknown variable variable="DB_CONNECTION""#]]
    .assert_eq(&first.join("\n"));
    assert!(!log.contains("hunter2"));
}
