//! `cargo xtask db-url`

use anyhow::Context as _;
use xshell::Shell;

use crate::server::{self, Machine};

/// Print the URL of the running development PostgreSQL
///
/// Prints nothing else, for `export DATABASE_URL="$(cargo xtask db-url)"`; the
/// password is part of it. Starts nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(sh: &Shell, _args: &Args) -> anyhow::Result<()> {
    let url = server::running(&Machine::detect(sh)?)?
        .context("no development server is running: run `cargo xtask db-up`")?;
    println!("{url}");
    Ok(())
}
