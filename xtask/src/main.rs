//! The development tasks of this workspace: `cargo xtask --help`.
//!
//! One file per task; `server` finds or starts the PostgreSQL they need. A task that needs the
//! workspace's crates is a program of its own, which `program` builds and runs, so that `xtask`
//! itself stays quick to compile. The options of those programs are in the package `options`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its terminal"
)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use options::{demo, inspect, replay, soak, torture};
use xshell::Shell;

use self::program::OnServer;

mod bench;
mod cargo;
mod ci;
mod conformance;
mod db_down;
mod db_up;
mod db_url;
mod matrix;
mod program;
mod python;
mod server;
mod test;
mod wheel;

#[cfg(test)]
mod tests;

/// The development tasks of this workspace.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    Demo(OnServer<demo::Args>),
    Inspect(OnServer<inspect::Args>),
    DbUp(db_up::Args),
    DbDown(db_down::Args),
    DbUrl(db_url::Args),
    Test(test::Args),
    Matrix(matrix::Args),
    Bench(bench::Args),
    Torture(torture::Args),
    Soak(soak::Args),
    Replay(OnServer<replay::Args>),
    Wheel(wheel::Args),
    Conformance(conformance::Args),
    Ci(ci::Args),
}

fn main() -> ExitCode {
    match run(&Xtask::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(xtask: &Xtask) -> anyhow::Result<ExitCode> {
    let sh = Shell::new()?;
    sh.change_dir(checkout()?);
    match xtask {
        Xtask::Demo(args) => return program::demo(&sh, args),
        Xtask::Inspect(args) => return program::inspect(&sh, args),
        Xtask::Bench(args) => return bench::run(&sh, args),
        Xtask::Torture(_) => return program::torture(&sh),
        Xtask::Soak(_) => return program::soak(&sh),
        Xtask::Replay(args) => return program::replay(&sh, args),
        Xtask::DbUp(args) => db_up::run(&sh, args)?,
        Xtask::DbDown(args) => db_down::run(&sh, args)?,
        Xtask::DbUrl(args) => db_url::run(&sh, args)?,
        Xtask::Test(args) => test::run(&sh, args)?,
        Xtask::Matrix(args) => matrix::run(&sh, args)?,
        Xtask::Wheel(args) => wheel::run(&sh, args)?,
        Xtask::Conformance(args) => conformance::run(&sh, args)?,
        Xtask::Ci(args) => ci::run(&sh, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The root of the checkout whose cargo runs this program. It may have been built in another one
/// that shares its target folder.
fn checkout() -> anyhow::Result<PathBuf> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let checkout = Path::new(&xtask)
        .parent()
        .context("xtask is in no checkout")?;
    Ok(checkout.to_owned())
}
