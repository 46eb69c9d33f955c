//! `cargo xtask ci`

mod shown;

use std::io::{self, IsTerminal as _};
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use xshell::{Cmd, Shell, cmd};

use self::shown::LastLines;
use crate::cargo::without_own_variables;

/// The tests that ask most of a server: by which versions of PostgreSQL may differ.
const ON_EACH: [&str; 7] = [
    "db::",
    "checkpointer::contract::",
    "checkpointer::formats::",
    "checkpointer::growth::",
    "checkpointer::plans::",
    "checkpointer::round_trips::",
    "checkpointer::sql::",
];

const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Check formatting, lints, documentation and tests, a sample of torture and a minute of soak
///
/// Some of the tests are run on the oldest and on the newest supported PostgreSQL as well.
///
/// It is what CI runs, in `.ci/run`, with the oldest Rust that the crates promise to work with.
///
/// Runs every check even after one has failed. At the end it says which did, and repeats the last lines
/// that each of them printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(sh: &Shell, _args: &Args) -> anyhow::Result<()> {
    let rustc = cmd!(sh, "rustc --version").quiet().read()?;
    ensure!(
        is_oldest(&rustc),
        "the Cargo.toml promises Rust {OLDEST_RUST}, and this is {rustc}: install that toolchain, \
         or change `rust-version`"
    );
    let [oldest, .., newest] = servers::MAJORS.map(|major| major.to_string());
    let checks = [
        ("formatting", cmd!(sh, "cargo fmt --all --check")),
        (
            "lints",
            cmd!(
                sh,
                "cargo clippy --workspace --all-targets -- --deny warnings"
            ),
        ),
        (
            "documentation",
            cmd!(sh, "cargo doc --workspace --no-deps").env("RUSTDOCFLAGS", "--deny warnings"),
        ),
        ("tests", cmd!(sh, "cargo xtask test")),
        ("tests in a browser", cmd!(sh, "cargo xtask test --browser")),
        (
            "tests on the oldest PostgreSQL",
            cmd!(sh, "cargo xtask test --postgres {oldest} -- {ON_EACH...}"),
        ),
        (
            "tests on the newest PostgreSQL",
            cmd!(sh, "cargo xtask test --postgres {newest} -- {ON_EACH...}"),
        ),
        (
            "tests with serde_json's features",
            cmd!(sh, "cargo xtask test --serde-json-features"),
        ),
        ("the Python package", cmd!(sh, "cargo xtask conformance")),
        (
            "a sample of torture",
            cmd!(sh, "cargo xtask torture --scale 0.05"),
        ),
        ("a minute of soak", cmd!(sh, "cargo xtask soak --minutes 1")),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let (passed, last_lines) = passes(name, without_own_variables(check))?;
        if !passed {
            failed.push((name, last_lines));
        }
    }
    // Again, below everything that was printed since.
    for (name, last_lines) in &failed {
        eprintln!("\n==> the last lines of {name}:");
        last_lines.show()?;
    }
    let failed: Vec<_> = failed.into_iter().map(|(name, _)| name).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Whether a compiler is of the oldest version that the Cargo.toml promises: `rustc 1.95.0 (…)`.
pub(crate) fn is_oldest(rustc: &str) -> bool {
    let version = rustc.split_whitespace().nth(1).unwrap_or_default();
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    minor == OLDEST_RUST
}

/// Runs a check. Returns whether it passed, and the last lines that it printed.
fn passes(name: &str, check: Cmd<'_>) -> anyhow::Result<(bool, LastLines)> {
    eprintln!("\n==> {name}: {check}");
    let started = Instant::now();
    let mut check = Command::from(check);
    if io::stderr().is_terminal() {
        check.env("CARGO_TERM_COLOR", "always");
    }
    let (passed, last_lines) = shown::run(check)?;
    let verdict = if passed { "passed" } else { "FAILED" };
    eprintln!(
        "==> {name}: {verdict} after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok((passed, last_lines))
}
