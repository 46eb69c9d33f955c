//! Replays recorded checkpointer traffic and compares each answer.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use checkpointer::{MemoryCheckpointer, PostgresCheckpointer};
use clap::Parser as _;
use options::replay::Args;
use rig::{Report, Scratch, replay};

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
            eprintln!("{}: {error:#}", path.display());
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
    let checkpointer = checkpointer.context("make the tables")?;
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
    let file = File::open(path).context("open the trace")?;
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
