//! Asks whether a PostgreSQL answers at a URL, without a driver.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// For each step of a conversation with a server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds if one of the URL's hosts speaks PostgreSQL's protocol.
///
/// Whether it accepts the user and the password is for the programs to say: they
/// have a driver. No part of the URL but hosts and ports is in an error.
pub(crate) fn probe(url: &str) -> anyhow::Result<()> {
    let hosts = hosts(url)?;
    let mut failures = Vec::new();
    for (host, port) in &hosts {
        match greet(host, *port) {
            Ok(()) => return Ok(()),
            Err(error) => failures.push(format!("{host}:{port}: {error:#}")),
        }
    }
    bail!("{}", failures.join("; "))
}

/// The URL's hosts with their ports.
pub(crate) fn hosts(url: &str) -> anyhow::Result<Vec<(String, u16)>> {
    let rest = (url.strip_prefix("postgres://"))
        .or_else(|| url.strip_prefix("postgresql://"))
        .context("the URL doesn't begin with postgres://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = (authority.rsplit_once('@')).map_or(authority, |(_user, hosts)| hosts);
    hosts.split(',').map(host_and_port).collect()
}

fn host_and_port(host: &str) -> anyhow::Result<(String, u16)> {
    let (name, port) = match host.rsplit_once(':') {
        // The last colon of a bare `[::1]` is part of the address.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "5432"),
    };
    if name.is_empty() {
        bail!("the URL names no host");
    }
    let port = (port.parse()).context("the URL's port isn't a number up to 65535")?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    Ok((name.replace("%2F", "/").replace("%2f", "/"), port))
}

fn greet(host: &str, port: u16) -> anyhow::Result<()> {
    if host.starts_with('/') {
        let stream = UnixStream::connect(format!("{host}/.s.PGSQL.{port}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        return ask(stream);
    }
    let mut result = Err(anyhow::anyhow!("the name has no address"));
    for address in (host, port).to_socket_addrs()? {
        result = TcpStream::connect_timeout(&address, TIMEOUT)
            .map_err(anyhow::Error::from)
            .and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                ask(stream)
            });
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Sends an `SSLRequest`, which every PostgreSQL and every pooler answers with one
/// letter before it asks who is there, even while it starts up.
fn ask(mut stream: impl Read + Write) -> anyhow::Result<()> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    stream.write_all(&SSL_REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).context("no answer")?;
    match &answer {
        b"S" | b"N" | b"E" => Ok(()),
        _ => bail!("what answers there isn't PostgreSQL"),
    }
}
