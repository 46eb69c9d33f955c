//! `import`

use std::env;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Context;
use checkpointer::serde_json::{Value, json};
use checkpointer::{Checkpointer, Error, Import, Imported, PostgresCheckpointer, ThreadId};
use db::Database;
use langgraph::Report;
use settings::Settings;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use super::confirm::Confirm;
use super::count;
use super::exit::Outcome;
use super::interrupt::{interrupted, until_interrupted};
use super::output::Output;
use super::progress::Progress;

/// Import threads from a file of `export`, or from the tables of LangGraph's PostgreSQL saver
///
/// An import that fails or is interrupted leaves no part of a thread. One of LangGraph's tables leaves
/// threads as they are that are there already, so it may be run again; threads that were deleted here
/// stay deleted as long as their tombstones are there. It exits with 1 if something couldn't be imported.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("from").required(true))]
pub(crate) struct Args {
    /// The file; `-` is the standard input
    #[arg(group = "from")]
    file: Option<PathBuf>,
    /// Give the thread in the file another id
    #[arg(long = "as", value_name = "THREAD", requires = "file",
        value_parser = |text: &str| ThreadId::new(text))]
    into: Option<ThreadId>,
    /// Import from the tables of LangGraph's saver
    #[arg(long, group = "from")]
    langgraph: bool,
    /// The environment variable with the URL of the database that has LangGraph's tables; else they are
    /// in this database
    #[arg(long, value_name = "VARIABLE", requires = "langgraph")]
    url_from: Option<String>,
    /// The schema of LangGraph's tables
    #[arg(
        long,
        value_name = "SCHEMA",
        default_value = "public",
        requires = "langgraph"
    )]
    schema: String,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &PostgresCheckpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    match &args.file {
        Some(path) => from_file(checkpointer, path, args, output).await,
        None => until_interrupted(from_langgraph(checkpointer, args, output)).await,
    }
}

async fn from_file(
    checkpointer: &dyn Checkpointer,
    path: &Path,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let (file, length) = open(path).await?;
    let what = format!("import the threads in `{}`", path.display());
    let confirmed = async { args.confirm.ask(&what).await.map(|()| Outcome::Done) };
    if until_interrupted(confirmed).await? == Outcome::Interrupted {
        return Ok(Outcome::Interrupted);
    }
    let mut lines = file.lines();
    let mut import = Import::new(checkpointer);
    if let Some(thread) = &args.into {
        import = import.into_thread(thread)?;
    }
    let progress = match length {
        Some(length) => Progress::of_bytes("importing", length),
        None => Progress::begin("importing"),
    };
    let mut interrupted = pin!(interrupted());
    let mut read = 0;
    loop {
        let line = tokio::select! {
            biased;
            interrupted = &mut interrupted => {
                abort(import).await?;
                return interrupted;
            }
            line = lines.next_line() => line,
        };
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                abort(import).await?;
                let line = read + 1;
                let what = format!("line {line} of `{}` can't be read", path.display());
                return Err(anyhow::Error::new(error).context(what));
            }
        };
        if let Some(thread) = import.line(&line).await.map_err(refused)? {
            progress.beside(|| print_thread(&thread, output))?;
        }
        read += 1;
        progress.add(line.len() as u64 + 1);
        progress.note(format!("{read} lines"));
    }
    import.finish().await?;
    Ok(Outcome::Done)
}

/// Deletes what was stored of a thread in the middle.
async fn abort(import: Import<'_>) -> anyhow::Result<()> {
    let aborted = import.abort().await;
    aborted.context("a part of the thread stays: delete it, and import it again")
}

/// Says what can be done if a thread can't have the id that it has in the file.
fn refused(error: Error) -> anyhow::Error {
    match error {
        Error::ThreadExists { .. } | Error::ThreadDeleted { .. } => {
            let refused = anyhow::Error::new(error);
            refused.context("not imported; with `--as` a thread gets an id that isn't taken")
        }
        error => error.into(),
    }
}

/// Opens what is read, and says how many bytes it has, where that is known.
async fn open(path: &Path) -> anyhow::Result<(Box<dyn AsyncBufRead + Unpin>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(tokio::io::stdin())), None));
    }
    let file = File::open(path).await;
    let file = file.with_context(|| format!("`{}` can't be read", path.display()))?;
    let length = file.metadata().await?;
    let length = length.is_file().then_some(length.len());
    Ok((Box::new(BufReader::new(file)), length))
}

fn print_thread(thread: &Imported, output: &mut Output) -> anyhow::Result<()> {
    let Imported {
        thread_id,
        checkpoints,
        writes,
        ..
    } = thread;
    if output.is_json() {
        return output.json(&json!({
            "thread_id": thread_id.as_str(),
            "checkpoints": checkpoints,
            "writes": writes,
        }));
    }
    output.line(format!(
        "imported thread {thread_id}: {}, {}",
        count::shown(*checkpoints, "checkpoint"),
        count::shown(*writes, "pending write"),
    ))
}

async fn from_langgraph(
    checkpointer: &PostgresCheckpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    (args.confirm)
        .ask("import all threads of LangGraph's saver")
        .await?;
    let source = match &args.url_from {
        Some(variable) => connect(variable).await?,
        None => checkpointer.database().clone(),
    };
    let progress = Progress::begin("importing");
    let import = langgraph::Import::new(source).schema(&args.schema);
    if progress.is_shown() {
        progress.set_total(import.threads().await?);
    }
    let report = import.run_with(checkpointer, |report| {
        let Report {
            threads,
            checkpoints,
            ..
        } = report;
        progress.reach(*threads);
        progress.note(format!("threads, {checkpoints} checkpoints"));
    });
    let report = report.await?;
    drop(progress);
    print(&report, output)?;
    Ok(match report.losses.is_empty() {
        true => Outcome::Done,
        false => Outcome::Failed,
    })
}

async fn connect(variable: &str) -> anyhow::Result<Database> {
    let url = env::var(variable).with_context(|| format!("the variable `{variable}` isn't set"))?;
    let settings = Settings::from_url(&url);
    let settings = settings.with_context(|| format!("the variable `{variable}` can't be used"))?;
    Ok(Database::connect(&settings).await?)
}

fn print(report: &Report, output: &mut Output) -> anyhow::Result<()> {
    let losses: Vec<String> = report.losses.iter().map(ToString::to_string).collect();
    if output.is_json() {
        return output.json(&json!({
            "threads": report.threads,
            "present": report.present,
            "checkpoints": report.checkpoints,
            "writes": report.writes,
            "opaque": report.opaque,
            "losses": Value::from(losses),
        }));
    }
    output.line(format!(
        "imported {} and {} of {}; threads that were there already: {}; values that aren't readable: {}",
        count::shown(report.checkpoints, "checkpoint"),
        count::shown(report.writes, "pending write"),
        count::shown(report.threads, "thread"),
        report.present,
        report.opaque,
    ))?;
    for loss in losses {
        output.line(format!("not imported: {loss}"))?;
    }
    Ok(())
}
