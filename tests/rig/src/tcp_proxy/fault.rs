//! What a client gets instead of what it asked for.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Something that goes wrong with one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When it happens.
    pub moment: Moment,
    /// What the client gets.
    pub instead: Instead,
}

/// When something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A client asks for a connection, of which the server hears nothing.
    StartUp,
    /// A client sends a statement, of which the server hears nothing.
    Question,
    /// The server has done what a client asked for, and answers.
    Answer,
}

/// What a client gets before its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// Nothing: the connection is closed.
    Cut,
    /// Nothing, and the connection stays open.
    Silence,
    /// Nothing: the connection is reset.
    Reset,
    /// The first half of the answer, or of an error that nothing was left of.
    Half,
    /// An error, in the words of a server or a pooler.
    Error {
        /// Whether it is called `FATAL`, or else `ERROR`.
        is_fatal: bool,
        /// Its SQLSTATE.
        code: &'static str,
        /// Its message.
        text: &'static str,
    },
    /// A fatal error, and the connection ends only when the client sends more.
    LateClose {
        /// Its SQLSTATE.
        code: &'static str,
        /// Its message.
        text: &'static str,
    },
}

impl Instead {
    /// Sends it to a client; `answer` is what the server has said, if it was asked. The connection
    /// ends when this returns.
    pub(super) async fn send(self, client: &mut OwnedWriteHalf, answer: Option<&[u8]>) {
        let error = match self {
            Self::Cut => return,
            Self::Silence => return std::future::pending().await,
            Self::Reset => {
                let _ = client.as_ref().set_zero_linger();
                return;
            }
            Self::LateClose { code, text } => {
                let _ = client.write_all(&message("FATAL", code, text)).await;
                return std::future::pending().await;
            }
            Self::Half => message("FATAL", "57P01", "terminating connection"),
            Self::Error {
                is_fatal: true,
                code,
                text,
            } => message("FATAL", code, text),
            Self::Error { code, text, .. } => [&message("ERROR", code, text), READY].concat(),
        };
        let bytes = match (self, answer) {
            (Self::Half, answer) => half(answer.unwrap_or(&error)),
            _ => &error,
        };
        let _ = client.write_all(bytes).await;
        // What the client still sends is read, or the error might never reach it.
        let _ = client.shutdown().await;
        std::future::pending().await
    }

    /// Turns a client away that asks for a connection: declines TLS, and reads the start-up packet.
    pub(super) async fn turn_away(self, client: TcpStream) {
        const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
        let (mut from_client, mut to_client) = client.into_split();
        let mut packet = [0; 1024];
        while let Ok(length @ 1..) = from_client.read(&mut packet).await {
            if packet[..length] == SSL_REQUEST {
                let _ = to_client.write_all(b"N").await;
                continue;
            }
            let gone = async { while let Ok(1..) = from_client.read(&mut packet).await {} };
            tokio::select! {
                () = self.send(&mut to_client, None) => {}
                () = gone => {}
            }
            return;
        }
    }
}

/// Another statement may come.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// An error as the protocol has it. PgBouncer leaves out the severity that is never translated.
fn message(severity: &str, code: &str, text: &str) -> Vec<u8> {
    let untranslated = match code {
        "08P01" => String::new(),
        _ => format!("V{severity}\0"),
    };
    let fields = format!("S{severity}\0{untranslated}C{code}\0M{text}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

fn half(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}
