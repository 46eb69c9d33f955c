//! The program `checkpointer`, run as people run it, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod crowd;
mod hostile;
mod http;
mod interrupts;
mod outage;
mod program;
mod reads;
mod secrets;
mod tables;
mod transfer;
