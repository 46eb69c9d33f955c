//! Everything that needs a PostgreSQL server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checkpointer;
mod db;
mod langgraph;
