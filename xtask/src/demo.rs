//! `cargo xtask demo`

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::server::{self, Machine};

/// Run an agent that audits a source tree and survives being killed
///
/// It plans the files, audits them in parallel tasks, merges, asks for approval and
/// reports. It is killed in the middle of its work and started again, then rewound
/// and forked. Exits with 0 only if nothing was lost and no recorded work repeated.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source tree to audit [default: this checkout]
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Further arguments for the example program
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<ExitCode> {
    // Relative to where the person stands, which isn't where cargo will run.
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir).context("make --dir absolute")?,
        None => sh.current_dir(),
    };
    let server = server::ensure(&Machine::detect(sh)?)?;
    let status = audit(sh, &dir, &args.rest)
        .env("DATABASE_URL", &server.url)
        .status()
        .context("run cargo")?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    })
}

fn audit(sh: &Shell, dir: &Path, rest: &[String]) -> Command {
    cmd!(sh, "cargo run --package demo -- demo --dir {dir} {rest...}").into()
}
