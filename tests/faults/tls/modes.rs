//! Each `sslmode` does what libpq does.

use db::{ConnectFailure, Database};
use expect_test::expect;

use super::authority::{Authority, Issued, Valid};
use super::failures::failure;
use super::psql;
use super::server::{Outcome, TlsServer, seen};

const MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// What comes of every mode, for a user who gets in either way, one who does with TLS only, and one
/// without it only. Asserts that libpq ends the same way.
async fn outcomes(title: &str, server: &TlsServer, host: &str, root: Option<&str>) -> String {
    let mut table = format!("{title}\n");
    for user in ["either", "encrypted", "plain"] {
        table += &format!("  {user:9}");
        for mode in MODES {
            let outcome = outcome(server, host, user, mode, root).await;
            let mut options = vec![("sslmode", mode)];
            options.extend(root.map(|root| ("sslrootcert", root)));
            assert_eq!(
                outcome,
                psql::outcome(server, host, user, &options).await,
                "left is ours, right is libpq's: {title}, {user}, {mode}"
            );
            table += outcome.cell();
        }
        table += "\n";
    }
    table
}

async fn outcome(
    server: &TlsServer,
    host: &str,
    user: &str,
    mode: &str,
    root: Option<&str>,
) -> Outcome {
    let mut variables = vec![("DB_SSLMODE", mode)];
    variables.extend(root.map(|root| ("DB_SSLROOTCERT", root)));
    let url = server.url(user, host);
    // A mode that verifies needs root certificates.
    let Ok(settings) = server.settings(&url, &variables) else {
        return Outcome::Failed;
    };
    match Database::connect(&settings).await {
        Ok(database) => seen(&database).await,
        Err(_) => Outcome::Failed,
    }
}

/// What a connection is asked first fails within TLS, as if a pooler had said so. The built-in function has to make
/// way: it is called by its number, whatever stands for it in the catalog.
const FAILS_WITHIN_TLS: &str = "
ALTER FUNCTION pg_catalog.pg_is_in_recovery() RENAME TO pg_is_in_recovery_built_in;
CREATE FUNCTION pg_catalog.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'no server' USING ERRCODE = 'XX000';
    END IF;
    RETURN false;
END
$$";

#[tokio::test]
async fn what_fails_after_the_log_in_is_not_tried_without_tls() {
    let server = TlsServer::with(&Authority::new().issue("localhost")).await;
    let observer = server.observer().await;
    observer.batch_execute(FAILS_WITHIN_TLS).await.unwrap();
    let told = failure(&server, "either", &[("DB_SSLMODE", "prefer")]).await;
    assert_eq!(told.0, ConnectFailure::Rejected, "{}", told.1);
    // Without TLS it would have been open.
    let plain = outcome(&server, "localhost", "either", "disable", None).await;
    assert_eq!(plain, Outcome::Plain);
}

#[tokio::test]
async fn each_mode_ends_as_in_libpq_if_the_server_has_no_tls() {
    let server = TlsServer::without_tls().await;
    let root = server.file("root.crt", &Authority::new().certificate());
    let mut table = outcomes("nobody is trusted", &server, "localhost", None).await;
    table += &outcomes("somebody is trusted", &server, "localhost", root.to_str()).await;
    expect![[r#"
        nobody is trusted
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
        somebody is trusted
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn each_mode_ends_as_in_libpq_whoever_is_trusted() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    let mut table = outcomes("nobody is trusted", &server, "localhost", None).await;

    let own = server.file("own.crt", &authority.certificate());
    table += &outcomes("its authority", &server, "localhost", own.to_str()).await;

    let several = Authority::new().certificate() + &authority.certificate();
    let several = server.file("several.crt", &several);
    table += &outcomes("that among others", &server, "localhost", several.to_str()).await;

    let other = server.file("other.crt", &Authority::new().certificate());
    table += &outcomes("another authority", &server, "localhost", other.to_str()).await;
    expect![[r#"
        nobody is trusted
          either     plain  plain  tls  tls  -  -
          encrypted  -  tls  tls  tls  -  -
          plain      plain  plain  plain  -  -  -
        its authority
          either     plain  plain  tls  tls  tls  tls
          encrypted  -  tls  tls  tls  tls  tls
          plain      plain  plain  plain  -  -  -
        that among others
          either     plain  plain  tls  tls  tls  tls
          encrypted  -  tls  tls  tls  tls  tls
          plain      plain  plain  plain  -  -  -
        another authority
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn each_mode_ends_as_in_libpq_whomever_the_certificate_is_made_out_to() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("db.internal")).await;
    let root = server.file("root.crt", &authority.certificate());
    let root = root.to_str();
    let mut table = outcomes("another name", &server, "localhost", root).await;

    server.present(&authority.issue("127.0.0.1")).await;
    table += &outcomes("an address", &server, "127.0.0.1", root).await;
    table += &outcomes("an address for a name", &server, "localhost", root).await;

    let common_name = authority.issue_with_common_name("localhost");
    server.present(&common_name).await;
    table += &outcomes("a common name", &server, "localhost", root).await;
    table += &outcomes("another common name", &server, "127.0.0.1", root).await;
    expect![[r#"
        another name
          either     plain  plain  tls  tls  tls  -
          encrypted  -  tls  tls  tls  tls  -
          plain      plain  plain  plain  -  -  -
        an address
          either     plain  plain  tls  tls  tls  tls
          encrypted  -  tls  tls  tls  tls  tls
          plain      plain  plain  plain  -  -  -
        an address for a name
          either     plain  plain  tls  tls  tls  -
          encrypted  -  tls  tls  tls  tls  -
          plain      plain  plain  plain  -  -  -
        a common name
          either     plain  plain  tls  tls  tls  tls
          encrypted  -  tls  tls  tls  tls  tls
          plain      plain  plain  plain  -  -  -
        another common name
          either     plain  plain  tls  tls  tls  -
          encrypted  -  tls  tls  tls  tls  -
          plain      plain  plain  plain  -  -  -
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn each_mode_ends_as_in_libpq_whenever_the_certificate_is_valid() {
    let authority = Authority::new();
    let expired = authority.issue_valid("localhost", Valid::Before);
    let server = TlsServer::with(&expired).await;
    let root = server.file("root.crt", &authority.certificate());
    let root = root.to_str();
    let mut table = outcomes("expired, nobody trusted", &server, "localhost", None).await;
    table += &outcomes("expired", &server, "localhost", root).await;

    let early = authority.issue_valid("localhost", Valid::Later);
    server.present(&early).await;
    table += &outcomes("not valid yet", &server, "localhost", root).await;
    expect![[r#"
        expired, nobody trusted
          either     plain  plain  tls  tls  -  -
          encrypted  -  tls  tls  tls  -  -
          plain      plain  plain  plain  -  -  -
        expired
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
        not valid yet
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn each_mode_ends_as_in_libpq_if_the_certificate_is_its_own_authority() {
    let issued = Issued::self_signed("localhost");
    let server = TlsServer::with(&issued).await;
    let mut table = outcomes("nobody is trusted", &server, "localhost", None).await;

    let root = server.file("root.crt", &issued.certificate);
    table += &outcomes("it is trusted", &server, "localhost", root.to_str()).await;

    let other = Issued::self_signed("localhost").certificate;
    let other = server.file("other.crt", &other);
    table += &outcomes("one like it is", &server, "localhost", other.to_str()).await;
    expect![[r#"
        nobody is trusted
          either     plain  plain  tls  tls  -  -
          encrypted  -  tls  tls  tls  -  -
          plain      plain  plain  plain  -  -  -
        it is trusted
          either     plain  plain  tls  tls  tls  tls
          encrypted  -  tls  tls  tls  tls  tls
          plain      plain  plain  plain  -  -  -
        one like it is
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn each_mode_ends_as_in_libpq_if_whoever_signed_the_certificate_may_not() {
    let mut table = String::new();
    for (title, authority) in [
        ("an expired authority", Authority::expired()),
        ("no authority", Authority::without_the_right()),
    ] {
        let server = TlsServer::with(&authority.issue("localhost")).await;
        let root = server.file("root.crt", &authority.certificate());
        table += &outcomes(title, &server, "localhost", root.to_str()).await;
    }
    expect![[r#"
        an expired authority
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
        no authority
          either     plain  plain  plain  -  -  -
          encrypted  -  -  -  -  -  -
          plain      plain  plain  plain  -  -  -
    "#]]
    .assert_eq(&table);
}
