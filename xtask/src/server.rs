//! Finds a PostgreSQL for the tasks that need one, or starts one.

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use servers::Programs;

mod apt;
mod cluster;
mod docker;
mod log_in;
mod machine;
mod person;
mod source;
mod url;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::machine::Machine;
#[cfg(test)]
pub(crate) use self::person::Ask;
#[cfg(test)]
pub(crate) use self::source::Purpose;
pub(crate) use self::source::{ServerArgs, Source, Wanted};

use self::cluster::Cluster;

/// The packages of programs, on Debian and Ubuntu.
pub(crate) const POSTGRESQL: &str = "postgresql";
pub(crate) const PGBOUNCER: &str = "pgbouncer";

/// The packages that build a newer PgBouncer from its source, there.
pub(crate) const TO_BUILD_PGBOUNCER: [&str; 5] =
    ["gcc", "make", "pkg-config", "libevent-dev", "python3"];

/// A PostgreSQL that answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) place: Place,
    /// With the password: for children's environment and for people who ask.
    pub(crate) url: String,
    /// The programs that run it, if they are this machine's own.
    pub(crate) programs: Option<Programs>,
    /// Whether it was started just now.
    pub(crate) was_started: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.was_started { "started" } else { "using" };
        write!(f, "{done} {}", self.place)?;
        match &self.programs {
            Some(programs) => write!(f, ", run from {}", programs.folder().display()),
            None => Ok(()),
        }
    }
}

/// Where a [`Server`] is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    DatabaseUrl,
    Cluster { home: PathBuf, major: u32 },
    Docker,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DatabaseUrl => f.write_str("the server that DATABASE_URL names"),
            Self::Cluster { home, major } => {
                let home = home.display();
                write!(f, "the private cluster in {home}, with PostgreSQL {major}")
            }
            Self::Docker => write!(f, "the container of {}", docker::COMPOSE_FILE),
        }
    }
}

/// Finds the server that is wanted, starting or installing it if need be.
pub(crate) fn ensure(machine: &Machine<'_>, wanted: Wanted) -> anyhow::Result<Server> {
    let server = {
        let _lock = machine.lock()?;
        source::server(machine, wanted)?
    };
    eprintln!("{server}");
    Ok(server)
}

/// Finds programs that run servers, downloading or installing them if need be.
pub(crate) fn programs_for(machine: &Machine<'_>, wanted: Wanted) -> anyhow::Result<Programs> {
    let _lock = machine.lock()?;
    source::programs(machine, wanted)
}

/// Finds the programs for servers that tests break: those of the server that all share where they
/// are known, else any that are here or in a package.
pub(crate) fn programs_at_hand(machine: &Machine<'_>, wanted: Wanted) -> Option<Programs> {
    let usual = Cluster::of(machine);
    if wanted.from.is_none() && usual.exists() {
        return machine.programs(usual.major());
    }
    let any = [Source::Machine, Source::Package].map(Some);
    let sources = any
        .into_iter()
        .filter(|it| wanted.from.is_none() || *it == wanted.from);
    let mut found = sources.map(|from| source::programs(machine, Wanted { from, ..wanted }));
    found.find_map(Result::ok)
}

/// The URL of the server that tasks would use, if it runs already.
pub(crate) fn running(machine: &Machine<'_>) -> anyhow::Result<Option<String>> {
    if source::database_url(machine).is_some() {
        let wanted = Wanted {
            from: Some(Source::DatabaseUrl),
            major: None,
        };
        return Ok(Some(source::server(machine, wanted)?.url));
    }
    for cluster in Cluster::all(machine) {
        if let Some(programs) = machine.programs(cluster.major())
            && cluster.is_running(&programs)
        {
            return Ok(cluster.url());
        }
    }
    Ok(docker::url(machine).filter(|url| url::probe(url).is_ok()))
}

/// Stops what [`ensure`] started, and returns what was done, in words; `purge` removes its data. What
/// fails doesn't keep the rest from being done, and the error says both.
pub(crate) fn down(machine: &Machine<'_>, purge: bool) -> anyhow::Result<Vec<String>> {
    let _lock = machine.lock()?;
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for cluster in Cluster::all(machine) {
        if let Err(error) = down_cluster(&cluster, machine, purge, &mut done) {
            failed.push(format!("{error:#}"));
        }
    }
    if docker::url(machine).is_some() {
        match docker::down(machine, purge) {
            Ok(()) => {
                let data = if purge { " and removed its data" } else { "" };
                done.push(format!("stopped {}{data}", Place::Docker));
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    if failed.is_empty() {
        return Ok(done);
    }
    bail!("{}", [failed, done].concat().join("\n"))
}

fn down_cluster(
    cluster: &Cluster,
    machine: &Machine<'_>,
    purge: bool,
    done: &mut Vec<String>,
) -> anyhow::Result<()> {
    let home = cluster.home().display();
    if cluster.stop(machine)? {
        done.push(format!("stopped the private cluster in {home}"));
    }
    if purge && cluster.purge()? {
        done.push(format!("removed {home} with all data"));
    }
    Ok(())
}
