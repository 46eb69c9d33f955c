//! What the programs of this package share, and what their tests use.
//!
//! `replay` repeats recorded checkpointer traffic against a checkpointer and compares each answer
//! with the recorded one: see [`replay`]. [`PrivateServer`] is a PostgreSQL that a program may
//! break, [`PgBouncer`] a pooler before it. [`race`] lets processes race for a thread's head.

mod compare;
mod error;
mod load;
mod process;
mod race;
mod replay;
mod scratch;
mod server;
mod special;
mod trace;

pub use compare::Difference;
pub use error::{Error, Result};
pub use load::{
    Agent, Checker, ChunkRaces, Churner, Counts, Crashes, Event, Fact, Figures, Job, Ledger, Life,
    Plan, Process, Role, Victim, Worker,
};
pub use process::{cpu_seconds, forget_peak, peak_bytes};
pub use race::{Race, race, race_along};
pub use replay::{Answer, Disagreement, Report, replay};
pub use scratch::Scratch;
pub use server::{PgBouncer, PrivateServer, Programs, Stop, Workspace};
