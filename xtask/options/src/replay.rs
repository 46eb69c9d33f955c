//! `cargo xtask replay`

use std::path::PathBuf;

use clap::Parser;

/// Replay recorded checkpointer traffic and compare each answer
///
/// Each file has a fresh store of its own: a schema on the server, which is found or started first.
/// A line per file says how many answers agree, and shows the first that doesn't. Exits with 0 only
/// if all do. The schema of a file that doesn't agree is kept, to be looked at.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask replay", bin_name = "cargo xtask replay")]
pub struct Args {
    /// Replay against the checkpointer in memory; it needs no server
    #[arg(long)]
    pub memory: bool,
    /// Traces, one JSON object a line, as in tests/traces
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}
