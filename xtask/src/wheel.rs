//! `cargo xtask wheel`

use xshell::Shell;

use crate::python::{self, Environment};

/// Build the wheel of the Python package, in release mode, and print its path
///
/// Needs Python 3.10 or newer; the rest comes from `PyPI`, into an environment under `target`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(sh: &Shell, _args: &Args) -> anyhow::Result<()> {
    let environment = Environment::ensure(sh)?;
    let wheel = python::wheel(sh, &environment, "release")?;
    println!("{}", wheel.display());
    Ok(())
}
