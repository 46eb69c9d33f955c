//! Programs of other packages, which tasks here build and run in release mode.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use xshell::{Shell, cmd};

/// What is handed on to a program, whose help is the task's.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Options of the program
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    rest: Vec<String>,
}

impl Options {
    /// Whether the help is asked for, which nothing needs to be there for.
    pub(crate) fn ask_for_help(&self) -> bool {
        let mut rest = self.rest.iter();
        rest.any(|option| option == "--help" || option == "-h")
    }
}

/// Runs a program where the person stands, whom paths are relative to.
pub(crate) fn run(
    sh: &Shell,
    package: &str,
    name: &str,
    options: &Options,
    variables: &[(&str, &str)],
) -> anyhow::Result<ExitCode> {
    let rest = &options.rest;
    let mut command: Command = cmd!(
        sh,
        "cargo run --quiet --release --package {package} --bin {name} -- {rest...}"
    )
    .into();
    let status = command
        .envs(variables.iter().copied())
        .current_dir(env::current_dir().context("find the current folder")?)
        .status()
        .context("run cargo")?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    })
}
