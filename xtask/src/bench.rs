//! `cargo xtask bench`

use std::process::ExitCode;

use xshell::Shell;

use crate::program::{self, Options};
use crate::server::{self, Machine};

/// Measure the checkpointer, next to the floor and to LangGraph's
///
/// `--help` comes from the program that measures, and lists its options.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<ExitCode> {
    let options = &args.options;
    // Nobody should have to install a server to read the help.
    if options.ask_for_help() {
        return program::run(sh, "bench", "bench", options, &[]);
    }
    let server = server::ensure(&Machine::detect(sh)?)?;
    program::run(
        sh,
        "bench",
        "bench",
        options,
        &[("DATABASE_URL", &server.url)],
    )
}
