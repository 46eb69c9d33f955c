//! A server that answers the request for TLS with an error.
//!
//! The driver takes any answer but `S` for a server without TLS. One that can't start a process for
//! the connection says so instead, and a pooler without room as well: they are asked once more, and
//! listened to.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::Config;

use super::failure::Failed;
use crate::connect_failure::ConnectFailure;
use crate::refusal::Refusal;

/// The message `SSLRequest`.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How much of an answer is read.
const LONGEST: u64 = 8 << 10;

/// Asks for TLS again. The answer is `None` if the server has none.
pub(super) async fn ask(config: &Config, limit: Duration) -> Option<Failed> {
    match timeout(limit, request(config)).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => Some(Failed::io(error)),
        Err(_) => Some(Failed::new(ConnectFailure::TimedOut)),
    }
}

async fn request(config: &Config) -> io::Result<Vec<u8>> {
    let (Some(host), Some(port)) = (config.get_hostaddrs().first(), config.get_ports().first())
    else {
        return Ok(Vec::new());
    };
    let mut server = TcpStream::connect((*host, *port)).await?;
    server.write_all(&REQUEST).await?;
    let mut answer = vec![server.read_u8().await?];
    if answer == *b"E" {
        // The connection may be reset behind the text, which changes nothing.
        let _ = server.take(LONGEST).read_to_end(&mut answer).await;
    }
    Ok(answer)
}

fn judge(answer: &[u8]) -> Option<Failed> {
    let (first, rest) = answer.split_first()?;
    match first {
        b'N' => None,
        b'E' => {
            let refusal = Refusal::parse(rest);
            Some(Failed::because(refusal.failure(), refusal))
        }
        // It was different a moment ago.
        _ => Some(Failed::new(ConnectFailure::NotReady)),
    }
}
