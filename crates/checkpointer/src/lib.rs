//! Durable memory for agent graphs: checkpoints as JSONB in PostgreSQL.
//!
//! After each step an agent saves a *checkpoint* of its state. After a crash, a redeploy, or a person's
//! approval three days later, it goes on from there and repeats no finished work. Any earlier checkpoint
//! can be read, resumed or forked.
//!
//! # The words
//!
//! ```text
//! thread "support-4711"
//! │
//! ├── namespace "", the root graph
//! │
//! │     c1 ◄──── c2 ◄──── c3 ◄──── c4     each checkpoint points to its parent
//! │   input    step 0   step 1   step 2
//! │              ▲                 └ pending writes: task "a" has written "draft"
//! │              │
//! │              └──── c5 ◄ head          a fork: its parent is c2, and it was put last
//! │                  step 1
//! │
//! └── namespace "research:a", a subgraph: checkpoints and a head of its own
//! ```
//!
//! - A **thread** is one conversation or job. Its name is its [`ThreadId`].
//! - A **checkpoint** is the state after a step: a value for each **channel**, which is a named part of
//!   the state, such as a field of a struct. Each channel has a [`Version`], which changes with its
//!   value. To store a checkpoint is to **put** it.
//! - A **namespace** separates the checkpoints of a subgraph from those of the root graph. A program
//!   without subgraphs uses the root namespace only.
//! - The **head** of a namespace is the checkpoint that was put last: a run goes on from there. A put
//!   can be **guarded** by the head that it expects. If another program has moved the head, the put
//!   fails with [`Error::Conflict`] and stores nothing.
//! - A **fork** is a put whose parent isn't the head. The other branch stays as it is.
//! - A **pending write** is the output of a **task**, one of those that a step runs side by side. It is
//!   stored with the checkpoint that the step began with, before the next one exists. After a crash only
//!   the tasks without one run again.
//! - A **generation** counts how often a thread was started: a deletion ends one. What an old run still
//!   writes to its own generation is refused.
//! - A [`Lease`] keeps a thread to one writer at a time, where guards aren't enough. A [`LeaseGuard`]
//!   renews one in the background.
//!
//! The words and the rules are LangGraph's.
//!
//! # Which of the two APIs
//!
//! [`Thread`] saves and loads a struct. It is for programs whose state is a Rust type, and does the
//! versions, guards and forks by itself:
//!
//! ```
//! use checkpointer::MemoryCheckpointer;
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! struct Support {
//!     messages: Vec<String>,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), checkpointer::Error> {
//! // In production: PostgresCheckpointer::setup(database).await?
//! let checkpointer = MemoryCheckpointer::new();
//!
//! let mut thread = checkpointer.thread::<Support>("support-4711")?;
//! let mut state = thread.load().await?.unwrap_or_default();
//! state.messages.push("Where is my order?".to_owned());
//! thread.save(&state).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Checkpointer`] is the trait for graph runtimes, which hold an `Arc<dyn Checkpointer>`: they run
//! tasks side by side, store pending writes, and have subgraphs. A step reads the head with
//! [`GetTuple`], stores outputs with [`PutWrites`], and puts what follows with
//! [`Checkpoint::child_of`], [`Checkpoint::write`] and [`Put`]. [`Put::append`] says what is new in a long
//! list. The example `runtime` is a whole one.
//!
//! [`PostgresCheckpointer`] keeps state in PostgreSQL; [`PostgresOptions`] has what can be chosen.
//! [`MemoryCheckpointer`] behaves the same, for tests and prototypes.
//!
//! The crates that are in signatures are re-exported: a program can name them as
//! `checkpointer::db`, `checkpointer::settings` and so on, and has the same versions then.
//!
//! # What is stored
//!
//! A put stores its checkpoint, its values, its metadata and the new head, or nothing. In
//! PostgreSQL, large arrays and objects are cut into chunks that are found by their content, each
//! kept once per thread, whichever checkpoints and forks share it: a step adds those it changed.
//! What comes back is equal to what was put. In values and pending writes, so is the order of an
//! object's keys, if the program has one: with `serde_json`'s feature `preserve_order`. What can't be
//! stored is refused before anything is sent ([`Error::Unstorable`], [`Error::UnstorableState`]).
//!
//! When a type changes, [`Thread::versioned`] reads the states that were saved before. In SQL, the
//! function `state` gives a thread's state as one document, and the view `thread_overview` lists
//! the threads.
//!
//! # Shutting down
//!
//! `Database::close` closes the checkpointers on it first, and then the database. A put or a pending
//! write that was sent goes on though its future is dropped: the close waits for it, and reports its
//! failure. It isn't sent once more if another program has changed the thread meanwhile: then it fails.
//!
//! # Logs, spans and metrics
//!
//! To `tracing`, under the target `checkpointer`, go a standby that can't be read from, a write that
//! failed after its caller was gone and a [`LeaseGuard`] that is lost as `warn`, and what is tried again
//! as `debug`. Each call of [`PostgresCheckpointer`] is a span of the level `debug`, with its thread, namespace and
//! checkpoint, and at its end `attempts`, `outcome` and `duration_seconds`. State and metadata are
//! in neither; where the ids of threads are personal data, these are.
//!
//! To the recorder of the `metrics` crate, if there is one, go calls by their outcome, how long
//! they took, retries, conflicts, batches, bytes and chunks. `docs/observability.md` lists them
//! all, says how to hook them up, and has alerts.
//!
//! # Limits
//!
//! A value may have 256 MiB and be nested 100 deep; a copy or a deletion that takes longer than the
//! statement time-out changes nothing. `docs/limits.md` has what large requests cost in
//! time and memory, up to states of 100 MB and threads of a million checkpoints.
//!
//! # Other checkpointers
//!
//! The crate `checkpointer-suite` has the contract of [`Checkpointer`] as tests, for those who write
//! another one.

// The layout of a put's future is one query for each layer of it, more than the 128 that are allowed
// otherwise.
#![recursion_limit = "256"]

// What users meet.
mod contract;
mod memory;
mod postgres;
mod retention_worker;
mod transfer;
mod typed;

// The words.
mod channel_values;
pub mod channels;
mod checkpoint;
mod deleted_threads;
mod error;
mod head_change;
mod ids;
mod json;
mod lease;
mod metadata;
mod removed;
mod request;
mod size;
mod task_outputs;
mod tracked_list;
mod transaction;
mod verified;
mod version;

// Rules that every implementation shares.
mod append;
mod check;
mod codec;
mod generate;
mod prune;
mod watchers;
mod writes;

// What is in the signatures.
pub use {async_trait::async_trait, db, futures_util, serde_json, settings};

pub use channel_values::ChannelValues;
pub use checkpoint::{
    ChannelHistory, ChannelVersions, ChannelWrite, Checkpoint, CheckpointAddress, CheckpointTuple,
    Generation, Loaded, PendingWrite, ThreadInfo,
};
pub use contract::Checkpointer;
pub use deleted_threads::DeletedThreads;
pub use error::{Error, ErrorKind, Result};
pub use head_change::HeadChange;
pub use ids::{CheckpointId, CheckpointNs, IntoName, NameProblem, TaskId, ThreadId};
pub use lease::{AcquireLease, Lease, LeaseGuard};
pub use memory::{Fault, FaultyCall, MemoryCheckpointer, MemoryTransaction};
pub use metadata::{Metadata, Source};
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use postgres::internals;
pub use postgres::{Durability, PostgresCheckpointer, PostgresOptions};
pub use removed::{NotRemoved, Removed};
pub use request::{
    Appended, DeleteThread, ExpectedHead, GetChannelHistory, GetTuple, List, ListThreads,
    MissingParent, Projection, Prune, PruneStrategy, Put, PutWrites, Retention, ThreadOrder,
    Verify, Watch,
};
pub use retention_worker::{RetentionHandle, RetentionReport, RetentionWorker};
pub use size::{ChannelSize, SchemaSize, TableSize, ThreadSize};
pub use task_outputs::TaskOutputs;
pub use tracked_list::TrackedList;
pub use transaction::OpenTransaction;
pub use transfer::{Import, Imported, export};
pub use typed::{History, Log, SaveOptions, Thread};
pub use verified::{Finding, FindingKind, VerifiedThread};
pub use version::Version;
