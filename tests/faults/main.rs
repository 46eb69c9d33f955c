//! What stops, restarts or breaks a server: each test has servers of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chunks;
mod citus;
mod crash;
mod failover;
mod limits;
mod lost_writes;
mod migrations;
mod names;
mod pair;
mod pooler;
mod restart;
mod roles;
mod standby_reads;
mod suite;
mod target_session_attrs;
mod tls;
mod versions;
mod watching;
mod within;
