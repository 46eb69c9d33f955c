//! `cargo xtask bench`

use std::process::ExitCode;

use options::bench;
use xshell::{Shell, cmd};

use crate::program::{self, OnServer};
use crate::python::{self, Environment};
use crate::server::{self, Machine};

// A doc comment here would be the help of the task in place of that of the program. The program's
// arguments are a group of the same name, so these are none.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    on_server: OnServer<bench::Args>,
    /// Measure this project's savers and LangGraph's in Python, and nothing else
    #[arg(long, conflicts_with_all = ["peers", "longest", "json", "svg", "pool", "seed"])]
    python: bool,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<ExitCode> {
    if !args.python {
        return program::bench(sh, &args.on_server);
    }
    measure_savers(sh, args)?;
    Ok(ExitCode::SUCCESS)
}

fn measure_savers(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let OnServer { program, server } = &args.on_server;
    let server = server::ensure(&Machine::detect(sh)?, server.wanted(None))?;
    let environment = Environment::ensure(sh)?;
    python::install(sh, &environment, "release")?;

    let python = environment.program("python");
    let rounds = program.rounds.to_string();
    let sizes = [("--agents", program.agents), ("--steps", program.steps)];
    let sizes = sizes
        .into_iter()
        .filter_map(|(name, size)| Some([name.to_owned(), size?.to_string()]));
    let sizes = sizes.flatten();
    cmd!(
        sh,
        "{python} bench/python/savers.py --rounds {rounds} {sizes...}"
    )
    .env("DATABASE_URL", server.url)
    .run()?;
    Ok(())
}
