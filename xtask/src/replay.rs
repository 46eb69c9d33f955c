//! `cargo xtask replay`

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::server::{self, Machine};

/// Replay recorded checkpointer traffic and compare each answer
///
/// Each file has a fresh store of its own: a schema on the server, which is found or started first.
/// A line per file says how many answers agree, and shows the first that doesn't. Exits with 0 only
/// if all do. The schema of a file that doesn't agree is kept, to be looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Replay against the checkpointer in memory; it needs no server
    #[arg(long)]
    memory: bool,
    /// Traces, one JSON object a line, as in tests/traces
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<ExitCode> {
    let manifest = sh.current_dir().join("Cargo.toml");
    let memory = args.memory.then_some("--memory");
    let files = &args.files;
    let mut command: Command = cmd!(
        sh,
        "cargo run --release --manifest-path {manifest} --package rig --bin replay -- {memory...} -- {files...}"
    )
    .into();
    if !args.memory {
        let server = server::ensure(&Machine::detect(sh)?)?;
        command.env("DATABASE_URL", server.url);
    }
    // The files are relative to where the person stands.
    let status = command
        .current_dir(env::current_dir().context("find the current folder")?)
        .status()
        .context("run cargo")?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
