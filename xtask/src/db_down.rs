//! `cargo xtask db-down`

use xshell::Shell;

use crate::server::{self, Machine};

/// Stop the development PostgreSQL of this checkout
///
/// Stops what `cargo xtask db-up` started for this checkout, and keeps its data
/// for the next start. A server named by `DATABASE_URL` is left alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove the server's data, too
    #[arg(long)]
    purge: bool,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let done = server::down(&Machine::detect(sh)?, args.purge)?;
    if done.is_empty() {
        eprintln!("no development server of this checkout is running");
    }
    for done in done {
        eprintln!("{done}");
    }
    Ok(())
}
