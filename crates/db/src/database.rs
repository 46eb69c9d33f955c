//! The handle to a pool.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bb8::RunError;
use settings::{PoolMode, Settings};
use tokio::runtime::Handle;
use tracing::{debug, info, trace, warn};

use crate::connect::Server;
use crate::error::Chain;
use crate::link::look_at;
use crate::manager::Manager;
use crate::meter::Counted;
use crate::shared::Shared;
use crate::{Connection, Error, Result, Transaction};

/// A handle to a pool of connections to one database.
///
/// Cloning it is cheap, and every clone is the same pool. A handle with
/// [another schema](Self::in_schema) is, too.
///
/// # Runtimes
///
/// The pool belongs to the Tokio runtime in which it was connected: its sockets, timers and tasks
/// are that runtime's. Calls may come from any other runtime, or from none, as long as that one
/// lasts and runs. A multi-threaded runtime always runs; a `current_thread` one runs only while
/// something blocks on it, and until then calls from elsewhere wait, their time-outs included. Once
/// the runtime has ended, every call fails at once with [`Error::RuntimeEnded`].
///
/// So a pool that is shared is connected in the runtime that ends last, that of `main`. A test that
/// has a runtime of its own connects a pool of its own.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use db::{Database, Error, GenericClient, Statement, Type};
///
/// static RENAME: Statement =
///     Statement::new("UPDATE users SET name = $2 WHERE id = $1", &[Type::INT8, Type::TEXT]);
///
/// # async fn example(settings: &settings::Settings) -> db::Result<()> {
/// let db = Database::connect(settings).await?;
/// db.transaction(async |tx| -> Result<(), Error> {
///     tx.execute(&RENAME, &[&1_i64, &"Ada"]).await?;
///     tx.execute(&RENAME, &[&2_i64, &"Grace"]).await?;
///     Ok(())
/// })
/// .await?;
/// db.close(Duration::from_secs(10)).await
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    pool: Arc<Inner>,
    schema: Option<Arc<str>>,
}

struct Inner {
    pool: bb8::Pool<Manager>,
    shared: Arc<Shared>,
    server: Server,
    max: u32,
    statement_timeout: Option<Duration>,
    retries: Retries,
    _may_open: Counted,
}

/// Replaces idle connections that are lost when that is noticed, and not only when one of them is
/// acquired. Ends with the pool.
async fn replace_lost(pool: bb8::Pool<Manager>, shared: Arc<Shared>) {
    let replace = async {
        loop {
            shared.lost.notified().await;
            // Those that are fit are ready at once, and held until the others are found.
            let idle = 0..pool.state().idle_connections;
            let fit: Vec<_> = idle.map(|_| look_at(pool.get_owned())).collect();
            debug!(
                fit = fit.iter().flatten().count(),
                "looked for lost connections"
            );
            // The one that was used last is lent first again.
            fit.into_iter().rev().for_each(drop);
        }
    };
    shared.closing.run_until_cancelled(replace).await;
}

/// How often the pool looks for connections that are too old or idle for too long; those that are
/// acquired meanwhile are looked at anyway.
fn reaper_rate(settings: &Settings) -> Duration {
    let limits = [settings.idle_timeout(), settings.max_lifetime()];
    let shortest = limits.into_iter().flatten().min().unwrap_or(Duration::MAX);
    (shortest / 2).clamp(Duration::from_millis(500), Duration::from_secs(30))
}

/// A pool's figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Open connections.
    pub connections: u32,
    /// Those that are idle.
    pub idle: u32,
    /// Those that are in use, or being cleaned after that.
    pub in_use: u32,
    /// Callers that wait for a connection.
    pub waiting: u32,
    /// The most connections there may be.
    pub max: u32,
    /// Whether the database was closed.
    pub closed: bool,
}

/// How the settings want failures to be retried that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// For how long.
    pub timeout: Duration,
    /// How often at most, the first attempt included.
    pub attempts: u32,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
}

impl Retries {
    fn new(settings: &Settings) -> Self {
        Self {
            timeout: settings.retry_timeout(),
            attempts: settings.retry_attempts(),
            longest_pause: settings.retry_pause(),
        }
    }
}

impl Database {
    /// Connects, and so proves that the server answers.
    ///
    /// A failure that may pass (nothing listens, the server is starting up, a name can't be looked
    /// up for now) is tried again for [`startup_timeout`](Settings::startup_timeout), a host that
    /// has no such name for a few seconds. One that won't pass (a wrong password, an unknown
    /// database, a certificate that isn't trusted) ends it at once.
    ///
    /// The pool keeps [`pool_min`](Settings::pool_min) connections idle, besides those in use, as
    /// long as there aren't [`pool_max`](Settings::pool_max).
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], or [`Error::TlsFile`] if a certificate or key that the settings name
    /// can't be used. The wrong pool mode behind a pooler is an [`Error::Connect`] that says so.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// If dropped, what was opened is closed. Calling again starts anew.
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let shared = Arc::new(Shared::new(settings));
        let open = Self::open(settings, Arc::clone(&shared));
        shared.runtime.run(pin!(Some(open))).await?
    }

    async fn open(settings: &Settings, shared: Arc<Shared>) -> Result<Self> {
        let started = Instant::now();
        let (manager, server) = Manager::new(settings, Arc::clone(&shared))
            .await
            .inspect_err(|error| warn!(error = %Chain(error), "failed to connect"))?;
        let pool = bb8::Pool::builder()
            .max_size(settings.pool_max())
            .min_idle(settings.pool_min())
            .connection_timeout(settings.acquire_timeout())
            .idle_timeout(settings.idle_timeout())
            .max_lifetime(settings.max_lifetime())
            .reaper_rate(reaper_rate(settings))
            // The manager does that.
            .retry_connection(false)
            // The one used last: its server process has the catalogs, the plans and its code at
            // hand, and the others become idle long enough to be closed.
            .queue_strategy(bb8::QueueStrategy::Lifo)
            .build_unchecked(manager);
        if settings.pool_min() > 0 {
            tokio::spawn(replace_lost(pool.clone(), Arc::clone(&shared)));
        }
        info!(
            dbname = settings.dbname(),
            server_version = server.version,
            tls = server.tls,
            statements = server.preparation.label(),
            after = ?started.elapsed(),
            "connected"
        );
        if server.jit {
            warn!(
                "the server may compile statements, which can take seconds in a large database; \
                 set `ALTER ROLE … SET jit = off`"
            );
        }
        Ok(Self {
            pool: Arc::new(Inner {
                _may_open: shared.meter.may_open(settings.pool_max()),
                pool,
                shared,
                server,
                max: settings.pool_max(),
                statement_timeout: settings.statement_timeout(),
                retries: Retries::new(settings),
            }),
            schema: settings.schema().map(Arc::from),
        })
    }

    /// Acquires a connection; dropping it returns it.
    ///
    /// # Errors
    ///
    /// [`Error::AcquireTimeout`] if all are in use, [`Error::Unreachable`] if none can be opened
    /// (at once, if there is none and waiting won't help), [`Error::Connecting`] if opening one
    /// takes too long, [`Error::Closed`] as soon as a close has begun.
    ///
    /// # Cancel safety
    ///
    /// If dropped, nothing is acquired.
    pub async fn get(&self) -> Result<Connection> {
        let Inner { pool, shared, .. } = &*self.pool;
        let meter = shared.meter.acquire();
        // Before anything is acquired, so that a close waits for it.
        let in_use = shared.in_use.token();
        let waiting = shared.wait();
        let acquire = async {
            tokio::select! {
                biased;
                () = shared.closing.cancelled() => None,
                link = pool.get_owned() => Some(link),
                failure = self.hopeless() => Some(Err(RunError::User(failure))),
            }
        };
        let acquired = shared.runtime.run(pin!(Some(acquire))).await;
        drop(waiting);
        let waited = meter.waited();
        let result = match acquired {
            Ok(Some(Ok(link))) => {
                trace!(?waited, "acquired a connection");
                let shared = Arc::clone(shared);
                Ok(Connection::new(
                    link,
                    in_use,
                    shared,
                    self.pool.statement_timeout,
                ))
            }
            Ok(Some(Err(RunError::User(source)))) => Err(Error::Unreachable { waited, source }),
            Ok(Some(Err(RunError::TimedOut))) => Err(self.timed_out(waited)),
            Ok(None) => Err(Error::Closed),
            Err(_) if shared.closing.is_cancelled() => Err(Error::Closed),
            Err(ended) => Err(ended),
        };
        meter.ended(&result, waited);
        result.inspect_err(|error| warn!(error = %Chain(error), "failed to acquire a connection"))
    }

    /// Runs `body` in a transaction on a connection of the pool.
    ///
    /// It's [`get`](Self::get) and [`Connection::transaction`], which says what the body must not
    /// do.
    ///
    /// # Errors
    ///
    /// What `body` returned, or else what [`get`](Self::get) and [`Connection::transaction`] give.
    ///
    /// # Cancel safety
    ///
    /// As [`Connection::transaction`].
    pub async fn transaction<T, E, F>(&self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        self.get().await?.transaction(body).await
    }

    /// Makes one round trip to the server, on a connection of the pool.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), or [`Error::OutcomeUnknown`] if the connection is lost.
    ///
    /// # Cancel safety
    ///
    /// Harmless.
    pub async fn ping(&self) -> Result<()> {
        self.get().await?.ping().await
    }

    /// The pool's figures, for metrics.
    pub fn state(&self) -> State {
        let Inner {
            pool, shared, max, ..
        } = &*self.pool;
        let closed = shared.closing.is_cancelled();
        let bb8::State {
            connections,
            idle_connections,
            ..
        } = pool.state();
        // What lies idle there has no socket any more.
        let is_over = closed || shared.runtime.has_ended();
        let idle = if is_over { 0 } else { idle_connections };
        let in_use = connections.saturating_sub(idle_connections);
        State {
            connections: idle + in_use,
            idle,
            in_use,
            waiting: shared.waiting.load(Ordering::Relaxed),
            max: *max,
            closed,
        }
    }

    /// The runtime in which the database was connected, for tasks that must last as long as it.
    pub fn runtime(&self) -> &Handle {
        self.pool.shared.runtime.handle()
    }

    /// Makes a handle to the same pool that names another schema, as for the tables of a tenant.
    ///
    /// What is given this handle has its tables in that schema: the [`Migrations`](crate::Migrations) that it applies,
    /// the statements made for [`Migrations::schema`](crate::Migrations::schema), and a `PostgresCheckpointer`. Statements name
    /// their schema, so connections and what is prepared there are shared by all schemas, in both
    /// pool modes. Nothing is sent: the schema is made by the first set of migrations that is
    /// applied.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaName`] if no schema can have this name.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use db::{Database, Migration, Migrations, Statement, Type};
    ///
    /// const SHOP: Migrations = Migrations::new(
    ///     "shop",
    ///     &[Migration {
    ///         number: 1,
    ///         name: "orders",
    ///         sql: "CREATE TABLE {schema}.orders (id bigint PRIMARY KEY, item text NOT NULL);",
    ///     }],
    /// );
    ///
    /// # async fn example(database: &Database) -> db::Result<()> {
    /// for tenant in ["acme", "globex"] {
    ///     let database = database.in_schema(tenant)?;
    ///     SHOP.apply(&database).await?;
    ///     let insert = Statement::in_schema(
    ///         "INSERT INTO {schema}.orders (id, item) VALUES ($1, $2)",
    ///         vec![Type::INT8, Type::TEXT],
    ///         SHOP.schema(&database),
    ///     );
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_schema(&self, schema: &str) -> Result<Self> {
        if !settings::is_schema_name(schema) {
            let schema = schema.to_owned();
            return Err(Error::SchemaName { schema });
        }
        Ok(Self {
            pool: Arc::clone(&self.pool),
            schema: Some(Arc::from(schema)),
        })
    }

    /// The schema that [`in_schema`](Self::in_schema) or else the settings name, if they name one.
    ///
    /// [`Migrations::schema`](crate::Migrations::schema) says where the tables of a set are.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Whether a connection lasts for a session or for a transaction.
    pub fn pool_mode(&self) -> PoolMode {
        self.pool.shared.mode
    }

    /// How many connections the pool opens at most.
    pub fn pool_max(&self) -> u32 {
        self.pool.max
    }

    /// How the settings want failures to be retried that may pass: what [`retry`](Self::retry)
    /// keeps to. Nothing is repeated without it.
    pub fn retries(&self) -> Retries {
        self.pool.retries
    }

    /// The server's version as one number: 150018 is 15.18.
    pub fn server_version(&self) -> u32 {
        self.pool.server.version
    }

    /// The database's encoding, such as `UTF8`.
    pub fn server_encoding(&self) -> &str {
        &self.pool.server.encoding
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.pool.shared
    }

    /// Whether both are handles to the same pool.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    fn timed_out(&self, waited: Duration) -> Error {
        let State {
            in_use,
            connections,
            max,
            ..
        } = self.state();
        if connections >= max {
            return Error::AcquireTimeout {
                in_use,
                by_caller: self.pool.shared.meter.in_use_by_caller(),
                max,
                waited,
            };
        }
        match &*self.pool.shared.failure.borrow() {
            Some(source) => Error::Unreachable {
                waited,
                source: Arc::clone(source),
            },
            None => Error::Connecting { waited },
        }
    }

    /// Waits until there is no connection, nor any point in waiting for one.
    async fn hopeless(&self) -> Arc<Error> {
        let mut failure = self.pool.shared.failure.subscribe();
        let is_hopeless = |failure: &Option<Arc<Error>>| {
            failure.as_ref().is_some_and(|error| !error.is_transient())
                && self.pool.pool.state().connections == 0
        };
        if let Ok(failure) = failure.wait_for(is_hopeless).await
            && let Some(failure) = &*failure
        {
            return Arc::clone(failure);
        }
        pending().await
    }
}

impl Drop for Inner {
    /// Without a handle no caller waits for connections: those that are returned are closed with
    /// the pool, and no new one is opened.
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("schema", &self.schema)
            .field("pool_mode", &self.pool.shared.mode)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
