//! Cancelling a statement from outside of its connection.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{CancelToken, Client, Config};
use tracing::warn;

use crate::error::Chain;
use crate::tls::Tls;

/// How long a cancel request may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// What it takes to cancel a statement from outside of its connection.
#[derive(Clone)]
pub(crate) struct Canceller {
    token: CancelToken,
    address: Option<Address>,
    /// Whom the certificate has to be made out to, if there is one.
    host: String,
    /// A request is encrypted if the connection is.
    tls: Tls,
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Canceller {
    /// `config` names the one address that the client is connected to.
    pub(crate) fn new(client: &Client, config: &Config, tls: &Tls) -> Self {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let address = match (config.get_hostaddrs(), config.get_hosts()) {
            ([ip], _) => Some(Address::Tcp(SocketAddr::new(*ip, port))),
            (_, [Host::Unix(folder)]) => {
                Some(Address::Unix(folder.join(format!(".s.PGSQL.{port}"))))
            }
            _ => None,
        };
        let host = match config.get_hosts() {
            [Host::Tcp(name)] => name.clone(),
            _ => String::new(),
        };
        Self {
            token: client.cancel_token(),
            address,
            host,
            tls: tls.clone(),
        }
    }

    /// Asks the server to cancel what the connection runs, and waits until the server has seen to
    /// it.
    pub(crate) async fn cancel(&self) {
        match timeout(CANCEL_LIMIT, self.request()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %Chain(&*error), "failed to cancel a statement"),
            Err(_) => warn!("failed to cancel a statement in time"),
        }
    }

    // The driver's own `cancel_query` closes the connection at once.
    async fn request(&self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let Self { token, tls, .. } = self;
        let handshake = tls.with(&self.host);
        match &self.address {
            Some(Address::Tcp(address)) => {
                let stream = TcpStream::connect(address).await?;
                token
                    .cancel_query_raw(UntilClosed(stream), handshake)
                    .await?;
            }
            Some(Address::Unix(path)) => {
                let stream = UnixStream::connect(path).await?;
                token
                    .cancel_query_raw(UntilClosed(stream), handshake)
                    .await?;
            }
            None => token.cancel_query(tls.clone()).await?,
        }
        Ok(())
    }
}

// Without the token's number: it is all that a stranger needs to cancel.
impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A stream whose shutdown waits until the other end has closed it.
///
/// A server closes a cancel request once it has dealt with it, and libpq waits for that too. A
/// request that is closed before is mostly forgotten by PgBouncer, and release 1.18 ends with a
/// fatal error if that happens at the wrong moment.
struct UntilClosed<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 64];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf));
            // A reset is a close too.
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
