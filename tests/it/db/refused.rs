//! Servers and poolers that answer with an error before there is a connection.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use db::ConnectFailure::{
    Authentication, BrokenOff, OutOfResources, PasswordMissing, StartupParameter, TlsNotOffered,
    TooManyConnections,
};
use db::{ConnectFailure, Database, Error};
use expect_test::{Expect, expect};
use rig::{TestDb, timeless};

/// Listens, and gives each client an answer to its first message.
fn answering(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut length = [0; 4];
            // A client may be gone already.
            if client.read_exact(&mut length).is_ok() {
                let mut message = vec![0; u32::from_be_bytes(length) as usize - 4];
                let _ = client.read_exact(&mut message);
                let _ = client.write_all(&answer);
            }
        }
    });
    port
}

/// An error as the protocol has it.
fn message(code: &str, text: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0C{code}\0M{text}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

async fn refused(answer: Vec<u8>, user: &str, sslmode: &str) -> Error {
    let port = answering(answer);
    let test = TestDb::without_schema().await;
    let url = format!("postgres://{user}@127.0.0.1:{port}/agents?sslmode={sslmode}");
    let settings = test.settings_for(&url, &[("DB_STARTUP_TIMEOUT", "0")]);
    Database::connect(&settings).await.unwrap_err()
}

#[track_caller]
fn check(error: &Error, kind: ConnectFailure, expect: &Expect) {
    let Error::Connect { failure, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*failure, kind);
    let text = timeless(error);
    let (before, port) = text.split_once("127.0.0.1:").unwrap();
    let port = port.trim_start_matches(|c: char| c.is_ascii_digit());
    expect.assert_eq(&format!("{before}HOST{port}"));
}

#[tokio::test]
async fn a_server_that_cannot_start_a_process_says_so_instead_of_answering_about_tls() {
    let text = b"Ecould not fork new process for connection: Cannot allocate memory\n\0";
    let error = refused(text.to_vec(), "app:secret", "require").await;
    assert!(error.is_transient());
    check(
        &error,
        OutOfResources,
        &expect![[r#"
            failed to connect to `HOST/agents`: the server lacks memory, or room on its disk (tried for TIME)
            FATAL: could not fork new process for connection: Cannot allocate memory
        "#]],
    );
}

#[tokio::test]
async fn a_pooler_without_room_says_so_instead_of_answering_about_tls() {
    let full = message("08P01", "no more connections allowed (max_client_conn)");
    let error = refused(full, "app:secret", "require").await;
    assert!(error.is_transient());
    assert_eq!(error.code().unwrap().code(), "08P01");
    check(
        &error,
        TooManyConnections,
        &expect![[r#"
            failed to connect to `HOST/agents`: the server has no room for another connection (tried for TIME)
            FATAL: no more connections allowed (max_client_conn)
        "#]],
    );
}

#[tokio::test]
async fn a_server_without_tls_is_no_passing_failure() {
    let error = refused(b"N".to_vec(), "app:secret", "require").await;
    assert!(!error.is_transient());
    check(
        &error,
        TlsNotOffered,
        &expect![[r#"
            failed to connect to `HOST/agents`: the server does not offer TLS, which `DB_SSLMODE` asks for (tried for TIME)
            error performing TLS handshake
            server does not support TLS
        "#]],
    );
}

#[tokio::test]
async fn refusals_that_pass_are_told_from_those_that_do_not() {
    const FULL: &str = "MaxClientsInSessionMode: max clients reached - in Session mode max clients \
                        are limited to pool_size";
    const TIMEOUT: &str = "(ECHECKOUTTIMEOUT) unable to check out connection from the pool";
    const RDS: &str =
        "Feature not supported: RDS Proxy currently doesn't support command-line options.";
    for (code, text, failure, is_transient) in [
        ("XX000", FULL, TooManyConnections, true),
        ("XX000", TIMEOUT, TooManyConnections, true),
        ("XX000", "Tenant or user not found", Authentication, false),
        ("0A000", RDS, StartupParameter, false),
        ("53100", "could not extend file", OutOfResources, true),
        ("53200", "out of memory", OutOfResources, true),
        ("53300", "sorry, too many clients", TooManyConnections, true),
    ] {
        let error = refused(message(code, text), "app:secret", "disable").await;
        let Error::Connect { failure: found, .. } = &error else {
            panic!("{error:?}");
        };
        let found = (*found, error.is_transient());
        assert_eq!(found, (failure, is_transient), "{text}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_within_a_message_is_tried_again() {
    let whole = message(
        "57P01",
        "terminating connection due to administrator command",
    );
    for length in [1, 5, whole.len() / 2, whole.len() - 1] {
        let error = refused(whole[..length].to_vec(), "app:secret", "disable").await;
        let Error::Connect { failure, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*failure, BrokenOff, "{length}: {}", timeless(&error));
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_password_that_is_missing_is_named() {
    let asks = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    assert_eq!(asks.len() - 1, usize::from(asks[4]));
    let error = refused(asks.to_vec(), "app", "disable").await;
    assert!(!error.is_transient());
    check(
        &error,
        PasswordMissing,
        &expect![[r#"
            failed to connect to `HOST/agents`: the server asks for a password, and `DATABASE_URL` has none (tried for TIME)
            invalid configuration
            password missing
        "#]],
    );
}
