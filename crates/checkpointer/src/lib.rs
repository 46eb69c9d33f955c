//! Checkpointer.

mod checkpoint;
mod contract;
mod error;
mod generate;
mod ids;
mod metadata;
mod request;
mod version;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the storages number writes with it")
)]
mod writes;

pub use checkpoint::{
    ChannelHistory, ChannelValues, ChannelVersions, Checkpoint, CheckpointRef, CheckpointTuple,
    Generation, Loaded, PendingWrite, ThreadInfo,
};
pub use contract::Checkpointer;
pub use error::{Error, Result};
pub use ids::{CheckpointId, CheckpointNs, NameProblem, TaskId, ThreadId};
pub use metadata::{Metadata, Source};
pub use request::{
    DeleteThread, ExpectedHead, GetChannelHistory, GetTuple, List, ListThreads, Projection, Prune,
    PruneStrategy, Put, PutWrites,
};
pub use version::Version;
