//! The checkpointer that keeps its state in PostgreSQL.

// Each file takes from those that follow, and nothing from those before it. Within a group files
// don't know each other.

// What the micro-benchmarks measure.
#[cfg(feature = "internals")]
pub mod internals;

// A verification reads as the operations do, and a repair writes as they do.
mod verify;

// The operations: what each call does, step by step.
mod copy;
mod history;
mod lease;
mod list;
mod prune;
mod put;
mod put_writes;
mod set_pinned;
mod size;
mod threads;
mod watch;

// A put that appends may have to read first.
mod read_lists;

// A put that outlives its caller.
mod owned_put;

// What a look means for a put.
mod verdict;

// A put may change it.
mod thread_metadata;

// A prune may delete whole threads, and both sweep.
mod delete;

mod sweep;

// What a write stands on.
mod basis;

// The ways of a write to the server.
mod delivery;

// What all operations share.
mod engine;

mod options;

// The task that looks for new heads.
mod watching;

// How writes are delivered.
mod lanes;

mod order;

// Many writes as one statement.
mod batch;

// What a write is, and how it is sent by itself.
mod outgoing;

// Questions that several operations ask.
mod look;
mod tables;

// Reading checkpoints.
mod get_tuple;

mod read;
mod standby;

// Asking the server: again after a failure, or within a transaction of the caller's.
mod retry;
mod within;

// What speaks to the server.
mod store;

// The statements, and what is remembered of their answers.
mod sql;
mod stored_chunks;

mod refusal;
mod view;

// Values on their way to the server and back.
mod decode;
mod last_values;
mod lists;

mod last_reads;

mod by_bytes;
mod encode;

mod cut;

mod chunk;
mod wire;

// How a call is seen from outside.
mod call;

mod meter;

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use db::{Database, Migrations};
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::{
    AcquireLease, ChannelHistory, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple,
    Checkpointer, DeleteThread, GetChannelHistory, GetTuple, HeadChange, Lease, List, ListThreads,
    OpenTransaction, Prune, Put, PutWrites, Removed, Result, Retention, RetentionWorker,
    SchemaSize, ThreadId, ThreadInfo, ThreadSize, VerifiedThread, Verify, Watch,
};
use call::{Call, call};
use engine::Engine;
use lanes::Lanes;
use last_values::LastValues;
pub use options::{Durability, PostgresOptions};
use order::Order;
use sql::Sql;
use standby::Standby;
use store::Store;
use tables::MIGRATIONS;
use watching::Watching;

/// Keeps agent graph state in PostgreSQL.
///
/// It is a cheap handle: clones share the pool and what is known of the threads. A put, or the
/// pending writes of a task, are one statement in one round trip, or a part of a statement if
/// others wait at the same moment. A thread that isn't known yet may take a look first, and a put
/// repeated under its parent takes three round trips. Deleting, pruning and copying take a
/// transaction per thread.
///
/// What a call did is durable when it returns ([`PostgresOptions`] can change that). If its future
/// is dropped, what was sent for the thread under way goes on to its end. Two exceptions:
/// [`set_thread_metadata`](Checkpointer::set_thread_metadata), [`set_pinned`](Checkpointer::set_pinned)
/// and the calls that acquire and renew leases stop; and a put or pending write whose thread turns out
/// to have changed isn't sent again.
///
/// A transient failure (a lost connection, a server that starts again) is retried before it is
/// reported, for as long as [`Database::retries`](db::Database::retries) says, and for 5 seconds
/// more at most once a close has begun.
///
/// # Runtimes
///
/// Calls may come from any number of Tokio runtimes. Writes that go on without their callers do so
/// on the runtime in which the [`Database`] was connected, so a runtime that ends takes none with
/// it. Once the database's runtime has ended, calls fail at once: connect in the runtime that ends
/// last.
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
/// checkpoint.channel_values.insert("question", "Where is my order?".into());
/// let stored = checkpointer
///     .put(Put::new(&thread_id, &checkpoint, &Metadata::new(Source::Input, -1)))
///     .await?;
/// println!("stored {}", stored.checkpoint_id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresCheckpointer {
    engine: Arc<Engine>,
    standby: Option<Arc<Standby>>,
}

impl PostgresCheckpointer {
    /// Makes or migrates the tables, and uses them. They are in the
    /// [schema](db::Database::in_schema) of the database's handle, or else in `checkpointer`.
    ///
    /// Many programs may start at once. The role needs the right to create tables; where it must
    /// not have it, apply [`PostgresCheckpointer::migrations`] by other means and use
    /// [`PostgresCheckpointer::open`].
    ///
    /// # Errors
    ///
    /// [`UnsuitableDatabase`](crate::Error::UnsuitableDatabase) if the server is older than
    /// PostgreSQL 14 or the database isn't UTF-8; [`Database`](crate::Error::Database) if the
    /// migrations can't be applied, or were applied by a newer program.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the tables are as before or migrated, never in between. Calling again is
    /// harmless.
    pub async fn setup(database: Database) -> Result<Self> {
        PostgresOptions::default().setup(database).await
    }

    /// Uses tables that are there already, for a role without the right to make them.
    ///
    /// # Errors
    ///
    /// [`UnsuitableDatabase`](crate::Error::UnsuitableDatabase) as for [`setup`](Self::setup);
    /// [`Database`](crate::Error::Database) if the tables are missing or of another version.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    pub async fn open(database: Database) -> Result<Self> {
        PostgresOptions::default().open(database).await
    }

    /// Returns the migrations, for people who apply them by hand.
    pub fn migrations() -> &'static Migrations {
        &MIGRATIONS
    }

    /// Returns a handle to the same checkpointer that reads from a standby what may be a moment
    /// old: [`list`](Checkpointer::list), [`threads`](Checkpointer::threads), and
    /// [`get_tuple`](Checkpointer::get_tuple) where it names a checkpoint.
    ///
    /// It is for programs that show threads, and takes that work off the primary. A standby is
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

    /// Returns the database that it was made with.
    pub fn database(&self) -> &Database {
        &self.engine.store.database
    }

    /// Makes a worker that applies policies to all threads, and ends when the database is closed.
    pub fn retention(&self, policies: impl IntoIterator<Item = Retention>) -> RetentionWorker {
        let worker = RetentionWorker::new(Arc::new(self.clone()), policies);
        worker.closed_by(self.engine.store.closing.clone())
    }

    /// Measures the tables of the schema, and sets the gauges `checkpointer_table_bytes` and
    /// `checkpointer_table_rows`, each with the label `table`. The server looks at its files and
    /// statistics, and reads no row: a program may call it every minute.
    ///
    /// # Errors
    ///
    /// [`Error::Database`](crate::Error::Database) if the server can't say.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    pub async fn schema_size(&self) -> Result<SchemaSize> {
        self.run(call!("schema_size"), pin!(self.engine.schema_size()))
            .await
    }

    /// Runs a call, unless it comes after a close. The work is pinned, so that its future is stored
    /// once, and not in each future that passes it on.
    async fn run<T>(
        &self,
        call: Call,
        work: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let work = async {
            let _begun = self.engine.begin()?;
            work.await
        };
        call.run(work).await
    }

    /// Runs a call that moves heads.
    async fn run_and_stir<T>(
        &self,
        call: Call,
        work: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let outcome = self.run(call, work).await;
        self.engine.watching.watchers.stir();
        outcome
    }

    fn new(store: Arc<Store>, options: &PostgresOptions) -> Self {
        let grace = options.grace(store.database.retries().timeout);
        let lanes = match options.shares_transactions() {
            true => Lanes::new(Arc::clone(&store)),
            false => Lanes::none(Arc::clone(&store)),
        };
        let shares = options.cache_shares();
        let database = &store.database;
        database.before_close(&lanes, |lanes| async move { Ok(lanes.close().await?) });
        Self {
            engine: Arc::new(Engine {
                store,
                lanes,
                order: Order::default(),
                last_values: LastValues::new(shares.values),
                grace,
                forgets_deleted: options.are_deleted_threads_forgotten(),
                watching: Watching::new(options.interval_of_looks()),
            }),
            standby: None,
        }
    }
}

impl PostgresOptions {
    /// Makes or migrates the tables, and uses them: [`PostgresCheckpointer::setup`] with options.
    ///
    /// # Errors
    ///
    /// As [`PostgresCheckpointer::setup`].
    ///
    /// # Cancel safety
    ///
    /// As [`PostgresCheckpointer::setup`].
    pub async fn setup(self, database: Database) -> Result<PostgresCheckpointer> {
        let store = self.store(database)?;
        store.migrate().await?;
        Ok(PostgresCheckpointer::new(store, &self))
    }

    /// Uses tables that are there already: [`PostgresCheckpointer::open`] with options.
    ///
    /// # Errors
    ///
    /// As [`PostgresCheckpointer::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`PostgresCheckpointer::open`].
    pub async fn open(self, database: Database) -> Result<PostgresCheckpointer> {
        let store = self.store(database)?;
        store.verify().await?;
        Ok(PostgresCheckpointer::new(store, &self))
    }

    fn store(&self, database: Database) -> Result<Arc<Store>> {
        tables::check_server(&database)?;
        meter::describe();
        let sql = Sql::new(MIGRATIONS.schema(&database), self.writing());
        Ok(Store::new(database, sql, &self.cache_shares()))
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
        self.run_and_stir(call, pin!(self.engine.put(put))).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        let address = writes.address;
        let call = call!(
            "put_writes",
            thread_id = address.thread_id.as_str(),
            checkpoint_ns = address.checkpoint_ns.as_str(),
            checkpoint_id = address.checkpoint_id.as_str(),
        );
        self.run(call, pin!(self.engine.put_writes(writes))).await
    }

    async fn put_within(
        &self,
        transaction: OpenTransaction<'_>,
        put: Put<'_>,
    ) -> Result<CheckpointAddress> {
        let call = call!(
            "put_within",
            thread_id = put.thread_id.as_str(),
            checkpoint_ns = put.checkpoint_ns.as_str(),
            checkpoint_id = put.checkpoint.id.as_str(),
        );
        let work = self.engine.put_within(transaction, put);
        let address = self.run(call, pin!(work)).await?;
        let watchers = Arc::clone(&self.engine.watching.watchers);
        transaction.after_commit(move || watchers.stir());
        Ok(address)
    }

    async fn put_writes_within(
        &self,
        transaction: OpenTransaction<'_>,
        writes: PutWrites<'_>,
    ) -> Result<()> {
        let address = writes.address;
        let call = call!(
            "put_writes_within",
            thread_id = address.thread_id.as_str(),
            checkpoint_ns = address.checkpoint_ns.as_str(),
            checkpoint_id = address.checkpoint_id.as_str(),
        );
        let work = self.engine.put_writes_within(transaction, writes);
        self.run(call, pin!(work)).await
    }

    async fn get_tuple_within(
        &self,
        transaction: OpenTransaction<'_>,
        query: GetTuple,
    ) -> Result<Option<CheckpointTuple>> {
        let call = call!(
            "get_tuple_within",
            thread_id = query.thread_id.as_str(),
            checkpoint_ns = query.checkpoint_ns.as_str(),
            checkpoint_id = query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        );
        let work = async { self.engine.within(transaction)?.get_tuple(&query).await };
        self.run(call, pin!(work)).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        let call = call!(
            "get_tuple",
            thread_id = query.thread_id.as_str(),
            checkpoint_ns = query.checkpoint_ns.as_str(),
            checkpoint_id = query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        );
        let standby = self.standby.as_deref();
        self.run(call, pin!(self.engine.store.get_tuple(&query, standby)))
            .await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        let call = call!(
            "list",
            thread_id = query.thread_id.as_ref().map(ThreadId::as_str),
            checkpoint_ns = query.checkpoint_ns.as_ref().map(CheckpointNs::as_str),
            checkpoint_id = query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        );
        let (engine, standby) = (Arc::clone(&self.engine), self.standby.clone());
        call.stream(list::pages(engine, standby, query))
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        let call = call!("delete_thread", thread_id = delete.thread_id.as_str());
        self.run_and_stir(call, pin!(self.engine.delete_thread(delete)))
            .await
            .map(drop)
    }

    async fn delete_for_runs(&self, run_ids: &[String]) -> Result<Removed> {
        let call = call!("delete_for_runs", runs = run_ids.len());
        self.run_and_stir(call, pin!(self.engine.delete_for_runs(run_ids)))
            .await
    }

    async fn copy_thread(&self, source: &ThreadId, target: &ThreadId) -> Result<()> {
        let call = call!(
            "copy_thread",
            thread_id = source.as_str(),
            target_thread_id = target.as_str(),
        );
        self.run_and_stir(call, pin!(self.engine.copy_thread(source, target)))
            .await
    }

    async fn prune(&self, prune: Prune) -> Result<Removed> {
        let threads = prune.thread_ids.as_ref().map(Vec::len);
        let call = call!("prune", threads = threads, dry_run = prune.dry_run);
        self.run_and_stir(call, pin!(self.engine.prune(prune)))
            .await
    }

    async fn set_pinned(&self, address: &CheckpointAddress, pinned: bool) -> Result<()> {
        let call = call!(
            "set_pinned",
            thread_id = address.thread_id.as_str(),
            checkpoint_ns = address.checkpoint_ns.as_str(),
            checkpoint_id = address.checkpoint_id.as_str(),
        );
        self.run(call, pin!(self.engine.set_pinned(address, pinned)))
            .await
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
        self.run(call, pin!(self.engine.channel_history(query)))
            .await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        let (engine, standby) = (Arc::clone(&self.engine), self.standby.clone());
        call!("threads").stream(threads::pages(engine, standby, query))
    }

    async fn thread_info(&self, thread_id: &ThreadId) -> Result<Option<ThreadInfo>> {
        let call = call!("thread_info", thread_id = thread_id.as_str());
        self.run(call, pin!(self.engine.thread_info(thread_id)))
            .await
    }

    async fn thread_size(&self, thread_id: &ThreadId) -> Result<Option<ThreadSize>> {
        let call = call!("thread_size", thread_id = thread_id.as_str());
        self.run(call, pin!(self.engine.thread_size(thread_id)))
            .await
    }

    fn verify(&self, verify: Verify) -> BoxStream<'static, Result<VerifiedThread>> {
        let call = call!(
            "verify",
            thread_id = verify.thread_id.as_ref().map(ThreadId::as_str),
            repair = verify.repair,
        );
        call.stream(verify::threads(Arc::clone(&self.engine), verify))
    }

    async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        let call = call!("set_thread_metadata", thread_id = thread_id.as_str());
        let work = self.engine.set_thread_metadata(thread_id, metadata);
        self.run(call, pin!(work)).await
    }

    async fn update_thread_metadata(
        &self,
        thread_id: &ThreadId,
        changes: Map<String, Value>,
    ) -> Result<()> {
        let call = call!("update_thread_metadata", thread_id = thread_id.as_str());
        let work = self.engine.update_thread_metadata(thread_id, changes);
        self.run(call, pin!(work)).await
    }

    async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let call = call!("acquire_lease", thread_id = acquire.thread_id.as_str());
        self.run(call, pin!(self.engine.acquire_lease(acquire)))
            .await
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let call = call!("renew_lease", thread_id = lease.thread_id.as_str());
        self.run(call, pin!(self.engine.renew_lease(lease, ttl)))
            .await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let call = call!("release_lease", thread_id = lease.thread_id.as_str());
        self.run(call, pin!(self.engine.release_lease(lease))).await
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        let call = call!(
            "watch",
            thread_id = watch.thread_id.as_ref().map(ThreadId::as_str),
            checkpoint_ns = watch.checkpoint_ns.as_ref().map(CheckpointNs::as_str),
        );
        self.run(call, pin!(self.engine.watch(watch))).await
    }

    fn runtime(&self) -> Option<Handle> {
        Some(self.engine.store.runtime().clone())
    }

    async fn close(&self) -> Result<()> {
        call!("close").run(self.engine.lanes.close()).await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        None
    }
}
