//! What is asked of a checkpointer: structs with constructors, so that they can grow.

mod append;
mod channel_history;
mod delete_thread;
mod get_tuple;
mod list;
mod list_threads;
mod projection;
mod prune;
mod put;
mod put_writes;
mod retention;
mod verify;
mod watch;

pub use append::Appended;
pub use channel_history::GetChannelHistory;
pub use delete_thread::DeleteThread;
pub use get_tuple::GetTuple;
pub use list::List;
pub use list_threads::{ListThreads, ThreadOrder};
pub use projection::Projection;
pub use prune::{Prune, PruneStrategy};
pub use put::{ExpectedHead, MissingParent, Put};
pub use put_writes::PutWrites;
pub use retention::Retention;
pub use verify::Verify;
pub use watch::Watch;
