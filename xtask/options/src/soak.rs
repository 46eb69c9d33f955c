//! `cargo xtask soak`

use clap::Parser;

/// Run agents under kills, cuts, restarts and crashes at once, and check the guarantees
///
/// Starts a PostgreSQL server of its own from the programs on this machine. Exits with 0 only if no
/// guarantee was violated.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
pub struct Args {
    /// For how many minutes, besides a while to finish
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    pub minutes: f64,
    /// What everything is chosen by that isn't left to the scheduler [default: another each time]
    #[arg(long)]
    pub seed: Option<u64>,
}

fn minutes(text: &str) -> Result<f64, String> {
    crate::above_zero(text, 100_000.0)
}
