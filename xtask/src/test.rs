//! `cargo xtask test`

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::cargo::without_own_variables;
use crate::server::{self, Machine, ServerArgs};

/// Where nextest puts its report; `.config/nextest.toml` asks for one.
const NEXTEST_REPORT: &str = "target/nextest/default/junit.xml";

/// Run every test, starting PostgreSQL first if needed
///
/// Runs unit, integration and documentation tests: with cargo-nextest where it is
/// installed, else with `cargo test`. `DATABASE_URL` is set for them.
///
/// Some make servers of their own, to break them, from PostgreSQL's programs and
/// PgBouncer. What is missing of these is installed as root on Debian or Ubuntu;
/// elsewhere those tests fail, and say what to install.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// What `cargo test` takes after `--`: names of tests, --nocapture, --exact …
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

/// How many tests came to which end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let machine = Machine::detect(sh)?;
    server::ensure_programs(&machine, &[server::POSTGRESQL, server::PGBOUNCER])?;
    let server = server::ensure(&machine, args.server.wanted())?;
    sh.set_var("DATABASE_URL", &server.url);
    if let Some(programs) = &server.programs {
        // Tests with servers of their own run the same version.
        sh.set_var(servers::BIN, programs.folder());
    }

    let rest = &args.rest;
    let mut counts = Counts::default();
    let succeeded = if has_nextest(sh) {
        let nextest = nextest(sh, rest, &mut counts)?;
        let doc = without_own_variables(cmd!(
            sh,
            "cargo test --workspace --no-fail-fast --doc -- {rest...}"
        ));
        // Both, whatever the first says: the counts are those of every test.
        cargo_test(doc.into(), &mut counts)? && nextest
    } else {
        let all = cmd!(sh, "cargo test --workspace --no-fail-fast -- {rest...}");
        cargo_test(without_own_variables(all).into(), &mut counts)?
    };

    println!("\n{} passed, {} failed", counts.passed, counts.failed);
    ensure!(succeeded, "not every test could be built and passed");
    ensure!(
        counts != Counts::default(),
        "no test's name matches {rest:?}"
    );
    Ok(())
}

fn has_nextest(sh: &Shell) -> bool {
    let version = cmd!(sh, "cargo nextest --version").quiet();
    version.ignore_stdout().ignore_stderr().run().is_ok()
}

fn nextest(sh: &Shell, rest: &[String], counts: &mut Counts) -> anyhow::Result<bool> {
    // A report that an earlier run left must not be counted.
    sh.remove_path(NEXTEST_REPORT)?;
    let status = Command::from(without_own_variables(cmd!(
        sh,
        "cargo nextest run --profile default --workspace --no-fail-fast --no-tests pass -- {rest...}"
    )))
    .status()
    .context("run cargo nextest")?;
    if sh.path_exists(NEXTEST_REPORT) {
        counts.add_report(&sh.read_file(NEXTEST_REPORT)?);
    }
    Ok(status.success())
}

/// Shows what `command` prints, line by line, and counts along.
fn cargo_test(mut command: Command, counts: &mut Counts) -> anyhow::Result<bool> {
    let mut child = (command.stdout(Stdio::piped()).spawn()).context("run cargo test")?;
    let stdout = child.stdout.take().context("capture cargo's output")?;
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    // Bytes, because a failing test may print anything.
    while lines.read_until(b'\n', &mut line)? > 0 {
        io::Write::write_all(&mut io::stdout(), &line)?;
        counts.add_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait()?.success())
}

impl Counts {
    /// Adds a line of libtest, like `test result: ok. 3 passed; 0 failed; …`.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<_> = result.split_whitespace().collect();
        for pair in words.windows(2) {
            match (pair[0].parse::<u64>(), pair[1]) {
                (Ok(n), "passed;") => self.passed += n,
                (Ok(n), "failed;") => self.failed += n,
                _ => {}
            }
        }
    }

    /// Adds nextest's report, from the attributes of its outermost element.
    pub(crate) fn add_report(&mut self, junit: &str) {
        let element = junit
            .split_once("<testsuites ")
            .map_or("", |(_, rest)| rest);
        let element = element.split_once('>').map_or("", |(element, _)| element);
        let attribute = |name: &str| -> u64 {
            (element.split_whitespace())
                .filter_map(|word| word.strip_prefix(name)?.strip_prefix("=\""))
                .find_map(|value| value.trim_end_matches('"').parse().ok())
                .unwrap_or(0)
        };
        let failed = attribute("failures") + attribute("errors");
        self.passed += attribute("tests").saturating_sub(failed);
        self.failed += failed;
    }
}
