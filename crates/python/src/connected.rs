//! A checkpointer that is connected once it is needed.

use std::time::Duration;

use checkpointer::{
    Checkpointer as _, DeletedThreads, Durability, Error, PostgresCheckpointer, PostgresOptions,
    TaskOutputs,
};
use db::Database;
use settings::Settings;
use tokio::sync::{OnceCell, watch};

use crate::failure::Result;

/// How long a close waits for calls that are under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A checkpointer of one process, with the database that it is on.
#[derive(Debug)]
pub(crate) struct Connected {
    settings: Settings,
    options: PostgresOptions,
    /// None if it was closed before it was connected.
    database: OnceCell<Option<Database>>,
    checkpointer: OnceCell<PostgresCheckpointer>,
    is_closed: watch::Sender<bool>,
}

/// What can be chosen about the checkpointer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) synchronous_commit: bool,
    pub(crate) cache_bytes: usize,
    pub(crate) max_thread_bytes: Option<u64>,
}

impl Options {
    fn for_postgres(self) -> PostgresOptions {
        // LangGraph saves in the background, and knows of no generation.
        let options = PostgresOptions::default()
            .deleted_threads(DeletedThreads::Forgotten)
            .task_outputs(TaskOutputs::ByPosition);
        let options = options.durability(match self.synchronous_commit {
            true => Durability::Full,
            false => Durability::Relaxed,
        });
        let options = options.cache_bytes(self.cache_bytes);
        match self.max_thread_bytes {
            Some(bytes) => options.max_thread_bytes(bytes),
            None => options,
        }
    }
}

impl Connected {
    pub(crate) fn new(settings: Settings, options: Options) -> Self {
        Self {
            settings,
            options: options.for_postgres(),
            database: OnceCell::new(),
            checkpointer: OnceCell::new(),
            is_closed: watch::Sender::new(false),
        }
    }

    /// Connects, unless that is done.
    pub(crate) async fn database(&self) -> Result<&Database> {
        let database = self.database.get_or_try_init(|| self.connect()).await?;
        database.as_ref().ok_or_else(|| Error::Closed.into())
    }

    /// Returns none if it is closed before it is connected.
    async fn connect(&self) -> Result<Option<Database>> {
        let mut is_closed = self.is_closed.subscribe();
        tokio::select! {
            biased;
            _ = is_closed.wait_for(|is_closed| *is_closed) => Ok(None),
            connected = Database::connect(&self.settings) => Ok(Some(connected?)),
        }
    }

    /// Uses the tables, which must be there.
    pub(crate) async fn checkpointer(&self) -> Result<&PostgresCheckpointer> {
        match self.checkpointer.get() {
            Some(checkpointer) => Ok(checkpointer),
            // Boxed, or every call would make room for it, and be copied with that.
            None => Box::pin(self.open()).await,
        }
    }

    async fn open(&self) -> Result<&PostgresCheckpointer> {
        let open = || async {
            let database = self.database().await?.clone();
            Ok(self.options.clone().open(database).await?)
        };
        self.checkpointer.get_or_try_init(open).await
    }

    /// Makes the tables or migrates them.
    pub(crate) async fn setup(&self) -> Result<()> {
        let database = self.database().await?.clone();
        let checkpointer = self.options.clone().setup(database).await?;
        if let Err(_used_already) = self.checkpointer.set(checkpointer) {
            // Another call has opened them, or set them up, at the same time.
        }
        Ok(())
    }

    /// Waits for the writes that were handed over, and closes the connections, also if such a write has
    /// failed. A call that is just connecting fails, and so do later ones.
    pub(crate) async fn close(&self) -> Result<()> {
        self.is_closed.send_replace(true);
        let database = self.database.get_or_init(|| async { None }).await;
        let written = match self.checkpointer.get() {
            Some(checkpointer) => checkpointer.close().await,
            None => Ok(()),
        };
        let closed = match database {
            Some(database) => database.close(CLOSE_TIMEOUT).await,
            None => Ok(()),
        };
        written?;
        Ok(closed?)
    }
}
