//! `cargo xtask bench`

use std::env;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::server::{self, Machine};

/// Measure the checkpointer, next to the floor and to LangGraph's
///
/// `--help` comes from the program that measures, and lists its options.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options of the program
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    rest: Vec<String>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<ExitCode> {
    let rest = &args.rest;
    let mut command: Command = cmd!(
        sh,
        "cargo run --quiet --release --package bench --bin bench -- {rest...}"
    )
    .into();
    // Nobody should have to install a server to read the help.
    if !rest
        .iter()
        .any(|option| option == "--help" || option == "-h")
    {
        let server = server::ensure(&Machine::detect(sh)?)?;
        command.env("DATABASE_URL", server.url);
    }
    // The picture's path is relative to where the person stands.
    let status = command
        .current_dir(env::current_dir().context("find the current folder")?)
        .status()
        .context("run cargo")?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    })
}
