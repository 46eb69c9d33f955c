//! Reading from a standby what may be a moment old.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use db::{Database, GenericClient, Row, SqlState};

use super::sql::Bound;
use super::store::Store;
use crate::Result;

/// How long reads pass a standby over that failed. After that one read tries it, while the others
/// still pass it over.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// How often a read is sent to the standby if replication cancels it.
const ATTEMPTS: usize = 3;

/// A database that follows the primary's.
#[derive(Debug)]
pub(super) struct Standby {
    database: Database,
    /// Until when it is left alone, if it has failed.
    failed: Mutex<Option<Instant>>,
}

impl Standby {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            failed: Mutex::default(),
        }
    }

    /// Reads, if the standby can.
    async fn query(&self, asked: &Bound<'_>) -> Option<Vec<Row>> {
        if !self.may_be_tried() {
            return None;
        }
        for _ in 0..ATTEMPTS {
            match self.attempt(asked).await {
                Ok(rows) => {
                    if self.failed().take().is_some() {
                        tracing::info!("the standby answers again");
                    }
                    return Some(rows);
                }
                Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => {
                    tracing::debug!(error = %error.for_log(), "a read had to make way for replication");
                }
                Err(error) => {
                    if self.failed().replace(Instant::now() + LEFT_ALONE).is_none() {
                        tracing::warn!(error = %error.for_log(), "the standby can't be read from, so the primary is");
                    }
                    return None;
                }
            }
        }
        None
    }

    async fn attempt(&self, asked: &Bound<'_>) -> Result<Vec<Row>, db::Error> {
        let connection = self.database.get().await?;
        connection.query(&asked.statement, &asked.values).await
    }

    fn may_be_tried(&self) -> bool {
        match &mut *self.failed() {
            None => true,
            Some(until) if *until > Instant::now() => false,
            Some(until) => {
                *until = Instant::now() + LEFT_ALONE;
                true
            }
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Reads from the standby, if there is one that answers, or else from the primary.
    pub(super) async fn read(
        &self,
        operation: &'static str,
        standby: Option<&Standby>,
        asked: Bound<'_>,
    ) -> Result<Vec<Row>> {
        if let Some(standby) = standby
            && let Some(rows) = standby.query(&asked).await
        {
            return Ok(rows);
        }
        self.query(operation, asked).await
    }
}
