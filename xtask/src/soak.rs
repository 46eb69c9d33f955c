//! `cargo xtask soak`

use std::process::ExitCode;

use xshell::Shell;

use crate::program::{self, Options};
use crate::server::{self, Machine};

/// Run agents under kills, cuts, restarts and crashes at once, and check the guarantees
///
/// `--help` comes from the program that does it, and lists its options. It has a server of its own.
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
    program::run(sh, "rig", "soak", &args.options, &[])
}
