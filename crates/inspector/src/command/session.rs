//! The database for the time of one command.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use checkpointer::{Checkpointer, PostgresCheckpointer};
use db::Database;
use settings::Settings;

use super::exit::Outcome;
use super::interrupt::until_interrupted;
use super::output::Output;
use super::progress::Progress;
use super::{
    Command, copy, delete, diff, export, fork, history, import, label, migrate, pin, retain, serve,
    show, size, threads, verify, watch, writes,
};

/// How long it is waited for writes that were sent.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// For how long a database is tried that can't be reached: a person waits.
const PATIENCE: (&str, &str) = ("DB_STARTUP_TIMEOUT", "5s");

/// A connection to the database that the environment names.
pub(crate) struct Session {
    database: Database,
}

impl Session {
    /// Reads the settings, and connects.
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let settings = Settings::load_or([PATIENCE])?;
        let _progress = Progress::begin("connecting");
        let database = Database::connect(&settings).await?;
        Ok(Self { database })
    }

    /// Runs a command.
    pub(crate) async fn run(
        &self,
        command: Command,
        output: &mut Output,
    ) -> anyhow::Result<Outcome> {
        if let Command::Migrate(args) = &command {
            return until_interrupted(migrate::run(&self.database, args, output)).await;
        }
        let checkpointer = self.open().await?;
        let on: &dyn Checkpointer = &checkpointer;
        if let Command::Import(args) = &command {
            // It undoes what is half done.
            return import::run(&checkpointer, args, output).await;
        }
        until_interrupted(async {
            match command {
                Command::Threads(args) => threads::run(on, &args, output).await,
                Command::History(args) => history::run(on, &args, output).await,
                Command::Show(args) => show::run(on, &args, output).await,
                Command::Diff(args) => diff::run(on, &args, output).await,
                Command::Writes(args) => writes::run(on, &args, output).await,
                Command::Size(args) => size::run(on, &args, output).await,
                Command::Verify(args) => verify::run(on, &args, output).await,
                Command::Watch(args) => watch::run(on, &args, output).await,
                Command::Serve(args) => {
                    serve::run(Arc::new(checkpointer.clone()), &args, output).await
                }
                Command::Fork(args) => fork::run(on, &args, output).await,
                Command::Copy(args) => copy::run(on, &args, output).await,
                Command::Label(args) => label::run(on, &args, output).await,
                Command::Pin(args) => pin::run(on, &args, output).await,
                Command::Retain(args) => retain::run(on, &args, output).await,
                Command::Delete(args) => delete::run(on, &args, output).await,
                Command::Export(args) => export::run(on, &args, output).await,
                Command::Import(_)
                | Command::Migrate(_)
                | Command::Completions(_)
                | Command::Man(_) => Ok(Outcome::Done),
            }
        })
        .await
    }

    /// Opens the tables, which must be those of this program.
    async fn open(&self) -> anyhow::Result<PostgresCheckpointer> {
        let checkpointer = PostgresCheckpointer::open(self.database.clone()).await;
        checkpointer
            .context("the tables can't be used (`checkpointer migrate check` says what they lack, and `migrate apply` makes it)")
    }

    /// Waits for what was sent, and closes.
    pub(crate) async fn close(&self) -> anyhow::Result<Outcome> {
        self.database.close(CLOSE_DEADLINE).await?;
        Ok(Outcome::Done)
    }
}
