//! A proxy that stands before a server, counts what passes, and breaks things.

mod fault;
mod parameters;
mod wire;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use settings::Settings;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::url;
pub use fault::{Fault, Instead, Moment};
use wire::{Wire, accept};

/// Stands between a test and the server, and breaks things on demand.
#[derive(Debug)]
pub struct TcpProxy {
    url: String,
    address: SocketAddr,
    wire: Arc<Wire>,
    /// Bound, not listening: connections are refused, and no other socket gets the
    /// port.
    socket: Mutex<Option<TcpSocket>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
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
            wire: Arc::new(Wire::to(host.to_string())),
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

    /// Hides from now on what the server reports about its parameters, on new connections.
    pub fn hide_parameters(&self) {
        self.wire.hides_parameters.store(true, Ordering::SeqCst);
    }

    /// Lets these faults happen, one after the other, each at the first occasion that it fits;
    /// forgets those that were left.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut left = self.wire.faults.lock().unwrap();
        *left = faults.into_iter().collect();
    }

    /// How many of the faults haven't happened yet.
    pub fn faults_left(&self) -> usize {
        self.wire.faults.lock().unwrap().len()
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

/// The same URL with another host and port.
fn proxied(url: &str, port: u16) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}127.0.0.1:{port}{path}")
}
