//! The audit, and the graph that runs it.
#![expect(clippy::unwrap_used, reason = "a test that panics says where and why")]

mod again;
mod branches;
mod facts;
mod graph;
