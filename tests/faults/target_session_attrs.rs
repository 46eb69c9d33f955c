//! Which of two hosts is taken, compared with libpq.

use db::{Database, GenericClient, Statement};
use expect_test::{Expect, expect};
use rig::{Programs, Stop, chain, client};

use crate::pair::{Pair, reload};

const WORDS: [&str; 6] = [
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
];

/// Where libpq connects to: a port, or none if no host will do.
async fn port_of_libpq(pair: &Pair, word: &str) -> Option<u16> {
    let (one, two) = (pair.primary.port(), pair.standby.port());
    let url = format!(
        "postgres://postgres@127.0.0.1:{one},127.0.0.1:{two}/postgres?target_session_attrs={word}"
    );
    let psql = Programs::find().unwrap().program("psql");
    let output = tokio::process::Command::new(psql)
        .args(["-XAtc", "SELECT inet_server_port()", &url])
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .ok()
}

async fn our_port(pair: &Pair, word: &str) -> db::Result<u16> {
    static PORT: Statement = Statement::new("SELECT inet_server_port()", &[]);
    let settings = pair.settings(word, &[("DB_STARTUP_TIMEOUT", "0")]);
    let database = Database::connect(&settings).await?;
    let row = database.get().await?.query_one(&PORT, &[]).await?;
    Ok(row.get::<_, i32>(0).try_into().unwrap())
}

/// Compares where the words lead to, now, with libpq and with a table.
async fn check(pair: &Pair, expect: &Expect) {
    let mut table = String::new();
    for word in WORDS {
        let found = our_port(pair, word).await;
        assert_eq!(
            found.as_ref().ok().copied(),
            port_of_libpq(pair, word).await,
            "{word}"
        );
        let found = match found {
            Ok(port) if port == pair.primary.port() => "the first host".to_owned(),
            Ok(_) => "the second host".to_owned(),
            Err(error) => {
                assert!(error.is_transient());
                let text = chain(&error);
                let (_, text) = text.split_once("`: ").unwrap();
                text.split_once(" (tried").unwrap().0.to_owned()
            }
        };
        table.push_str(&format!("{word}: {found}\n"));
    }
    expect.assert_eq(&table);
}

#[tokio::test]
async fn a_host_is_chosen_by_its_role_as_libpq_does() {
    let pair = Pair::start().await;
    check(
        &pair,
        &expect![[r#"
        any: the first host
        read-write: the first host
        read-only: the second host
        primary: the first host
        standby: the second host
        prefer-standby: the second host
    "#]],
    )
    .await;

    // A primary that takes no writes.
    let primary = client(&pair.primary.url()).await.unwrap();
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    primary.batch_execute(read_only).await.unwrap();
    reload(&pair.primary).await;
    check(
        &pair,
        &expect![[r#"
        any: the first host
        read-write: the server does not accept writes
        read-only: the first host
        primary: the first host
        standby: the second host
        prefer-standby: the second host
    "#]],
    )
    .await;

    let writable = "ALTER SYSTEM RESET default_transaction_read_only";
    primary.batch_execute(writable).await.unwrap();
    reload(&pair.primary).await;
    pair.standby.stop(Stop::Fast).await.unwrap();
    check(
        &pair,
        &expect![[r#"
        any: the first host
        read-write: the first host
        read-only: the connection was refused
        primary: the first host
        standby: the connection was refused
        prefer-standby: the first host
    "#]],
    )
    .await;

    pair.standby.start_again().await.unwrap();
    pair.primary.stop(Stop::Fast).await.unwrap();
    check(
        &pair,
        &expect![[r#"
        any: the second host
        read-write: the server does not accept writes
        read-only: the second host
        primary: the server is a standby, and a primary is asked for
        standby: the second host
        prefer-standby: the second host
    "#]],
    )
    .await;
}
