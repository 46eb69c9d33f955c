//! The service as its clients see it: over HTTP.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;

use checkpointer::MemoryCheckpointer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Starts the service on a port of its own.
async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = chat::app(Arc::new(MemoryCheckpointer::new()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends a request, whose answer ends the connection.
async fn send(service: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: chat\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Sends a request, and returns the status and the body of the answer.
async fn ask(service: SocketAddr, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut answer = String::new();
    let mut stream = send(service, method, path, &body).await;
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn say(service: SocketAddr, message: Value) -> (u16, Value) {
    ask(service, "POST", "/threads/support/messages", message).await
}

#[tokio::test]
async fn messages_are_posted_and_read() {
    let service = start().await;
    let (status, missing) = ask(service, "GET", "/threads/support", json!(null)).await;
    assert_eq!((status, missing), (404, json!({ "error": "not_found" })));
    let (status, said) = say(service, json!({ "text": "Where is my order?" })).await;
    assert_eq!(status, 201);
    let (status, read) = ask(service, "GET", "/threads/support", json!(null)).await;
    assert_eq!(status, 200);
    assert_eq!(read["messages"], json!(["Where is my order?"]));
    assert_eq!(read["checkpoint_id"], said["checkpoint_id"]);
}

#[tokio::test]
async fn a_message_after_what_has_been_superseded_is_a_conflict() {
    let service = start().await;
    let (_, first) = say(service, json!({ "text": "Hello" })).await;
    let after = &first["checkpoint_id"];
    let (status, second) = say(service, json!({ "text": "Again", "after": after })).await;
    assert_eq!(status, 201);
    let (status, late) = say(service, json!({ "text": "Late", "after": after })).await;
    assert_eq!((status, &late["head"]), (409, &second["checkpoint_id"]));
    let (_, read) = ask(service, "GET", "/threads/support", json!(null)).await;
    assert_eq!(read["messages"], json!(["Hello", "Again"]));
}

#[tokio::test]
async fn a_history_is_read_page_by_page() {
    let service = start().await;
    for text in ["a", "b", "c"] {
        say(service, json!({ "text": text })).await;
    }
    let path = "/threads/support/history?limit=2";
    let (_, page) = ask(service, "GET", path, json!(null)).await;
    let steps = page["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    assert!(steps[0]["made_at"].is_u64());
    let last = steps[1]["checkpoint_id"].as_str().unwrap();
    let path = format!("/threads/support/history?before={last}");
    let (_, page) = ask(service, "GET", &path, json!(null)).await;
    assert_eq!(page["steps"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_fork_is_a_conversation_of_its_own() {
    let service = start().await;
    let (_, first) = say(service, json!({ "text": "Hello" })).await;
    say(service, json!({ "text": "Again" })).await;
    let fork = json!({ "checkpoint_id": first["checkpoint_id"], "into": "other" });
    let (status, forked) = ask(service, "POST", "/threads/support/fork", fork.clone()).await;
    assert_eq!((status, &forked["messages"]), (201, &json!(["Hello"])));
    let message = json!({ "text": "Otherwise", "after": forked["checkpoint_id"] });
    let (status, _) = ask(service, "POST", "/threads/other/messages", message).await;
    assert_eq!(status, 201);
    let fork = json!({ "checkpoint_id": "missing", "into": "third" });
    let (status, _) = ask(service, "POST", "/threads/support/fork", fork).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn events_tell_the_head_and_each_new_one() {
    let service = start().await;
    let (_, first) = say(service, json!({ "text": "Hello" })).await;
    let events = send(service, "GET", "/threads/support/events", "").await;
    let mut lines = BufReader::new(events).lines();
    let mut next = async || loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some(head) = line.strip_prefix("data: ") {
            return json!(head);
        }
    };
    assert_eq!(next().await, first["checkpoint_id"]);
    let (_, second) = say(service, json!({ "text": "Again" })).await;
    assert_eq!(next().await, second["checkpoint_id"]);
}
