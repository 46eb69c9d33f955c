//! Servers of a program's own, which it may stop and break.

mod pgbouncer;
mod postgres;
mod programs;
mod workspace;

pub use pgbouncer::PgBouncer;
pub use postgres::{PrivateServer, Stop};
pub use programs::Programs;
pub use workspace::Workspace;
