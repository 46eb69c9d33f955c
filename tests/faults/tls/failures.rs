//! What is said about a handshake that fails.

use std::time::{Duration, Instant};

use db::{ConnectFailure, Database, Error};
use expect_test::{Expect, expect};
use rig::chain;

use super::authority::{Authority, Valid};
use super::psql;
use super::server::{Outcome, TlsServer, seen};

/// Less than a second attempt would take, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Connects as `user` to `localhost`, which has to fail at the first attempt.
pub(super) async fn failure(
    server: &TlsServer,
    user: &str,
    variables: &[(&str, &str)],
) -> (ConnectFailure, String) {
    let mut all = vec![("DB_STARTUP_TIMEOUT", "1min")];
    all.extend(variables);
    let started = Instant::now();
    let error = server.connect(user, &all).await.unwrap_err();
    assert!(started.elapsed() < AT_ONCE, "{error}");
    assert!(!error.is_transient());
    let Error::Connect { failure, .. } = &error else {
        panic!("{error:?}");
    };
    let mut text = chain(&error).replace(&server.private().port().to_string(), "PORT");
    let tried = text.find("(tried for ").unwrap()..text.find("s)\n").unwrap() + 2;
    text.replace_range(tried, "(tried for TIME)");
    (*failure, without_times(&text))
}

/// With `N` for each number of seconds.
fn without_times(text: &str) -> String {
    let words: Vec<_> = text
        .split(' ')
        .map(|word| {
            let digits = word.trim_start_matches('(');
            match digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                true => word.replace(digits, "N"),
                false => word.to_owned(),
            }
        })
        .collect();
    words.join(" ")
}

#[track_caller]
pub(super) fn check(told: &(ConnectFailure, String), kind: ConnectFailure, expect: &Expect) {
    expect.assert_eq(&told.1);
    assert_eq!(told.0, kind);
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_down() {
    let server = TlsServer::without_tls().await;
    let told = failure(&server, "either", &[("DB_SSLMODE", "require")]).await;
    check(
        &told,
        ConnectFailure::TlsNotOffered,
        &expect![[r#"
        failed to connect to `localhost:PORT/postgres`: the server does not offer TLS, which `DB_SSLMODE` asks for (tried for TIME)
        error performing TLS handshake
        server does not support TLS
    "#]],
    );
}

#[tokio::test]
async fn an_error_says_which_check_of_the_certificate_failed() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("db.internal")).await;
    let root = server.file("root.crt", &authority.certificate());
    let root = ("DB_SSLROOTCERT", root.to_str().unwrap());
    let told = failure(&server, "either", &[("DB_SSLMODE", "verify-full"), root]).await;
    check(
        &told,
        ConnectFailure::HostNameMismatch,
        &expect![[r#"
        failed to connect to `localhost:PORT/postgres`: the server's certificate is made out to another host (tried for TIME)
        error performing TLS handshake
        invalid peer certificate: certificate not valid for name "localhost"; certificate is only valid for DnsName("db.internal")
    "#]],
    );

    let other = server.file("other.crt", &Authority::new().certificate());
    let other = ("DB_SSLROOTCERT", other.to_str().unwrap());
    let told = failure(&server, "either", &[("DB_SSLMODE", "verify-ca"), other]).await;
    check(
        &told,
        ConnectFailure::UnknownAuthority,
        &expect![[r#"
        failed to connect to `localhost:PORT/postgres`: no authority in `DB_SSLROOTCERT` has signed the server's certificate (tried for TIME)
        error performing TLS handshake
        invalid peer certificate: UnknownIssuer
    "#]],
    );

    // The certificate matters more than that nobody gets in without TLS.
    let told = failure(&server, "encrypted", &[("DB_SSLMODE", "prefer"), other]).await;
    assert_eq!(told.0, ConnectFailure::UnknownAuthority);
    let told = failure(&server, "encrypted", &[("DB_SSLMODE", "allow"), other]).await;
    assert_eq!(told.0, ConnectFailure::UnknownAuthority);

    // Those that the system trusts aren't the tests' own.
    let told = failure(&server, "either", &[("DB_SSLROOTCERT", "system")]).await;
    assert_eq!(told.0, ConnectFailure::UnknownAuthority);

    let expired = authority.issue_valid("localhost", Valid::Before);
    server.present(&expired).await;
    let told = failure(&server, "either", &[("DB_SSLMODE", "verify-ca"), root]).await;
    check(
        &told,
        ConnectFailure::CertificateExpired,
        &expect![[r#"
        failed to connect to `localhost:PORT/postgres`: the server's certificate has expired and must be renewed there (tried for TIME)
        error performing TLS handshake
        invalid peer certificate: certificate expired: verification time N (UNIX), but certificate is not valid after N (N seconds ago)
    "#]],
    );

    let early = authority.issue_valid("localhost", Valid::Later);
    server.present(&early).await;
    let told = failure(&server, "either", &[("DB_SSLMODE", "verify-ca"), root]).await;
    check(
        &told,
        ConnectFailure::CertificateNotYetValid,
        &expect![[r#"
            failed to connect to `localhost:PORT/postgres`: the server's certificate is not valid yet; compare the clocks (tried for TIME)
            error performing TLS handshake
            invalid peer certificate: certificate not valid yet: verification time N (UNIX), but certificate is not valid before N (N seconds in future)
        "#]],
    );
}

#[tokio::test]
async fn a_certificate_of_the_first_version_will_do_unless_it_is_to_be_verified() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue_first_version("localhost")).await;
    let database = server.connect("either", &[("DB_SSLMODE", "require")]).await;
    assert_eq!(seen(&database.unwrap()).await, Outcome::Encrypted);

    let root = server.file("root.crt", &authority.certificate());
    let root = root.to_str().unwrap();
    let options = [("sslmode", "verify-full"), ("sslrootcert", root)];
    // What libpq takes and rustls doesn't.
    let libpq = psql::outcome(&server, "localhost", "either", &options).await;
    assert_eq!(libpq, Outcome::Encrypted);
    let variables = [("DB_SSLMODE", "verify-full"), ("DB_SSLROOTCERT", root)];
    let told = failure(&server, "either", &variables).await;
    check(
        &told,
        ConnectFailure::Certificate,
        &expect![[r#"
        failed to connect to `localhost:PORT/postgres`: the server's certificate can't be used (tried for TIME)
        error performing TLS handshake
        invalid peer certificate: Other(OtherError(UnsupportedCertVersion))
    "#]],
    );
}

#[tokio::test]
async fn versions_that_nobody_should_speak_any_more_are_refused() {
    let server = TlsServer::with(&Authority::new().issue("localhost")).await;
    server
        .configure(&[
            ("ssl_min_protocol_version", "TLSv1"),
            ("ssl_max_protocol_version", "TLSv1.1"),
        ])
        .await;
    let told = failure(&server, "either", &[("DB_SSLMODE", "require")]).await;
    check(
        &told,
        ConnectFailure::Handshake,
        &expect![[r#"
        failed to connect to `localhost:PORT/postgres`: the TLS handshake failed (tried for TIME)
        error performing TLS handshake
        received fatal alert: ProtocolVersion
    "#]],
    );

    server
        .configure(&[("ssl_max_protocol_version", "TLSv1.2")])
        .await;
    let database = server.connect("either", &[("DB_SSLMODE", "require")]).await;
    assert_eq!(seen(&database.unwrap()).await, Outcome::Encrypted);
}

#[tokio::test]
async fn each_host_is_checked_by_its_own_name() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("127.0.0.1")).await;
    let root = server.file("root.crt", &authority.certificate());
    let port = server.private().port();
    let connect = async |hosts: &str| {
        let url = format!("postgres://either@{hosts}/postgres?sslmode=verify-full");
        let root = ("DB_SSLROOTCERT", root.to_str().unwrap());
        let settings = server.settings(&url, &[root]).unwrap();
        Database::connect(&settings).await
    };
    let nobody = "127.0.0.1:1";
    let right = format!("127.0.0.1:{port}");
    let database = connect(&format!("{nobody},{right}")).await.unwrap();
    assert_eq!(seen(&database).await, Outcome::Encrypted);

    // As in libpq, a server that can't be trusted ends it.
    let error = connect(&format!("localhost:{port},{right}")).await;
    let Err(Error::Connect {
        failure, target, ..
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(failure, ConnectFailure::HostNameMismatch);
    assert_eq!(target, format!("localhost:{port}/postgres"));
}

#[tokio::test]
async fn a_unix_socket_is_not_encrypted_whatever_the_mode() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    let root = server.file("root.crt", &authority.certificate());
    let folder = server.private().workspace().path().to_str().unwrap();
    let host = folder.replace('/', "%2F");
    let url = server.url("either", &host);
    for mode in ["disable", "allow", "prefer", "require", "verify-full"] {
        let root = root.to_str().unwrap();
        let variables = [("DB_SSLMODE", mode), ("DB_SSLROOTCERT", root)];
        let settings = server.settings(&url, &variables).unwrap();
        let database = Database::connect(&settings).await.unwrap();
        assert_eq!(seen(&database).await, Outcome::Plain);
        let options = [("sslmode", mode), ("sslrootcert", root)];
        let libpq = psql::outcome(&server, folder, "either", &options).await;
        assert_eq!(libpq, Outcome::Plain);
    }
}
