//! `serve` shows no password: not in a page, not in a log, not to other users of the machine.

use std::fs;
use std::net::SocketAddr;

use checkpointer::serde_json::{Value, from_str};
use rig::TcpProxy;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::http;
use crate::program::{Program, finished, with_support_thread};

const PASSWORD: &str = "pa55word-that-nobody-may-see";

/// A URL with a password, and that password. A server that asks for none takes any.
fn with_password(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, server) = rest.rsplit_once('@').unwrap();
    match user.split_once(':') {
        Some((_, password)) => (url.to_owned(), password.to_owned()),
        None => (
            format!("{scheme}://{user}:{PASSWORD}@{server}"),
            PASSWORD.to_owned(),
        ),
    }
}

/// `serve` as it runs.
struct Served {
    process: Child,
    /// What it has printed first.
    printed: String,
    address: SocketAddr,
    log: JoinHandle<String>,
}

/// Starts `serve`, which logs what is asked for.
async fn serve(program: &Program, url: &str, args: &[&str], log: Option<&str>) -> Served {
    let args = [&["serve", "--listen", "127.0.0.1:0", "--json"], args].concat();
    let mut command = program.command(&args);
    command.envs([
        ("DATABASE_URL", url),
        ("DB_STARTUP_TIMEOUT", "0"),
        ("DB_ACQUIRE_TIMEOUT", "1s"),
        ("DB_RETRY_TIMEOUT", "0"),
    ]);
    match log {
        Some(log) => command.env("RUST_LOG", log),
        None => command.env_remove("RUST_LOG"),
    };
    let mut process = command.spawn().unwrap();
    let mut stderr = process.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = String::new();
        stderr.read_to_string(&mut log).await.unwrap();
        log
    });
    let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines();
    let printed = lines.next_line().await.unwrap().unwrap();
    let url: Value = from_str(&printed).unwrap();
    let address = url["url"].as_str().unwrap().split('/').nth(2).unwrap();
    Served {
        address: address.parse().unwrap(),
        process,
        printed,
        log,
    }
}

/// What other users of the machine see of a process.
fn title(process: &Child) -> String {
    let folder = format!("/proc/{}", process.id().unwrap());
    ["cmdline", "comm", "status"]
        .map(|file| fs::read_to_string(format!("{folder}/{file}")).unwrap())
        .concat()
}

const LINKS: [&str; 11] = [
    "",
    "threads",
    "threads?metadata=nonsense",
    "threads?order=size",
    "thread?id=support-4711",
    "checkpoint?id=support-4711",
    "about?id=support-4711",
    "size?id=support-4711",
    "thread?id=none",
    "changes?id=%00",
    "nothing",
];

#[tokio::test]
async fn no_page_no_log_and_no_process_list_shows_the_password() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let proxy = TcpProxy::new();
    let (url, password) = with_password(proxy.url());
    let mut served = serve(&program, &url, &["--allow-writes"], Some("trace")).await;
    let address = served.address;
    let mut shown = vec![served.printed, title(&served.process)];
    for link in LINKS {
        shown.push(http::get(address, link).await);
    }
    assert!(shown.iter().any(|shown| shown.contains("support-4711")));

    // The same without its database: each page says that, and no more.
    proxy.refuse().await;
    proxy.cut();
    for link in ["threads", "thread?id=support-4711"] {
        let answer = http::get(address, link).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        shown.push(answer);
    }
    served.process.kill().await.unwrap();
    let log = served.log.await.unwrap();
    assert!(!log.is_empty());
    shown.push(log);
    for shown in shown {
        assert!(!shown.contains(&password), "{shown}");
        assert!(!shown.contains("postgres://"), "{shown}");
    }
}

#[tokio::test]
async fn why_a_request_failed_is_in_the_log_and_not_in_the_page() {
    let program = Program::new().await;
    let mut served = serve(&program, &rig::url(), &[], None).await;
    let schema = program.test.schema();
    let sql = format!("ALTER TABLE {schema}.heads RENAME COLUMN changed TO altered");
    let observer = program.test.observer().await;
    observer.batch_execute(&sql).await.unwrap();
    let answer = http::get(served.address, "threads").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(!answer.contains("does not exist"), "{answer}");
    served.process.kill().await.unwrap();
    let log = served.log.await.unwrap();
    assert!(log.contains("does not exist (42703)"), "{log}");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_reported_without_the_password() {
    let program = Program::new().await;
    let (url, _) = with_password(&rig::url());
    let (_, server) = url.rsplit_once('@').unwrap();
    for url in [
        // Nothing listens there.
        format!("postgres://ann:{PASSWORD}@127.0.0.1:1/x"),
        // No such user, or not with this password.
        format!("postgres://no-such-user:{PASSWORD}@{server}"),
        // Not even URLs.
        format!("postgres://ann:{PASSWORD}@127.0.0.1:port/x"),
        format!("postgres://ann:{PASSWORD}@{server}?sslmode=perhaps"),
        format!("ann:{PASSWORD}@{server}"),
    ] {
        for args in [
            &["serve", "--json"][..],
            &["serve", "--token"],
            &["serve", "--help"],
        ] {
            let mut command = program.command(args);
            command.envs([
                ("DATABASE_URL", &*url),
                ("DB_STARTUP_TIMEOUT", "0"),
                ("RUST_LOG", "trace"),
            ]);
            let ran = finished(command.spawn().unwrap()).await;
            let is_help = args.contains(&"--help");
            assert_eq!(ran.code == 0, is_help, "{args:?} {ran:?}");
            assert!(!format!("{ran:?}").contains(PASSWORD), "{args:?} {ran:?}");
        }
    }
}
