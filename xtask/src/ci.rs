//! `cargo xtask ci`

use std::time::Instant;

use anyhow::ensure;
use xshell::{Cmd, Shell, cmd};

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
/// Runs every check even after one has failed, and says at the end which did.
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
    let results = checks.map(|(name, check)| (name, passes(name, without_own_variables(check))));

    let failed: Vec<_> = (results.iter())
        .filter_map(|&(name, passed)| (!passed).then_some(name))
        .collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Whether a compiler is of the oldest version that the Cargo.toml promises: `rustc 1.95.0 (…)`.
pub(crate) fn is_oldest(rustc: &str) -> bool {
    let version = rustc.split_whitespace().nth(1).unwrap_or_default();
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    minor == OLDEST_RUST
}

fn passes(name: &str, check: Cmd<'_>) -> bool {
    eprintln!("\n==> {name}: {check}");
    let started = Instant::now();
    let result = check.quiet().run();
    let verdict = if result.is_ok() { "passed" } else { "FAILED" };
    eprintln!(
        "==> {name}: {verdict} after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    result.is_ok()
}
