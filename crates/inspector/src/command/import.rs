//! `import`

use std::env;

use anyhow::Context;
use checkpointer::Checkpointer;
use checkpointer::serde_json::{Value, json};
use db::Database;
use inspector::visible;
use langgraph::{Import, Report};
use settings::Settings;

use super::confirm::Confirm;
use super::exit::Outcome;
use super::output::Output;
use super::progress::Progress;

/// Import the threads of LangGraph's PostgreSQL saver from its tables
///
/// It may be interrupted and run again, as long as no agent works on the threads here. Exits with 1 if
/// something couldn't be imported.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From the tables of LangGraph's saver
    #[arg(long, required = true)]
    langgraph: bool,
    /// The environment variable with the URL of the database that has them; else it is this database
    #[arg(long, value_name = "VARIABLE")]
    url_from: Option<String>,
    /// The schema that has them
    #[arg(long, value_name = "SCHEMA", default_value = "public")]
    schema: String,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    database: &Database,
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    args.confirm
        .ask("import all threads of LangGraph's saver")
        .await?;
    let source = match &args.url_from {
        Some(variable) => connect(variable).await?,
        None => database.clone(),
    };
    let progress = Progress::begin("importing");
    let import = Import::new(source).schema(&args.schema);
    let report = import.run_with(checkpointer, |report| {
        let Report {
            threads,
            checkpoints,
            ..
        } = report;
        progress.note(format!("{threads} threads, {checkpoints} checkpoints"));
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
            "checkpoints": report.checkpoints,
            "writes": report.writes,
            "opaque": report.opaque,
            "losses": Value::from(losses),
        }));
    }
    output.line(format!(
        "imported {} checkpoints and {} pending writes of {} threads; {} values aren't readable",
        report.checkpoints, report.writes, report.threads, report.opaque
    ))?;
    for loss in losses {
        output.line(format!("not imported: {}", visible(&loss)))?;
    }
    Ok(())
}
