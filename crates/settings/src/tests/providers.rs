//! URLs as providers give them, and the parameters of other drivers.

use expect_test::expect;

use super::check_error;
use crate::{ChannelBinding, PoolMode, RootCertificates, Settings, TlsMode};

const TRANSACTION: (&str, &str) = ("DB_POOL_MODE", "transaction");

/// A row of the table of providers.
struct Row {
    provider: &'static str,
    url: &'static str,
    /// The variables beside it.
    variables: Vec<(&'static str, &'static str)>,
}

impl Row {
    fn read(line: &'static str) -> Self {
        let mut cells = line.trim_matches(['|', ' ']).split(" | ");
        let (provider, url) = (cells.next().unwrap(), cells.next().unwrap());
        let besides = cells.next().unwrap_or_default().split('`');
        Self {
            provider,
            url: url.trim_matches(['`', ' ', '|']),
            variables: besides.filter_map(|text| text.split_once('=')).collect(),
        }
    }

    fn settings(&self) -> Settings {
        let url = [("DATABASE_URL", self.url)];
        let settings = Settings::from_iter(url.iter().chain(&self.variables).copied());
        settings.unwrap_or_else(|error| panic!("{}: {error}", self.provider))
    }
}

fn rows() -> impl Iterator<Item = Row> {
    let page = include_str!("../../../../docs/settings.md");
    let lines = page.lines().filter(|line| line.contains("| `postgres"));
    lines.map(Row::read)
}

/// Reads a provider's URL as the table gives it.
fn provider(name: &str) -> Settings {
    let row = rows().find(|row| row.provider == name);
    row.unwrap().settings()
}

#[test]
fn the_url_of_each_provider_is_taken_as_it_is_given() {
    assert!(rows().count() > 20);
    for row in rows() {
        let (settings, name) = (row.settings(), row.provider);
        assert_eq!(settings.hosts().len(), 1, "{name}");
        assert!(settings.password().is_some(), "{name}");
        let is_pooled = row.url.contains("pgbouncer=true") || row.variables.contains(&TRANSACTION);
        let is_transaction = settings.pool_mode() == PoolMode::Transaction;
        assert_eq!(is_transaction, is_pooled, "{name}");
    }
}

#[test]
fn what_the_urls_of_providers_say_is_kept() {
    let supabase = provider("Supabase, for Prisma");
    assert_eq!(supabase.user(), "postgres.abcdefgh");
    assert_eq!(supabase.hosts()[0].port, 6543);
    assert_eq!(supabase.pool_mode(), PoolMode::Transaction);

    let neon = provider("Neon, pooled");
    assert_eq!(neon.tls_mode(), TlsMode::Require);
    assert_eq!(neon.channel_binding(), ChannelBinding::Require);

    let rds = provider("RDS Proxy");
    assert_eq!(rds.tls_mode(), TlsMode::VerifyFull);
    assert_eq!(rds.root_certificates(), Some(&RootCertificates::System));

    let azure = provider("Azure, single server");
    assert_eq!(azure.user(), "app@name");

    let cloud_sql = provider("Cloud SQL, socket");
    assert!(cloud_sql.hosts()[0].is_unix_socket());
}

#[test]
fn the_endpoint_of_neon_is_sent_in_both_pool_modes() {
    for mode in ["session", "transaction"] {
        let url = "postgres://app@ep-x/a?options=endpoint%3Dep-x";
        let settings = Settings::from_iter([("DATABASE_URL", url), ("DB_POOL_MODE", mode)]);
        assert_eq!(settings.unwrap().options(), Some("endpoint=ep-x"));
    }
    let url = "postgres://app@ep-x/a?pgbouncer=true&options=endpoint%3Dep-x%20-cjit%3Doff";
    check_error(
        Settings::from_url(url),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `options`: expected not to be set in pool mode `transaction`; a pooler such as PgBouncer refuses it
        "#]],
    );
}

#[test]
fn the_word_for_a_pooler_is_beaten_by_the_variable() {
    let url = "postgres://app@db/a?pgbouncer=true";
    let mode = |url: &str| Settings::from_url(url).unwrap().pool_mode();
    assert_eq!(mode(url), PoolMode::Transaction);
    assert_eq!(
        mode("postgres://app@db/a?pgbouncer=false"),
        PoolMode::Session
    );
    let settings = Settings::builder(url).pool_mode(PoolMode::Session).build();
    assert_eq!(settings.unwrap().pool_mode(), PoolMode::Session);
    check_error(
        Settings::from_url("postgres://app@db/a?pgbouncer=1"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `pgbouncer`: expected `true` or `false`
        "#]],
    );
}

#[test]
fn a_parameter_that_says_what_is_done_anyway_changes_nothing() {
    let plain = Settings::from_url("postgres://app@db/a").unwrap();
    for parameter in [
        "client_encoding=UTF8",
        "client_encoding=utf-8",
        "gssencmode=disable",
        "gssencmode=prefer",
        "keepalives=1",
        "load_balance_hosts=disable",
        "ssl_min_protocol_version=TLSv1.2",
        "sslcompression=0",
        "sslnegotiation=postgres",
        "sslsni=1",
        "supa=base-pooler.x",
        "uselibpqcompat=true",
    ] {
        let settings = Settings::from_url(&format!("postgres://app@db/a?{parameter}"));
        assert_eq!(settings.unwrap(), plain, "{parameter}");
    }
}

#[test]
fn the_refusal_of_another_drivers_parameter_says_what_to_set() {
    check_error(
        Settings::from_url(
            "postgres://app@db/a?client_encoding=LATIN1&gssencmode=require&keepalives=0\
             &keepalives_idle=30&load_balance_hosts=random&sslcompression=1&sslnegotiation=direct\
             &sslsni=0&ssl_min_protocol_version=TLSv1.3&uselibpqcompat=false&ssl=true\
             &fallback_application_name=x&user=x&connection_limit=1&pool_timeout=10\
             &max_connection_lifetime=1&max_idle_connection_lifetime=1&socket_timeout=1\
             &tcp_user_timeout=1&schema=public&statement_cache_size=0",
        ),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `client_encoding`: expected `UTF8`, in which all texts are sent
              `DATABASE_URL`, parameter `gssencmode`: expected `disable` or `prefer`: GSSAPI isn't supported
              `DATABASE_URL`, parameter `keepalives`: expected `1`: an idle connection is always probed
              `DATABASE_URL`, parameter `keepalives_idle`: expected not to be set: an idle connection is probed after 15 seconds, three times, with 5 seconds between
              `DATABASE_URL`, parameter `load_balance_hosts`: expected `disable`: hosts are tried in the order in which they are named
              `DATABASE_URL`, parameter `sslcompression`: expected `0`: nothing is compressed
              `DATABASE_URL`, parameter `sslnegotiation`: expected `postgres`: the server is always asked for TLS before the handshake
              `DATABASE_URL`, parameter `sslsni`: expected `1`: the name of the host is always sent in the handshake
              `DATABASE_URL`, parameter `ssl_min_protocol_version`: expected `TLSv1.2`, which is always the oldest
              `DATABASE_URL`, parameter `uselibpqcompat`: expected `true`: `sslmode` always means what it means to libpq
              `DATABASE_URL`, parameter `ssl`: expected not to be set: `sslmode` says whether connections are encrypted, and what is checked of the server
              `DATABASE_URL`, parameter `fallback_application_name`: expected not to be set: the parameter is `application_name`
              `DATABASE_URL`, parameter `user`: expected not to be set: user and password are before the host, the database is behind it
              `DATABASE_URL`, parameter `connection_limit`: expected not to be set: `DB_POOL_MAX` says how many connections the pool opens at most
              `DATABASE_URL`, parameter `pool_timeout`: expected not to be set: `DB_ACQUIRE_TIMEOUT` says how long a caller waits for a connection
              `DATABASE_URL`, parameter `max_connection_lifetime`: expected not to be set: `DB_MAX_LIFETIME` says how old a connection may become
              `DATABASE_URL`, parameter `max_idle_connection_lifetime`: expected not to be set: `DB_IDLE_TIMEOUT` says how long a connection may lie idle
              `DATABASE_URL`, parameter `socket_timeout`: expected not to be set: `DB_STATEMENT_TIMEOUT` says how long a statement may run
              `DATABASE_URL`, parameter `tcp_user_timeout`: expected not to be set: `DB_NETWORK_TIMEOUT` says how long an answer may be overdue
              `DATABASE_URL`, parameter `schema`: expected not to be set: `DB_SCHEMA` says in which schema the tables are
              `DATABASE_URL`, parameter `statement_cache_size`: expected not to be set: each connection finds out whether statements can be prepared
        "#]],
    );
}

#[test]
fn a_refused_parameter_does_not_hide_what_is_unknown() {
    check_error(
        Settings::from_url("postgres://app@db/a?schema=hunter2&sslcrl=hunter2"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `schema`: expected not to be set: `DB_SCHEMA` says in which schema the tables are
              `DATABASE_URL`: expected none of the parameters `sslcrl`; supported are `application_name`, `channel_binding`, `connect_timeout`, `host`, `options`, `pgbouncer`, `port`, `sslcert`, `sslkey`, `sslmode`, `sslrootcert`, `target_session_attrs`
        "#]],
    );
}
