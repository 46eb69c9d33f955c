//! Runs tests: with cargo-nextest where it is installed, else with `cargo test`.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::counts::Counts;
use crate::cargo::without_own_variables;

/// Where nextest puts its report; `.config/nextest.toml` asks for one.
const NEXTEST_REPORT: &str = "target/nextest/default/junit.xml";

/// The package of the tests that need a browser.
const BROWSER: &str = "browser";

/// Which tests are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    /// Only those that share a server.
    pub(crate) shared_only: bool,
    /// With what anybody's dependency may switch on in `serde_json`.
    pub(crate) with_features: bool,
    /// The full names of those of the binary `faults` that are left out.
    pub(crate) left_out: &'a [String],
    /// What `cargo test` takes after `--`.
    pub(crate) rest: &'a [String],
}

impl<'a> Selection<'a> {
    /// The tests that share a server.
    pub(crate) fn shared(rest: &'a [String]) -> Self {
        Self {
            shared_only: true,
            with_features: false,
            left_out: &[],
            rest,
        }
    }

    fn features(&self) -> &'static [&'static str] {
        match self.with_features {
            true => &["--features", "tests/serde-json-features"],
            false => &[],
        }
    }
}

/// Runs the tests, adds them to the counts, and returns whether all could be built and passed.
pub(crate) fn run(
    sh: &Shell,
    selection: Selection<'_>,
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    let nextest = has_nextest(sh);
    let passed = !nextest || run_nextest(sh, selection, counts)?;
    // nextest can't run those of the documentation.
    if nextest && selection.shared_only {
        return Ok(passed);
    }
    let which: &[&str] = match (nextest, selection.shared_only) {
        (true, _) => &["--doc"],
        (false, true) => &["--test", "it"],
        (false, false) => &[],
    };
    let skipped = selection.left_out.iter().flat_map(|name| ["--skip", name]);
    let (features, rest) = (selection.features(), selection.rest);
    let test = cmd!(
        sh,
        "cargo test --workspace --exclude {BROWSER} --no-fail-fast {features...} {which...} -- {skipped...} {rest...}"
    );
    // Both, whatever the first says: the counts are those of every test.
    Ok(cargo_test(without_own_variables(test).into(), counts)? && passed)
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
        "cargo test --package {BROWSER} --no-fail-fast -- --test-threads 1 {rest...}"
    );
    cargo_test(without_own_variables(test).into(), counts)
}

/// Builds the binary `faults`, and returns the names of its tests that `rest` selects.
pub(crate) fn faults(sh: &Shell, rest: &[String]) -> anyhow::Result<Vec<String>> {
    let list = cmd!(
        sh,
        "cargo test --workspace --exclude {BROWSER} --test faults -- --list {rest...}"
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
    let which: &[&str] = if selection.shared_only {
        &["--test", "it"]
    } else {
        &[]
    };
    let filter = filter(selection.left_out);
    let (features, rest) = (selection.features(), selection.rest);
    let nextest = cmd!(
        sh,
        "cargo nextest run --profile default --workspace --exclude {BROWSER} --no-fail-fast --no-tests pass {features...} {which...} -E {filter} -- {rest...}"
    );
    let status = Command::from(without_own_variables(nextest)).status();
    let status = status.context("run cargo nextest")?;
    if sh.path_exists(NEXTEST_REPORT) {
        counts.add_report(&sh.read_file(NEXTEST_REPORT)?);
    }
    Ok(status.success())
}

/// All tests but those that are left out, in nextest's language.
pub(crate) fn filter(left_out: &[String]) -> String {
    let names: Vec<_> = (left_out.iter())
        .map(|name| format!("test(={name})"))
        .collect();
    if names.is_empty() {
        return "all()".to_owned();
    }
    format!("not (binary_id(tests::faults) & ({}))", names.join(" | "))
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
