//! Servers are found, started and stopped, on a machine made of stand-ins.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod apt;
mod clusters;
mod database_url;
mod docker;
mod sandbox;
mod sources;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

pub(crate) use sandbox::Sandbox;

use super::{Machine, Server, Wanted, ensure};

fn start(machine: &Machine<'_>) -> anyhow::Result<Server> {
    ensure(machine, Wanted::default())
}

/// Answers like a server without TLS, once for each connection.
fn stand_in_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"N").unwrap();
        }
    });
    port
}
