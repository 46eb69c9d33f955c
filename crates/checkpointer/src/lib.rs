//! Durable memory for agent graphs: checkpoints as JSONB in PostgreSQL.
//!
//! After each step a graph saves a *checkpoint* of its state. After a crash, a redeploy, or a
//! person's approval three days later, it goes on from there and repeats no finished work. Any
//! earlier checkpoint can be read, resumed or forked. The words and the rules are LangGraph's.
//!
//! - [`Thread`] saves and loads a struct, for people without a graph runtime.
//! - [`Checkpointer`] is what a graph runtime holds, as `Arc<dyn Checkpointer>`.
//! - [`Lease`] keeps a thread to one writer at a time, for those who want that.
//! - [`channels`] has the names that mean something, such as that of a task's interrupt.
//! - [`PostgresCheckpointer`] is the real one, set up with [`PostgresOptions`] or without, and by
//!   [`read_from`](PostgresCheckpointer::read_from) reads from a standby; [`MemoryCheckpointer`]
//!   behaves the same, for tests and prototypes.
//!
//! # Examples
//!
//! ```
//! use checkpointer::{MemoryCheckpointer};
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
//! # What is stored
//!
//! A put stores its checkpoint, its values, its metadata and the new head, or nothing. In
//! PostgreSQL, large arrays and objects are cut into pieces that are found by their content, each
//! kept once per thread, whichever checkpoints and forks share it: a step adds those it changed.
//! What comes back is equal to what was put; only the order of an object's keys isn't kept. What
//! can't be stored is refused before anything is sent ([`Error::Unstorable`],
//! [`Error::UnstorableState`]).
//!
//! When a type changes, [`Thread::versioned`] reads the states that were saved before. In SQL, the
//! function `state` gives a thread's state as one document, and the view `thread_overview` lists
//! the threads.
//!
//! # Shutting down
//!
//! A put or a pending write that is under way goes on though its future is dropped. It isn't sent
//! once more if its thread has changed since this program last saw it: that is a failure then.
//! [`Checkpointer::close`] waits for it, and reports its failure. The database, which the
//! checkpointer only borrows from, is closed after that, by whoever connected it.
//!
//! # Logs, spans and metrics
//!
//! To `tracing`, under the target `checkpointer`, go a standby that can't be read from and a write
//! that failed after its caller was gone as `warn`, and what is tried again as `debug`. Each call
//! of [`PostgresCheckpointer`] is a span of the level `debug`, with its thread, namespace and
//! checkpoint, and at its end `attempts`, `outcome` and `duration_seconds`. State and metadata are
//! in neither; where the ids of threads are personal data, these are.
//!
//! To the recorder of the `metrics` crate, if there is one, go calls by their outcome, how long
//! they took, retries, conflicts, batches, bytes and chunks. `docs/observability.md` lists them
//! all, says how to hook them up, and has alerts.
//!
//! # Limits
//!
//! A value may have 256 MiB and be nested 100 deep; a prune, a copy or a deletion that takes longer
//! than the statement time-out changes nothing. `docs/limits.md` has what large requests cost in
//! time and memory, up to states of 100 MB and threads of a million checkpoints.
//!
//! # Other checkpointers
//!
//! The crate `checkpointer-suite` has the contract of [`Checkpointer`] as tests, for those who write
//! another one.

// What users meet.
mod contract;
mod memory;
mod postgres;
mod typed;

// The words.
pub mod channels;
mod checkpoint;
mod error;
mod ids;
mod json;
mod lease;
mod metadata;
mod request;
mod version;

// Rules that every implementation shares.
mod check;
mod codec;
mod generate;
mod prune;
mod writes;

// What is in the signatures, so that a user needs no other crate of ours, and the same version of these.
pub use {async_trait::async_trait, db, futures_util, serde_json, settings};

pub use checkpoint::{
    ChannelHistory, ChannelValues, ChannelVersions, Checkpoint, CheckpointAddress, CheckpointTuple,
    Generation, Loaded, PendingWrite, ThreadInfo,
};
pub use contract::Checkpointer;
pub use error::{Error, Result};
pub use ids::{CheckpointId, CheckpointNs, IntoName, NameProblem, TaskId, ThreadId};
pub use lease::{AcquireLease, Lease};
pub use memory::MemoryCheckpointer;
pub use metadata::{Metadata, Source};
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use postgres::internals;
pub use postgres::{Durability, PostgresCheckpointer, PostgresOptions};
pub use request::{
    DeleteThread, ExpectedHead, GetChannelHistory, GetTuple, List, ListThreads, Projection, Prune,
    PruneStrategy, Put, PutWrites,
};
pub use typed::Thread;
pub use version::Version;
