//! Looks into the threads of a checkpointer.
//!
//! The program `checkpointer` shows them on the command line; `docs/inspector.md` says what it can do.
//! This library has what the program is made of: it asks the trait [`Checkpointer`], and so works on
//! every checkpointer.
//!
//! - [`History`] is a thread's checkpoints as a tree, with its forks and subgraphs; [`HistoryFilter`] picks some.
//! - [`Difference`] is what differs between two states: by channel, by item, and by word.
//! - [`Pending`] is what the tasks of a checkpoint have left, and which of them wait for an answer.
//! - [`json`] is all of these as JSON, for programs.
//! - [`page`] shows threads in a browser: a router for a service of your own.
//! - [`visible()`] and [`visible_in_json()`] make text of others safe to show.
//!
//! # Examples
//!
//! ```
//! use checkpointer::{Checkpointer, GetTuple};
//! use inspector::{History, HistoryQuery, Pending};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> checkpointer::Result<()> {
//! # let checkpointer = checkpointer::MemoryCheckpointer::new();
//! # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
//! let query = HistoryQuery::new("support-4711")?.limit(20);
//! if let Some(history) = History::read(&checkpointer, query).await? {
//!     for line in &history.lines {
//!         println!("{} checkpoints in `{}`", line.nodes.len(), line.checkpoint_ns);
//!     }
//! }
//!
//! if let Some(head) = checkpointer.get_tuple(GetTuple::head("support-4711")?).await? {
//!     for task in Pending::of(&head).waiting() {
//!         println!("{} asks {:?}", task.task_id, task.question);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Checkpointer`]: checkpointer::Checkpointer

mod difference;
mod facts;
mod filter;
mod for_langgraph;
mod fork;
mod history;
pub mod json;
pub mod page;
mod pending;
mod visible;

pub use difference::{Change, ChannelChange, Difference, ItemChange, MemberChange, TextPart};
pub use filter::{HistoryFilter, MalformedSteps, Steps};
pub use for_langgraph::unreadable_for_langgraph;
pub use fork::fork;
pub use history::{History, HistoryQuery, Line, Node, Row};
pub use pending::{Pending, TaskState, TaskWrites};
pub use visible::{visible, visible_in_json};
