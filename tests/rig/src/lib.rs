//! What the tests, the benchmark and the programs `torture`, `soak` and `replay` share.
//!
//! For tests: [`TestDb`] is a schema of their own, [`TcpProxy`] breaks connections,
//! [`at_every_poll`] drops a future half-way, [`Figures`] and [`Spans`] keep what is seen from
//! outside.
//!
//! [`PrivateServer`] is a PostgreSQL that may be stopped and broken, [`PgBouncer`] a pooler before
//! it. [`Agent`]s do work from which [`Checker`] can tell what a fault has lost, [`race()`] lets
//! processes race for a thread's head, and [`replay()`] repeats recorded traffic and compares each
//! answer with the recorded one.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    reason = "a test fails by panicking"
)]
#![expect(clippy::missing_errors_doc, reason = "an error says what failed")]

mod cancellable;
mod chain;
mod columns;
mod compare;
mod connect;
mod document;
mod eventually;
mod figures;
mod load;
mod log;
mod package;
mod process;
mod program;
mod race;
mod refusals;
mod replay;
mod scratch;
mod server;
mod spans;
mod special;
mod story;
mod tcp_proxy;
mod test_db;
mod trace;

pub use cancellable::at_every_poll;
pub use chain::{chain, in_one_line, timeless};
pub use columns::written_columns;
pub use compare::Difference;
pub use connect::{client, settings_for, try_settings_for};
pub use document::without_orders;
pub use eventually::eventually;
pub use figures::Figures;
pub use load::{
    Agent, Checker, ChunkRaces, Churner, Counts, CrashFigures, Crashes, Event, Fact, Job, Ledger,
    Life, Plan, Process, Role, Victim, Worker,
};
pub use log::log;
pub use package::package_folder;
pub use process::{cpu_seconds, forget_peak, peak_bytes};
pub use program::run_program;
pub use race::{Race, race, race_along};
pub use refusals::{Later, REFUSALS, Refusal};
pub use replay::{Answer, Disagreement, Report, replay};
pub use scratch::Scratch;
pub use server::{PgBouncer, PrivateServer, Programs, Release, Stop, Workspace, unshare_options};
pub use spans::{Seen, Spans};
pub use story::{Story, Support};
pub use tcp_proxy::{Fault, Instead, Moment, TcpProxy};
pub use test_db::{NOTES, TestDb, url};
