//! What some tests need beyond a server that all share: programs, for servers that they break.

use std::fmt;

use clap::ValueEnum as _;
use servers::Programs;
use xshell::cmd;

use crate::server::{self, Machine, PGBOUNCER, POSTGRESQL};

/// What may be lacking on a machine, and be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Need {
    /// A PostgreSQL with TLS, and psql
    Tls,
    /// Standbys, made by `pg_basebackup`, and psql
    Replication,
    /// `pg_dump` and psql, and a PostgreSQL of another version
    Dump,
    /// PgBouncer
    Pgbouncer,
    /// A PgBouncer from 1.21 on: an installed one, that of `CHECKPOINTER_PGBOUNCER`, or one that is
    /// built from Debian's source
    NewPgbouncer,
    /// Mounts of a test's own, by `unshare` on Linux: where they are refused, as in many containers,
    /// these tests are left out anyhow
    Mounts,
}

impl Need {
    /// Whether it is here.
    pub(crate) fn is_met(self, machine: &Machine<'_>, programs: Option<&Programs>) -> bool {
        let have =
            |names: &[&str]| programs.is_some_and(|it| names.iter().all(|name| it.has(name)));
        match self {
            Self::Tls => have(&["psql"]) && programs.is_some_and(Programs::have_tls),
            Self::Replication => have(&["pg_basebackup", "psql"]),
            Self::Dump => {
                let other = programs.map(Programs::other_major);
                have(&["pg_dump", "psql"])
                    && (machine.programs(other).is_some() || machine.packages.have_client(other))
            }
            Self::Pgbouncer => machine.places.pgbouncer().is_some(),
            Self::NewPgbouncer => {
                let packages = &machine.packages;
                machine.places.new_pgbouncer().is_some()
                    || packages.built_pgbouncer().is_some()
                    || packages.can_build_pgbouncer()
            }
            Self::Mounts => {
                let options = servers::unshare_options();
                let mount = "mount --bind /etc/hosts /etc/hosts";
                let mount = cmd!(machine.sh, "unshare {options...} sh -c {mount}").quiet();
                mount.ignore_stdout().ignore_stderr().run().is_ok()
            }
        }
    }

    /// What brings it, on Debian, Ubuntu and macOS.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Tls | Self::Replication | Self::Dump => &[POSTGRESQL],
            Self::Pgbouncer => &[PGBOUNCER],
            Self::NewPgbouncer => &server::TO_BUILD_PGBOUNCER,
            // The kernel grants them, or doesn't.
            Self::Mounts => &[],
        }
    }

    /// Whether a test of the binary `faults` needs it.
    pub(crate) fn is_of(self, test: &str) -> bool {
        let modules: &[&str] = match self {
            Self::Tls => &["tls::"],
            Self::Replication => &[
                "failover::",
                "lost_writes::",
                "pooler::outages::",
                "standby_reads::",
                "target_session_attrs::",
            ],
            Self::Dump => &["migrations::", "versions::"],
            Self::Pgbouncer => &["pooler::"],
            Self::Mounts => &["names::"],
            Self::NewPgbouncer => return test.starts_with("pooler::") && test.contains("::new::"),
        };
        modules.iter().any(|module| test.starts_with(module))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
