//! Workers that share a queue of threads. Each job is done once, and none is lost when workers are
//! killed.

mod queue;
mod worker;

pub use queue::{Job, Queue};
pub use worker::{Customer, Draft, Event, Worker};
