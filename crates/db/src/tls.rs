//! TLS by rustls: the handshake, and what the driver wants to know of a session.

mod failure;
mod files;
mod names;
mod verifier;

#[cfg(test)]
mod tests;

pub use files::TlsFileProblem;

pub(crate) use failure::{cause, failure, refused_certificate};
pub(crate) use files::Files;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ProtocolVersion};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

/// What the settings and the files that they name make of a handshake.
#[derive(Clone)]
pub(crate) struct Setup {
    config: Arc<ClientConfig>,
    /// Whether the certificate has to be made out to the host's name.
    checks_name: bool,
    /// Whether a server that asks is shown a certificate.
    shows_certificate: bool,
}

/// Shakes hands for one attempt to connect, and for the cancel requests of the connection that
/// comes of it.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Without it the driver must not be told to use TLS.
    setup: Option<Setup>,
    handshake: Arc<OnceLock<Handshake>>,
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handshake {
    Failed,
    Done(ProtocolVersion),
}

impl Tls {
    pub(crate) fn new(setup: Option<&Setup>) -> Self {
        Self {
            setup: setup.cloned(),
            handshake: Arc::default(),
        }
    }

    /// Prepares a handshake with one host.
    pub(crate) fn with(&self, host: &str) -> Connect {
        Connect {
            tls: self.clone(),
            host: host.to_owned(),
        }
    }

    /// Nothing if none was begun, or if it hasn't ended.
    pub(crate) fn handshake(&self) -> Option<Handshake> {
        self.handshake.get().copied()
    }

    fn shows_certificate(&self) -> bool {
        self.setup
            .as_ref()
            .is_some_and(|setup| setup.shows_certificate)
    }

    /// The protocol's version, or `off`.
    pub(crate) fn version(&self) -> &'static str {
        match self.handshake() {
            Some(Handshake::Done(ProtocolVersion::TLSv1_2)) => "TLSv1.2",
            Some(Handshake::Done(_)) => "TLSv1.3",
            Some(Handshake::Failed) | None => "off",
        }
    }
}

impl fmt::Debug for Tls {
    /// Without the setup, which holds a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.version()).finish()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream<Socket>;
    type TlsConnect = Connect;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connect, Infallible> {
        // The driver asks for it before it knows whether it is needed, so that nothing may fail
        // here.
        Ok(self.with(host))
    }
}

/// A handshake with one host, not yet begun.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    tls: Tls,
    host: String,
}

impl Connect {
    async fn shake_hands<S: Wire>(&self, wire: S) -> io::Result<Stream<S>> {
        let Some(setup) = &self.tls.setup else {
            return Err(io::Error::other("TLS is disabled"));
        };
        let name = match ServerName::try_from(self.host.clone()) {
            Ok(name) => name,
            // A resolver knows names that no certificate can be made out to. An address in its
            // place is not sent to the server.
            Err(_) if !setup.checks_name => Ipv4Addr::UNSPECIFIED.into(),
            Err(_) => {
                let error = rustls::Error::from(CertificateError::NotValidForName);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let connector = TlsConnector::from(Arc::clone(&setup.config));
        connector.connect(name, wire).await.map(Stream)
    }
}

/// What TLS is spoken over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for S {}

impl<S: Wire> TlsConnect<S> for Connect {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, wire: S) -> Self::Future {
        Box::pin(async move {
            let stream = self.shake_hands(wire).await;
            let handshake = match &stream {
                Ok(stream) => Handshake::Done(stream.version()),
                Err(_) => Handshake::Failed,
            };
            // A cancel request comes later, and changes nothing.
            let _ = self.tls.handshake.set(handshake);
            stream
        })
    }
}

/// A connection within a TLS session.
#[derive(Debug)]
pub(crate) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S> Stream<S> {
    fn version(&self) -> ProtocolVersion {
        let (_, session) = self.0.get_ref();
        session
            .protocol_version()
            .unwrap_or(ProtocolVersion::TLSv1_3)
    }
}

impl<S: Wire> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        session
            .peer_certificates()
            .and_then(|chain| end_point(chain.first()?))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The hash of the server's certificate that RFC 5929 binds to, if there is one: not every
/// signature has a hash of its own.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let signed_with = Certificate::from_der(certificate)
        .ok()?
        .signature_algorithm
        .oid;
    match signed_with {
        SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => {
            Some(Sha256::digest(certificate).to_vec())
        }
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => {
            Some(Sha384::digest(certificate).to_vec())
        }
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}

impl<S: Wire> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: Wire> AsyncWrite for Stream<S> {
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
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
