//! Servers and poolers that answer with an error, before there is a connection and later.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use db::ConnectFailure::{
    BrokenOff, OutOfResources, PasswordMissing, Rejected, TlsNotOffered, TooManyConnections,
};
use db::{ConnectFailure, Database, Error, GenericClient};
use expect_test::{Expect, expect};
use rig::{Fault, Instead, Later, Moment, REFUSALS, Refusal, TcpProxy, TestDb, timeless};

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
async fn each_refusal_that_is_known_has_its_name_at_start_up() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    let patient = test.settings_through(&proxy, &[("DB_STARTUP_TIMEOUT", "0")]);
    let hasty = [("DB_STARTUP_TIMEOUT", "0"), ("DB_CONNECT_TIMEOUT", "300ms")];
    let hasty = test.settings_through(&proxy, &hasty);
    for refusal in REFUSALS {
        let Some(failure) = refusal.at_start else {
            continue;
        };
        proxy.fail([fault(refusal, Moment::StartUp)]);
        // Only silence is waited out.
        let settings = match refusal.instead {
            Instead::Silence => &hasty,
            _ => &patient,
        };
        let error = Database::connect(settings).await.unwrap_err();
        let Error::Connect { failure: found, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*found, failure, "{refusal:?}");
        assert_eq!(proxy.faults_left(), 0);
    }
}

#[tokio::test]
async fn what_is_known_of_a_statement_after_each_refusal_is_said() {
    let test = TestDb::without_schema().await;
    // Each has a proxy of its own: one that connects again in the background is not to meet the fault of the other.
    let connect = async |variables: &[(&str, &str)]| {
        let proxy = TcpProxy::new();
        let settings = test.settings_through(&proxy, variables);
        (Database::connect(&settings).await.unwrap(), proxy)
    };
    let patient = connect(&[("DB_POOL_MAX", "1")]).await;
    let hasty = connect(&[
        ("DB_POOL_MAX", "1"),
        ("DB_STATEMENT_TIMEOUT", "100ms"),
        ("DB_NETWORK_TIMEOUT", "100ms"),
    ])
    .await;
    for refusal in REFUSALS.iter().filter(|refusal| refusal.later.is_some()) {
        for moment in refusal.moments() {
            if *moment == Moment::StartUp {
                continue;
            }
            // Only silence is waited out.
            let (db, proxy) = match refusal.instead {
                Instead::Silence => &hasty,
                _ => &patient,
            };
            let connection = db.get().await.unwrap();
            proxy.fail([fault(refusal, *moment)]);
            let error = connection.batch_execute("SELECT 1").await.unwrap_err();
            assert_eq!(proxy.faults_left(), 0);
            assert!(error.is_transient(), "{refusal:?}: {error:?}");
            let in_doubt = refusal.later == Some(Later::InDoubt);
            assert_eq!(error.is_outcome_unknown(), in_doubt, "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_a_pooler_is_about_to_close_is_not_used_again() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let db = Database::connect(&settings).await.unwrap();
    let closes_late = Fault {
        moment: Moment::Question,
        instead: Instead::LateClose {
            code: "08P01",
            text: "query_wait_timeout",
        },
    };
    for by_the_same_caller in [false, true] {
        let connection = db.get().await.unwrap();
        proxy.fail([closes_late]);
        let error = connection.batch_execute("SELECT 1").await.unwrap_err();
        assert!(!error.is_outcome_unknown(), "{error:?}");
        if by_the_same_caller {
            let error = connection.batch_execute("SELECT 1").await.unwrap_err();
            assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
        }
        drop(connection);
        db.ping().await.unwrap();
    }
}

/// A pooler takes the log-in, and says no when the first statement asks for a server.
#[tokio::test]
async fn a_connection_that_is_ended_after_its_log_in_is_tried_again() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    for mode in ["session", "transaction"] {
        let settings = test.settings_through(&proxy, &[("DB_POOL_MODE", mode)]);
        proxy.fail([Fault {
            moment: Moment::Question,
            // What comes with the end of the connection may be overlooked.
            instead: Instead::LateClose {
                code: "58000",
                text: "pool statement timeout",
            },
        }]);
        let db = Database::connect(&settings).await.unwrap();
        assert_eq!(proxy.faults_left(), 0);
        db.ping().await.unwrap();
    }
}

/// A pooler takes the log-in, and turns the user away when the first statement asks for a server.
#[tokio::test]
async fn what_a_pooler_refuses_for_good_after_the_log_in_is_asked_for_once() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    for mode in ["session", "transaction"] {
        let variables = [("DB_POOL_MODE", mode), ("DB_SSLMODE", "allow")];
        let settings = test.settings_through(&proxy, &variables);
        for (code, text) in [
            ("XX000", "endpoint is disabled"),
            ("XX000", "(EBANNED) tenant is banned: unpaid"),
            ("XX000", "this address is not allowed to connect"),
            ("08P01", "bouncer config error"),
        ] {
            let refusal = Fault {
                moment: Moment::Question,
                // What comes with the end of the connection may be overlooked.
                instead: Instead::LateClose { code, text },
            };
            // Neither later nor with TLS.
            let second_attempt = Fault {
                moment: Moment::StartUp,
                instead: Instead::Cut,
            };
            proxy.fail([refusal, second_attempt]);
            let error = Database::connect(&settings).await.unwrap_err();
            let Error::Connect { failure, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(*failure, Rejected, "{text}");
            assert_eq!(proxy.faults_left(), 1, "{text}");
        }
    }
}

fn fault(refusal: &Refusal, moment: Moment) -> Fault {
    let instead = refusal.instead;
    Fault { moment, instead }
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
