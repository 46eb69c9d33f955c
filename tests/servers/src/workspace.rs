//! The folder of one server.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};

use crate::sweep::{self, PREFIX};
use crate::user::{User, is_root};

/// How many lines of a log are quoted.
const QUOTED: usize = 8;

/// A folder for one server, and the user that runs it: for root that is `postgres` or `nobody`.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    user: Option<User>,
    /// Whether the folder is removed when this is dropped.
    is_temporary: bool,
}

impl Workspace {
    /// Makes a folder that is removed when this is dropped. The server's user owns it.
    ///
    /// What is left of programs that were killed is removed first.
    ///
    /// # Errors
    ///
    /// If it can't be made, or root finds no other user.
    pub fn new() -> anyhow::Result<Self> {
        sweep::sweep();
        let workspace = Self {
            folder: make_temporary().context("make a server's folder")?,
            user: is_root().then(User::unprivileged).transpose()?,
            is_temporary: true,
        };
        workspace.let_through(&workspace.folder)?;
        workspace.give(&workspace.folder)?;
        Ok(workspace)
    }

    /// Makes a folder that stays, and an empty folder `data` in it, which the server's user owns.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn make(folder: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let workspace = Self {
            user: is_root().then(User::unprivileged).transpose()?,
            folder,
            is_temporary: false,
        };
        if is_root() {
            for folder in workspace.folder.ancestors().take(2) {
                workspace.let_through(folder)?;
            }
        }
        let data = workspace.folder.join("data");
        (DirBuilder::new().mode(0o700).create(&data)).context("create the folder for data")?;
        workspace.give(&data)?;
        Ok(workspace)
    }

    /// Opens a folder that was [made](Self::make) before. For root the owner of `data` runs the
    /// server.
    pub fn open(folder: PathBuf) -> Self {
        let owner = User::owner_of(&folder.join("data"));
        Self {
            user: owner.filter(|_| is_root()),
            folder,
            is_temporary: false,
        }
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes a file that the server's user alone may read, and returns its path.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)))
            .with_context(|| format!("write {}", path.display()))?;
        self.give(&path)?;
        Ok(path)
    }

    /// Prepares a command that the server's user runs in the folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        // What is meant for libpq would reach the programs too.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        if let Some(user) = self.user {
            user.runs(&mut command);
        }
        command
    }

    /// Runs a program to its end. Paths are best relative to the folder, because `pg_ctl` hands
    /// them to a shell.
    ///
    /// # Errors
    ///
    /// If it can't be run or fails, with what it said.
    pub fn run<I>(&self, program: &Path, arguments: I) -> anyhow::Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let output = self.command(program).args(arguments).output();
        let output = output.with_context(|| format!("run {}", program.display()))?;
        let said = match output.stderr.is_empty() {
            true => output.stdout,
            // `initdb` says elsewhere what it does.
            false => output.stderr,
        };
        ensure!(
            output.status.success(),
            "`{}` failed: {}",
            program.display(),
            String::from_utf8_lossy(&said).trim_end()
        );
        Ok(())
    }

    /// Returns a log in the folder, which is empty before it is written.
    pub fn log(&self, log: &str) -> String {
        fs::read_to_string(self.folder.join(log)).unwrap_or_default()
    }

    /// Returns the last lines of a log in the folder, of those that come after its first `bytes`.
    pub fn end_of(&self, log: &str, bytes: usize) -> String {
        let log = self.log(log);
        let lines: Vec<_> = log.get(bytes..).unwrap_or(&log).lines().collect();
        lines[lines.len().saturating_sub(QUOTED)..].join("\n")
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        self.user.map_or(Ok(()), |user| user.gets(path))
    }

    /// Lets the server's user through a folder, whatever the umask.
    fn let_through(&self, folder: &Path) -> anyhow::Result<()> {
        fs::set_permissions(folder, Permissions::from_mode(0o755))
            .with_context(|| format!("open {} for the server's user", folder.display()))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.is_temporary {
            // A later program sweeps what can't be removed now.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A new folder, whose name says which process it belongs to.
fn make_temporary() -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", process::id());
        let folder = env::temp_dir().join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
