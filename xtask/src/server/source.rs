//! Where a server comes from.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum as _;
use servers::Programs;
use servers::state::Unusable;

use super::{Machine, Place, Server, docker};
use crate::server::cluster::Cluster;

mod apt;
mod cluster;
mod database_url;
mod instead;
mod machine;
mod package;

pub(super) use self::database_url::url as database_url;
pub(crate) use self::instead::Purpose;

/// What else will do where the source that is named has nothing.
const WITHOUT_FROM: &str = "without `--from` the first source that works is used";

/// A source, in the order in which they are tried.
///
/// A private cluster that exists comes before what could make one, so that its data stay in reach
/// whatever else is installed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// The server that `DATABASE_URL` names
    DatabaseUrl,
    /// The private cluster that this checkout has already
    Cluster,
    /// A running Docker engine, with docker/compose.yaml
    Docker,
    /// PostgreSQL on this machine, for a private cluster
    Machine,
    /// A package with PostgreSQL from pip or npm, for a private cluster
    Package,
    /// The package of Debian or Ubuntu, which root installs, for a private cluster
    Apt,
}

// A doc comment here would be the help of tasks in place of their own.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ServerArgs {
    /// The only source of a PostgreSQL to try, in place of the first that works
    #[arg(long, value_name = "SOURCE")]
    from: Option<Source>,
}

impl ServerArgs {
    /// A server of one version, or of any.
    pub(crate) fn wanted(self, major: Option<u32>) -> Wanted {
        Wanted {
            from: self.from,
            major,
        }
    }
}

/// A private cluster that can't be made or started.
#[derive(Debug)]
struct NotRun(PathBuf);

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the private cluster in {} can't be run",
            self.0.display()
        )
    }
}

/// What a task wants of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// The only source to try.
    pub(crate) from: Option<Source>,
    /// The only version.
    pub(crate) major: Option<u32>,
}

impl Source {
    /// Starts the server if need be. It is `None` where the source doesn't exist.
    fn server(self, machine: &Machine<'_>, major: Option<u32>) -> anyhow::Result<Option<Server>> {
        match self {
            Self::DatabaseUrl => database_url::server(machine, major),
            Self::Cluster => cluster::server(machine, major),
            Self::Docker => docker::server(machine, major),
            Self::Machine | Self::Package | Self::Apt => {
                let Some(programs) = self.programs(machine, major)? else {
                    return Ok(None);
                };
                run(&cluster_for(machine, major, &programs), programs).map(Some)
            }
        }
    }

    /// Finds, downloads or installs programs. It is `None` where the source has none.
    fn programs(
        self,
        machine: &Machine<'_>,
        major: Option<u32>,
    ) -> anyhow::Result<Option<Programs>> {
        match self {
            Self::DatabaseUrl | Self::Cluster | Self::Docker => Ok(None),
            Self::Machine => Ok(machine::programs(machine, major)),
            Self::Package => package::programs(machine, major),
            Self::Apt => apt::programs(machine, major),
        }
    }

    /// Says that the source doesn't exist here.
    fn absence(self) -> &'static str {
        match self {
            Self::DatabaseUrl => {
                "DATABASE_URL isn't set to a server that isn't this checkout's own"
            }
            Self::Cluster => "this checkout has no such private cluster",
            Self::Docker => "no Docker engine answers that could run such a server",
            Self::Machine => "no such PostgreSQL is on this machine",
            Self::Package => {
                "no such package can be had: those of PyPI need Python 3 with pip, those of npm need \
                 npm, and all need Linux or macOS"
            }
            Self::Apt => {
                "only root can install packages, on Debian or Ubuntu, and a person at the terminal has \
                 to agree"
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Runs the first source that has what is wanted, or the one that is.
pub(super) fn server(machine: &Machine<'_>, wanted: Wanted) -> anyhow::Result<Server> {
    let get = |source: Source| source.server(machine, wanted.major);
    first(Purpose::Server, wanted, get)
}

/// The same for programs alone.
pub(super) fn programs(machine: &Machine<'_>, wanted: Wanted) -> anyhow::Result<Programs> {
    let get = |source: Source| source.programs(machine, wanted.major);
    first(Purpose::Programs, wanted, get)
}

fn first<T>(
    purpose: Purpose,
    wanted: Wanted,
    get: impl Fn(Source) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let purpose = wanted.major.map_or(purpose, Purpose::Version);
    if let Some(source) = wanted.from {
        let instead = |error| {
            let instead = purpose.instead_of_the_only(source, &error);
            anyhow!("{error:#}\n{instead}")
        };
        let absence = || format!("--from {source}: {}\n{WITHOUT_FROM}", source.absence());
        return get(source).map_err(instead)?.with_context(absence);
    }
    let mut of_package = None;
    for &source in Source::value_variants() {
        match get(source) {
            Ok(None) => {}
            Ok(Some(found)) => return Ok(found),
            Err(error) if purpose.may_pass_over(source, &error) => {
                eprintln!("{source} is passed over, as it can't be used: {error:#}");
                if source == Source::Package {
                    of_package = Some(error);
                }
            }
            Err(error) => bail!("{error:#}\n{}", purpose.instead_of(source, &error)),
        }
    }
    bail!(purpose.nothing_works(of_package.as_ref()))
}

/// Names the cluster for programs: the usual one is made with any that are at hand, and not with those
/// of a version that is asked for once.
fn cluster_for(machine: &Machine<'_>, major: Option<u32>, programs: &Programs) -> Cluster {
    let usual = Cluster::of(machine);
    if major.is_none() && !usual.exists() {
        return usual;
    }
    Cluster::of_major(machine, programs.major())
}

fn run(cluster: &Cluster, programs: Programs) -> anyhow::Result<Server> {
    let was_running = cluster.exists() && cluster.is_running(&programs);
    let url = cluster.start(&programs).map_err(|error| {
        if error.is::<Unusable>() {
            return error;
        }
        error.context(NotRun(cluster.home().to_owned()))
    })?;
    Ok(Server {
        was_started: !was_running,
        url,
        place: Place::Cluster {
            home: cluster.home().to_owned(),
            major: programs.major(),
        },
        programs: Some(programs),
    })
}
