//! The checkpointer that keeps its state in PostgreSQL.

mod cache;
mod call;
mod chunk;
mod copy;
mod cut;
mod decode;
mod delete;
mod encode;
mod history;
#[cfg(feature = "internals")]
pub mod internals;
mod jsonb;
mod lanes;
mod lease;
mod list;
mod look;
mod memo;
mod meter;
mod options;
mod order;
mod prune;
mod put;
mod put_writes;
mod read;
mod retry;
mod sql;
mod standby;
mod threads;

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use db::{Database, Migration, Migrations};
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lease::MAX_TTL;
use crate::{
    AcquireLease, ChannelHistory, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple,
    Checkpointer, DeleteThread, Error, GetChannelHistory, GetTuple, Lease, List, ListThreads,
    Prune, Put, PutWrites, Result, ThreadId, ThreadInfo,
};
use cache::Cache;
use call::{Call, call};
use lanes::{Begun, Lanes};
use memo::Memo;
use options::Retention;
pub use options::{Durability, Options};
use order::Order;
use sql::Sql;
use standby::Standby;

/// The tables, as numbered steps.
const MIGRATIONS: Migrations = Migrations::new(
    "checkpointer",
    &[
        Migration {
            number: 1,
            name: "checkpoints",
            sql: include_str!("../migrations/0001_checkpoints.sql"),
        },
        Migration {
            number: 2,
            name: "leases",
            sql: include_str!("../migrations/0002_leases.sql"),
        },
        Migration {
            number: 3,
            name: "lz4",
            sql: include_str!("../migrations/0003_lz4.sql"),
        },
    ],
);

/// The oldest PostgreSQL whose features the tables use.
const MIN_SERVER_VERSION: u32 = 140_000;

/// Keeps agent graph state in PostgreSQL.
///
/// It is a cheap handle: clones share the pool and what is known of the threads. A put, and the
/// writes of a task, are one statement in one round trip, or a part of one if others wait at the
/// same moment; a thread that isn't known yet may take a look first, and a put repeated under its
/// parent takes three round trips. Deleting, pruning and copying take a transaction per thread.
///
/// What a call did is durable when it returns ([`Options`] can change that). If its future is
/// dropped, what was sent goes on to its end for the thread under way, but for
/// [`set_thread_metadata`](Checkpointer::set_thread_metadata) and the calls that take, renew and
/// release leases; a put or pending write whose thread turns out to have changed isn't sent again.
///
/// A transient failure (a lost connection, a server that starts again) is retried before it is
/// reported, for as long as [`Database::retries`](db::Database::retries) says, and for 5 seconds
/// more at most once a close has begun.
///
/// # Examples
///
/// ```no_run
/// use checkpointer::{Checkpoint, CheckpointId, Checkpointer, Metadata, PostgresCheckpointer, Put, Source, ThreadId};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let database = db::Database::connect(&settings::Settings::load()?).await?;
/// let checkpointer = PostgresCheckpointer::setup(database).await?;
///
/// let thread_id = ThreadId::new("support-4711")?;
/// let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
/// checkpoint.channel_values.insert("question".into(), "Where is my order?".into());
/// let stored = checkpointer
///     .put(Put::new(&thread_id, &checkpoint, &Metadata::new(Source::Input, -1)))
///     .await?;
/// println!("stored {}", stored.checkpoint_id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresCheckpointer {
    inner: Arc<Inner>,
    standby: Option<Arc<Standby>>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    sql: Sql,
    cache: Cache,
    memo: Memo,
    order: Order,
    lanes: Lanes,
    retention: Retention,
    closing: CancellationToken,
    under_way: TaskTracker,
}

impl PostgresCheckpointer {
    /// Makes or migrates the tables, in the schema of the settings, and uses them.
    ///
    /// Many programs may start at once. The role needs the right to create tables; where it must
    /// not have it, apply [`PostgresCheckpointer::migrations`] by other means and use
    /// [`PostgresCheckpointer::open`].
    ///
    /// # Errors
    ///
    /// [`Error::UnsuitableDatabase`] if the server is older than PostgreSQL 14 or the database
    /// isn't UTF-8; [`Error::Database`] if the migrations can't be applied, or were applied by a
    /// newer program.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the tables are as before or migrated, never in between. Calling again is
    /// harmless.
    pub async fn setup(database: Database) -> Result<Self> {
        Options::default().setup(database).await
    }

    /// Uses tables that are there already, for a role without the right to make them.
    ///
    /// # Errors
    ///
    /// [`Error::UnsuitableDatabase`] as for [`setup`](Self::setup); [`Error::Database`] if the
    /// tables are missing or of another version.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    pub async fn open(database: Database) -> Result<Self> {
        Options::default().open(database).await
    }

    /// Returns the migrations, for people who apply them by hand.
    pub fn migrations() -> &'static Migrations {
        &MIGRATIONS
    }

    /// Returns a handle to the same checkpointer that reads from a standby what may be a moment
    /// old: [`list`](Checkpointer::list), [`threads`](Checkpointer::threads), and
    /// [`get_tuple`](Checkpointer::get_tuple) where it names a checkpoint.
    ///
    /// It is for those who look at threads, and takes that work off the primary. A standby is
    /// behind by moments, or by as much as replication is:
    ///
    /// - A list lacks what was put last, and still has what was deleted or pruned last.
    /// - A checkpoint that isn't there yet is read from the primary. One that is there is as it was
    ///   put, but its pending writes may lack the last ones. A run that resumes from it might do a
    ///   task again whose output is stored: resume with a handle that doesn't read from the
    ///   standby.
    /// - Everything else goes to the primary, such as reading a head, and every write.
    ///
    /// A standby that can't be read from is logged once, and the primary is asked instead. For a
    /// while reads pass it over, then one tries it again. A read that is cancelled there because it
    /// is in the way of replication is sent again. The standby has the tables in the schema of this
    /// checkpointer; nothing is checked when the handle is made.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use checkpointer::PostgresCheckpointer;
    /// use settings::Settings;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let hosts = "postgres://agents@db1,db2/agents";
    /// let primary = Settings::from_url(&format!("{hosts}?target_session_attrs=read-write"))?;
    /// let standby = Settings::from_url(&format!("{hosts}?target_session_attrs=prefer-standby"))?;
    ///
    /// let primary = db::Database::connect(&primary).await?;
    /// let checkpointer = PostgresCheckpointer::setup(primary).await?;
    /// let for_the_web_page = checkpointer.read_from(db::Database::connect(&standby).await?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn read_from(&self, standby: Database) -> Self {
        Self {
            standby: Some(Arc::new(Standby::new(standby))),
            ..self.clone()
        }
    }

    /// Runs a call, unless it comes after a close. Pinned, its work takes its room once, and not in
    /// each future that it is handed on to.
    async fn run<T>(
        &self,
        call: Call,
        work: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let work = async {
            let _begun = self.inner.begin()?;
            work.await
        };
        call.run(work).await
    }

    fn new(database: Database, options: &Options) -> Self {
        meter::describe();
        let sql = Sql::new(database.schema(), options.commit());
        let lanes = match options.shares_transactions() {
            true => Lanes::new(database.state().max),
            false => Lanes::none(),
        };
        let (chunk_bytes, value_bytes) = options.cache_shares();
        let retention = options.retention(database.retries().timeout);
        Self {
            inner: Arc::new(Inner {
                database,
                sql,
                cache: Cache::new(chunk_bytes),
                memo: Memo::new(value_bytes),
                order: Order::default(),
                lanes,
                retention,
                closing: CancellationToken::new(),
                under_way: TaskTracker::new(),
            }),
            standby: None,
        }
    }
}

#[async_trait]
impl Checkpointer for PostgresCheckpointer {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        let call = call!(
            "put",
            thread_id = put.thread_id.as_str(),
            checkpoint_ns = put.checkpoint_ns.as_str(),
            checkpoint_id = put.checkpoint.id.as_str(),
        );
        self.run(call, pin!(self.inner.put(put))).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        let address = writes.address;
        let call = call!(
            "put_writes",
            thread_id = address.thread_id.as_str(),
            checkpoint_ns = address.checkpoint_ns.as_str(),
            checkpoint_id = address.checkpoint_id.as_str(),
        );
        self.run(call, pin!(self.inner.put_writes(writes))).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        let call = call!(
            "get_tuple",
            thread_id = query.thread_id.as_str(),
            checkpoint_ns = query.checkpoint_ns.as_str(),
            checkpoint_id = query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        );
        let standby = self.standby.as_deref();
        self.run(call, pin!(self.inner.get_tuple(query, standby)))
            .await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        let call = call!(
            "list",
            thread_id = query.thread_id.as_ref().map(ThreadId::as_str),
            checkpoint_ns = query.checkpoint_ns.as_ref().map(CheckpointNs::as_str),
            checkpoint_id = query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        );
        let (inner, standby) = (Arc::clone(&self.inner), self.standby.clone());
        call.stream(list::pages(inner, standby, query))
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        let call = call!("delete_thread", thread_id = delete.thread_id.as_str());
        self.run(call, pin!(self.inner.delete_thread(delete))).await
    }

    async fn delete_for_runs(&self, run_ids: &[String]) -> Result<()> {
        let call = call!("delete_for_runs", runs = run_ids.len());
        self.run(call, pin!(self.inner.delete_for_runs(run_ids)))
            .await
    }

    async fn copy_thread(&self, source: &ThreadId, target: &ThreadId) -> Result<()> {
        let call = call!(
            "copy_thread",
            thread_id = source.as_str(),
            target_thread_id = target.as_str(),
        );
        self.run(call, pin!(self.inner.copy_thread(source, target)))
            .await
    }

    async fn prune(&self, prune: Prune) -> Result<()> {
        let call = call!("prune", threads = prune.thread_ids.len());
        self.run(call, pin!(self.inner.prune(prune))).await
    }

    async fn channel_history(
        &self,
        query: GetChannelHistory,
    ) -> Result<BTreeMap<String, ChannelHistory>> {
        let target = &query.target;
        let call = call!(
            "channel_history",
            thread_id = target.thread_id.as_str(),
            checkpoint_ns = target.checkpoint_ns.as_str(),
            checkpoint_id = target.checkpoint_id.as_ref().map(CheckpointId::as_str),
        );
        self.run(call, pin!(self.inner.channel_history(query)))
            .await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        let (inner, standby) = (Arc::clone(&self.inner), self.standby.clone());
        call!("threads").stream(threads::pages(inner, standby, query))
    }

    async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        let call = call!("set_thread_metadata", thread_id = thread_id.as_str());
        let work = self.inner.set_thread_metadata(thread_id, metadata);
        self.run(call, pin!(work)).await
    }

    async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let call = call!("acquire_lease", thread_id = acquire.thread_id.as_str());
        self.run(call, pin!(self.inner.acquire_lease(acquire)))
            .await
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let call = call!("renew_lease", thread_id = lease.thread_id.as_str());
        self.run(call, pin!(self.inner.renew_lease(lease, ttl)))
            .await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let call = call!("release_lease", thread_id = lease.thread_id.as_str());
        self.run(call, pin!(self.inner.release_lease(lease))).await
    }

    async fn close(&self) -> Result<()> {
        let close = async {
            self.inner.closing.cancel();
            self.inner.under_way.close();
            self.inner.lanes.hand_over();
            self.inner.under_way.wait().await;
            self.inner.lanes.failures()
        };
        call!("close").run(close).await
    }
}

impl Inner {
    /// Begins a call, unless it comes after a close.
    fn begin(&self) -> Result<Begun<'_>> {
        self.check_open()?;
        Ok(self.lanes.begin())
    }

    /// Refuses a call after `close`.
    fn check_open(&self) -> Result<()> {
        if self.closing.is_cancelled() {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Sees a write through that `close` then waits for, unless the close came first.
    fn see_through<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        // Before the look: a close in between waits for this write, or is seen here.
        let _under_way = self.under_way.token();
        self.check_open()?;
        Ok(self.under_way.spawn(write))
    }

    /// Runs a write to its end, even if the caller is dropped: until then it keeps its turn.
    async fn finish<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let call = Call::current();
        let write = async move { Call::work_for(call.as_ref(), write).await };
        match self.see_through(write)?.await {
            Ok(outcome) => outcome,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Err(Error::Closed),
            },
        }
    }
}

fn check_server(database: &Database) -> Result<()> {
    let version = database.server_version();
    if version < MIN_SERVER_VERSION {
        return Err(Error::UnsuitableDatabase {
            reason: format!(
                "the server is PostgreSQL {}, at least 14 is needed",
                version / 10_000
            ),
        });
    }
    let encoding = database.server_encoding();
    if encoding != "UTF8" {
        return Err(Error::UnsuitableDatabase {
            reason: format!(
                "its encoding is {encoding}; make one with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
            ),
        });
    }
    Ok(())
}

/// A duration as SQL gets it, cut to what no timestamp is too early or too late for.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(MAX_TTL).as_micros()).unwrap_or(i64::MAX)
}
