//! Counts round trips from outside, the same way for every system.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A proxy in front of the server. It is in the way, so nothing is timed through it but the server.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

/// What went through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// How often a client spoke after the server had.
    pub(crate) round_trips: u64,
    /// How long the server took, from the last word of the question to the last of the answer.
    pub(crate) answering: Duration,
}

/// One connection: whose turn it is.
#[derive(Debug, Default)]
struct Turn {
    asked: Option<Instant>,
    answered: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Proxy {
    pub(crate) async fn start(url: &str) -> anyhow::Result<Self> {
        let (prefix, rest) = url.split_once("://").context("DATABASE_URL is no URL")?;
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (format!("{user}@"), host),
            None => (String::new(), authority),
        };
        let host = match host.rsplit_once(':') {
            Some(_) => host.to_owned(),
            None => format!("{host}:5432"),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::default();
        tokio::spawn(accept(listener, host, Arc::clone(&seen)));
        Ok(Self {
            url: format!("{prefix}://{user}127.0.0.1:{port}{path}"),
            seen,
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        *lock(&self.seen)
    }
}

async fn accept(listener: TcpListener, server: String, seen: Arc<Mutex<Seen>>) {
    while let Ok((client, _)) = listener.accept().await {
        // A client whose server can't be reached sees its connection closed.
        let Ok(server) = TcpStream::connect(&server).await else {
            continue;
        };
        // Only sockets that are closed already have no such option.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let turn = Arc::new(Mutex::new(Turn::default()));
        let note = |side| {
            let (turn, seen) = (Arc::clone(&turn), Arc::clone(&seen));
            move || note(&mut lock(&turn), &mut lock(&seen), side)
        };
        tokio::spawn(copy(from_client, to_server, note(Side::Client)));
        tokio::spawn(copy(from_server, to_client, note(Side::Server)));
    }
}

fn note(turn: &mut Turn, seen: &mut Seen, side: Side) {
    let now = Instant::now();
    match side {
        Side::Client => {
            if turn.asked.is_none() || turn.answered.take().is_some() {
                seen.round_trips += 1;
            }
            turn.asked = Some(now);
        }
        Side::Server => {
            if let Some(since) = turn.answered.or(turn.asked) {
                seen.answering += now - since;
            }
            turn.answered = Some(now);
        }
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, note: impl Fn()) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        note();
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
