//! What the programs that start workers have in common.

use std::process::ExitCode;

use anyhow::Result;

use crate::Worker;

/// Runs a program that starts itself again as a worker, or does what such a worker is told. It says
/// what failed, and exits with 0 only if `work` found that nothing was violated.
#[expect(
    clippy::print_stderr,
    reason = "it is for programs for the command line"
)]
pub async fn run_program(work: impl AsyncFnOnce() -> Result<bool>) -> ExitCode {
    let done = match Worker::from_env() {
        Ok(Some(worker)) => worker.run().await.map(|()| true),
        Ok(None) => work().await,
        Err(error) => Err(error),
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
