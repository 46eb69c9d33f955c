//! Requests as a program sends them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a request and returns the whole answer, head and body.
pub(crate) async fn get(address: SocketAddr, link: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = head(address, link, "connection: close\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of a request.
pub(crate) fn head(address: SocketAddr, link: &str, more: &str) -> String {
    format!("GET /{link} HTTP/1.1\r\nhost: {address}\r\n{more}\r\n")
}
