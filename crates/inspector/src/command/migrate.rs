//! `migrate`

use checkpointer::PostgresCheckpointer;
use checkpointer::serde_json::json;
use db::{Database, Error};

use super::confirm::Confirm;
use super::exit::Outcome;
use super::output::Output;

/// Bring the tables up to date, or say what they lack
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether the tables are those of this program; exits with 1 if not
    Check,
    /// Print the SQL of the migrations that are missing, to be applied by hand
    Print {
        /// Print the SQL of all migrations, for an empty database
        #[arg(long)]
        all: bool,
    },
    /// Apply the migrations that are missing
    Apply {
        #[command(flatten)]
        confirm: Confirm,
    },
}

pub(crate) async fn run(
    database: &Database,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    match &args.what {
        What::Check => check(database, output).await,
        What::Print { all } => print(database, *all, output).await,
        What::Apply { confirm } => apply(database, confirm, output).await,
    }
}

async fn check(database: &Database, output: &mut Output) -> anyhow::Result<Outcome> {
    let migrations = PostgresCheckpointer::migrations();
    let schema = migrations.schema(database);
    let verified = migrations.verify(database).await;
    if output.is_json() {
        let problem = verified.as_ref().err();
        let problem = problem.map(|error| error.for_log().to_string());
        output.json(
            &json!({ "schema": schema, "up_to_date": problem.is_none(), "problem": problem }),
        )?;
    }
    match verified {
        Ok(()) if output.is_json() => Ok(Outcome::Done),
        Ok(()) => {
            output.line(format!("the tables in schema {schema} are up to date"))?;
            Ok(Outcome::Done)
        }
        Err(error) if output.is_json() && !error.is_unavailable() => Ok(Outcome::Failed),
        Err(error) => Err(error.into()),
    }
}

async fn print(database: &Database, all: bool, output: &mut Output) -> anyhow::Result<Outcome> {
    let migrations = PostgresCheckpointer::migrations();
    let schema = migrations.schema(database);
    let applied = if all {
        Some(0)
    } else {
        applied(database).await?
    };
    let sql = migrations.sql_after(schema, applied.unwrap_or(i32::MAX));
    if output.is_json() {
        output.json(&json!({ "schema": schema, "sql": sql }))?;
    } else {
        output.bytes(sql.as_bytes())?;
    }
    Ok(Outcome::Done)
}

async fn apply(
    database: &Database,
    confirm: &Confirm,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let migrations = PostgresCheckpointer::migrations();
    let schema = migrations.schema(database);
    let applied = applied(database).await?;
    if let Some(applied) = applied {
        let what = format!("apply the migrations after number {applied} in schema `{schema}`");
        confirm.ask(&what).await?;
        migrations.apply(database).await?;
    }
    if output.is_json() {
        output.json(&json!({ "schema": schema, "applied": applied.is_some() }))?;
    } else {
        output.line(format!("the tables in schema {schema} are up to date"))?;
    }
    Ok(Outcome::Done)
}

/// The number of the last migration that was applied; none if nothing is missing.
async fn applied(database: &Database) -> anyhow::Result<Option<i32>> {
    match PostgresCheckpointer::migrations().verify(database).await {
        Ok(()) => Ok(None),
        Err(Error::DatabaseOlder { database, .. }) => Ok(Some(database)),
        Err(error) => Err(error.into()),
    }
}
