//! What the search for a server depends on.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use super::apt::Apt;

/// This machine, or a test's idea of one.
pub(crate) struct Machine<'a> {
    /// Stands in the checkout's root; its environment is the one that counts.
    pub(crate) sh: &'a Shell,
    /// Folders with one folder per PostgreSQL version in them.
    pub(crate) installations: Vec<PathBuf>,
    /// For root, who can't run PostgreSQL: where the clusters of all checkouts
    /// live, within reach of the user that runs them.
    pub(crate) shared_clusters: Option<PathBuf>,
    /// Where Debian has programs that are on nobody's PATH but root's.
    pub(crate) sbin: PathBuf,
    /// Where packages can be installed.
    pub(crate) apt: Option<Apt>,
}

impl<'a> Machine<'a> {
    pub(crate) fn detect(sh: &'a Shell) -> anyhow::Result<Machine<'a>> {
        let is_root = cmd!(sh, "id -u").quiet().read()? == "0";
        let is_debian = is_root && Path::new("/etc/debian_version").exists();
        let installations = [
            "/usr/lib/postgresql",
            "/opt/homebrew/opt",
            "/usr/local/opt",
            "/home/linuxbrew/.linuxbrew/opt",
        ];
        Ok(Machine {
            sh,
            installations: installations.map(PathBuf::from).to_vec(),
            shared_clusters: is_root.then(|| PathBuf::from("/var/lib/checkpointer-xtask")),
            sbin: PathBuf::from("/usr/sbin"),
            apt: is_debian.then(|| Apt {
                createcluster: PathBuf::from("/etc/postgresql-common/createcluster.d"),
                policy: PathBuf::from("/usr/sbin/policy-rc.d"),
            }),
        })
    }

    /// The variable's value, if it is set to more than nothing.
    pub(crate) fn var(&self, name: &str) -> Option<String> {
        self.sh.var(name).ok().filter(|value| !value.is_empty())
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.sh.current_dir()
    }

    /// Names this checkout where several share a place: FNV-1a of its path, since
    /// the standard library's hashes may change with the compiler.
    pub(crate) fn checkout_id(&self) -> String {
        let checkout = self.checkout();
        let bytes = checkout.as_os_str().as_encoded_bytes();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// Where tasks remember things between runs.
    pub(crate) fn memory(&self) -> PathBuf {
        self.checkout().join("target/xtask")
    }

    /// Lets one task at a time start or stop servers of this checkout.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        let memory = self.memory();
        fs::create_dir_all(&memory).with_context(|| format!("create {}", memory.display()))?;
        let lock = File::create(memory.join("lock"))
            .with_context(|| format!("open the lock in {}", memory.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another `cargo xtask` of this checkout");
                lock.lock().context("wait for the lock")?;
            }
            Err(TryLockError::Error(error)) => bail!(error),
        }
        Ok(lock)
    }
}
