//! The page over HTTP, on the checkpointer in memory: what it shows, and each thing that it promises to
//! refuse.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod browser;
mod escaping;
mod live;
mod origin;
mod shown;
mod silence;
mod turns;
mod wide;
mod writes;
