//! Load whose outcome can be checked: agents that do verifiable work, and what looks for a
//! violation of the guarantees afterwards.

mod agent;
mod check;
mod churn;
mod content;
mod crash;
mod fact;
mod ledger;
mod plan;
mod races;
mod rewind;
mod rows;
mod worker;

pub use agent::Agent;
pub use check::Checker;
pub use churn::{Churner, Role};
pub use crash::{CrashFigures, Crashes, Victim};
pub use fact::{Event, Fact};
pub use ledger::{Ledger, Life};
pub use plan::Plan;
pub use races::{ChunkRaces, Counts};
pub use worker::{Job, Process, Worker};
