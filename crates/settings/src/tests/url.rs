//! How the URL is read.

use std::time::Duration;

use expect_test::expect;

use super::{check_error, read};
use crate::{Secret, Settings, TargetSessionAttrs, TlsMode};

#[track_caller]
fn check_hosts(url: &str, expected: &[&str]) {
    let settings = Settings::from_url(url).unwrap();
    let hosts: Vec<_> = settings.hosts().iter().map(ToString::to_string).collect();
    assert_eq!(hosts, expected);
}

#[test]
fn a_url_gives_user_password_hosts_and_database() {
    let settings =
        Settings::from_url("postgresql://app%40eu:p%40ss%2F%25%3a@db:6432/agents%20eu").unwrap();
    assert_eq!(settings.user(), "app@eu");
    assert_eq!(settings.password().map(Secret::expose), Some("p@ss/%:"));
    assert_eq!(settings.dbname(), "agents eu");
    assert_eq!(settings.hosts()[0].name, "db");
    assert_eq!(settings.hosts()[0].port, 6432);
}

#[test]
fn a_password_may_hold_what_is_not_reserved_in_it() {
    let settings = Settings::from_url("postgres://app:a:b?c#d&e=f,[g]+h@db/agents").unwrap();
    let password = settings.password().map(Secret::expose);
    assert_eq!(password, Some("a:b?c#d&e=f,[g]+h"));
}

#[test]
fn the_database_is_named_like_the_user_if_left_out() {
    for url in [
        "postgres://app@db",
        "postgres://app:@db/",
        "postgres://app@db?",
    ] {
        let settings = Settings::from_url(url).unwrap();
        assert_eq!(settings.dbname(), "app");
        assert_eq!(settings.password(), None);
    }
}

#[test]
fn hosts_are_names_addresses_and_socket_directories() {
    check_hosts("postgres://app@db/a", &["db:5432"]);
    check_hosts("postgres://app@db:/a", &["db:5432"]);
    check_hosts(
        "postgres://app@one:1,two,192.0.2.7:65535/a",
        &["one:1", "two:5432", "192.0.2.7:65535"],
    );
    check_hosts(
        "postgres://app@[::1],[2001:db8::7]:6432",
        &["[::1]:5432", "[2001:db8::7]:6432"],
    );
    check_hosts(
        "postgres://app@%2Frun%2Fpostgresql:6432/a",
        &["/run/postgresql/.s.PGSQL.6432"],
    );

    let settings = Settings::from_url("postgres://app@%2Frun,db").unwrap();
    assert!(settings.hosts()[0].is_unix_socket());
    assert!(!settings.hosts()[1].is_unix_socket());
}

#[test]
fn hosts_and_ports_may_be_parameters_as_psql_takes_them() {
    check_hosts(
        "postgres://u:p@/db?host=/cloudsql/project:region:instance",
        &["/cloudsql/project:region:instance/.s.PGSQL.5432"],
    );
    check_hosts(
        "postgres://u@/db?host=%2Frun%2Fpostgresql&port=6432",
        &["/run/postgresql/.s.PGSQL.6432"],
    );
    check_hosts(
        "postgres://u@:6432/db?host=one,::1",
        &["one:6432", "[::1]:6432"],
    );
    check_hosts(
        "postgres://u@/db?host=one,two&port=1,",
        &["one:1", "two:5432"],
    );
    check_hosts(
        "postgres://u@beaten:1,two/db?host=one,two&port=2",
        &["one:2", "two:2"],
    );
    check_hosts("postgres://u@one,two/db?port=2,3", &["one:2", "two:3"]);
    check_hosts("postgres://u@one:7/db?host=&port=", &["one:7"]);
}

#[test]
fn hosts_and_ports_that_do_not_match_are_refused() {
    check_error(
        Settings::from_url("postgres://u@one,two/db?port=1,2,3"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `port`: expected one port, or as many as there are hosts
        "#]],
    );
    check_error(
        Settings::from_url("postgres://u@one:1,two:2/db?host=one,two,three"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `port`: expected one port, or as many as there are hosts
        "#]],
    );
    check_error(
        Settings::from_url("postgres://u@/db?host=one,,two&port=+1"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a port from 1 to 65535 after a host's `:` or in the parameter `port`, and an IPv6 address after the `@` in `[]`
              `DATABASE_URL`: expected a name, an address or a socket's directory for each host, after the `@` or in the parameter `host`
        "#]],
    );
    check_error(
        Settings::from_url("postgres://u@/db"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a name, an address or a socket's directory for each host, after the `@` or in the parameter `host`
        "#]],
    );
}

#[test]
fn a_parameter_is_used_if_no_variable_beats_it() {
    let url = "postgres://app@db/a?sslmode=disable&connect_timeout=7&application_name=audit%20eu\
        &options=-c%20jit%3doff&target_session_attrs=read-write";
    let settings = Settings::from_url(url).unwrap();
    assert_eq!(settings.tls_mode(), TlsMode::Disable);
    assert_eq!(settings.connect_timeout(), Duration::from_secs(7));
    assert_eq!(settings.application_name(), "audit eu");
    assert_eq!(settings.options(), Some("-c jit=off"));
    assert_eq!(
        settings.target_session_attrs(),
        TargetSessionAttrs::ReadWrite
    );

    let settings = read(&[
        ("DATABASE_URL", url),
        ("DB_SSLMODE", "prefer"),
        ("DB_CONNECT_TIMEOUT", "250ms"),
        ("DB_APPLICATION_NAME", "worker"),
    ])
    .unwrap();
    assert_eq!(settings.tls_mode(), TlsMode::Prefer);
    assert_eq!(settings.connect_timeout(), Duration::from_millis(250));
    assert_eq!(settings.application_name(), "worker");
}

#[test]
fn which_hosts_will_do_is_said_in_the_words_of_libpq() {
    for (word, attrs) in [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
        ("primary", TargetSessionAttrs::Primary),
        ("standby", TargetSessionAttrs::Standby),
        ("prefer-standby", TargetSessionAttrs::PreferStandby),
    ] {
        let url = format!("postgres://app@one,two/a?target_session_attrs={word}");
        let settings = Settings::from_url(&url).unwrap();
        assert_eq!(settings.target_session_attrs(), attrs);
    }
}

#[test]
fn a_parameter_that_is_beaten_is_not_looked_at() {
    let settings = read(&[
        (
            "DATABASE_URL",
            "postgres://app@db/a?sslmode=always&connect_timeout=0&application_name=",
        ),
        ("DB_SSLMODE", "disable"),
        ("DB_CONNECT_TIMEOUT", "1s"),
        ("DB_APPLICATION_NAME", "worker"),
    ]);
    assert_eq!(settings.unwrap().tls_mode(), TlsMode::Disable);
}

#[test]
fn a_bad_variable_is_reported_and_not_the_parameter_it_beats() {
    check_error(
        read(&[
            ("DATABASE_URL", "postgres://app@db/a?sslmode=disable"),
            ("DB_SSLMODE", "always"),
        ]),
        expect![[r#"
            invalid settings:
              `DB_SSLMODE`: expected `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`
        "#]],
    );
}

#[test]
fn bad_and_unknown_parameters_are_reported_by_name() {
    check_error(
        Settings::from_url(
            "postgres://app@db/a?sslmode=always&sslrootcert=&sslcert=a%62&sslkey=\
             &channel_binding=yes&connect_timeout=0&application_name=\
             &target_session_attrs=leader&sslcrl=x&useSSL=x&a%62=x&x",
        ),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected `name=value` parameters after the `?`, with `&` between them
              `DATABASE_URL`: expected none of the parameters `sslcrl`, `useSSL`, `…`; supported are `application_name`, `channel_binding`, `connect_timeout`, `host`, `options`, `pgbouncer`, `port`, `sslcert`, `sslkey`, `sslmode`, `sslrootcert`, `target_session_attrs`
              `DATABASE_URL`, parameter `connect_timeout`: expected whole seconds from 1 to 3600
              `DATABASE_URL`, parameter `application_name`: expected 1 to 63 bytes of printable ASCII
              `DATABASE_URL`, parameter `sslmode`: expected `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`
              `DATABASE_URL`, parameter `sslrootcert`: expected a file's path or `system`
              `DATABASE_URL`, parameter `channel_binding`: expected `disable`, `prefer` or `require`
              `DATABASE_URL`, parameter `sslkey`: expected a file's path
              `DATABASE_URL`, parameter `target_session_attrs`: expected `any`, `read-write`, `read-only`, `primary`, `standby` or `prefer-standby`
        "#]],
    );
}

#[test]
fn options_are_refused_in_transaction_mode() {
    let url = "postgres://app@db/a?options=-cjit%3doff";
    check_error(
        read(&[("DATABASE_URL", url), ("DB_POOL_MODE", "transaction")]),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `options`: expected not to be set in pool mode `transaction`; a pooler such as PgBouncer refuses it
        "#]],
    );
    assert!(read(&[("DATABASE_URL", url), ("DB_POOL_MODE", "session")]).is_ok());

    let empty = "postgres://app@db/a?options=";
    let settings = read(&[("DATABASE_URL", empty), ("DB_POOL_MODE", "transaction")]);
    assert_eq!(settings.unwrap().options(), None);
}

#[test]
fn each_malformed_part_is_reported() {
    check_error(
        Settings::from_url("postgres://:%zz@,db:0,[::1]x,a%00b,%ff,::1/%2?connect_timeout=%"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a user before the host: `user@host`
              `DATABASE_URL`: expected its password to be percent-encoded UTF-8 without NUL; a `%` itself is written `%25`
              `DATABASE_URL`: expected its parameters to be percent-encoded UTF-8 without NUL; a `%` itself is written `%25`
              `DATABASE_URL`: expected its host to be percent-encoded UTF-8 without NUL; a `%` itself is written `%25`
              `DATABASE_URL`: expected a name, an address or a socket's directory for each host, after the `@` or in the parameter `host`
              `DATABASE_URL`: expected a port from 1 to 65535 after a host's `:` or in the parameter `port`, and an IPv6 address after the `@` in `[]`
              `DATABASE_URL`: expected its database to be percent-encoded UTF-8 without NUL; a `%` itself is written `%25`
        "#]],
    );
    check_error(
        Settings::from_url("mysql://app@db/a"),
        expect![[r#"
        invalid settings:
          `DATABASE_URL`: expected a URL that begins with `postgres://` or `postgresql://`
    "#]],
    );
    check_error(
        Settings::from_url("postgres:app@db/a"),
        expect![[r#"
        invalid settings:
          `DATABASE_URL`: expected a URL that begins with `postgres://` or `postgresql://`
    "#]],
    );
    check_error(
        Settings::from_url("postgres://"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a user before the host: `user@host`
        "#]],
    );
    check_error(
        Settings::from_url("postgres://db/a"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a user before the host: `user@host`
        "#]],
    );
}

#[test]
fn the_rest_of_an_unencoded_password_is_not_taken_for_something_else() {
    let unencoded = "postgres://app:hun@ter2@db/a";
    check_error(
        Settings::from_url(unencoded),
        expect![[r#"
        invalid settings:
          `DATABASE_URL`: expected one `@`, between the user or password and the host, and no `/` before it; elsewhere they are written `%40` and `%2F`
    "#]],
    );
    let error = Settings::from_url(unencoded).unwrap_err().to_string();
    for url in [
        "postgres://app:12/hunter2@db/a",
        "postgres://app:12/x?hunter2=3@db/a",
        "postgres://app:12@3/x?hunter2=3@db/a",
    ] {
        assert_eq!(Settings::from_url(url).unwrap_err().to_string(), error);
    }
}
