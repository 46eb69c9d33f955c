//! An agent that audits a source tree, and survives being killed while it does.
//!
//! It plans the files, audits them in parallel tasks, merges what they found, asks a person for
//! approval, and reports. `graph.rs` and `step.rs` are the graph runner: what keeps the agent's
//! memory in any [`Checkpointer`]. `agent.rs` is the agent. `demo.rs` kills it, starts it again,
//! rewinds it and forks it, and checks in the database that nothing was lost or done twice.
//!
//! ```text
//! cargo run -p demo -- demo --dir .
//! cargo run -p demo -- run --thread my-audit --dir .
//! cargo run -p demo -- run --thread my-audit --answer yes
//! cargo run -p demo -- show --thread my-audit
//! ```

#![expect(clippy::print_stderr, reason = "a program for the terminal")]

mod agent;
mod branches;
mod checks;
mod child;
mod demo;
mod event;
mod fork;
mod graph;
mod history;
mod language;
mod progress;
mod report;
mod run;
mod rust;
mod source;
mod step;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use checkpointer::{Checkpointer, PostgresCheckpointer};
use clap::Parser;
use settings::Settings;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Parsers go as deep as the source they read, on the stack of the thread they run on.
const STACK: usize = 256 << 20;

/// Audits a source tree with an agent that keeps its memory in PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "audit")]
enum Command {
    /// Kill the agent in the middle of its work, go on, rewind, fork, and check all of it
    Demo(options::demo::Args),
    /// Start an audit, or continue it from wherever it stopped
    Run(run::Args),
    /// Show an audit's history and its report
    Show(history::Args),
}

fn main() -> ExitCode {
    let command = Command::parse();
    if let Command::Demo(args) = &command
        && let Err(problem) = args.check()
    {
        eprintln!("error: {problem}");
        return ExitCode::FAILURE;
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::builder()
                .with_default_directive(LevelFilter::WARN.into())
                .from_env_lossy(),
        )
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK)
        .enable_all()
        .build();
    let code = runtime
        .context("failed to start the runtime")
        .and_then(|runtime| runtime.block_on(run(command)));
    code.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Result<ExitCode> {
    let checkpointer = open().await?;
    let done = match command {
        Command::Demo(args) => demo::run(checkpointer, args).await,
        Command::Run(args) => run::run(checkpointer, args).await,
        Command::Show(args) => history::run(checkpointer, args).await,
    };
    let closed = db::close_db().await;
    let code = done?;
    closed?;
    Ok(code)
}

/// Opens the database that the environment names.
async fn open() -> Result<Arc<dyn Checkpointer>> {
    let settings = Settings::load()?;
    let database = db::init_db(&settings).await?;
    Ok(Arc::new(PostgresCheckpointer::setup(database).await?))
}
