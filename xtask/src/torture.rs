//! `cargo xtask torture`

use std::process::ExitCode;

use xshell::Shell;

use crate::program::{self, Options};
use crate::server::{self, Machine};

/// Try to break the guarantees: crashes and races in large numbers
///
/// `--help` comes from the program that does it, and lists its options. It has servers of its own.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<ExitCode> {
    if !args.options.ask_for_help() {
        server::ensure_programs(&Machine::detect(sh)?, &[server::POSTGRESQL])?;
    }
    program::run(sh, "rig", "torture", &args.options, &[])
}
