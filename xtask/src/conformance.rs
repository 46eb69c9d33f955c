//! `cargo xtask conformance`

mod servers;
pub(crate) mod suite;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::cargo::without_own_variables;
use crate::python::{self, Environment, PACKAGE};
use crate::server::ServerArgs;
use crate::test;

use self::servers::Servers;

/// The variable that tells the tests where the program `checkpointer` is.
const IMPORTER: &str = "CHECKPOINTER_PROGRAM";

/// Test the Python package against LangGraph, starting PostgreSQL first if needed
///
/// Builds the wheel, and installs it with LangGraph in an environment under `target`. Builds the
/// program `checkpointer` too, which imports LangGraph's threads. Runs the package's own tests,
/// with LangGraph's conformance suite among them, and checks its types. It installs the wheel with
/// nothing but what it needs, and opens a saver there. Then it runs LangGraph's own tests, from its
/// sdist. Those that fail are run again by themselves, and with LangGraph's saver: what passes with
/// that must pass with this.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Leave out LangGraph's own tests, which take most of the time
    #[arg(long)]
    quick: bool,
    /// Run all of LangGraph's own tests with its saver, too, and print the counts of both
    #[arg(long, conflicts_with = "quick")]
    official: bool,
    /// Put a PgBouncer in transaction mode between the savers and a server of the task's own
    #[arg(long)]
    pgbouncer: bool,
    /// What `pytest` takes: names of tests, -k, -x …; then LangGraph's own tests aren't run
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let environment = Environment::ensure(sh)?;
    let wheel = python::install(sh, &environment, "dev")?;
    let importer = build_importer(sh)?;
    let wanted = args.server.wanted(None);
    let servers = match args.pgbouncer {
        true => Servers::pooled(sh, wanted)?,
        false => Servers::shared(sh, wanted)?,
    };
    let variables = servers.variables(sh);

    let mut failed = Vec::new();
    if !passes_own_tests(sh, &environment, &variables, &importer, &args.rest) {
        failed.push("the package's own tests");
    }
    if args.rest.is_empty() && !has_sound_types(sh, &environment) {
        failed.push("the check of types");
    }
    if args.rest.is_empty() && !works_alone(sh, &wheel, servers.url()) {
        failed.push("the wheel by itself");
    }
    if args.rest.is_empty()
        && !args.quick
        && !suite::passes(sh, &environment, &variables, args.official)?
    {
        failed.push("LangGraph's own tests");
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Builds the program `checkpointer` as `cargo xtask test` does, beside the smallest test.
fn build_importer(sh: &Shell) -> anyhow::Result<PathBuf> {
    let packages = test::packages(sh);
    let build = cmd!(
        sh,
        "cargo build {packages...} --bin checkpointer --test memory"
    );
    (without_own_variables(build).quiet().run()).context("build the program that imports")?;
    Ok(sh.current_dir().join("target/debug/checkpointer"))
}

fn passes_own_tests(
    sh: &Shell,
    environment: &Environment,
    variables: &[(&str, String)],
    importer: &Path,
    rest: &[String],
) -> bool {
    let python = environment.program("python");
    let _package = sh.push_dir(PACKAGE);
    let tests = cmd!(sh, "{python} -m pytest {rest...}");
    let tests = tests.envs(variables.iter().cloned());
    tests.env(IMPORTER, importer).run().is_ok()
}

fn has_sound_types(sh: &Shell, environment: &Environment) -> bool {
    let (mypy, stubtest) = (environment.program("mypy"), environment.program("stubtest"));
    let _package = sh.push_dir(PACKAGE);
    let checked = cmd!(sh, "{mypy}").run();
    let stubs = cmd!(sh, "{stubtest} langgraph.checkpoint.jsonb._native").run();
    checked.is_ok() && stubs.is_ok()
}

fn works_alone(sh: &Shell, wheel: &Path, url: &str) -> bool {
    eprintln!("installing the wheel by itself");
    let works = python::works_alone(sh, wheel, url);
    works.inspect_err(|error| eprintln!("{error:#}")).is_ok()
}
