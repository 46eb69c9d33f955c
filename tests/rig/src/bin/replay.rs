//! Replays recorded checkpointer traffic and compares each answer.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

use std::error::Error as _;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkpointer::{MemoryCheckpointer, PostgresCheckpointer};
use clap::Parser;
use rig::{Error, Report, Result, Scratch, replay};

/// Replay recorded checkpointer traffic and compare each answer
///
/// Each file has a store of its own: a fresh schema on the server that `DATABASE_URL` names. Exits
/// with 0 only if every answer agrees; the schema of a file that doesn't is kept, to be looked at.
#[derive(Debug, Parser)]
#[command(name = "replay")]
struct Args {
    /// Replay against the checkpointer in memory
    #[arg(long)]
    memory: bool,
    /// Traces, one JSON object a line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut agrees = true;
    for path in &args.files {
        let replayed = if args.memory {
            in_memory(path).await
        } else {
            on_server(path).await
        };
        agrees &= replayed.unwrap_or_else(|error| {
            eprintln!("{}: {}", path.display(), chain(&error));
            false
        });
    }
    if agrees {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Replays a file in memory; returns whether all of it agrees.
async fn in_memory(path: &Path) -> Result<bool> {
    let report = replay(&MemoryCheckpointer::new(), open(path)?).await?;
    Ok(tell(path, &report))
}

/// Replays a file in a schema of its own; returns whether all of it agrees.
async fn on_server(path: &Path) -> Result<bool> {
    let trace = open(path)?;
    let scratch = Scratch::connect().await?;
    let checkpointer = PostgresCheckpointer::setup(scratch.database().clone()).await;
    let checkpointer = checkpointer.map_err(|source| Error::Tables { source })?;
    let replayed = replay(&checkpointer, trace).await;
    let agrees = replayed.as_ref().map(|report| tell(path, report));
    if let Ok(false) = agrees {
        let schema = PostgresCheckpointer::migrations().schema(scratch.database());
        println!("kept in the schema {schema}");
    } else {
        scratch.remove().await?;
    }
    replayed.map(|report| report.agrees())
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|source| Error::Open { source })?;
    Ok(BufReader::new(file))
}

/// Says what came of a file; returns whether all of it agrees.
fn tell(path: &Path, report: &Report) -> bool {
    println!("{}: {report}", path.display());
    if let Some(first) = &report.first {
        println!("{first}");
    }
    report.agrees()
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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
