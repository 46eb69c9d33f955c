//! Slow readers and crawlers of the page leave the pool to the agents.

use std::net::SocketAddr;
use std::sync::Arc;

use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, PostgresCheckpointer};
use inspector::page::{Options, router};
use rig::{Story, TestDb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::http;

/// Serves the page in the process of an agent, by whose pool it reads.
async fn serve(checkpointer: impl Checkpointer, options: Options) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = router(Arc::new(checkpointer), options);
    tokio::spawn(async move { axum::serve(listener, page).await });
    address
}

/// Asks for so much that it doesn't fit between the two sides, and reads nothing yet.
async fn slow_reader(address: SocketAddr, link: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let requests = http::head(address, link, "").repeat(100);
    stream.write_all(requests.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_on_while_the_page_is_crawled_and_read_slowly() {
    let db = TestDb::new().await;
    // No call of the agent waits for a connection that doesn't come: it would fail after a second.
    let pool = [("DB_POOL_MAX", "3"), ("DB_ACQUIRE_TIMEOUT", "1s")];
    let database = db.connect(&pool).await;
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let story = Story::new(&checkpointer, "large");
    let text = json!("x".repeat(40_000));
    let mut at = story.begin(vec![("text", text)]).await;
    let address = serve(checkpointer.clone(), Options::new().parallel(2)).await;

    let link = "value?id=large&path=/state/text";
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(slow_reader(address, link).await);
    }
    let links = ["threads", "thread?id=large", "history?id=large", link];
    let crawler = (0..200).map(|n| tokio::spawn(http::get(address, links[n % links.len()])));
    let crawler: Vec<_> = crawler.collect();
    for n in 0..20 {
        at = story.step(&at, "work", vec![("n", json!(n))]).await;
        for reader in &mut slow {
            assert!(reader.read_u8().await.unwrap() > 0);
        }
    }
    for answer in crawler {
        let answer = answer.await.unwrap();
        let status = answer.get(9..12).unwrap();
        assert!(["200", "503"].contains(&status), "{answer}");
    }
    let answer = http::get(address, "thread?id=large").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
