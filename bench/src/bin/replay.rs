//! Replays recorded checkpointer traffic and compares each answer.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::replay;
use checkpointer::MemoryCheckpointer;
use clap::Parser;

/// Replay recorded checkpointer traffic and compare each answer
#[derive(Debug, Parser)]
#[command(name = "replay")]
struct Args {
    /// Replay against the checkpointer in memory
    #[arg(long)]
    memory: bool,
    /// Traces, one JSON object a line
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    if !args.memory {
        eprintln!("replaying against a server isn't built yet: use --memory");
        return ExitCode::FAILURE;
    }
    let mut agrees = true;
    for file in &args.files {
        agrees &= replay_file(file).await;
    }
    if agrees {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Replays a file, with a store of its own; says what came of it, and whether all of it agrees.
async fn replay_file(path: &Path) -> bool {
    let name = path.display();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{name}: failed to open: {error}");
            return false;
        }
    };
    match replay(&MemoryCheckpointer::new(), BufReader::new(file)).await {
        Ok(report) => {
            println!("{name}: {report}");
            if let Some(first) = &report.first {
                println!("{first}");
            }
            report.agrees()
        }
        Err(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            eprintln!("{name}: {error}{cause}");
            false
        }
    }
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
