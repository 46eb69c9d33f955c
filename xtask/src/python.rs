//! The Python package of `crates/python`: its environment, and its wheel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::cargo::without_own_variables;

/// Where the package is.
pub(crate) const PACKAGE: &str = "crates/python";

/// A virtual environment with what builds and tests the package.
#[derive(Debug)]
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Makes the environment under `target`, unless it is there.
    pub(crate) fn ensure(sh: &Shell) -> anyhow::Result<Self> {
        let environment = Self::named(sh, "venv");
        let requirements = Path::new(PACKAGE).join("tests/requirements.txt");
        let wanted = sh.read_file(&requirements)?;
        // Written last: an environment without it was left half made.
        let stamp = environment.folder.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }
        let folder = environment.folder.display();
        eprintln!("installing Python's packages in {folder}");
        environment.clear(sh)?;
        environment.pip_install(sh, &["--requirement", &requirements.to_string_lossy()])?;
        sh.write_file(stamp, wanted)?;
        Ok(environment)
    }

    fn named(sh: &Shell, name: &str) -> Self {
        let folder = sh.current_dir().join("target/python").join(name);
        Self { folder }
    }

    /// Makes it anew, without any package.
    fn clear(&self, sh: &Shell) -> anyhow::Result<()> {
        let folder = &self.folder;
        cmd!(sh, "python3 -m venv --clear {folder}")
            .quiet()
            .run()
            .context("make a virtual environment: Python 3.10 or newer with `venv` is needed")
    }

    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    pub(crate) fn pip_install(&self, sh: &Shell, arguments: &[&str]) -> anyhow::Result<()> {
        let python = self.program("python");
        cmd!(
            sh,
            "{python} -m pip install --quiet --disable-pip-version-check {arguments...}"
        )
        .quiet()
        .run()
        .context("install packages from PyPI")
    }
}

/// Builds the wheel with a profile of cargo, and returns its path.
pub(crate) fn wheel(sh: &Shell, by: &Environment, profile: &str) -> anyhow::Result<PathBuf> {
    let folder = sh.current_dir().join("target/wheels").join(profile);
    sh.remove_path(&folder)?;
    let maturin = by.program("maturin");
    let manifest = Path::new(PACKAGE).join("Cargo.toml");
    let build = cmd!(
        sh,
        "{maturin} build --locked --profile {profile} --manifest-path {manifest} --out {folder}"
    );
    without_own_variables(build).quiet().run()?;
    let mut wheels = sh.read_dir(&folder)?;
    ensure!(
        wheels.len() == 1,
        "there is no wheel in {}",
        folder.display()
    );
    Ok(wheels.remove(0))
}

/// Builds the wheel with a profile of cargo, installs it, and returns its path.
pub(crate) fn install(sh: &Shell, into: &Environment, profile: &str) -> anyhow::Result<PathBuf> {
    let wheel = wheel(sh, into, profile)?;
    let path = wheel.to_string_lossy();
    into.pip_install(sh, &["--force-reinstall", "--no-deps", &path])?;
    Ok(wheel)
}

/// Opens a saver on the server of `DATABASE_URL`.
const OPEN: &str = "
import os
from langgraph.checkpoint.jsonb import PostgresSaver
with PostgresSaver.from_conn_string(os.environ['DATABASE_URL']):
    pass
";

/// Installs a wheel, with all that it says it needs and nothing else, and opens a saver with it.
pub(crate) fn works_alone(sh: &Shell, wheel: &Path, url: &str) -> anyhow::Result<()> {
    let alone = Environment::named(sh, "alone");
    alone.clear(sh)?;
    alone.pip_install(sh, &[&wheel.to_string_lossy()])?;
    let python = alone.program("python");
    let open = cmd!(sh, "{python} -c {OPEN}").env("DATABASE_URL", url);
    open.quiet().run().context("use the wheel by itself")
}
