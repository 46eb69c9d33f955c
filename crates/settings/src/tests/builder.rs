//! Settings made in code are those that the environment would give.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;

use super::{URL, check_error, read};
use crate::variable::NAMES;
use crate::{Builder, ChannelBinding, PoolMode, RootCertificates, Settings, TlsMode};

const S: Duration = Duration::from_secs(1);

/// Checks that a method sets what the variables set, and that this isn't the default.
#[track_caller]
fn check(set: impl FnOnce(Builder) -> Builder, variables: &[(&str, &str)]) {
    let built = set(Settings::builder(URL)).build().unwrap();
    assert_eq!(built, read(variables).unwrap(), "{variables:?}");
    assert_ne!(built, Settings::from_url(URL).unwrap(), "{variables:?}");
}

#[test]
fn each_method_sets_what_its_variable_sets() {
    check(|b| b.pool_min(3), &[("DB_POOL_MIN", "3")]);
    check(|b| b.pool_max(20), &[("DB_POOL_MAX", "20")]);
    check(
        |b| b.acquire_timeout(7 * S),
        &[("DB_ACQUIRE_TIMEOUT", "7s")],
    );
    check(
        |b| b.connect_timeout(7 * S),
        &[("DB_CONNECT_TIMEOUT", "7s")],
    );
    check(
        |b| b.startup_timeout(Duration::ZERO),
        &[("DB_STARTUP_TIMEOUT", "0")],
    );
    check(
        |b| b.statement_timeout(7 * S),
        &[("DB_STATEMENT_TIMEOUT", "7s")],
    );
    check(
        |b| b.statement_timeout(None),
        &[("DB_STATEMENT_TIMEOUT", "off")],
    );
    check(
        |b| b.network_timeout(7 * S),
        &[("DB_NETWORK_TIMEOUT", "7s")],
    );
    check(|b| b.retry_timeout(7 * S), &[("DB_RETRY_TIMEOUT", "7s")]);
    check(|b| b.retry_attempts(3), &[("DB_RETRY_ATTEMPTS", "3")]);
    check(|b| b.retry_pause(7 * S), &[("DB_RETRY_PAUSE", "7s")]);
    check(|b| b.idle_timeout(None), &[("DB_IDLE_TIMEOUT", "off")]);
    check(|b| b.max_lifetime(None), &[("DB_MAX_LIFETIME", "off")]);
    check(
        |b| b.application_name("audit"),
        &[("DB_APPLICATION_NAME", "audit")],
    );
    check(|b| b.schema("agents"), &[("DB_SCHEMA", "agents")]);
    check(
        |b| b.tls_mode(TlsMode::Require),
        &[("DB_SSLMODE", "require")],
    );
    check(
        |b| b.root_certificates(RootCertificates::System),
        &[("DB_SSLROOTCERT", "system")],
    );
    check(
        |b| b.client_certificate("my.crt", "my.key"),
        &[("DB_SSLCERT", "my.crt"), ("DB_SSLKEY", "my.key")],
    );
    check(
        |b| b.channel_binding(ChannelBinding::Require),
        &[("DB_CHANNEL_BINDING", "require")],
    );
    check(
        |b| b.pool_mode(PoolMode::Transaction),
        &[("DB_POOL_MODE", "transaction")],
    );
}

#[test]
fn what_is_built_is_checked_as_what_is_read() {
    check_error(
        Settings::builder("postgres://app@db:0/agents")
            .pool_min(1001)
            .pool_max(0)
            .acquire_timeout(Duration::MAX)
            .statement_timeout(Duration::ZERO)
            .application_name("")
            .schema("pg_agents")
            .tls_mode(TlsMode::VerifyFull)
            .client_certificate("", "my\0key")
            .build(),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected a port from 1 to 65535 after a host's `:` or in the parameter `port`, and an IPv6 address after the `@` in `[]`
              `DB_POOL_MIN`: expected a whole number from 0 to 1000
              `DB_POOL_MAX`: expected a whole number from 1 to 1000
              `DB_ACQUIRE_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `1h`
              `DB_STATEMENT_TIMEOUT`: expected a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from `1ms` to `24h`, or `off`
              `DB_APPLICATION_NAME`: expected 1 to 63 bytes of printable ASCII
              `DB_SCHEMA`: expected 1 to 63 bytes without NUL, not beginning with `pg_`
              `DB_SSLCERT`: expected a file's path
              `DB_SSLKEY`: expected a file's path
        "#]],
    );
    check_error(
        Settings::builder(URL)
            .pool_min(11)
            .tls_mode(TlsMode::VerifyCa)
            .build(),
        expect![[r#"
            invalid settings:
              `DB_SSLROOTCERT`: expected a file's path or `system`: a mode that verifies needs certificates that are trusted
              `DB_POOL_MIN`: expected a whole number from 0 to `DB_POOL_MAX`
        "#]],
    );
}

#[test]
fn what_is_built_beats_the_parameter_of_the_url() {
    let url = "postgres://app@db/agents?sslmode=disable&connect_timeout=3&application_name=url";
    let settings = Settings::builder(url)
        .connect_timeout(7 * S)
        .application_name("code")
        .build()
        .unwrap();
    assert_eq!(settings.connect_timeout(), 7 * S);
    assert_eq!(settings.application_name(), "code");
    assert_eq!(settings.tls_mode(), TlsMode::Disable);
}

#[test]
fn a_value_is_taken_as_it_is() {
    let settings = Settings::builder(URL)
        .schema(" agents ")
        .root_certificates(RootCertificates::File("system".into()))
        .acquire_timeout(Duration::from_micros(1500))
        .build()
        .unwrap();
    assert_eq!(settings.schema(), Some(" agents "));
    assert_eq!(
        settings.root_certificates(),
        Some(&RootCertificates::File(Path::new("system").into()))
    );
    assert_eq!(settings.acquire_timeout(), Duration::from_micros(1500));
}

#[test]
fn a_builder_shows_no_value() {
    let shown = format!(
        "{:?}",
        Settings::builder("postgres://app:hunter2@db/agents")
    );
    assert_eq!(shown, "Builder { .. }");
}

#[test]
fn each_name_leads_to_an_entry_of_its_own() {
    // No value is right for all: a text of ten thousand bytes with a NUL is right for none, and a
    // URL.
    let wrong = "\0".repeat(10_000);
    for name in NAMES {
        let error = read(&[(name, &wrong)]).unwrap_err().to_string();
        let lines: Vec<_> = error.lines().skip(1).collect();
        assert_eq!(lines.len(), 1, "{error}");
        assert!(
            lines[0].starts_with(&format!("  `{name}`: expected ")),
            "{error}"
        );
    }
}
