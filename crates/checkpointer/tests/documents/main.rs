//! The documents: the programs in them are those that are compiled, and every link leads somewhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod links;
mod programs;
mod step;
