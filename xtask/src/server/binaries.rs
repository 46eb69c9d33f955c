//! PostgreSQL's programs on this machine.

use std::env;
use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use super::Machine;

const OLDEST_MAJOR: u32 = 14;

/// A folder with the programs that make and run a cluster.
#[derive(Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Finds the first usable ones, or those of the version `major` alone: the ones
    /// on the PATH, then the installed versions, newest first.
    pub(crate) fn find(machine: &Machine<'_>, major: Option<u32>) -> Option<Binaries> {
        let path = machine.sh.var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(installed(machine))
            .filter(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
            .find(|folder| {
                version(machine.sh, folder).is_some_and(|found| match major {
                    Some(major) => found == major,
                    None => found >= OLDEST_MAJOR,
                })
            })
            .map(|folder| Binaries { folder })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The folders of installed versions, newest first.
fn installed(machine: &Machine<'_>) -> impl Iterator<Item = PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = (machine.installations.iter())
        .flat_map(|parent| machine.sh.read_dir(parent).unwrap_or_default())
        .filter_map(|folder| {
            let name = folder.file_name()?.to_str()?;
            // Debian's folders are called `17`, Homebrew's `postgresql@17`.
            let version = name.strip_prefix("postgresql@").unwrap_or(name);
            Some((version.parse().ok()?, folder))
        })
        .collect();
    versions.sort_by_key(|&(version, _)| std::cmp::Reverse(version));
    (versions.into_iter()).map(|(_, folder)| folder.join("bin"))
}

/// The major version, if the programs run at all.
fn version(sh: &Shell, folder: &Path) -> Option<u32> {
    let pg_ctl = folder.join("pg_ctl");
    // Like `pg_ctl (PostgreSQL) 15.18 (Debian …)`, or `… 18beta1`.
    let answer = cmd!(sh, "{pg_ctl} --version").quiet().ignore_stderr();
    let answer = answer.read().ok()?;
    let (_, version) = answer.split_once("(PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
