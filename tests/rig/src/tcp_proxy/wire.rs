//! The connections of a proxy, and what passes on them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use super::fault::{Fault, Instead, Moment};
use super::parameters::Parameters;

/// How the messages begin that ask for something on a connection that is ready.
const STATEMENTS: [u8; 3] = [b'P', b'B', b'Q'];

/// What the connections of a proxy share.
#[derive(Debug)]
pub(super) struct Wire {
    upstream: String,
    /// Raised to cut every connection.
    pub(super) cuts: watch::Sender<usize>,
    /// Connections with a lower number have their bytes held back.
    pub(super) stalled_below: watch::Sender<usize>,
    /// Whether the server's bytes are held back.
    pub(super) answers_held: watch::Sender<bool>,
    /// Whether new connections hide what the server reports about its parameters.
    pub(super) hides_parameters: AtomicBool,
    pub(super) connections: AtomicUsize,
    /// What happens next.
    pub(super) faults: Mutex<VecDeque<Fault>>,
    /// The text whose answer the client doesn't get, and what happens instead.
    pub(super) trap: Mutex<Option<(&'static str, Instead)>>,
    /// How many traps were sprung.
    pub(super) sprung: AtomicUsize,
    pub(super) round_trips: AtomicUsize,
    pub(super) bytes_sent: AtomicUsize,
    pub(super) bytes_received: AtomicUsize,
    /// How long the server took to answer.
    pub(super) answering: Mutex<Duration>,
}

/// Whose turn it is on a connection, and since when.
#[derive(Debug, Default)]
struct Turn {
    asked: Option<Instant>,
    answered: Option<Instant>,
}

pub(super) async fn accept(listener: TcpListener, wire: Arc<Wire>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        match wire.fault(Moment::StartUp) {
            Some(instead) => tokio::spawn(instead.turn_away(client)),
            None => tokio::spawn(connect(client, Arc::clone(&wire))),
        };
    }
}

async fn connect(client: TcpStream, wire: Arc<Wire>) {
    let mut cuts = wire.cuts.subscribe();
    let Ok(server) = TcpStream::connect(&wire.upstream).await else {
        return;
    };
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let connection = Connection {
        number: wire.connections.fetch_add(1, Ordering::SeqCst),
        turn: Mutex::default(),
        trapped: Mutex::new(None),
        refused: Notify::new(),
    };
    tokio::select! {
        () = questions(from_client, to_server, &wire, &connection) => {}
        () = answers(from_server, to_client, &wire, &connection) => {}
        _ = cuts.changed() => {}
    }
}

struct Connection {
    number: usize,
    turn: Mutex<Turn>,
    /// What comes instead of the next answer.
    trapped: Mutex<Option<Instead>>,
    /// Told that it comes at once, without an answer.
    refused: Notify,
}

impl Connection {
    /// Sends what comes instead of an answer.
    async fn spring(&self, wire: &Wire, client: &mut OwnedWriteHalf, answer: Option<&[u8]>) {
        wire.sprung.fetch_add(1, Ordering::SeqCst);
        let instead = self.trapped.lock().unwrap().take();
        if let Some(instead) = instead {
            instead.send(client, answer).await;
        }
    }
}

async fn questions(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    wire: &Wire,
    connection: &Connection,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut buffer).await {
        wire.pass(connection.number).await;
        let bytes = &buffer[..count];
        wire.bytes_sent.fetch_add(count, Ordering::SeqCst);
        if let Some(instead) = wire.fault_of(bytes, Moment::Question) {
            *connection.trapped.lock().unwrap() = Some(instead);
            connection.refused.notify_one();
            if matches!(instead, Instead::LateClose { .. }) {
                let _ = client.read(&mut buffer).await;
                return;
            }
            while let Ok(1..) = client.read(&mut buffer).await {}
            return;
        }
        if connection.turn.lock().unwrap().ask() {
            wire.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let sprung = wire
            .trap
            .lock()
            .unwrap()
            .take_if(|(text, _)| contains(bytes, text.as_bytes()));
        let sprung = sprung.map(|(_, instead)| instead);
        let sprung = sprung.or_else(|| wire.fault_of(bytes, Moment::Answer));
        if let Some(instead) = sprung {
            *connection.trapped.lock().unwrap() = Some(instead);
        }
        if server.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    wire: &Wire,
    connection: &Connection,
) {
    let mut buffer = vec![0; 64 * 1024];
    let hides_parameters = wire.hides_parameters.load(Ordering::SeqCst);
    let mut parameters = hides_parameters.then(Parameters::default);
    loop {
        let count = tokio::select! {
            Ok(count @ 1..) = server.read(&mut buffer) => count,
            () = connection.refused.notified() => {
                connection.spring(wire, &mut client, None).await;
                return;
            }
            else => return,
        };
        wire.pass(connection.number).await;
        wire.pass_answer().await;
        wire.bytes_received.fetch_add(count, Ordering::SeqCst);
        *wire.answering.lock().unwrap() += connection.turn.lock().unwrap().answer();
        if connection.trapped.lock().unwrap().is_some() {
            connection
                .spring(wire, &mut client, Some(&buffer[..count]))
                .await;
            return;
        }
        let bytes = match &mut parameters {
            Some(parameters) => Cow::Owned(parameters.hide(&buffer[..count])),
            None => Cow::Borrowed(&buffer[..count]),
        };
        if client.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

impl Wire {
    pub(super) fn to(upstream: String) -> Self {
        Self {
            upstream,
            cuts: watch::Sender::new(0),
            stalled_below: watch::Sender::new(0),
            answers_held: watch::Sender::new(false),
            hides_parameters: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            faults: Mutex::default(),
            trap: Mutex::new(None),
            sprung: AtomicUsize::new(0),
            round_trips: AtomicUsize::new(0),
            bytes_sent: AtomicUsize::new(0),
            bytes_received: AtomicUsize::new(0),
            answering: Mutex::new(Duration::ZERO),
        }
    }

    /// The next fault, if it happens at this moment.
    fn fault(&self, moment: Moment) -> Option<Instead> {
        let mut faults = self.faults.lock().unwrap();
        let due = faults.pop_front_if(|fault| fault.moment == moment);
        due.map(|fault| fault.instead)
    }

    /// The same for what a client sends, if that asks for something.
    fn fault_of(&self, sent: &[u8], moment: Moment) -> Option<Instead> {
        let asks = sent.first().is_some_and(|first| STATEMENTS.contains(first));
        asks.then(|| self.fault(moment))?
    }

    /// Waits while the bytes of a connection are held back.
    async fn pass(&self, number: usize) {
        let mut stalled_below = self.stalled_below.subscribe();
        let _ = stalled_below.wait_for(|below| number >= *below).await;
    }

    /// Waits while the server's bytes are held back.
    async fn pass_answer(&self) {
        let _ = self.answers_held.subscribe().wait_for(|held| !held).await;
    }
}

impl Turn {
    /// Notes that something was sent, and says whether that begins a question.
    fn ask(&mut self) -> bool {
        let is_first = self.asked.is_none() || self.answered.is_some();
        *self = Self {
            asked: Some(Instant::now()),
            answered: None,
        };
        is_first
    }

    /// Notes that something was answered, and returns how long that took.
    fn answer(&mut self) -> Duration {
        let now = Instant::now();
        let since = self.answered.or(self.asked).unwrap_or(now);
        self.answered = Some(now);
        now - since
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
