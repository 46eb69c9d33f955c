//! `cargo xtask torture`

use clap::{Parser, ValueEnum};

/// Try to break the guarantees: crashes, races and refusals in large numbers
///
/// Starts PostgreSQL servers of its own from the programs on this machine. Exits with 0 only if no
/// guarantee was violated.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask torture", bin_name = "cargo xtask torture")]
pub struct Args {
    /// What to run [default: all]
    #[arg(value_enum)]
    pub sections: Vec<Section>,
    /// The numbers, as a multiple of the usual ones
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    pub scale: f64,
    /// What everything is chosen by that isn't left to the scheduler [default: another each time]
    #[arg(long)]
    pub seed: Option<u64>,
}

/// A part of the torture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// A program is killed with SIGKILL while its agents work: 200 times
    Kills,
    /// The server crashes while agents work: 200 times
    Crashes,
    /// Processes write, remove and read in a few threads that go back in time: 100,000 puts
    Chunks,
    /// Two processes save on one head: 10,000 rounds
    Guards,
    /// Tokio runtimes come and go while agents on them share one database, whose connections the
    /// server ends now and then: 1,000 runtimes
    Runtimes,
    /// A proxy refuses as servers and poolers are known to, at start-up and later: 2,000 rounds
    Refusals,
    /// Random operations have the same answers in PostgreSQL and in memory: 20,000 operations
    Model,
    /// Large requests, such as a state of 100 MB and a thread of a million checkpoints, with their
    /// cost
    Limits,
}

fn scale(text: &str) -> Result<f64, String> {
    crate::above_zero(text, 1_000.0)
}
