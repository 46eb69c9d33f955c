//! Finds a PostgreSQL for the tasks that need one, or starts one.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use servers::Programs;

mod apt;
mod cluster;
mod docker;
mod log_in;
mod machine;
mod programs;
mod url;

#[cfg(test)]
mod tests;

pub(crate) use self::machine::Machine;
pub(crate) use self::programs::{PGBOUNCER, POSTGRESQL, ensure_programs};

use self::cluster::Cluster;

/// A PostgreSQL that answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) source: Source,
    /// With the password: for children's environment and for people who ask.
    pub(crate) url: String,
    /// The folder of the programs that run it, if they are this machine's own.
    pub(crate) programs: Option<PathBuf>,
}

/// Where a [`Server`] came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    DatabaseUrl,
    Cluster { home: PathBuf },
    Docker,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::DatabaseUrl => f.write_str("the server that DATABASE_URL names"),
            Source::Cluster { home } => write!(f, "the private cluster in {}", home.display()),
            Source::Docker => write!(f, "the container of {}", docker::COMPOSE_FILE),
        }
    }
}

const NOTHING_WORKS: &str = "no PostgreSQL was found; any one of these will do:
  - install PostgreSQL 14 or newer (Debian, Ubuntu: sudo apt-get install postgresql;
    Fedora: sudo dnf install postgresql-server; macOS: brew install postgresql@17)
  - start a Docker engine that has the compose plugin
  - set DATABASE_URL to the URL of a PostgreSQL 14 or newer";

/// Finds the first server that works, starting or installing it if need be.
///
/// A `DATABASE_URL` that doesn't work is an error: whoever set it wants that server
/// and no other. Of the rest, a private cluster that exists comes first, so that
/// its data stays in reach whatever else is installed later.
pub(crate) fn ensure(machine: &Machine<'_>) -> anyhow::Result<Server> {
    let server = match from_database_url(machine)? {
        Some(server) => server,
        None => {
            let _lock = machine.lock()?;
            start(machine)?
        }
    };
    eprintln!("using {}", server.source);
    Ok(server)
}

fn from_database_url(machine: &Machine<'_>) -> anyhow::Result<Option<Server>> {
    let Some(url) = database_url(machine) else {
        return Ok(None);
    };
    (url::probe(&url).and_then(|()| log_in::log_in(machine, &url)))
        .context("the server that DATABASE_URL names can't be used")?;
    Ok(Some(Server {
        source: Source::DatabaseUrl,
        url,
        programs: None,
    }))
}

/// `DATABASE_URL`, unless it is empty or names a server of this checkout. Those are
/// started again when they are down, exported or not.
fn database_url(machine: &Machine<'_>) -> Option<String> {
    let url = machine.var("DATABASE_URL")?;
    let own = [Cluster::of(machine).url(), docker::url(machine)];
    (!own.contains(&Some(url.clone()))).then_some(url)
}

fn start(machine: &Machine<'_>) -> anyhow::Result<Server> {
    let cluster = Cluster::of(machine);
    if !cluster.exists()
        && let Some(url) = try_docker(machine)
    {
        return Ok(Server {
            source: Source::Docker,
            url,
            programs: None,
        });
    }
    let programs = match machine.places.postgresql(cluster.major()) {
        Some(programs) => programs,
        None if cluster.exists() => bail!(
            "the programs that made {} are gone: install that PostgreSQL again, \
             or remove the data with `cargo xtask db-down --purge`",
            cluster.home().display()
        ),
        None => install(machine)?,
    };
    Ok(Server {
        url: cluster.start(&programs)?,
        source: Source::Cluster {
            home: cluster.home().to_owned(),
        },
        programs: Some(programs.folder().to_owned()),
    })
}

/// An engine that runs but can't give a server is passed over, with the reason.
fn try_docker(machine: &Machine<'_>) -> Option<String> {
    if !docker::engine_answers(machine.sh) {
        return None;
    }
    match docker::up(machine) {
        Ok(url) => Some(url),
        Err(error) => {
            eprintln!("a Docker engine answers, but it can't be used: {error:#}");
            None
        }
    }
}

fn install(machine: &Machine<'_>) -> anyhow::Result<Programs> {
    let Some(apt) = &machine.apt else {
        bail!(NOTHING_WORKS);
    };
    ensure!(apt.may_install(&[POSTGRESQL])?, NOTHING_WORKS);
    apt.install(machine.sh, &[POSTGRESQL])?;
    (machine.places.postgresql(None)).context("the package brought no PostgreSQL 14 or newer")
}

/// The URL of the server that tasks would use, if it runs already.
pub(crate) fn running(machine: &Machine<'_>) -> anyhow::Result<Option<String>> {
    if let Some(server) = from_database_url(machine)? {
        return Ok(Some(server.url));
    }
    let cluster = Cluster::of(machine);
    if let Some(programs) = machine.places.postgresql(cluster.major())
        && cluster.is_running(&programs)
    {
        return Ok(cluster.url());
    }
    Ok(docker::url(machine).filter(|url| url::probe(url).is_ok()))
}

/// Stops what [`ensure`] started, and returns what was done, in words; `purge` removes its data.
pub(crate) fn down(machine: &Machine<'_>, purge: bool) -> anyhow::Result<Vec<String>> {
    let _lock = machine.lock()?;
    let cluster = Cluster::of(machine);
    let home = cluster.home().display();
    let mut done = Vec::new();
    if cluster.stop(machine)? {
        done.push(format!("stopped the private cluster in {home}"));
    }
    if purge && cluster.purge()? {
        done.push(format!("removed {home} with all data"));
    }
    if docker::url(machine).is_some() {
        docker::down(machine, purge)?;
        let data = if purge { " and removed its data" } else { "" };
        done.push(format!("stopped {}{data}", Source::Docker));
    }
    Ok(done)
}
