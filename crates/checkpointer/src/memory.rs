//! Checkpoints in the memory of this process.

mod check;
mod clock;
mod containment;
mod faults;
mod lease;
mod limit;
mod locks;
mod prune;
mod size;
mod thread;
mod transaction;
mod verify;
mod watch;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde_json::{Map, Value};

use crate::watchers::Watchers;
use crate::{
    AcquireLease, ChannelHistory, ChannelValues, CheckpointAddress, CheckpointNs, CheckpointTuple,
    Checkpointer, DeleteThread, DeletedThreads, Error, ExpectedHead, Generation, GetChannelHistory,
    GetTuple, HeadChange, Lease, List, ListThreads, OpenTransaction, Prune, Put, PutWrites,
    Removed, Result, TaskOutputs, ThreadId, ThreadInfo, ThreadOrder, ThreadSize, VerifiedThread,
    Verify, Watch,
};
use clock::Clock;
use containment::contains_map;
use faults::Faults;
pub use faults::{Fault, FaultyCall};
use lease::Leased;
use locks::Locks;
use prune::Rounds;
use thread::{Namespace, Thread};
pub use transaction::MemoryTransaction;

/// A checkpointer for tests and prototypes: it behaves like the one on PostgreSQL, keeps everything
/// in memory, and forgets it with the last clone.
///
/// A clone shares the store. Deleted threads are remembered as long as the store lives.
///
/// # Examples
///
/// ```
/// use checkpointer::{
///     Checkpoint, CheckpointId, Checkpointer, GetTuple, MemoryCheckpointer, Metadata, Put, Source,
///     ThreadId,
/// };
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let checkpointer = MemoryCheckpointer::new();
/// let thread_id = ThreadId::new("support-4711")?;
/// let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
/// checkpoint.channel_values.insert("draft", "Dear customer".into());
/// let metadata = Metadata::new(Source::Input, -1);
/// checkpointer.put(Put::new(&thread_id, &checkpoint, &metadata)).await?;
///
/// let head = checkpointer.get_tuple(GetTuple::head(thread_id)?).await?;
/// assert_eq!(head.map(|head| head.checkpoint), Some(checkpoint));
/// # Ok::<(), checkpointer::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryCheckpointer {
    store: Arc<Mutex<Store>>,
}

#[derive(Default)]
struct Store {
    closed: bool,
    threads: BTreeMap<ThreadId, Thread>,
    /// The last time given out, in microseconds: no two changes have the same.
    last_change: u64,
    watchers: Arc<Watchers>,
    deleted_threads: DeletedThreads,
    task_outputs: TaskOutputs,
    max_thread_bytes: Option<u64>,
    rounds: Rounds,
    clock: Clock,
    faults: Faults,
    locks: Locks,
}

impl MemoryCheckpointer {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses what becomes of writes that come to a thread after its deletion, for all handles of the
    /// store. Defaults to [`DeletedThreads::Remembered`].
    #[must_use]
    pub fn deleted_threads(self, deleted_threads: DeletedThreads) -> Self {
        self.lock().deleted_threads = deleted_threads;
        self
    }

    /// Chooses which outputs of a task are stored, if it stores some twice, for all handles of the store.
    /// Defaults to [`TaskOutputs::OfFirstCall`].
    #[must_use]
    pub fn task_outputs(self, task_outputs: TaskOutputs) -> Self {
        self.lock().task_outputs = task_outputs;
        self
    }

    /// Limits how many bytes a thread may have, as [`ThreadSize::bytes`] counts them, for all handles of the
    /// store: a write that would make a thread larger fails with [`ThreadFull`](Error::ThreadFull). Defaults
    /// to no limit.
    #[must_use]
    pub fn max_thread_bytes(self, bytes: u64) -> Self {
        self.lock().max_thread_bytes = Some(bytes);
        self
    }

    /// Takes the time from `clock`, for all handles of the store, so that a test decides when a thread
    /// changed and when a lease is over. If the clock is set back, the store's time stands still. Defaults
    /// to the system's clock. It is asked while the store is locked, so it must not call the checkpointer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// use checkpointer::{AcquireLease, Checkpointer, Error, MemoryCheckpointer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// let seconds = Arc::new(AtomicU64::new(1_800_000_000));
    /// let now = Arc::clone(&seconds);
    /// let checkpointer = MemoryCheckpointer::new()
    ///     .clock(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)));
    ///
    /// let acquire = AcquireLease::new("support-4711", Duration::from_secs(30))?;
    /// checkpointer.acquire_lease(acquire.clone()).await?;
    /// let held = checkpointer.acquire_lease(acquire.clone()).await;
    /// assert!(matches!(held, Err(Error::LeaseHeld { .. })));
    ///
    /// seconds.fetch_add(31, Ordering::Relaxed);
    /// checkpointer.acquire_lease(acquire).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.lock().clock = Clock::new(clock);
        self
    }

    /// Checks a put, without holding up other calls.
    fn check(&self, put: &Put<'_>) -> Result<()> {
        let parent = self.lock().parent_values(put);
        check::put(put, &parent)
    }

    fn open(&self) -> Result<MutexGuard<'_, Store>> {
        let store = self.lock();
        if store.closed {
            return Err(Error::Closed);
        }
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // No call leaves the store half changed.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryCheckpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.lock().threads.len();
        f.debug_struct("MemoryCheckpointer")
            .field("threads", &threads)
            .finish_non_exhaustive()
    }
}

impl Store {
    fn now(&mut self) -> SystemTime {
        let now = self.clock.now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_micros() as u64);
        self.last_change = now.max(self.last_change + 1);
        UNIX_EPOCH + Duration::from_micros(self.last_change)
    }

    /// Refuses a write to a thread that another has a lease on.
    fn admit_lease(&mut self, thread_id: &ThreadId, lease: Option<&Lease>) -> Result<()> {
        let now = self.now();
        let leased = self.threads.get(thread_id).map(|thread| &thread.leased);
        leased
            .unwrap_or(&Leased::default())
            .admit(thread_id, lease, now)
    }

    fn acquire_lease(&mut self, acquire: AcquireLease) -> Result<Lease> {
        let thread_id = acquire.thread_id;
        if !acquire.force {
            self.admit_lease(&thread_id, None)?;
        }
        let now = self.now();
        let reserved = || Thread::reserved(now);
        let thread = self
            .threads
            .entry(thread_id.clone())
            .or_insert_with(reserved);
        Ok(thread.leased.acquire(thread_id, acquire.ttl, now))
    }

    fn renew_lease(&mut self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let now = self.now();
        match self.threads.get_mut(&lease.thread_id) {
            Some(thread) => thread.leased.renew(lease, ttl, now),
            None => Leased::default().renew(lease, ttl, now),
        }
    }

    /// Puts, unless the call is asked to fail.
    fn faulty_put(&mut self, put: &Put<'_>) -> Result<CheckpointAddress> {
        self.call(FaultyCall::Put, |store, fault| match fault {
            Some(_) => Err(store.conflict(put)),
            None => store.put(put),
        })
    }

    /// What a put is told that lost to another one.
    fn conflict(&self, put: &Put<'_>) -> Error {
        let thread = self.live(put.thread_id);
        let stored = thread.and_then(|thread| thread.namespaces.get(&*put.checkpoint_ns));
        Error::conflict(put, stored.and_then(|stored| stored.head.clone()))
    }

    /// The generation that a call is about, unless it is over.
    fn admit(
        &self,
        thread_id: &ThreadId,
        generation: Option<Generation>,
        starts_again: bool,
    ) -> Result<Generation> {
        let thread = self.threads.get(thread_id);
        let current = match thread.filter(|thread| !thread.is_reserved()) {
            Some(thread) if thread.deleted && !starts_again => None,
            Some(thread) => Some(thread.generation),
            // A call that has read a generation has read a thread that is forgotten since.
            None => generation.is_none().then_some(Generation(1)),
        };
        current
            .filter(|current| generation.is_none_or(|read| read == *current))
            .ok_or_else(|| Error::thread_deleted(thread_id))
    }

    fn live(&self, thread_id: &ThreadId) -> Option<&Thread> {
        let thread = self.threads.get(thread_id)?;
        (!thread.deleted).then_some(thread)
    }

    /// The thread in its generation, made or started again if there is none.
    fn live_or_new(
        &mut self,
        thread_id: &ThreadId,
        generation: Generation,
        now: SystemTime,
    ) -> &mut Thread {
        let new = || Thread::new(generation, now);
        let thread = self.threads.entry(thread_id.clone()).or_insert_with(new);
        if thread.deleted {
            let leased = std::mem::take(&mut thread.leased);
            *thread = Thread { leased, ..new() };
        }
        thread
    }

    /// The values of a put's parent; none if it isn't there.
    fn parent_values(&self, put: &Put<'_>) -> ChannelValues {
        let thread = self.live(put.thread_id);
        let stored = thread.and_then(|thread| thread.namespaces.get(&*put.checkpoint_ns));
        let values = stored.and_then(|stored| stored.values_at(put.parent?));
        values.cloned().unwrap_or_default()
    }

    /// Finds a guarded put that has been stored already, though its head and its lease are others
    /// by now.
    fn stored_before(&self, put: &Put<'_>) -> Option<CheckpointAddress> {
        let ExpectedHead::Is(expected) = &put.expected_head else {
            return None;
        };
        let thread = self.live(put.thread_id)?;
        let stored = thread.namespaces.get(&*put.checkpoint_ns)?;
        let is_of_this_life = put.generation.is_none_or(|read| read == thread.generation);
        let found = is_of_this_life && *expected != stored.head && stored.holds(put);
        found.then(|| address_of(put, thread.generation))
    }

    fn put(&mut self, put: &Put<'_>) -> Result<CheckpointAddress> {
        let admitted = self.admit_lease(put.thread_id, put.lease);
        if let Some(stored) = self.stored_before(put) {
            return Ok(stored);
        }
        admitted?;
        let (thread_id, ns) = (put.thread_id, &*put.checkpoint_ns);
        let forgets = self.deleted_threads.are_forgotten() && put.generation.is_none();
        let is_first = put.parent.is_none() && ns.is_root() && put.generation.is_none();
        let expects_none = !matches!(put.expected_head, ExpectedHead::Is(Some(_)));
        let generation = self.admit(
            thread_id,
            put.generation,
            (is_first || forgets) && expects_none,
        )?;
        let address = address_of(put, generation);

        let live = self.live(thread_id);
        if live.is_some_and(|thread| put.generation.is_none() && !forgets && !thread.may_hold(put))
        {
            let thread = self.threads.get_mut(thread_id);
            if let Some(stored) = thread.and_then(|thread| thread.namespaces.get_mut(ns)) {
                stored.drop_writes(&put.checkpoint.id);
            }
            return Err(Error::thread_deleted(thread_id));
        }
        let stored = live.and_then(|thread| thread.namespaces.get(ns));
        let head = stored.and_then(|stored| stored.head.as_ref());
        if let ExpectedHead::Is(expected) = &put.expected_head
            && expected.as_ref() != head
        {
            return Err(Error::conflict(put, head.cloned()));
        }
        let has_values = stored.is_some_and(|stored| stored.has_values_for(put));
        crate::check::parent(put, has_values)?;
        let lists = stored.map_or_else(
            || put.appended_values(None, None),
            |stored| stored.appended_values(put),
        )?;
        check::channels(thread_id, &lists)?;

        let now = self.now();
        let moved = self.change_within_limit(thread_id, |store| {
            let thread = store.live_or_new(thread_id, generation, now);
            if let Some(changes) = put.thread_metadata {
                thread.update_metadata(changes);
            }
            let namespace = thread.namespaces.entry(ns.clone()).or_default();
            namespace.put(put, lists, now)
        })?;
        if moved {
            self.watchers.tell(&HeadChange::Moved(address.clone()));
        }
        Ok(address)
    }

    /// A thread that can have metadata.
    fn thread_for_metadata(&mut self, thread_id: &ThreadId) -> Result<&mut Thread> {
        self.admit(thread_id, None, false)?;
        let thread = self.threads.get_mut(thread_id);
        let thread = thread.filter(|thread| !thread.is_reserved());
        thread.ok_or_else(|| Error::thread_not_found(thread_id))
    }

    fn put_writes(&mut self, put: &PutWrites<'_>) -> Result<()> {
        let address = put.address;
        self.admit_lease(&address.thread_id, put.lease)?;
        let forgets = self.deleted_threads.are_forgotten() && address.generation.is_none();
        let generation = self.admit(&address.thread_id, address.generation, forgets)?;
        let (now, task_outputs) = (self.now(), self.task_outputs);
        self.change_within_limit(&address.thread_id, |store| {
            let thread = store.live_or_new(&address.thread_id, generation, now);
            let ns = thread.namespaces.entry(address.checkpoint_ns.clone());
            ns.or_default().put_writes(put, task_outputs);
        })
    }

    /// The checkpoint that is asked for, the head if there is no id, and where it is stored.
    fn find(&self, query: &GetTuple) -> Option<(&Namespace, CheckpointAddress)> {
        let thread = self.live(&query.thread_id)?;
        let stored = thread.namespaces.get(&query.checkpoint_ns)?;
        let id = query.checkpoint_id.as_ref().or(stored.head.as_ref())?;
        let address = CheckpointAddress {
            thread_id: query.thread_id.clone(),
            checkpoint_ns: query.checkpoint_ns.clone(),
            checkpoint_id: id.clone(),
            generation: Some(thread.generation),
        };
        Some((stored, address))
    }

    fn get_tuple(&self, query: &GetTuple) -> Option<CheckpointTuple> {
        let (stored, address) = self.find(query)?;
        stored.tuple(address, &query.projection)
    }

    fn list(&self, query: &List) -> Vec<CheckpointTuple> {
        let mut found = Vec::new();
        let wants = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        for (thread_id, thread) in &self.threads {
            if !wants(
                query.thread_id.as_ref().map(ThreadId::as_str),
                thread_id.as_str(),
            ) {
                continue;
            }
            for (ns, stored) in &thread.namespaces {
                if !wants(
                    query.checkpoint_ns.as_ref().map(CheckpointNs::as_str),
                    ns.as_str(),
                ) {
                    continue;
                }
                for (id, checkpoint) in &stored.checkpoints {
                    let filter = query.filter.as_ref();
                    if query
                        .checkpoint_id
                        .as_ref()
                        .is_none_or(|wanted| wanted == id)
                        && query.before.as_ref().is_none_or(|before| id < before)
                        && filter
                            .is_none_or(|filter| contains_map(checkpoint.metadata.as_map(), filter))
                    {
                        let address = CheckpointAddress {
                            thread_id: thread_id.clone(),
                            checkpoint_ns: ns.clone(),
                            checkpoint_id: id.clone(),
                            generation: Some(thread.generation),
                        };
                        found.push((stored, address));
                    }
                }
            }
        }
        // By thread and namespace they are sorted already, and the sort is stable.
        found.sort_by(|(_, left), (_, right)| right.checkpoint_id.cmp(&left.checkpoint_id));
        found
            .into_iter()
            .take(query.limit.unwrap_or(usize::MAX))
            .filter_map(|(stored, address)| stored.tuple(address, &query.projection))
            .collect()
    }

    fn delete(&mut self, delete: &DeleteThread) -> Result<Removed> {
        let thread_id = &delete.thread_id;
        if self.live(thread_id).is_none() {
            return Ok(Removed::default());
        }
        self.admit_lease(thread_id, delete.lease.as_ref())?;
        self.admit(thread_id, delete.generation, false)?;
        let now = self.now();
        let Some(thread) = self.threads.get_mut(thread_id) else {
            return Ok(Removed::default());
        };
        let removed = thread.counts().of_thread();
        let deleted = HeadChange::deleted(thread_id, thread.generation);
        *thread = thread.tombstone(now);
        self.watchers.tell(&deleted);
        Ok(removed)
    }

    /// Removes some of a thread's checkpoints, and counts what is gone.
    fn remove_from<T>(
        &mut self,
        thread_id: &ThreadId,
        remove: impl FnOnce(&mut Thread) -> T,
    ) -> Option<(T, Removed)> {
        let thread = self.threads.get_mut(thread_id)?;
        let (before, heads) = (thread.counts(), thread.heads(thread_id));
        let outcome = remove(thread);
        let removed = before.less(&thread.counts());
        let moved = thread.heads(thread_id);
        let moved = moved.into_iter().filter(|head| !heads.contains(head));
        moved.for_each(|head| self.watchers.tell(&HeadChange::Moved(head)));
        Some((outcome, removed))
    }

    fn threads(&self, query: &ListThreads) -> Vec<ThreadInfo> {
        let live = self.threads.iter().filter(|(_, thread)| !thread.deleted);
        let mut found: Vec<ThreadInfo> = live
            .map(|(thread_id, thread)| thread.info(thread_id))
            .filter(|info| {
                let filter = query.filter.as_ref();
                filter.is_none_or(|filter| contains_map(&info.metadata, filter))
                    && query
                        .changed_before
                        .is_none_or(|time| info.updated_at < time)
                    && query
                        .changed_after
                        .is_none_or(|time| info.updated_at > time)
                    && query
                        .after
                        .as_ref()
                        .is_none_or(|last| in_order(query.order, last, info).is_lt())
            })
            .filter(|info| {
                let thread = &self.threads[&info.thread_id];
                let state = query.state.as_ref();
                state.is_none_or(|state| thread.state_contains(state))
            })
            .collect();
        found.sort_by(|left, right| in_order(query.order, left, right));
        found.truncate(query.limit.unwrap_or(usize::MAX));
        found
    }
}

/// Where a put is stored.
fn address_of(put: &Put<'_>, generation: Generation) -> CheckpointAddress {
    CheckpointAddress {
        thread_id: put.thread_id.clone(),
        checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
        checkpoint_id: put.checkpoint.id.clone(),
        generation: Some(generation),
    }
}

/// The order of threads by their last change.
fn in_order(order: ThreadOrder, left: &ThreadInfo, right: &ThreadInfo) -> Ordering {
    let by_change = match order {
        ThreadOrder::NewestFirst => right.updated_at.cmp(&left.updated_at),
        ThreadOrder::OldestFirst => left.updated_at.cmp(&right.updated_at),
    };
    by_change.then_with(|| left.thread_id.cmp(&right.thread_id))
}

#[async_trait]
impl Checkpointer for MemoryCheckpointer {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.check(&put)?;
        let mut store = self.open_to_write(put.thread_id, None).await?;
        store.faulty_put(&put)
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        check::put_writes(&writes)?;
        let thread_id = &writes.address.thread_id;
        let mut store = self.open_to_write(thread_id, None).await?;
        store.call(FaultyCall::PutWrites, |store, _| store.put_writes(&writes))
    }

    async fn put_within(
        &self,
        transaction: OpenTransaction<'_>,
        put: Put<'_>,
    ) -> Result<CheckpointAddress> {
        self.check(&put)?;
        let write = |store: &mut Store| store.faulty_put(&put);
        self.write_within(transaction, put.thread_id, write).await
    }

    async fn put_writes_within(
        &self,
        transaction: OpenTransaction<'_>,
        writes: PutWrites<'_>,
    ) -> Result<()> {
        check::put_writes(&writes)?;
        let thread_id = &writes.address.thread_id;
        let write = |store: &mut Store| {
            store.call(FaultyCall::PutWrites, |store, _| store.put_writes(&writes))
        };
        self.write_within(transaction, thread_id, write).await
    }

    async fn get_tuple_within(
        &self,
        transaction: OpenTransaction<'_>,
        query: GetTuple,
    ) -> Result<Option<CheckpointTuple>> {
        self.read_within(transaction, &query)
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        let mut store = self.open()?;
        store.call(FaultyCall::GetTuple, |store, _| Ok(store.get_tuple(&query)))
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        match self.open() {
            Ok(store) => stream::iter(store.list(&query)).map(Ok).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        let mut store = self.open_to_write(&delete.thread_id, None).await?;
        let call = FaultyCall::DeleteThread;
        store.call(call, |store, _| store.delete(&delete)).map(drop)
    }

    async fn delete_for_runs(&self, run_ids: &[String]) -> Result<Removed> {
        let run_ids: BTreeSet<&str> = run_ids.iter().map(String::as_str).collect();
        let thread_ids: Vec<ThreadId> = self.open()?.threads.keys().cloned().collect();
        let mut all = Removed::default();
        for thread_id in thread_ids {
            let mut store = self.open_to_write(&thread_id, None).await?;
            // Thread by thread: each has a time of its own.
            let now = store.now();
            let remove = |thread: &mut Thread| thread.delete_runs(&run_ids, now);
            if let Some(((), removed)) = store.remove_from(&thread_id, remove) {
                let _ = all.add(thread_id, Ok(removed));
            }
        }
        Ok(all)
    }

    async fn copy_thread(&self, source: &ThreadId, target: &ThreadId) -> Result<()> {
        drop(self.open_to_write(source, None).await?);
        let mut store = self.open_to_write(target, None).await?;
        let now = store.now();
        let mut leased = Leased::default();
        match store.threads.get(target) {
            Some(_) if source == target => {}
            Some(thread) if thread.is_reserved() => {
                thread.leased.admit(target, None, now)?;
                leased = thread.leased.clone();
            }
            Some(thread) if thread.deleted => return Err(Error::thread_deleted(target)),
            Some(_) => return Err(Error::thread_exists(target)),
            None => {}
        }
        let Some(thread) = store.live(source) else {
            return Err(Error::thread_not_found(source));
        };
        if source != target {
            let copy = thread.copy(leased, now);
            for head in copy.heads(target) {
                store.watchers.tell(&HeadChange::Moved(head));
            }
            store.threads.insert(target.clone(), copy);
        }
        Ok(())
    }

    async fn prune(&self, prune: Prune) -> Result<Removed> {
        self.prune_threads(&prune).await
    }

    async fn set_pinned(&self, address: &CheckpointAddress, pinned: bool) -> Result<()> {
        let mut store = self.open_to_write(&address.thread_id, None).await?;
        let thread = store.threads.get_mut(&address.thread_id);
        let thread = thread.filter(|thread| thread.is_in(address.generation));
        let checkpoint = thread.and_then(|thread| {
            let namespace = thread.namespaces.get_mut(&address.checkpoint_ns)?;
            namespace.checkpoints.get_mut(&address.checkpoint_id)
        });
        let checkpoint = checkpoint.ok_or_else(|| Error::checkpoint_not_found(address))?;
        checkpoint.pinned = pinned;
        Ok(())
    }

    async fn channel_history(
        &self,
        query: GetChannelHistory,
    ) -> Result<BTreeMap<String, ChannelHistory>> {
        let store = self.open()?;
        let target = store.find(&query.target);
        let histories = query.channels.into_iter().map(|channel| {
            let history = target
                .as_ref()
                .map(|(stored, target)| stored.history(&target.checkpoint_id, &channel));
            (channel, history.unwrap_or_default())
        });
        Ok(histories.collect())
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        match self.open() {
            Ok(store) => stream::iter(store.threads(&query)).map(Ok).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn thread_info(&self, thread_id: &ThreadId) -> Result<Option<ThreadInfo>> {
        let store = self.open()?;
        Ok(store.live(thread_id).map(|thread| thread.info(thread_id)))
    }

    async fn thread_size(&self, thread_id: &ThreadId) -> Result<Option<ThreadSize>> {
        let store = self.open()?;
        Ok(store.live(thread_id).map(|thread| thread.size(thread_id)))
    }

    fn verify(&self, verify: Verify) -> BoxStream<'static, Result<VerifiedThread>> {
        match self.open() {
            Ok(store) => stream::iter(store.verify(&verify)).map(Ok).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        check::thread_metadata(thread_id, &metadata)?;
        let mut store = self.open_to_write(thread_id, None).await?;
        store.thread_for_metadata(thread_id)?.metadata = metadata;
        Ok(())
    }

    async fn update_thread_metadata(
        &self,
        thread_id: &ThreadId,
        changes: Map<String, Value>,
    ) -> Result<()> {
        check::thread_metadata(thread_id, &changes)?;
        let mut store = self.open_to_write(thread_id, None).await?;
        store
            .thread_for_metadata(thread_id)?
            .update_metadata(&changes);
        Ok(())
    }

    async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let mut store = self.open_to_write(&acquire.thread_id, None).await?;
        let call = FaultyCall::AcquireLease;
        store.call(call, |store, _| store.acquire_lease(acquire))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let mut store = self.open_to_write(&lease.thread_id, None).await?;
        let call = FaultyCall::RenewLease;
        store.call(call, |store, _| store.renew_lease(lease, ttl))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let mut store = self.open_to_write(&lease.thread_id, None).await?;
        if let Some(thread) = store.threads.get_mut(&lease.thread_id) {
            thread.leased.release(lease);
        }
        Ok(())
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        self.open()?.watch(watch)
    }

    async fn close(&self) -> Result<()> {
        let mut store = self.lock();
        store.closed = true;
        store.watchers.close();
        Ok(())
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        None
    }
}

#[cfg(test)]
mod tests;
