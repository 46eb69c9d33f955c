//! A server to try.

use std::fmt;

/// A server to try: a name, an address or a socket's directory, and a port.
///
/// `Display` writes it the way it belongs into a message: `db.internal:5432`, `[::1]:5432`,
/// `/run/postgresql/.s.PGSQL.5432`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Host {
    /// A host name, an IP address (an IPv6 one without its brackets), or the absolute path of a
    /// Unix socket's directory.
    pub name: String,
    /// The port, from 1; also a part of the socket's file name.
    pub port: u16,
}

impl Host {
    /// Whether `name` is the directory of a Unix socket.
    pub fn is_unix_socket(&self) -> bool {
        self.name.starts_with('/')
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if self.is_unix_socket() {
            write!(f, "{name}/.s.PGSQL.{port}")
        } else if name.contains(':') {
            write!(f, "[{name}]:{port}")
        } else {
            write!(f, "{name}:{port}")
        }
    }
}
