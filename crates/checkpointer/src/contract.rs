//! What every checkpointer does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::{
    AcquireLease, ChannelHistory, CheckpointAddress, CheckpointTuple, DeleteThread, Error,
    GetChannelHistory, GetTuple, HeadChange, Lease, List, ListThreads, OpenTransaction, Prune, Put,
    PutWrites, Removed, Result, ThreadId, ThreadInfo, ThreadSize, VerifiedThread, Verify, Version,
    Watch, generate,
};

/// Durable memory of agent graphs: checkpoints, pending writes, history and forks.
///
/// A graph runtime holds an `Arc<dyn Checkpointer>`. The words and rules are LangGraph's;
/// `docs/langgraph.md` lists where they are stricter.
///
/// After an unknown outcome (a time-out, a lost connection, a dropped future) a call may be repeated,
/// and has the effect of one call. Four calls are exceptions:
///
/// - [`copy_thread`](Self::copy_thread) finds its own copy, and fails with [`Error::ThreadExists`].
/// - [`acquire_lease`](Self::acquire_lease) finds its own lease, and fails with [`Error::LeaseHeld`].
/// - A deletion without a generation, by [`delete_thread`](Self::delete_thread) or
///   [`PruneStrategy::Delete`](crate::PruneStrategy::Delete), deletes a thread that was started again
///   since.
/// - [`set_thread_metadata`](Self::set_thread_metadata),
///   [`update_thread_metadata`](Self::update_thread_metadata) and a put with [`Put::thread_metadata`]
///   replace what another program has set since.
///
/// Puts, pending writes and deletions carry a [`Lease`], if there is one. While a thread is leased, they
/// fail with [`Error::LeaseHeld`] if they carry none, and with [`Error::LeaseLost`] if theirs is no longer
/// the thread's. Nothing is changed then, except by an earlier attempt whose answer was lost.
///
/// # Implementing it
///
/// Eight methods have no default. [`inner`](Self::inner) is one of them, and says where the defaults of
/// the others go: a wrapper names what it wraps, and everything that it doesn't implement is passed
/// on. A store names nothing, and what it doesn't implement fails with [`Error::Unsupported`]. The
/// functions of [`Error`] make the errors to answer with; [`Put::check`] and [`PutWrites::check`] refuse
/// what no checkpointer may store. A store that can't append refuses a put with
/// [`appended`](Put::appended) channels as [unsupported](Error::unsupported);
/// [`Put::appended_values`] is what they become.
#[async_trait]
pub trait Checkpointer: Debug + Send + Sync + 'static {
    /// Stores a checkpoint, its values and its metadata, and makes it the head: all or nothing.
    ///
    /// A checkpoint that is already stored gets the new content and metadata; its parent and the
    /// head stay. A channel that has a version, but neither a value nor a new version, keeps its
    /// parent's value if that has the same version, and is empty otherwise. The value of a channel that
    /// the put [appends to](Put::append) is the parent's list with further items.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if the put is guarded and the head is another; [`Error::ThreadDeleted`]
    /// if the thread was deleted, unless this is a first checkpoint (no parent, root namespace,
    /// no generation); [`Error::ParentNotFound`] if a channel is to keep the value of a parent that
    /// isn't there, unless it is [empty](crate::MissingParent) then, or is to grow by items;
    /// [`Error::AppendMismatch`] if such a value isn't a list of as many items as the put says;
    /// [`Error::Unstorable`] for a value that can't be stored; [`Error::PartialCheckpoint`] for a
    /// checkpoint that was read in part; [`Error::ThreadFull`] if the checkpointer limits the bytes of
    /// a thread, and this one has no room for it. Nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the checkpoint may or may not have been stored. Calling again with
    /// the same checkpoint is harmless.
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress>;

    /// Stores the outputs of a task: all or nothing.
    ///
    /// Of the outputs of a task on one checkpoint, those of the first call are stored, as a whole.
    /// A later call, of a second execution perhaps, succeeds, and its outputs are ignored: the
    /// checkpoint that is put next is made of what is stored. Only of a write to one of the special
    /// [`channels`](crate::channels) the last one counts.
    ///
    /// # Errors
    ///
    /// [`Error::ThreadDeleted`] if the thread was deleted; [`Error::Unstorable`] for a value that
    /// can't be stored; [`Error::ThreadFull`] if the checkpointer limits the bytes of a thread, and
    /// this one has no room for them. Nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the writes may or may not have been stored. Calling again with the
    /// same writes is harmless.
    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()>;

    /// Stores a checkpoint as [`put`](Self::put) does, within a transaction of the caller's: it
    /// takes effect with the caller's commit, or not at all. No connection is used but the
    /// caller's.
    ///
    /// Until the transaction ends, other writers to the thread wait for it; `docs/transactions.md`
    /// says which. A call outside of the transaction that writes to the thread waits as well: if
    /// the transaction awaits such a call, it waits for itself.
    ///
    /// The order of the calls that one program makes at the same time isn't kept here: await what
    /// must come before. Nothing is tried again either. After an error that [is
    /// transient](Error::is_transient), such as a deadlock, the caller repeats the whole
    /// transaction.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), at once and not at the commit; [`Error::Unsupported`] by default, and
    /// if the transaction is one of another store, as one of PostgreSQL is for a checkpointer in
    /// memory.
    /// After an [`Error::Database`] the transaction can only be rolled back. After any other error,
    /// it can go on without the checkpoint.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the checkpoint may or may not be a part of the transaction: roll
    /// back.
    async fn put_within(
        &self,
        transaction: OpenTransaction<'_>,
        put: Put<'_>,
    ) -> Result<CheckpointAddress> {
        match self.inner() {
            Some(inner) => inner.put_within(transaction, put).await,
            None => Err(Error::unsupported("put_within")),
        }
    }

    /// Stores the outputs of a task as [`put_writes`](Self::put_writes) does, within a transaction
    /// of the caller's. [`put_within`](Self::put_within) says what that means.
    ///
    /// # Errors
    ///
    /// As [`put_writes`](Self::put_writes); [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the writes may or may not be a part of the transaction: roll back.
    async fn put_writes_within(
        &self,
        transaction: OpenTransaction<'_>,
        writes: PutWrites<'_>,
    ) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.put_writes_within(transaction, writes).await,
            None => Err(Error::unsupported("put_writes_within")),
        }
    }

    /// Reads as [`get_tuple`](Self::get_tuple) does, on the connection of the caller's transaction:
    /// what the transaction has put is seen, too.
    ///
    /// # Errors
    ///
    /// As [`get_tuple`](Self::get_tuple); [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    async fn get_tuple_within(
        &self,
        transaction: OpenTransaction<'_>,
        query: GetTuple,
    ) -> Result<Option<CheckpointTuple>> {
        match self.inner() {
            Some(inner) => inner.get_tuple_within(transaction, query).await,
            None => Err(Error::unsupported("get_tuple_within")),
        }
    }

    /// Reads the head of a thread and namespace, or the checkpoint with an id.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if stored content is missing or can't be decoded.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>>;

    /// Lists checkpoints by id, the greatest first.
    ///
    /// The stream holds no connection once it has given a checkpoint: other calls inside the loop work
    /// with a pool of one. It reads page by page, so what is written meanwhile may or may not be seen.
    /// The lower bound of its size hint is how many checkpoints were read already: to poll for one more
    /// may begin a read. A checkpoint that can't be read ends it; `before` goes on behind it.
    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>>;

    /// Deletes a thread with everything in it. One that doesn't exist is passed over.
    ///
    /// Afterwards only a first checkpoint (no parent, root namespace) starts it again.
    ///
    /// # Errors
    ///
    /// [`Error::ThreadDeleted`] if the call names a generation and the thread was started again since.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the thread may or may not have been deleted. Calling again is
    /// harmless if it names the generation; without one it deletes a thread that was started again.
    async fn delete_thread(&self, delete: DeleteThread) -> Result<()>;

    /// Deletes every checkpoint whose metadata names one of the runs, with its writes. What is left
    /// can still be read: a checkpoint stays if one that is kept is rebuilt from its writes.
    ///
    /// Where that removes a head, the checkpoint put last among the rest becomes the head.
    ///
    /// A thread that fails doesn't stop the rest: [`Removed`] says what was done, what wasn't and why.
    ///
    /// # Errors
    ///
    /// What keeps all of it from being done, such as [`Error::Closed`];
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, some threads' runs may have been deleted. Calling again is harmless.
    async fn delete_for_runs(&self, run_ids: &[String]) -> Result<Removed> {
        match self.inner() {
            Some(inner) => inner.delete_for_runs(run_ids).await,
            None => Err(Error::unsupported("delete_for_runs")),
        }
    }

    /// Copies a thread with all its checkpoints and writes. Onto itself it does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ThreadNotFound`] if there is no `source`, also if it is the `target`;
    /// [`Error::ThreadExists`] if there is a `target`; [`Error::ThreadDeleted`] if there was one;
    /// [`Error::LeaseHeld`] if there is a lease on it; [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the thread may or may not have been copied, as a whole. Calling
    /// again then says [`Error::ThreadExists`].
    async fn copy_thread(&self, source: &ThreadId, target: &ThreadId) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.copy_thread(source, target).await,
            None => Err(Error::unsupported("copy_thread")),
        }
    }

    /// Removes old checkpoints of threads, or the threads, by a [policy](crate::Retention), thread by
    /// thread. The head of a namespace, pinned checkpoints, and what these are rebuilt from stay. A namespace
    /// that belongs to one call of a subgraph (it has a `:`) goes with the root graph's checkpoint it belongs
    /// to, but for what is pinned.
    ///
    /// It works beside writers: a long thread is pruned in steps, between which they get in. A
    /// checkpoint that is put meanwhile stays, with what it is rebuilt from.
    ///
    /// A thread that fails doesn't stop the rest: [`Removed`] says what was done, what wasn't and why.
    /// Such a thread is one on which another program has a lease, if threads are to be deleted.
    ///
    /// # Errors
    ///
    /// What keeps all of it from being done, such as [`Error::Closed`];
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, some of the threads may have been pruned, one of them in part. Calling
    /// again is harmless, but for [`PruneStrategy::Delete`](crate::PruneStrategy::Delete), which deletes
    /// threads that were started again.
    async fn prune(&self, prune: Prune) -> Result<Removed> {
        match self.inner() {
            Some(inner) => inner.prune(prune).await,
            None => Err(Error::unsupported("prune")),
        }
    }

    /// Pins a checkpoint, or unpins it: whatever prunes by a policy leaves a pinned one, and what it is
    /// rebuilt from.
    ///
    /// A pin doesn't stop a deletion that names the thread or the run:
    /// [`delete_thread`](Self::delete_thread), [`PruneStrategy::Delete`](crate::PruneStrategy::Delete)
    /// and [`delete_for_runs`](Self::delete_for_runs). A copy of the thread has its pins. A checkpoint
    /// that is put again stays pinned. A lease doesn't refuse it.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointNotFound`] if there is no such checkpoint in the generation that the address
    /// names; [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the checkpoint may or may not have been pinned. Calling again is
    /// harmless.
    async fn set_pinned(&self, address: &CheckpointAddress, pinned: bool) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.set_pinned(address, pinned).await,
            None => Err(Error::unsupported("set_pinned")),
        }
    }

    /// Reads the writes from which channels stored only as writes are rebuilt.
    ///
    /// Every channel asked for has an entry. Without the target there is no history: all are empty.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if stored content is missing or can't be decoded;
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    async fn channel_history(
        &self,
        query: GetChannelHistory,
    ) -> Result<BTreeMap<String, ChannelHistory>> {
        match self.inner() {
            Some(inner) => inner.channel_history(query).await,
            None => Err(Error::unsupported("channel_history")),
        }
    }

    /// Makes the version that follows `current`: text that sorts by age and differs between forks.
    fn next_version(&self, current: Option<&Version>) -> Version {
        match self.inner() {
            Some(inner) => inner.next_version(current),
            None => generate::next_version(current),
        }
    }

    /// Lists threads by their last change. Deleted ones aren't among them.
    ///
    /// The stream holds no connection between polls. [`ListThreads`] says what becomes of a thread that
    /// changes meanwhile.
    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>>;

    /// Reads what is known of one thread; none if there is no such thread, or it was deleted.
    ///
    /// By default it looks for the thread among all [`threads`](Self::threads).
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the thread's metadata can't be decoded.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    async fn thread_info(&self, thread_id: &ThreadId) -> Result<Option<ThreadInfo>> {
        match self.inner() {
            Some(inner) => inner.thread_info(thread_id).await,
            None => {
                let all = self.threads(ListThreads::all());
                let mut found =
                    pin!(all.try_filter(|thread| ready(thread.thread_id == *thread_id)));
                found.try_next().await
            }
        }
    }

    /// Measures how much a thread takes, in all and by channel; none if there is no such thread, or it was
    /// deleted. It reads every row of the thread.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{Checkpointer, ThreadId};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
    /// let thread_id = ThreadId::new("support-4711")?;
    /// if let Some(size) = checkpointer.thread_size(&thread_id).await? {
    ///     println!("{} bytes in {} checkpoints", size.bytes, size.checkpoints);
    ///     for (channel, size) in &size.channels {
    ///         println!("{channel}: {} of its own, {} shared", size.own_bytes, size.shared_bytes);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn thread_size(&self, thread_id: &ThreadId) -> Result<Option<ThreadSize>> {
        match self.inner() {
            Some(inner) => inner.thread_size(thread_id).await,
            None => Err(Error::unsupported("thread_size")),
        }
    }

    /// Reads everything of threads, and says what is wrong with it: chunks that don't hold what their
    /// hashes say, references, heads and parents that lead nowhere, and rows that nothing can reach.
    /// Each thread that is there is an item, and so is each that has findings.
    ///
    /// It works beside writers and locks none out: what changes meanwhile is no finding. It reads in
    /// batches, and keeps about 50 bytes for each chunk of the thread at hand. With
    /// [`Verify::repair`], it repairs what can be repaired without loss. `docs/verify.md` says of each
    /// finding what it means and where it comes from.
    ///
    /// The stream holds no connection between polls. By default it fails with [`Error::Unsupported`].
    fn verify(&self, verify: Verify) -> BoxStream<'static, Result<VerifiedThread>> {
        match self.inner() {
            Some(inner) => inner.verify(verify),
            None => stream::iter([Err(Error::unsupported("verify"))]).boxed(),
        }
    }

    /// Replaces the user's own metadata of a thread.
    ///
    /// # Errors
    ///
    /// [`Error::ThreadNotFound`] if there is no such thread; [`Error::ThreadDeleted`] if it was deleted;
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the metadata may or may not have been replaced. Calling again
    /// replaces it again, also what another program has set meanwhile.
    async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.set_thread_metadata(thread_id, metadata).await,
            None => Err(Error::unsupported("set_thread_metadata")),
        }
    }

    /// Changes the user's own metadata of a thread, key by key: each key gets its new value as a whole,
    /// null removes it, and the others stay. [`Put::thread_metadata`] does it together with a put.
    ///
    /// # Errors
    ///
    /// As [`set_thread_metadata`](Self::set_thread_metadata).
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the keys may or may not have been changed. Calling again changes them
    /// again, also what another program has set meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::json;
    /// use checkpointer::{Checkpointer, Result, ThreadId};
    ///
    /// async fn close(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Result<()> {
    ///     let changes = json!({ "status": "closed", "waits_for": null });
    ///     let changes = changes.as_object().cloned().unwrap_or_default();
    ///     checkpointer.update_thread_metadata(thread_id, changes).await
    /// }
    /// ```
    async fn update_thread_metadata(
        &self,
        thread_id: &ThreadId,
        changes: Map<String, Value>,
    ) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.update_thread_metadata(thread_id, changes).await,
            None => Err(Error::unsupported("update_thread_metadata")),
        }
    }

    /// Takes a lease on a thread, so that no other program writes to it: see [`Lease`]. The thread
    /// needn't exist, and the call doesn't make it.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseHeld`] if another lease lasts, unless that is to be broken;
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the lease may or may not have been taken, and then it lasts without a
    /// holder. Until its time is over, calling again fails with [`Error::LeaseHeld`].
    /// [`LeaseGuard::acquire`](crate::LeaseGuard::acquire) gives it back then.
    async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        match self.inner() {
            Some(inner) => inner.acquire_lease(acquire).await,
            None => Err(Error::unsupported("acquire_lease")),
        }
    }

    /// Lets a lease last for `ttl` from now. Writes may go on to carry the lease as it was.
    ///
    /// One whose time is over is renewed as well, if no other was taken since.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] if it is no longer the thread's; [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the lease may or may not have been renewed. Calling again is
    /// harmless.
    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        match self.inner() {
            Some(inner) => inner.renew_lease(lease, ttl).await,
            None => Err(Error::unsupported("renew_lease")),
        }
    }

    /// Gives a lease back: others may write at once, and writes that still carry it are refused.
    /// One that is lost is passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] by default.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the lease may or may not have been given back. Calling again is
    /// harmless.
    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.release_lease(lease).await,
            None => Err(Error::unsupported("release_lease")),
        }
    }

    /// Tells when heads change: once the call has returned, of every checkpoint that is put and of every
    /// thread that is deleted, whichever program does it.
    ///
    /// - What follows quickly on the same head may be told as one change, to the last of them, and
    ///   a change may be told again: ask for the checkpoint, and don't count the changes. So a
    ///   watcher that is slow takes memory for the threads that have changed, not for the changes.
    /// - A watch of one thread begins with the heads that it has. One of all threads begins with what
    ///   changes from now on; a program that needs to know all threads watches first, and then lists
    ///   them.
    /// - A thread that is deleted and started again between two looks may show by the generation of
    ///   its new head alone. A namespace whose checkpoints are all removed isn't told of.
    /// - The stream ends with the checkpointer's close, and otherwise never by itself. While the
    ///   database can't be reached it is silent, and then tells what has changed meanwhile.
    ///
    /// # Errors
    ///
    /// What keeps the watch from beginning, such as [`Error::Closed`]; [`Error::Unsupported`] by
    /// default.
    ///
    /// # Cancel safety
    ///
    /// Only reads. Dropping the stream ends the watch.
    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        match self.inner() {
            Some(inner) => inner.watch(watch).await,
            None => Err(Error::unsupported("watch")),
        }
    }

    /// Returns the runtime for work in the background, such as the renewals of a
    /// [`LeaseGuard`](crate::LeaseGuard): one that lasts as long as the checkpointer can be used. None
    /// stands for the caller's. By default it is that of [`inner`](Self::inner).
    fn runtime(&self) -> Option<Handle> {
        self.inner()?.runtime()
    }

    /// Refuses new calls, and writes that still wait for others of their thread; waits for the
    /// writes that were handed over. Calling again is harmless. A checkpointer in PostgreSQL needs no
    /// call of its own at shutdown: `db::Database::close` makes it.
    ///
    /// # Errors
    ///
    /// [`Error::CloseFailed`] with the failures, since the close began, of writes whose futures were
    /// dropped. Every other failure is reported to its caller, or only logged if its future was dropped.
    ///
    /// # Cancel safety
    ///
    /// If dropped, new calls stay refused. Calling again waits for the rest.
    async fn close(&self) -> Result<()>;

    /// Returns the checkpointer that this one is a wrapper of; none for a store of its own.
    ///
    /// Every method with a default asks it. A wrapper that returns none doesn't support what it
    /// doesn't implement: so does one that must see each call, such as one that encrypts the values
    /// or keeps customers apart.
    ///
    /// It must not return itself: the methods with a default would call themselves without end.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{
    ///     CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, GetTuple, List, ListThreads,
    ///     Put, PutWrites, Result, ThreadInfo, async_trait,
    /// };
    /// use checkpointer::futures_util::stream::BoxStream;
    ///
    /// /// Prints what is put.
    /// #[derive(Debug)]
    /// struct Printing<C>(C);
    ///
    /// #[async_trait]
    /// impl<C: Checkpointer> Checkpointer for Printing<C> {
    ///     async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
    ///         println!("{} {}", put.thread_id, put.checkpoint.id);
    ///         self.0.put(put).await
    ///     }
    ///
    ///     /// Prunes, copies, leases, … as well.
    ///     fn inner(&self) -> Option<&dyn Checkpointer> {
    ///         Some(&self.0)
    ///     }
    ///
    ///     async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
    ///         self.0.put_writes(writes).await
    ///     }
    ///
    ///     async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
    ///         self.0.get_tuple(query).await
    ///     }
    ///
    ///     fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
    ///         self.0.list(query)
    ///     }
    ///
    ///     async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
    ///         self.0.delete_thread(delete).await
    ///     }
    ///
    ///     fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
    ///         self.0.threads(query)
    ///     }
    ///
    ///     async fn close(&self) -> Result<()> {
    ///         self.0.close().await
    ///     }
    /// }
    /// ```
    fn inner(&self) -> Option<&dyn Checkpointer>;
}

#[async_trait]
impl<C: Checkpointer + ?Sized> Checkpointer for Arc<C> {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        (**self).put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        (**self).put_writes(writes).await
    }

    async fn put_within(
        &self,
        transaction: OpenTransaction<'_>,
        put: Put<'_>,
    ) -> Result<CheckpointAddress> {
        (**self).put_within(transaction, put).await
    }

    async fn put_writes_within(
        &self,
        transaction: OpenTransaction<'_>,
        writes: PutWrites<'_>,
    ) -> Result<()> {
        (**self).put_writes_within(transaction, writes).await
    }

    async fn get_tuple_within(
        &self,
        transaction: OpenTransaction<'_>,
        query: GetTuple,
    ) -> Result<Option<CheckpointTuple>> {
        (**self).get_tuple_within(transaction, query).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        (**self).get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        (**self).list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        (**self).delete_thread(delete).await
    }

    async fn delete_for_runs(&self, run_ids: &[String]) -> Result<Removed> {
        (**self).delete_for_runs(run_ids).await
    }

    async fn copy_thread(&self, source: &ThreadId, target: &ThreadId) -> Result<()> {
        (**self).copy_thread(source, target).await
    }

    async fn prune(&self, prune: Prune) -> Result<Removed> {
        (**self).prune(prune).await
    }

    async fn set_pinned(&self, address: &CheckpointAddress, pinned: bool) -> Result<()> {
        (**self).set_pinned(address, pinned).await
    }

    async fn channel_history(
        &self,
        query: GetChannelHistory,
    ) -> Result<BTreeMap<String, ChannelHistory>> {
        (**self).channel_history(query).await
    }

    fn next_version(&self, current: Option<&Version>) -> Version {
        (**self).next_version(current)
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        (**self).threads(query)
    }

    async fn thread_info(&self, thread_id: &ThreadId) -> Result<Option<ThreadInfo>> {
        (**self).thread_info(thread_id).await
    }

    async fn thread_size(&self, thread_id: &ThreadId) -> Result<Option<ThreadSize>> {
        (**self).thread_size(thread_id).await
    }

    fn verify(&self, verify: Verify) -> BoxStream<'static, Result<VerifiedThread>> {
        (**self).verify(verify)
    }

    async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        (**self).set_thread_metadata(thread_id, metadata).await
    }

    async fn update_thread_metadata(
        &self,
        thread_id: &ThreadId,
        changes: Map<String, Value>,
    ) -> Result<()> {
        (**self).update_thread_metadata(thread_id, changes).await
    }

    async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        (**self).acquire_lease(acquire).await
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        (**self).renew_lease(lease, ttl).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        (**self).release_lease(lease).await
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        (**self).watch(watch).await
    }

    fn runtime(&self) -> Option<Handle> {
        (**self).runtime()
    }

    async fn close(&self) -> Result<()> {
        (**self).close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        (**self).inner()
    }
}
