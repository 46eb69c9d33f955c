//! Threads whose state is a Rust type.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appends;
mod further;
mod growth;
mod leases;
mod logs;
mod outcomes;
mod read_back;
mod shapes;
mod unknown;
mod unreliable;
mod updates;
mod upgrades;

use serde::{Deserialize, Serialize};

use super::Thread;
use crate::MemoryCheckpointer;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    n: u64,
}

fn counter(checkpointer: &MemoryCheckpointer) -> Thread<Counter> {
    checkpointer.thread("counter").unwrap()
}
