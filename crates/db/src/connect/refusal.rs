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
use tokio_postgres::error::SqlState;

use super::failure::Failed;
use crate::{ConnectFailure, verdict};

/// The message `SSLRequest`.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How much of an answer is read.
const LONGEST: u64 = 8 << 10;

/// A longer message isn't one of the protocol that is spoken now: its length is a part of a text.
const LONGEST_MESSAGE: u32 = 30_000;

/// What a server has said instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{severity}: {message}")]
pub(crate) struct Refusal {
    severity: String,
    message: String,
    pub(crate) code: Option<SqlState>,
}

/// Asks for TLS again. Nothing, if the server has none.
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
        // A reset behind the text is no news.
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

impl Refusal {
    /// Of a message of the protocol, or of the mere text that a server sends before it has a
    /// process for the connection.
    fn parse(answer: &[u8]) -> Self {
        match answer.split_first_chunk() {
            Some((length, fields)) if u32::from_be_bytes(*length) <= LONGEST_MESSAGE => {
                let field = |kind| find(fields, kind);
                Self {
                    severity: field(b'S').unwrap_or_default(),
                    message: field(b'M').unwrap_or_default(),
                    code: field(b'C').map(|code| SqlState::from_code(&code)),
                }
            }
            _ => Self {
                severity: "FATAL".to_owned(),
                message: text(answer).trim_end().to_owned(),
                code: None,
            },
        }
    }

    fn failure(&self) -> ConnectFailure {
        match &self.code {
            Some(code) => verdict::refused(code, &self.message),
            // Such a text is all that a server sends that can't start another process.
            None => ConnectFailure::OutOfResources,
        }
    }
}

fn find(fields: &[u8], kind: u8) -> Option<String> {
    let mut fields = fields.split(|byte| *byte == 0);
    fields.find_map(|field| match field.split_first() {
        Some((first, value)) if *first == kind => Some(text(value)),
        _ => None,
    })
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}
