//! The commands: a file for each, and what they share.

// The commands.
mod copy;
mod delete;
mod diff;
mod export;
mod fork;
mod history;
mod import;
mod label;
mod manual;
mod migrate;
mod pin;
mod retain;
mod serve;
mod show;
mod size;
mod threads;
mod verify;
mod watch;
mod writes;

// What is asked for, and what is answered.
mod at;
mod confirm;
mod exit;
mod interrupt;
mod json_arg;
mod moment;
mod named;
mod pick;

// How it is printed.
mod bytes;
mod count;
mod output;
mod paint;
mod progress;
mod table;
mod value;

// What the standard error gets.
mod stderr;

mod session;

#[cfg(test)]
mod tests;

use std::env;
use std::process::{self, ExitCode};

use anyhow::Context;
use clap::Parser;
use inspector::visible;

use self::exit::Outcome;
use self::interrupt::{interrupted, until_interrupted};
use self::output::{Output, ReaderGone};
use self::session::Session;

/// What is printed below the options.
const AFTER_HELP: &str = "\
It reads DATABASE_URL and the DB_* variables, also from a file `.env`, as the programs do whose threads \
it shows.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 in conflict with another program, 5 the \
database can't be used now and the same command may succeed later, 6 not confirmed, 130 interrupted.";

/// Looks into the threads of a checkpointer, and changes them
#[derive(Debug, Parser)]
#[command(name = "checkpointer", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    /// Print JSON for programs: one value on each line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Threads(threads::Args),
    History(history::Args),
    Show(show::Args),
    Diff(diff::Args),
    Writes(writes::Args),
    Size(size::Args),
    Watch(watch::Args),
    Verify(verify::Args),
    Serve(serve::Args),
    Fork(fork::Args),
    Copy(copy::Args),
    Label(label::Args),
    Pin(pin::Args),
    Delete(delete::Args),
    Retain(retain::Args),
    Export(export::Args),
    Import(import::Args),
    Migrate(migrate::Args),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

impl Command {
    /// Whether it goes on though nobody reads what it prints: it changes something, or its exit code says what
    /// it has found.
    fn outlives_reader(&self) -> bool {
        match self {
            Self::Diff(_)
            | Self::Verify(_)
            | Self::Fork(_)
            | Self::Copy(_)
            | Self::Label(_)
            | Self::Pin(_)
            | Self::Delete(_)
            | Self::Retain(_)
            | Self::Import(_)
            | Self::Migrate(_) => true,
            Self::Threads(_)
            | Self::History(_)
            | Self::Show(_)
            | Self::Writes(_)
            | Self::Size(_)
            | Self::Watch(_)
            | Self::Serve(_)
            | Self::Export(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = parsed();
    stderr::log();
    let mut output = Output::stdout(cli.json);
    if cli.command.outlives_reader() {
        output.outlive_reader();
    }
    let outcome = run(cli.command, &mut output);
    let outcome = outcome.and_then(|outcome| output.flush().map(|()| outcome));
    outcome.unwrap_or_else(|error| report(&error)).into()
}

/// Reads the command line. If it is wrong, what is said about it has nothing raw in it: what was given may
/// be the text of others.
fn parsed() -> Cli {
    let error = match Cli::try_parse() {
        Ok(cli) => return cli,
        Err(error) => error,
    };
    let shown = env::args_os().map(|arg| visible(&arg.to_string_lossy()).into_owned());
    match Cli::try_parse_from(shown) {
        Err(shown) => shown.exit(),
        Ok(_) => {
            error.render().to_string().lines().for_each(stderr::say);
            process::exit(error.exit_code())
        }
    }
}

fn run(command: Command, output: &mut Output) -> anyhow::Result<Outcome> {
    match command {
        Command::Completions(args) => return manual::completions(&args, output),
        Command::Man(args) => return manual::man(&args, output),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let outcome = runtime.block_on(connected(command, output));
    // It doesn't wait for a question that was interrupted.
    runtime.shutdown_background();
    outcome
}

/// Runs a command on the database. When it is interrupted, what was sent is waited for, unless that is
/// interrupted too.
async fn connected(command: Command, output: &mut Output) -> anyhow::Result<Outcome> {
    let session = tokio::select! {
        session = Session::connect() => session?,
        interrupted = interrupted() => return interrupted,
    };
    let outcome = session.run(command, output).await;
    let closed = until_interrupted(session.close()).await;
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// Says what failed and why, and finds the exit code for it. Who reads no further has read enough.
fn report(error: &anyhow::Error) -> Outcome {
    if error.chain().any(|error| error.is::<ReaderGone>()) {
        return Outcome::Done;
    }
    stderr::report(error);
    Outcome::of(error)
}
