//! Checkpointer.

mod checkpoint;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the storage uses it")
)]
mod codec;
mod contract;
mod error;
mod generate;
mod ids;
mod json;
mod memory;
mod metadata;
mod prune;
mod request;
#[cfg(feature = "suite")]
pub mod suite;
#[cfg_attr(not(test), expect(dead_code, reason = "the typed threads use it"))]
mod typed {
    mod to_value;
}
mod version;
mod writes;

pub use checkpoint::{
    ChannelHistory, ChannelValues, ChannelVersions, Checkpoint, CheckpointRef, CheckpointTuple,
    Generation, Loaded, PendingWrite, ThreadInfo,
};
pub use contract::Checkpointer;
pub use error::{Error, Result};
pub use ids::{CheckpointId, CheckpointNs, NameProblem, TaskId, ThreadId};
pub use memory::MemoryCheckpointer;
pub use metadata::{Metadata, Source};
pub use request::{
    DeleteThread, ExpectedHead, GetChannelHistory, GetTuple, List, ListThreads, Projection, Prune,
    PruneStrategy, Put, PutWrites,
};
pub use version::Version;
