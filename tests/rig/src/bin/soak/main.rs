//! Everything at once, for as long as one likes: agents, readers, prunes, deletes and copies, while
//! programs are killed, connections are cut and the server restarts and crashes.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rig::{PrivateServer, Worker};

mod faults;
mod lives;
mod tally;
mod watch;

use lives::Soak;

/// Run agents under kills, cuts, restarts and crashes at once, and check the guarantees
///
/// Starts a PostgreSQL server of its own from the programs on this machine. Exits with 0 only if no
/// guarantee was violated.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
struct Args {
    /// For how many minutes, besides a while to finish
    #[arg(long, default_value_t = 10.0, value_parser = above_zero)]
    minutes: f64,
    /// What everything is chosen by that isn't left to the scheduler [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0.0 && minutes <= 100_000.0 => Ok(minutes),
        _ => Err("expected a number above 0, up to 100000".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Worker::from_env() {
        Ok(Some(worker)) => worker.run().await.map(|()| true).map_err(Into::into),
        Ok(None) => run(&Args::parse()).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Soaks, prints the summary, and says whether nothing was violated.
async fn run(args: &Args) -> anyhow::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("{} minutes, seed {seed}", args.minutes);
    let time = Duration::from_secs_f64(60.0 * args.minutes);
    let server = PrivateServer::start(&[]).await?;
    let soak = Soak::start(server, seed).await?;
    let tally = soak.run(time).await?;
    print!("{tally}");
    Ok(tally.violations().is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_arguments_are_well_defined() {
        Args::command().debug_assert();
    }
}
