//! TCP ports of this machine.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

/// Whether a server could listen on `port` of 127.0.0.1.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Picks a port on which no server listens at the moment.
///
/// # Errors
///
/// If the system has none.
pub fn pick() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}
