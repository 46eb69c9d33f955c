use std::time::Duration;

use super::URL;
use crate::{
    ChannelBinding, PoolMode, Settings, TlsMode,
    duration::written,
    variable::{
        ACQUIRE_TIMEOUT, CONNECT_TIMEOUT, IDLE_TIMEOUT, MAX_LIFETIME, NAMES, NETWORK_TIMEOUT,
        RETRY_PAUSE, RETRY_TIMEOUT, STARTUP_TIMEOUT, STATEMENT_TIMEOUT,
    },
};

/// The rows of the table of variables in a Markdown `text` or in crate docs.
fn rows(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.trim_start_matches("//! "))
        .filter(|line| line.starts_with("| `DB_") || line.starts_with("| `DATABASE_URL`"))
        .collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.split('|').map(str::trim).collect()
}

fn quoted(text: impl ToString) -> String {
    format!("`{}`", text.to_string())
}

fn limit(duration: Option<Duration>) -> String {
    quoted(written(duration.unwrap()))
}

#[test]
fn the_table_in_the_docs_lists_every_variable_once_and_in_order() {
    let names: Vec<_> = rows(include_str!("../lib.rs"))
        .into_iter()
        .map(|row| cells(row)[1])
        .collect();
    assert_eq!(names, NAMES.map(quoted));
}

#[test]
fn the_readme_has_the_same_table() {
    assert_eq!(
        rows(include_str!("../../../../README.md")),
        rows(include_str!("../lib.rs"))
    );
}

#[test]
fn the_table_in_the_docs_gives_the_defaults_that_are_used() {
    let settings = Settings::from_url(URL).unwrap();
    assert_eq!(settings.tls_mode(), TlsMode::Prefer);
    assert_eq!(settings.root_certificates(), None);
    assert_eq!(settings.client_certificate(), None);
    assert_eq!(settings.channel_binding(), ChannelBinding::Prefer);
    assert_eq!(settings.pool_mode(), PoolMode::Session);

    let defaults: Vec<_> = rows(include_str!("../lib.rs"))
        .into_iter()
        .map(|row| cells(row)[3])
        .collect();
    assert_eq!(
        defaults,
        [
            "required".to_owned(),
            quoted(settings.pool_min()),
            quoted(settings.pool_max()),
            quoted(written(settings.acquire_timeout())),
            quoted(written(settings.connect_timeout())),
            quoted(written(settings.startup_timeout())),
            limit(settings.statement_timeout()),
            quoted(written(settings.network_timeout())),
            quoted(written(settings.retry_timeout())),
            quoted(settings.retry_attempts()),
            quoted(written(settings.retry_pause())),
            limit(settings.idle_timeout()),
            limit(settings.max_lifetime()),
            quoted(settings.application_name()),
            quoted(settings.schema()),
            "`prefer`".to_owned(),
            "not set".to_owned(),
            "not set".to_owned(),
            "not set".to_owned(),
            "`prefer`".to_owned(),
            "`session`".to_owned(),
        ]
    );
}

#[test]
fn the_table_in_the_docs_gives_the_bounds_of_every_duration() {
    let rows = rows(include_str!("../lib.rs"));
    for time in [
        ACQUIRE_TIMEOUT,
        CONNECT_TIMEOUT,
        STARTUP_TIMEOUT,
        STATEMENT_TIMEOUT,
        NETWORK_TIMEOUT,
        RETRY_TIMEOUT,
        RETRY_PAUSE,
        IDLE_TIMEOUT,
        MAX_LIFETIME,
    ] {
        let start = format!(
            "| `{}` | duration | `{}` | {} |",
            time.name,
            written(time.default),
            time.bounds()
        );
        assert!(
            rows.iter().any(|row| row.starts_with(&start)),
            "no row begins with {start}"
        );
    }
}
