//! The database of a whole process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use settings::Settings;

use crate::{Connection, Database, Error, Result};

/// How long [`close_db`] waits for connections in use, and what depends on the database.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// The one database of the process.
static STAGE: Mutex<Stage> = Mutex::new(Stage::Uninitialised);

enum Stage {
    Uninitialised,
    Initialising,
    Open(Database),
    Closed,
}

/// Connects the process to its database, once, at start-up.
///
/// From then on [`get_connection`] works anywhere. The handle is returned as well, for what takes a
/// [`Database`].
///
/// # Errors
///
/// As [`Database::connect`]. [`Error::AlreadyInitialised`] if there is a database, or one is being
/// opened or closed; after [`close_db`] it works again.
///
/// # Panics
///
/// Outside a Tokio runtime.
///
/// # Cancel safety
///
/// If dropped, everything is as before the call.
///
/// # Examples
///
/// ```no_run
/// # use db::GenericClient;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// db::init_db(&settings::Settings::load()?).await?;
/// let connection = db::get_connection().await?;
/// connection.batch_execute("SELECT 1").await?;
/// drop(connection);
/// db::close_db().await?;
/// # Ok(())
/// # }
/// ```
pub async fn init_db(settings: &Settings) -> Result<Database> {
    let reservation = Reservation::new()?;
    let db = Database::connect(settings).await?;
    reservation.fulfil(db.clone());
    Ok(db)
}

/// Acquires a connection of the process's database.
///
/// # Errors
///
/// [`Error::NotInitialised`] before [`init_db`] is done, [`Error::Closed`] after [`close_db`], and
/// as [`Database::get`].
///
/// # Cancel safety
///
/// If dropped, nothing is acquired.
pub async fn get_connection() -> Result<Connection> {
    let db = match &*stage() {
        Stage::Uninitialised | Stage::Initialising => return Err(Error::NotInitialised),
        Stage::Open(db) => db.clone(),
        Stage::Closed => return Err(Error::Closed),
    };
    db.get().await
}

/// Closes the process's database, at shutdown.
///
/// It does what [`Database::close`] does, with a deadline of 10 seconds; that one takes any other.
/// Without a database there is nothing to do.
///
/// # Errors
///
/// As [`Database::close`]; the database is closed nevertheless. [`Error::NotInitialised`] if
/// [`init_db`] is still connecting: drop its future first.
///
/// # Cancel safety
///
/// As [`Database::close`].
pub async fn close_db() -> Result<()> {
    let db = match &*stage() {
        Stage::Uninitialised | Stage::Closed => return Ok(()),
        Stage::Initialising => return Err(Error::NotInitialised),
        Stage::Open(db) => db.clone(),
    };
    let result = db.close(CLOSE_DEADLINE).await;
    let mut stage = stage();
    // Two calls may close it at once, and another database may be open by now.
    if matches!(&*stage, Stage::Open(open) if open.is_same(&db)) {
        *stage = Stage::Closed;
    }
    result
}

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a database that is being opened.
struct Reservation {
    /// What the stage becomes when this is dropped.
    next: Stage,
}

impl Reservation {
    fn new() -> Result<Self> {
        let mut stage = stage();
        if matches!(&*stage, Stage::Initialising | Stage::Open(_)) {
            return Err(Error::AlreadyInitialised);
        }
        Ok(Self {
            next: std::mem::replace(&mut *stage, Stage::Initialising),
        })
    }

    fn fulfil(mut self, db: Database) {
        self.next = Stage::Open(db);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *stage() = std::mem::replace(&mut self.next, Stage::Uninitialised);
    }
}
