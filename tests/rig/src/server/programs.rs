use std::env;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where Debian and Ubuntu, or Homebrew, keep one folder per version of PostgreSQL.
const INSTALLATIONS: [&str; 3] = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];

/// Where programs are that are only for root's PATH.
const SYSTEM: &str = "/usr/sbin";

/// A folder with the programs of one PostgreSQL: `initdb`, `pg_ctl`, `pg_basebackup` …
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the newest PostgreSQL on this machine, or else the one on the PATH.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] names what to install.
    pub fn find() -> Result<Self> {
        let folders = versions().into_iter().chain(path());
        let mut folders = folders.filter(|folder| folder.join("initdb").exists());
        match folders.next() {
            Some(folder) => Ok(Self { folder }),
            None => Err(Error::MissingProgram {
                program: "initdb",
                package: "postgresql",
            }),
        }
    }

    /// Returns the path of one of PostgreSQL's own programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Finds a program that isn't PostgreSQL's own, such as a pooler.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] names the package to install.
    pub fn other(program: &'static str, package: &'static str) -> Result<PathBuf> {
        path()
            .chain([PathBuf::from(SYSTEM)])
            .map(|folder| folder.join(program))
            .find(|program| program.exists())
            .ok_or(Error::MissingProgram { program, package })
    }
}

fn path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// The folders of the installed versions, newest first.
fn versions() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = INSTALLATIONS
        .iter()
        .filter_map(|folder| Path::new(folder).read_dir().ok())
        .flat_map(|entries| entries.flatten())
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            // Homebrew's are called `postgresql@17`.
            let version = name.strip_prefix("postgresql@").unwrap_or(name);
            Some((version.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .collect()
}
