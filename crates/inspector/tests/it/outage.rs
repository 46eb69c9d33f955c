//! The page while its database is down, and when it is back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checkpointer::PostgresCheckpointer;
use db::Database;
use inspector::page::{Options, router};
use rig::{Story, TcpProxy, TestDb, eventually};
use tokio::net::TcpListener;

use crate::http;
use crate::program::{Program, finished};

/// How long a person waits who is to be told that the database is down. It takes four seconds, and the
/// machine may be busy.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// Serves a thread, by way of a proxy.
async fn served(proxy: &TcpProxy) -> SocketAddr {
    let settings = TestDb::new().await.settings_through(proxy, &[]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    Story::new(&checkpointer, "support-4711").support().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = router(Arc::new(checkpointer), Options::new());
    tokio::spawn(async move { axum::serve(listener, page).await });
    address
}

const LINKS: [&str; 4] = [
    "threads",
    "thread?id=support-4711",
    "checkpoint?id=support-4711",
    "about?id=support-4711",
];

/// Whether all pages are there.
async fn are_there(address: SocketAddr) -> bool {
    for link in LINKS {
        if !http::get(address, link).await.starts_with("HTTP/1.1 200") {
            return false;
        }
    }
    true
}

/// Opens all pages at once, which say that the database is down.
async fn are_down(address: SocketAddr) {
    let began = Instant::now();
    let answers = LINKS.map(|link| tokio::spawn(http::get(address, link)));
    for answer in answers {
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("is down, can&#39;t be reached"), "{answer}");
        assert!(!answer.contains("127.0.0.1"), "{answer}");
    }
    let took = began.elapsed();
    assert!(took < TOLD_WITHIN, "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_soon_that_its_database_refuses_and_comes_back_with_it() {
    let proxy = TcpProxy::new();
    let address = served(&proxy).await;
    assert!(are_there(address).await);
    proxy.refuse().await;
    are_down(address).await;
    proxy.listen();
    eventually("the pages are back", async || are_there(address).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_soon_that_its_database_is_silent_and_comes_back_with_it() {
    let proxy = TcpProxy::new();
    let address = served(&proxy).await;
    assert!(are_there(address).await);
    proxy.stall();
    are_down(address).await;
    proxy.release();
    eventually("the pages are back", async || are_there(address).await).await;
}

#[tokio::test]
async fn a_command_tries_a_database_that_is_down_for_seconds_only_and_says_why() {
    let program = Program::new().await;
    let mut command = program.command(&["threads"]);
    command.env("DATABASE_URL", "postgres://x@127.0.0.1:1/x");
    let began = Instant::now();
    let ran = finished(command.spawn().unwrap()).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("refused"), "{ran:?}");
    let took = began.elapsed();
    assert!(took < TOLD_WITHIN, "it took {took:?}");
}
