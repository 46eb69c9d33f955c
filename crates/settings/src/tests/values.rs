//! What each variable takes and refuses.

use std::env;
use std::ffi::OsString;
use std::fmt::Debug;
use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;

use super::{URL, check_error, read};
use crate::duration::{parse, written};
use crate::error::Problems;
use crate::program::printable;
use crate::variable::NAMES;
use crate::{Error, PoolMode, Settings};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const H: Duration = Duration::from_secs(60 * 60);

/// Checks that the variable takes each of the `good` values for what it means and reports each of
/// the `bad` ones.
#[track_caller]
fn check<T: Debug + PartialEq>(
    name: &str,
    value: impl Fn(&Settings) -> T,
    good: &[(&str, T)],
    bad: &[&str],
) {
    for (text, expected) in good {
        let settings = read(&[(name, text)]).unwrap();
        assert_eq!(value(&settings), *expected, "{name}={text}");
    }
    for text in bad {
        let Err(Error::Invalid { problems }) = read(&[(name, text)]) else {
            panic!("{name}={text} should be refused");
        };
        let names: Vec<_> = problems.iter().map(|problem| &problem.name).collect();
        assert_eq!(names, [name], "{name}={text}");
    }
}

#[test]
fn defaults_apply_to_everything_but_the_url() {
    let program = Settings::from_url(URL)
        .unwrap()
        .application_name()
        .to_owned();
    assert!(program.starts_with("settings-"), "{program}");
    expect![[r#"
        Settings {
            hosts: [
                Host {
                    name: "db.internal",
                    port: 5432,
                },
            ],
            user: "app",
            password: None,
            dbname: "agents",
            pool_min: 1,
            pool_max: 10,
            acquire_timeout: 5s,
            connect_timeout: 5s,
            startup_timeout: 30s,
            statement_timeout: Some(
                30s,
            ),
            network_timeout: 10s,
            retry_timeout: 30s,
            retry_attempts: 100,
            retry_pause: 2s,
            idle_timeout: Some(
                600s,
            ),
            max_lifetime: Some(
                1800s,
            ),
            application_name: "agent",
            schema: None,
            tls: Tls {
                mode: Prefer,
                root_certificates: None,
                client_certificate: None,
                channel_binding: Prefer,
            },
            pool_mode: Session,
            options: None,
            target_session_attrs: Any,
        }
    "#]]
    .assert_debug_eq(&read(&[("DB_APPLICATION_NAME", "agent")]).unwrap());
}

#[test]
fn counts_are_whole_numbers_within_their_bounds() {
    check(
        "DB_POOL_MIN",
        Settings::pool_min,
        &[("0", 0), ("10", 10), (" 2\n", 2)],
        &["11", "1001", "-1", "+1", "1.5", "two", "1_0", "4294967296"],
    );
    check(
        "DB_POOL_MAX",
        Settings::pool_max,
        &[("1", 1), ("1000", 1000)],
        &["1001", "-1", "+10", "ten", "10 connections"],
    );
    check(
        "DB_RETRY_ATTEMPTS",
        Settings::retry_attempts,
        &[("1", 1), ("10000", 10_000)],
        &["0", "10001", "-1", "off"],
    );
}

#[test]
fn the_smaller_pool_size_is_checked_against_the_larger_one() {
    let settings = read(&[("DB_POOL_MIN", "50"), ("DB_POOL_MAX", "50")]).unwrap();
    assert_eq!((settings.pool_min(), settings.pool_max()), (50, 50));

    check_error(
        read(&[("DB_POOL_MIN", "51"), ("DB_POOL_MAX", "50")]),
        expect![[r#"
            invalid settings:
              `DB_POOL_MIN`: expected a whole number from 0 to `DB_POOL_MAX`
        "#]],
    );
    // Nothing is known about the maximum here, so only that is reported.
    check_error(
        read(&[("DB_POOL_MIN", "51"), ("DB_POOL_MAX", "0")]),
        expect![[r#"
            invalid settings:
              `DB_POOL_MAX`: expected a whole number from 1 to 1000
        "#]],
    );
}

#[test]
fn a_duration_needs_its_unit_and_keeps_to_its_bounds() {
    check(
        "DB_ACQUIRE_TIMEOUT",
        Settings::acquire_timeout,
        &[
            ("1ms", MS),
            ("500ms", 500 * MS),
            ("2min", 120 * S),
            ("1h", H),
        ],
        &[
            "5",
            "0",
            "0s",
            "off",
            "3601s",
            "2h",
            "5 s",
            "1.5s",
            "-5s",
            "5m",
            "5S",
            "s",
            "99999999999999999999h",
            "18446744073709551615h",
        ],
    );
    check(
        "DB_CONNECT_TIMEOUT",
        Settings::connect_timeout,
        &[("1ms", MS), ("10s", 10 * S), ("60min", H)],
        &["10", "0", "off", "61min"],
    );
    check(
        "DB_NETWORK_TIMEOUT",
        Settings::network_timeout,
        &[("100ms", 100 * MS), ("1h", H)],
        &["10", "0", "off", "99ms", "61min"],
    );
    check(
        "DB_RETRY_PAUSE",
        Settings::retry_pause,
        &[("1ms", MS), ("1h", H)],
        &["10", "0", "off", "61min"],
    );
}

#[test]
fn a_startup_or_retry_time_of_nought_is_one_attempt() {
    check(
        "DB_RETRY_TIMEOUT",
        Settings::retry_timeout,
        &[("0", Duration::ZERO), ("0s", Duration::ZERO), ("1h", H)],
        &["off", "1", "2h"],
    );
    check(
        "DB_STARTUP_TIMEOUT",
        Settings::startup_timeout,
        &[("0", Duration::ZERO), ("0s", Duration::ZERO), ("1h", H)],
        &["off", "1", "2h"],
    );
}

#[test]
fn a_limit_may_be_off() {
    let off = |longest| {
        [
            ("off", None),
            ("0", None),
            ("0min", None),
            ("24h", Some(longest)),
        ]
    };
    check(
        "DB_STATEMENT_TIMEOUT",
        Settings::statement_timeout,
        &off(24 * H),
        &["OFF", "none", "30", "25h"],
    );
    check(
        "DB_IDLE_TIMEOUT",
        Settings::idle_timeout,
        &off(24 * H),
        &["999ms", "-1", "25h"],
    );
    check(
        "DB_MAX_LIFETIME",
        Settings::max_lifetime,
        &off(24 * H),
        &["999ms", "false", "25h"],
    );
}

#[test]
fn the_application_name_is_short_and_printable() {
    let longest = "a".repeat(63);
    check(
        "DB_APPLICATION_NAME",
        |settings| settings.application_name().to_owned(),
        &[
            ("audit agent (eu)", "audit agent (eu)".to_owned()),
            (&longest, longest.clone()),
        ],
        &[&"a".repeat(64), "prüfer", "two\nlines", "a\0b"],
    );
}

#[test]
fn the_name_of_a_program_becomes_one_that_the_server_keeps() {
    assert_eq!(printable("audit agent"), "audit agent");
    assert_eq!(printable("prüfer\n"), "pr?fer?");
    assert_eq!(printable(&"a".repeat(64)), "a".repeat(63));
    assert_eq!(printable(" "), "unnamed");
    let exe = format!("agent{}", env::consts::EXE_SUFFIX);
    assert_eq!(printable(&exe), "agent");
}

#[test]
fn the_schema_is_any_name_that_the_server_takes_whole() {
    let longest = "ü".repeat(31);
    check(
        "DB_SCHEMA",
        |settings| settings.schema().map(str::to_owned),
        &[
            ("Agents \"EU\"; --", Some("Agents \"EU\"; --".to_owned())),
            (&longest, Some(longest.clone())),
        ],
        &[&"ü".repeat(32), "pg_agents", "a\0b"],
    );
}

#[test]
fn the_pool_mode_is_one_of_two() {
    check(
        "DB_POOL_MODE",
        Settings::pool_mode,
        &[
            ("session", PoolMode::Session),
            ("transaction", PoolMode::Transaction),
        ],
        &["statement", "Session"],
    );
}

#[test]
fn everything_wrong_is_reported_at_once() {
    check_error(
        Settings::from_iter(NAMES.map(|name| (name, "\u{1f980}".repeat(32)))),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a URL that begins with `postgres://` or `postgresql://`
              `DB_POOL_MIN`: expected a whole number from 0 to 1000
              `DB_POOL_MAX`: expected a whole number from 1 to 1000
              `DB_ACQUIRE_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `1h`
              `DB_CONNECT_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `1h`
              `DB_STARTUP_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `1h`, or `0`
              `DB_STATEMENT_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `24h`, or `off`
              `DB_NETWORK_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `100ms` to `1h`
              `DB_RETRY_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `1h`, or `0`
              `DB_RETRY_ATTEMPTS`: expected a whole number from 1 to 10000
              `DB_RETRY_PAUSE`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `1h`
              `DB_IDLE_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1s` to `24h`, or `off`
              `DB_MAX_LIFETIME`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1s` to `24h`, or `off`
              `DB_APPLICATION_NAME`: expected 1 to 63 bytes of printable ASCII
              `DB_SCHEMA`: expected 1 to 63 bytes without NUL, not beginning with `pg_`
              `DB_SSLMODE`: expected `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`
              `DB_CHANNEL_BINDING`: expected `disable`, `prefer` or `require`
              `DB_POOL_MODE`: expected `session` or `transaction`
        "#]],
    );
}

#[test]
fn an_empty_variable_is_refused() {
    check_error(
        Settings::from_iter(NAMES.map(|name| (name, ""))),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a URL such as `postgres://user:password@host/dbname`: it is empty
              `DB_ACQUIRE_TIMEOUT`: expected a value, or not to be set at all: it is empty
              `DB_APPLICATION_NAME`: expected a value, or not to be set at all: it is empty
              `DB_CHANNEL_BINDING`: expected a value, or not to be set at all: it is empty
              `DB_CONNECT_TIMEOUT`: expected a value, or not to be set at all: it is empty
              `DB_IDLE_TIMEOUT`: expected a value, or not to be set at all: it is empty
              `DB_MAX_LIFETIME`: expected a value, or not to be set at all: it is empty
              `DB_NETWORK_TIMEOUT`: expected a value, or not to be set at all: it is empty
              `DB_POOL_MAX`: expected a value, or not to be set at all: it is empty
              `DB_POOL_MIN`: expected a value, or not to be set at all: it is empty
              `DB_POOL_MODE`: expected a value, or not to be set at all: it is empty
              `DB_RETRY_ATTEMPTS`: expected a value, or not to be set at all: it is empty
              `DB_RETRY_PAUSE`: expected a value, or not to be set at all: it is empty
              `DB_RETRY_TIMEOUT`: expected a value, or not to be set at all: it is empty
              `DB_SCHEMA`: expected a value, or not to be set at all: it is empty
              `DB_SSLCERT`: expected a value, or not to be set at all: it is empty
              `DB_SSLKEY`: expected a value, or not to be set at all: it is empty
              `DB_SSLMODE`: expected a value, or not to be set at all: it is empty
              `DB_SSLROOTCERT`: expected a value, or not to be set at all: it is empty
              `DB_STARTUP_TIMEOUT`: expected a value, or not to be set at all: it is empty
              `DB_STATEMENT_TIMEOUT`: expected a value, or not to be set at all: it is empty
        "#]],
    );
    check_error(
        read(&[("DB_POOL_MAX", " \t\n")]),
        expect![[r#"
            invalid settings:
              `DB_POOL_MAX`: expected a value, or not to be set at all: it is empty
        "#]],
    );
}

#[test]
fn the_url_is_required() {
    check_error(
        Settings::from_iter(Vec::<(&str, &str)>::new()),
        expect![[r#"
        invalid settings:
          `DATABASE_URL`: expected a URL such as `postgres://user:password@host/dbname`: it is not set
    "#]],
    );
}

#[test]
fn the_later_of_two_values_counts() {
    let settings = read(&[("DB_POOL_MAX", "many"), ("DB_POOL_MAX", "20")]).unwrap();
    assert_eq!(settings.pool_max(), 20);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_matters_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;

    let read = |variables: Vec<(OsString, OsString)>| {
        let url = (OsString::from("DATABASE_URL"), OsString::from(URL));
        let all = [url].into_iter().chain(variables);
        Settings::read(all, Problems::default())
    };
    let binary = || OsString::from_vec(b"\xff\xfe".to_vec());

    let settings = read(vec![
        (OsString::from("LS_COLORS"), binary()),
        (binary(), OsString::from("value")),
        (OsString::from_vec(b"DB_\xff".to_vec()), binary()),
    ]);
    assert_eq!(settings.unwrap(), Settings::from_url(URL).unwrap());

    check_error(
        read(vec![
            (OsString::from("DATABASE_URL"), binary()),
            (OsString::from("DB_SCHEMA"), binary()),
        ]),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected UTF-8
              `DB_SCHEMA`: expected UTF-8
        "#]],
    );
}

proptest! {
    #[test]
    fn a_written_duration_reads_the_same(millis in 1..u64::from(u32::MAX)) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse(&written(duration)), Some(duration));
    }
}
