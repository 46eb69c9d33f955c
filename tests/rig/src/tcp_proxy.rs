//! A proxy that stands before a server, counts what passes, and breaks things.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::url;

/// Stands between a test and the server, and breaks things on demand.
#[derive(Debug)]
pub struct TcpProxy {
    url: String,
    address: SocketAddr,
    wire: Arc<Wire>,
    /// Bound, not listening: connections are refused, and nobody else gets the
    /// port.
    socket: Mutex<Option<TcpSocket>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// What the connections of a proxy share.
#[derive(Debug)]
struct Wire {
    upstream: String,
    /// Raised to cut every connection.
    cuts: watch::Sender<usize>,
    /// Connections with a lower number have their bytes held back.
    stalled_below: watch::Sender<usize>,
    /// Whether the server's bytes are held back.
    answers_held: watch::Sender<bool>,
    connections: AtomicUsize,
    /// How many connections to turn away with "starting up".
    not_ready: AtomicUsize,
    /// The text whose answer the client doesn't get, and what happens instead.
    trap: Mutex<Option<(&'static str, Instead)>>,
    /// How many traps were sprung.
    sprung: AtomicUsize,
    round_trips: AtomicUsize,
    bytes_sent: AtomicUsize,
    bytes_received: AtomicUsize,
    /// How long the server took to answer.
    answering: Mutex<Duration>,
}

/// Whose turn it is on a connection, and since when.
#[derive(Debug, Default)]
struct Turn {
    asked: Option<Instant>,
    answered: Option<Instant>,
}

/// What happens instead of an answer.
#[derive(Debug, Clone, Copy)]
enum Instead {
    Cut,
    Silence,
}

impl TcpProxy {
    /// Stands before the shared server, and listens at once.
    pub fn new() -> Self {
        Self::before(&url())
    }

    /// Stands before the server of `url`, and listens at once.
    pub fn before(url: &str) -> Self {
        let proxy = Self::refusing_before(url);
        proxy.listen();
        proxy
    }

    /// Stands before the shared server, and refuses connections until it is told to listen.
    pub fn refusing() -> Self {
        Self::refusing_before(&url())
    }

    fn refusing_before(url: &str) -> Self {
        let settings = Settings::from_url(url).unwrap();
        let host = &settings.hosts()[0];
        assert!(
            !host.is_unix_socket(),
            "the proxy needs a server that listens on TCP"
        );
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().unwrap();
        Self {
            url: proxied(url, address.port()),
            address,
            wire: Arc::new(Wire {
                upstream: host.to_string(),
                cuts: watch::Sender::new(0),
                stalled_below: watch::Sender::new(0),
                answers_held: watch::Sender::new(false),
                connections: AtomicUsize::new(0),
                not_ready: AtomicUsize::new(0),
                trap: Mutex::new(None),
                sprung: AtomicUsize::new(0),
                round_trips: AtomicUsize::new(0),
                bytes_sent: AtomicUsize::new(0),
                bytes_received: AtomicUsize::new(0),
                answering: Mutex::new(Duration::ZERO),
            }),
            socket: Mutex::new(Some(socket)),
            accepting: Mutex::new(None),
        }
    }

    /// The URL of the server by way of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Begins to listen: from now on nothing is refused.
    pub fn listen(&self) {
        let socket = self.socket.lock().unwrap().take().unwrap();
        let listener = socket.listen(1024).unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&self.wire)));
        *self.accepting.lock().unwrap() = Some(task);
    }

    /// Begins to listen later.
    pub fn listen_after(&self, delay: Duration) {
        let socket = self.socket.lock().unwrap().take().unwrap();
        let wire = Arc::clone(&self.wire);
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            accept(socket.listen(1024).unwrap(), wire).await;
        });
        *self.accepting.lock().unwrap() = Some(task);
    }

    /// Cuts all connections, and refuses new ones until it listens again.
    pub async fn refuse(&self) {
        let task = self.accepting.lock().unwrap().take().unwrap();
        task.abort();
        let _ = task.await;
        *self.socket.lock().unwrap() = Some(bind(self.address));
        self.cut();
    }

    /// Cuts all connections there are.
    pub fn cut(&self) {
        self.wire.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Holds back the bytes of every connection, new ones included.
    pub fn stall(&self) {
        self.wire.stalled_below.send_replace(usize::MAX);
    }

    /// Holds back the bytes of the connections there are.
    pub fn stall_present(&self) {
        let next = self.wire.connections.load(Ordering::SeqCst);
        self.wire.stalled_below.send_replace(next);
    }

    /// Holds back what the server sends, on every connection; it gets all that is sent to it.
    pub fn hold_answers(&self) {
        self.wire.answers_held.send_replace(true);
    }

    /// Holds nothing back any more.
    pub fn release(&self) {
        self.wire.answers_held.send_replace(false);
        self.wire.stalled_below.send_replace(0);
    }

    /// Turns the next connections away as a server that is starting up does.
    pub fn not_ready(&self, connections: usize) {
        self.wire.not_ready.store(connections, Ordering::SeqCst);
    }

    /// Lets the next message that holds `text` pass to the server, and cuts the
    /// connection when the answer comes.
    pub fn cut_instead_of_answer_to(&self, text: &'static str) {
        *self.wire.trap.lock().unwrap() = Some((text, Instead::Cut));
    }

    /// Lets the next message that holds `text` pass to the server, and holds
    /// back the answer and all that follows on its connection.
    pub fn silence_instead_of_answer_to(&self, text: &'static str) {
        *self.wire.trap.lock().unwrap() = Some((text, Instead::Silence));
    }

    /// How many answers were cut off or held back so far.
    pub fn sprung(&self) -> usize {
        self.wire.sprung.load(Ordering::SeqCst)
    }

    /// How many times anything was sent and then answered, on all connections.
    ///
    /// What a client sends without waiting for an answer counts as one.
    pub fn round_trips(&self) -> usize {
        self.wire.round_trips.load(Ordering::SeqCst)
    }

    /// How long the server took from the last word of each question to the last of its answer, on
    /// all connections.
    pub fn answering(&self) -> Duration {
        *self.wire.answering.lock().unwrap()
    }

    /// How many bytes were sent to the server, on all connections.
    pub fn bytes_sent(&self) -> usize {
        self.wire.bytes_sent.load(Ordering::SeqCst)
    }

    /// How many bytes the server answered, on all connections.
    pub fn bytes_received(&self) -> usize {
        self.wire.bytes_received.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        if let Some(task) = self.accepting.lock().unwrap().take() {
            task.abort();
        }
        self.cut();
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn accept(listener: TcpListener, wire: Arc<Wire>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        let turned_away = wire
            .not_ready
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        if turned_away {
            tokio::spawn(turn_away(client));
        } else {
            tokio::spawn(connect(client, Arc::clone(&wire)));
        }
    }
}

/// Declines TLS, reads the start-up packet and answers it with the error 57P03.
async fn turn_away(mut client: TcpStream) {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let length = u32::try_from(fields.len() + 4).unwrap();
    let mut packet = [0; 1024];
    while let Ok(length_read @ 1..) = client.read(&mut packet).await {
        if packet[..length_read] == SSL_REQUEST {
            let _ = client.write_all(b"N").await;
            continue;
        }
        let message = [b"E", &length.to_be_bytes()[..], fields].concat();
        let _ = client.write_all(&message).await;
        return;
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
        if connection.turn.lock().unwrap().ask() {
            wire.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let sprung = wire
            .trap
            .lock()
            .unwrap()
            .take_if(|(text, _)| contains(bytes, text.as_bytes()));
        if let Some((_, instead)) = sprung {
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
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        wire.pass(connection.number).await;
        wire.pass_answer().await;
        wire.bytes_received.fetch_add(count, Ordering::SeqCst);
        *wire.answering.lock().unwrap() += connection.turn.lock().unwrap().answer();
        let instead = *connection.trapped.lock().unwrap();
        if let Some(instead) = instead {
            wire.sprung.fetch_add(1, Ordering::SeqCst);
            match instead {
                Instead::Cut => return,
                Instead::Silence => std::future::pending().await,
            }
        }
        if client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

impl Wire {
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

/// The same URL with another host and port.
fn proxied(url: &str, port: u16) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}127.0.0.1:{port}{path}")
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
