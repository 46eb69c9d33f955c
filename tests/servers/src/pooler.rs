//! Which PgBouncer stands before a server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::programs::missing;
use crate::{Packages, Places};

/// The first version that can manage the names of prepared statements.
const MANAGES_NAMES: (u32, u32) = (1, 21);

/// What a PgBouncer makes of prepared statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Nothing: each session of the server has those that clients have prepared there. It is of
    /// before 1.21, or is told to be like one of these.
    Old,
    /// It gives them names of its own, and prepares them in each session: it is of 1.21 or later.
    New,
}

/// A PgBouncer, and the settings that make it one of a [`Release`].
#[derive(Debug, Clone)]
pub(crate) struct Pooler {
    pub(crate) program: PathBuf,
    pub(crate) settings: &'static str,
}

impl Pooler {
    /// Finds one on this machine, and builds one of a new release if need be.
    pub(crate) fn find(release: Release) -> anyhow::Result<Self> {
        let places = Places::of_this_machine();
        match release {
            Release::Old => Self::old(&places),
            Release::New => Self::new(&places),
        }
    }

    fn old(places: &Places) -> anyhow::Result<Self> {
        let program = places.pgbouncer();
        let program = program.with_context(|| missing("`pgbouncer`", "pgbouncer"))?;
        let settings = match manages_names(&program) {
            true => "max_prepared_statements = 0\n",
            false => "",
        };
        Ok(Self { program, settings })
    }

    fn new(places: &Places) -> anyhow::Result<Self> {
        let program = match places.new_pgbouncer() {
            Some(program) => program,
            None => Packages::of_this_machine()?.pgbouncer()?,
        };
        let settings = "max_prepared_statements = 200\n";
        Ok(Self { program, settings })
    }
}

/// Whether a PgBouncer can manage the names of prepared statements.
pub(crate) fn manages_names(program: &Path) -> bool {
    version(program).is_some_and(|version| version >= MANAGES_NAMES)
}

/// The version of a PgBouncer, if it runs at all.
pub(crate) fn version(program: &Path) -> Option<(u32, u32)> {
    let mut pgbouncer = Command::new(program);
    let output = pgbouncer.arg("--version").stdin(Stdio::null()).output();
    // Like `PgBouncer 1.24.1`, and more lines.
    let answer = String::from_utf8(output.ok()?.stdout).ok()?;
    let version = answer.split_whitespace().nth(1)?;
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
