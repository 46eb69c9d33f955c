//! Certificates that a client shows.

use db::ConnectFailure;
use expect_test::expect;

use super::authority::{Authority, Issued};
use super::failures::{check, failure};
use super::psql;
use super::server::{Outcome, TlsServer, seen};

/// What comes of a client certificate in each mode, as in libpq.
async fn outcomes(title: &str, server: &TlsServer, client: Option<&Issued>) -> String {
    let files = client.map(|issued| {
        let certificate = server.file("client.crt", &issued.certificate);
        let key = server.file("client.key", &issued.key);
        [certificate, key].map(|path| path.to_str().unwrap().to_owned())
    });
    let mut table = format!("{title}\n");
    for user in ["certified", "checked", "either"] {
        table += &format!("  {user:9}");
        for mode in ["disable", "allow", "prefer", "require"] {
            let mut variables = vec![("DB_SSLMODE", mode)];
            let mut options = vec![("sslmode", mode)];
            if let Some([certificate, key]) = &files {
                variables.extend([("DB_SSLCERT", &**certificate), ("DB_SSLKEY", key)]);
                options.extend([("sslcert", &**certificate), ("sslkey", key)]);
            }
            let outcome = match server.connect(user, &variables).await {
                Ok(database) => seen(&database).await,
                Err(_) => Outcome::Failed,
            };
            let libpq = psql::outcome(server, "localhost", user, &options).await;
            assert_eq!(
                outcome, libpq,
                "left is ours, right is libpq's: {title}, {user}, {mode}"
            );
            table += outcome.cell();
        }
        table += "\n";
    }
    table
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    let clients = Authority::new();
    server.ask_for_certificates_of(&clients.certificate()).await;

    let own = clients.issue_with_common_name("certified");
    let another = clients.issue_with_common_name("somebody else");
    let foreign = Authority::new().issue_with_common_name("certified");
    let mut table = String::new();
    for version in ["TLSv1.3", "TLSv1.2"] {
        server
            .configure(&[("ssl_max_protocol_version", version)])
            .await;
        table += &outcomes(&format!("{version}, none"), &server, None).await;
        table += &outcomes(&format!("{version}, its own"), &server, Some(&own)).await;
        table += &outcomes(&format!("{version}, another's"), &server, Some(&another)).await;
        table += &outcomes(
            &format!("{version}, a foreign one"),
            &server,
            Some(&foreign),
        )
        .await;
    }
    expect![[r#"
        TLSv1.3, none
          certified  -  -  -  -
          checked    -  -  -  -
          either     plain  plain  tls  tls
        TLSv1.3, its own
          certified  -  tls  tls  tls
          checked    -  tls  tls  tls
          either     plain  plain  tls  tls
        TLSv1.3, another's
          certified  -  -  -  -
          checked    -  tls  tls  tls
          either     plain  plain  tls  tls
        TLSv1.3, a foreign one
          certified  -  -  -  -
          checked    -  -  -  -
          either     plain  plain  -  -
        TLSv1.2, none
          certified  -  -  -  -
          checked    -  -  -  -
          either     plain  plain  tls  tls
        TLSv1.2, its own
          certified  -  tls  tls  tls
          checked    -  tls  tls  tls
          either     plain  plain  tls  tls
        TLSv1.2, another's
          certified  -  -  -  -
          checked    -  tls  tls  tls
          either     plain  plain  tls  tls
        TLSv1.2, a foreign one
          certified  -  -  -  -
          checked    -  -  -  -
          either     plain  plain  plain  -
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn an_error_says_what_the_server_thinks_of_the_client_certificate() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    server
        .ask_for_certificates_of(&authority.certificate())
        .await;
    let told = failure(&server, "certified", &[]).await;
    check(
        &told,
        ConnectFailure::ClientCertificateRequired,
        &expect![[r#"
            failed to connect to `localhost:PORT/postgres`: the server wants a client certificate, which `DB_SSLCERT` and `DB_SSLKEY` name (tried for TIME)
            db error
            FATAL: connection requires a valid client certificate
        "#]],
    );

    let show = |issued: &Issued| {
        let certificate = server.file("client.crt", &issued.certificate);
        let key = server.file("client.key", &issued.key);
        [certificate, key].map(|path| path.to_str().unwrap().to_owned())
    };
    let [certificate, key] = show(&authority.issue_with_common_name("somebody else"));
    let variables = [("DB_SSLCERT", &*certificate), ("DB_SSLKEY", &*key)];
    let told = failure(&server, "certified", &variables).await;
    check(
        &told,
        ConnectFailure::ClientCertificateRejected,
        &expect![[r#"
            failed to connect to `localhost:PORT/postgres`: the server does not accept the client certificate in `DB_SSLCERT` (tried for TIME)
            db error
            FATAL: certificate authentication failed for user "certified"
        "#]],
    );

    show(&Authority::new().issue_with_common_name("certified"));
    let told = failure(&server, "certified", &variables).await;
    check(
        &told,
        ConnectFailure::ClientCertificateRejected,
        &expect![[r#"
            failed to connect to `localhost:PORT/postgres`: the server does not accept the client certificate in `DB_SSLCERT` (tried for TIME)
            error communicating with the server
            received fatal alert: UnknownCA
        "#]],
    );
}
