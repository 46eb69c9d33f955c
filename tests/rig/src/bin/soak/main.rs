//! Everything at once, for as long as one likes: agents, readers, prunes, deletes and copies, while
//! programs are killed, connections are cut and the server restarts and crashes.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use options::soak::Args;
use rig::PrivateServer;

mod faults;
mod lives;
mod tally;
mod watch;

use lives::Soak;

#[tokio::main]
async fn main() -> ExitCode {
    rig::run_program(async || run(&Args::parse()).await).await
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
