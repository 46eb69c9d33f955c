//! Runs tests: with cargo-nextest where it is installed, else with `cargo test`.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::counts::Counts;
use super::selection::{BROWSER, Selection, Which};
use crate::cargo::without_own_variables;

/// Where nextest puts its report; `.config/nextest.toml` asks for one.
const NEXTEST_REPORT: &str = "target/nextest/default/junit.xml";

/// Runs the tests, adds them to the counts, and returns whether all could be built and passed.
pub(crate) fn run(
    sh: &Shell,
    selection: Selection<'_>,
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    if !has_nextest(sh) {
        return run_cargo_test(sh, selection, counts);
    }
    let passed = run_nextest(sh, selection, counts)?;
    if selection.which != Which::All {
        return Ok(passed);
    }
    // Nextest can't run those of the documentation.
    let skipped = selection.left_out.iter().flat_map(|name| ["--skip", name]);
    let rest = selection.rest;
    let test = cmd!(
        sh,
        "cargo test --workspace --doc --no-fail-fast -- {skipped...} {rest...}"
    );
    // Both, whatever the first says: the counts are those of every test.
    Ok(cargo_test(without_own_variables(test).into(), counts)? && passed)
}

/// Runs the tests without nextest.
fn run_cargo_test(
    sh: &Shell,
    selection: Selection<'_>,
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    let skipped = selection.left_out.iter().flat_map(|name| ["--skip", name]);
    let skipped: &Vec<_> = &skipped.collect();
    let mut passed = true;
    for (which, names) in selection.which.without_nextest() {
        let rest = selection.rest;
        let test = cmd!(
            sh,
            "cargo test --no-fail-fast {which...} -- {names...} {skipped...} {rest...}"
        );
        passed &= cargo_test(without_own_variables(test).into(), counts)?;
    }
    Ok(passed)
}

/// Runs the tests that need a browser, adds them to the counts, and returns whether all could be built
/// and passed.
pub(crate) fn run_in_browser(
    sh: &Shell,
    rest: &[String],
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    // One after the other: each has a browser, which takes all of a small machine.
    let test = cmd!(
        sh,
        "cargo test --workspace --test {BROWSER} --no-fail-fast -- --test-threads 1 {rest...}"
    );
    cargo_test(without_own_variables(test).into(), counts)
}

/// The packages that all tests are built with. A build of the same packages, beside a test, reuses what
/// those tests are made of: of others, dependencies have other features.
pub(crate) fn packages(sh: &Shell) -> &'static [&'static str] {
    match has_nextest(sh) {
        true => &["--workspace"],
        false => &["--workspace", "--exclude", BROWSER],
    }
}

/// Builds the binary `faults`, and returns the names of its tests that `rest` selects.
pub(crate) fn faults(sh: &Shell, rest: &[String]) -> anyhow::Result<Vec<String>> {
    let packages = packages(sh);
    // All of what is run later, at once: a core would be idle beside the last crates of this binary.
    let build = cmd!(sh, "cargo test {packages...} --no-run");
    (without_own_variables(build).quiet().run()).context("build the tests")?;
    let list = cmd!(
        sh,
        "cargo test {packages...} --test faults -- --list {rest...}"
    );
    let list = without_own_variables(list).quiet().read();
    let list = list.context("list the tests of the binary `faults`")?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

fn has_nextest(sh: &Shell) -> bool {
    let version = cmd!(sh, "cargo nextest --version").quiet();
    version.ignore_stdout().ignore_stderr().run().is_ok()
}

fn run_nextest(sh: &Shell, selection: Selection<'_>, counts: &mut Counts) -> anyhow::Result<bool> {
    // A report that an earlier run left must not be counted.
    sh.remove_path(NEXTEST_REPORT)?;
    let which = selection.which.with_nextest();
    let filter = selection.filter();
    let rest = selection.rest;
    // Always the whole workspace: of fewer packages, dependencies have fewer features and are built
    // again.
    let nextest = cmd!(
        sh,
        "cargo nextest run --profile default --workspace --no-fail-fast --no-tests pass {which...} -E {filter} -- {rest...}"
    );
    let status = Command::from(without_own_variables(nextest)).status();
    let status = status.context("run cargo nextest")?;
    if sh.path_exists(NEXTEST_REPORT) {
        counts.add_report(&sh.read_file(NEXTEST_REPORT)?)?;
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
