//! The server of `docker/compose.yaml`.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use servers::port;
use xshell::{Shell, cmd};

use super::{Machine, Place, Server, url};

pub(crate) const COMPOSE_FILE: &str = "docker/compose.yaml";

const PORT_VARIABLE: &str = "CHECKPOINTER_PG_PORT";

/// The file in [`Machine::memory`] that holds the container's port.
const PORT_FILE: &str = "docker-port";

/// Starts the server, if an engine answers. The file names the version.
pub(super) fn server(machine: &Machine<'_>, major: Option<u32>) -> anyhow::Result<Option<Server>> {
    if major.is_some() || !engine_answers(machine.sh) {
        return Ok(None);
    }
    let was_running = url(machine).is_some_and(|url| url::probe(&url).is_ok());
    let url = up(machine)?;
    Ok(Some(Server {
        place: Place::Docker,
        url,
        programs: None,
        was_started: !was_running,
    }))
}

fn engine_answers(sh: &Shell) -> bool {
    // Some versions exit with 0 though only the client answers.
    let format = "{{.ServerVersion}}";
    let version = cmd!(sh, "docker info --format {format}").quiet();
    let version = version.ignore_stderr().read();
    version.is_ok_and(|version| !version.is_empty())
}

/// The URL of the container that [`up`] started, running or not.
pub(crate) fn url(machine: &Machine<'_>) -> Option<String> {
    remembered_port(machine).map(url_at)
}

/// Starts the container, or leaves it as it is if it runs.
fn up(machine: &Machine<'_>) -> anyhow::Result<String> {
    let port = match machine.var(PORT_VARIABLE) {
        Some(port) => {
            (port.parse()).with_context(|| format!("{PORT_VARIABLE} isn't a port number"))?
        }
        None => match remembered_port(machine) {
            Some(port) => port,
            None => port::pick()?,
        },
    };
    let url = url_at(port);
    let started = compose(machine, port, ["up", "--detach", "--wait"])
        .and_then(|()| url::probe(&url).context("the container runs, but out of reach"));
    if let Err(error) = started {
        // Another port next time, and nothing half started until then.
        machine.sh.remove_path(machine.memory().join(PORT_FILE))?;
        return match compose(machine, port, ["down"]) {
            Ok(()) => Err(error),
            Err(_) => Err(error.context("what was started couldn't be removed")),
        };
    }
    (machine.sh).write_file(machine.memory().join(PORT_FILE), port.to_string())?;
    Ok(url)
}

/// Stops the container; `purge` removes its volume and forgets its port.
pub(crate) fn down(machine: &Machine<'_>, purge: bool) -> anyhow::Result<()> {
    let port = remembered_port(machine).unwrap_or_default();
    if purge {
        compose(machine, port, ["down", "--volumes"])?;
        machine.sh.remove_path(machine.memory().join(PORT_FILE))?;
        Ok(())
    } else {
        compose(machine, port, ["down"])
    }
}

fn compose<const N: usize>(
    machine: &Machine<'_>,
    port: u16,
    args: [&str; N],
) -> anyhow::Result<()> {
    // Two checkouts on one engine don't share a server.
    let project = format!("checkpointer-{}", machine.checkout_id());
    let cmd = cmd!(
        machine.sh,
        "docker compose --project-name {project} --file {COMPOSE_FILE} {args...}"
    );
    let name = format!("docker compose {}", args[0]);
    let status = Command::from(cmd)
        .env(PORT_VARIABLE, OsStr::new(&port.to_string()))
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("run `{name}`"))?;
    ensure!(status.success(), "`{name}` failed ({status})");
    Ok(())
}

fn remembered_port(machine: &Machine<'_>) -> Option<u16> {
    let port = machine.sh.read_file(machine.memory().join(PORT_FILE));
    port.ok()?.trim().parse().ok()
}

/// With the credentials of the compose file.
fn url_at(port: u16) -> String {
    format!("postgres://postgres:checkpointer@127.0.0.1:{port}/postgres")
}
