//! The development tasks of this workspace: `cargo xtask --help`.
//!
//! One file per task; `server` finds or starts the PostgreSQL they need. A task
//! that needs the workspace's crates is a program of its own, which a task here
//! builds and runs, so that `xtask` itself stays quick to compile.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its terminal"
)]

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use xshell::Shell;

mod bench;
mod ci;
mod db_down;
mod db_up;
mod db_url;
mod demo;
mod program;
mod replay;
mod server;
mod soak;
mod test;
mod torture;

#[cfg(test)]
mod tests;

/// The development tasks of this workspace.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    Demo(demo::Args),
    DbUp(db_up::Args),
    DbDown(db_down::Args),
    DbUrl(db_url::Args),
    Test(test::Args),
    Bench(bench::Args),
    Torture(torture::Args),
    Soak(soak::Args),
    Replay(replay::Args),
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
    sh.change_dir(checkout());
    match xtask {
        Xtask::Demo(args) => return demo::run(&sh, args),
        Xtask::Bench(args) => return bench::run(&sh, args),
        Xtask::Torture(args) => return torture::run(&sh, args),
        Xtask::Soak(args) => return soak::run(&sh, args),
        Xtask::Replay(args) => return replay::run(&sh, args),
        Xtask::DbUp(args) => db_up::run(&sh, args)?,
        Xtask::DbDown(args) => db_down::run(&sh, args)?,
        Xtask::DbUrl(args) => db_url::run(&sh, args)?,
        Xtask::Test(args) => test::run(&sh, args)?,
        Xtask::Ci(args) => ci::run(&sh, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The root of the checkout that this program was built in.
fn checkout() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
