//! Where PostgreSQL's programs and PgBouncer are on a machine.

use std::cmp::Reverse;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::Packages;
use crate::pooler::manages_names;

/// The variable with the folder of programs to use before all others. `cargo xtask test` sets it, so
/// that all tests run on the version of the development server.
pub const BIN: &str = "CHECKPOINTER_PG_BIN";

/// The variable with the path of a PgBouncer that manages the names of prepared statements, to use
/// before all others.
pub const PGBOUNCER: &str = "CHECKPOINTER_PGBOUNCER";

/// The versions that are supported.
pub const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

const OLDEST_MAJOR: u32 = MAJORS[0];

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folders of the PATH: they come first.
    pub path: Vec<PathBuf>,
    /// Folders with one folder for each version of PostgreSQL: the newest comes first.
    pub installations: Vec<PathBuf>,
    /// Folders of programs that are on the PATH of root alone.
    pub system: Vec<PathBuf>,
    /// The PgBouncer that a variable names.
    pub named_pgbouncer: Option<PathBuf>,
}

/// A folder with the programs of one PostgreSQL: `initdb`, `pg_ctl`, `pg_basebackup` …
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    major: u32,
}

impl Places {
    /// Returns the places of this machine.
    pub fn of_this_machine() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        Self {
            named_pgbouncer: env::var_os(PGBOUNCER).map(PathBuf::from),
            ..Self::on_path(env::var_os(BIN), &path)
        }
    }

    pub(crate) fn on_path(first: Option<OsString>, path: &OsStr) -> Self {
        let installations = [
            "/usr/lib/postgresql",
            "/opt/homebrew/opt",
            "/usr/local/opt",
            "/home/linuxbrew/.linuxbrew/opt",
        ];
        Self {
            path: (first.map(PathBuf::from).into_iter())
                .chain(env::split_paths(path))
                .collect(),
            installations: installations.map(PathBuf::from).to_vec(),
            system: vec![PathBuf::from("/usr/sbin")],
            named_pgbouncer: None,
        }
    }

    /// Finds the first PostgreSQL of a version that can be used, or of the version `major` alone.
    pub fn postgresql(&self, major: Option<u32>) -> Option<Programs> {
        (self.path.iter().cloned())
            .chain(self.installed())
            .filter_map(home)
            .filter_map(Programs::in_folder)
            .find(|programs| major.is_none_or(|major| programs.major == major))
    }

    /// Finds PgBouncer.
    pub fn pgbouncer(&self) -> Option<PathBuf> {
        (self.path.iter().chain(&self.system))
            .map(|folder| folder.join("pgbouncer"))
            .find(|program| program.exists())
    }

    /// Finds a PgBouncer that manages the names of prepared statements.
    pub fn new_pgbouncer(&self) -> Option<PathBuf> {
        let named = self.named_pgbouncer.clone();
        named.or_else(|| self.pgbouncer().filter(|it| manages_names(it)))
    }

    /// The folders of installed versions, newest first.
    fn installed(&self) -> impl Iterator<Item = PathBuf> {
        let mut versions: Vec<(u32, PathBuf)> = (self.installations.iter())
            .filter_map(|folder| folder.read_dir().ok())
            .flat_map(|entries| entries.flatten())
            .filter_map(|entry| Some((named_version(&entry.file_name())?, entry.path())))
            .collect();
        versions.sort_by_key(|&(version, _)| Reverse(version));
        (versions.into_iter()).map(|(_, folder)| folder.join("bin"))
    }
}

impl Programs {
    /// Finds those of this machine, or else those of a package, which it downloads if need be.
    ///
    /// # Errors
    ///
    /// If there are none: it says what to install.
    pub fn find() -> anyhow::Result<Self> {
        Self::find_major(None)
    }

    /// The same with those of the version `major` alone, if one is given.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn find_major(major: Option<u32>) -> anyhow::Result<Self> {
        if let Some(programs) = Places::of_this_machine().postgresql(major) {
            return Ok(programs);
        }
        let packaged = Packages::of_this_machine()?.get(major);
        packaged.with_context(|| {
            let version = major.map_or_else(
                || format!("{OLDEST_MAJOR} or newer"),
                |major| major.to_string(),
            );
            missing(&format!("PostgreSQL {version}"), "postgresql")
        })
    }

    /// Names those in a folder, if they run, and their version can be used.
    pub(crate) fn in_folder(folder: PathBuf) -> Option<Self> {
        if !folder.join("pg_ctl").exists() {
            return None;
        }
        let major = version(&folder)?;
        (major >= OLDEST_MAJOR).then_some(Self { folder, major })
    }

    /// Returns their major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Returns the folder that they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns another supported version, for tests with two: the newest, or the one before it.
    pub fn other_major(&self) -> u32 {
        let [.., before, newest] = MAJORS;
        if self.major < newest { newest } else { before }
    }

    /// Whether one of them is there: some packages have no more than run a server.
    pub fn has(&self, name: &str) -> bool {
        self.program(name).exists()
    }

    /// Whether the server was built with TLS.
    pub fn have_tls(&self) -> bool {
        let mut postgres = Command::new(self.program("postgres"));
        let output = postgres
            .arg("--describe-config")
            .stdin(Stdio::null())
            .output();
        let settings = output.map(|output| output.stdout).unwrap_or_default();
        let settings = String::from_utf8_lossy(&settings);
        // Without TLS the ciphers are `none`.
        let mut ciphers = settings
            .lines()
            .filter(|line| line.starts_with("ssl_ciphers\t"));
        ciphers.any(|line| !line.split('\t').any(|field| field == "none"))
    }

    /// Returns the path of one of them.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

pub(crate) fn missing(what: &str, package: &str) -> String {
    format!(
        "there is no {what} on this machine: install `{package}` (Debian, Ubuntu: apt-get; \
         macOS: brew)"
    )
}

/// The version that a folder is named for: Debian's are called `17`, Homebrew's `postgresql@17`.
fn named_version(name: &OsStr) -> Option<u32> {
    let name = name.to_str()?;
    name.strip_prefix("postgresql@")
        .unwrap_or(name)
        .parse()
        .ok()
}

/// The folder of all the programs, if `initdb` is in this one: it may be a link to the others.
pub(crate) fn home(folder: PathBuf) -> Option<PathBuf> {
    let initdb = folder.join("initdb");
    if !initdb.is_symlink() {
        return initdb.exists().then_some(folder);
    }
    Some(initdb.canonicalize().ok()?.parent()?.to_owned())
}

/// The major version, if the programs run at all.
fn version(folder: &Path) -> Option<u32> {
    let mut pg_ctl = Command::new(folder.join("pg_ctl"));
    let output = pg_ctl.arg("--version").stdin(Stdio::null()).output().ok()?;
    // Like `pg_ctl (PostgreSQL) 15.18 (Debian …)`, or `… 18beta1`.
    let answer = String::from_utf8(output.stdout).ok()?;
    let (_, version) = answer.split_once("(PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
