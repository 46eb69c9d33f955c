//! What the programs of this package share, and what their tests use.
//!
//! `replay` repeats recorded checkpointer traffic against a checkpointer and compares each answer
//! with the recorded one: see [`replay`]. [`PrivateServer`] is a PostgreSQL that a program may break,
//! [`PgBouncer`] a pooler before it.

mod compare;
mod error;
mod load;
mod replay;
mod scratch;
mod server;
mod special;
mod trace;

pub use compare::Difference;
pub use error::{Error, Result};
pub use load::{
    Agent, Checker, Crashes, Event, Fact, Figures, Job, Ledger, Life, Plan, Process, Victim, Worker,
};
pub use replay::{Answer, Disagreement, Report, replay};
pub use scratch::Scratch;
pub use server::{PgBouncer, PrivateServer, Programs, Stop, Workspace};
