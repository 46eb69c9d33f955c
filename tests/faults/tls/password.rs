//! Passwords that are bound to the TLS session.

use db::{ConnectFailure, Database, Error};
use expect_test::expect;
use rig::chain;

use super::authority::Authority;
use super::psql;
use super::server::{Outcome, TlsServer, seen};

const BINDINGS: [&str; 3] = ["disable", "prefer", "require"];

/// What comes of a password and a channel binding, in ours and, as it has to be, in libpq.
async fn outcome(server: &TlsServer, user: &str, binding: &str) -> Outcome {
    let url = server.url(&format!("{user}:kettle"), "localhost");
    let settings = server.settings(&url, &[("DB_CHANNEL_BINDING", binding)]);
    let outcome = match Database::connect(&settings.unwrap()).await {
        Ok(database) => seen(&database).await,
        Err(_) => Outcome::Failed,
    };
    let options = [("channel_binding", binding), ("password", "kettle")];
    let libpq = psql::outcome(server, "localhost", user, &options).await;
    assert_eq!(outcome, libpq, "left is ours, right is libpq's");
    outcome
}

#[tokio::test]
async fn a_password_can_be_bound_to_the_session_if_both_have_something_to_bind() {
    let server = TlsServer::with(&Authority::new().issue("localhost")).await;
    let mut table = String::new();
    for user in ["scram", "password", "encrypted", "scram_plain"] {
        table += &format!("{user:11}");
        for binding in BINDINGS {
            let outcome = outcome(&server, user, binding).await;
            table += &format!("  {binding}: {outcome:?}");
        }
        table += "\n";
    }
    expect![[r#"
        scram        disable: Encrypted  prefer: Encrypted  require: Encrypted
        password     disable: Encrypted  prefer: Encrypted  require: Failed
        encrypted    disable: Encrypted  prefer: Encrypted  require: Failed
        scram_plain  disable: Plain  prefer: Plain  require: Failed
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn a_wrong_password_is_told_from_what_else_keeps_one_out() {
    let server = TlsServer::with(&Authority::new().issue("localhost")).await;
    for user in ["scram", "scram_plain"] {
        // One of the two ways fails for want of a line in `pg_hba.conf`.
        for mode in ["allow", "prefer"] {
            let url = server.url(&format!("{user}:teapot"), "localhost");
            let settings = server.settings(&url, &[("DB_SSLMODE", mode)]).unwrap();
            let error = Database::connect(&settings).await.unwrap_err();
            assert!(chain(&error).contains("password authentication failed"));
        }
    }
    let url = server.url("encrypted", "localhost");
    let settings = server.settings(&url, &[("DB_CHANNEL_BINDING", "require")]);
    let error = Database::connect(&settings.unwrap()).await.unwrap_err();
    let Error::Connect { failure, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*failure, ConnectFailure::ChannelBinding);
    let text = chain(&error);
    let (_, text) = text.split_once("/postgres`").unwrap();
    let (said, causes) = text.split_once(" (tried for ").unwrap();
    let (_, causes) = causes.split_once('\n').unwrap();
    expect![[r#"
        : the server does not bind passwords to TLS, which `DB_CHANNEL_BINDING` asks for
        authentication error
        server did not use channel binding
    "#]]
    .assert_eq(&format!("{said}\n{causes}"));
}
