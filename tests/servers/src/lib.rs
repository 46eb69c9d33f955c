//! Finds, starts and stops PostgreSQL and PgBouncer: the only place that does.
//!
//! [`Places`] finds the programs, and [`Packages`] downloads them. A [`Cluster`] is a folder with
//! data, and the programs that run it; a [`PrivateServer`] is one that a test may break, a
//! [`PgBouncer`] is a pooler before it. All calls block.

mod cluster;
mod package;
mod pgbouncer;
pub mod port;
mod private;
mod programs;
pub mod state;
mod sweep;
mod user;
mod workspace;

#[cfg(test)]
mod tests;

pub use cluster::{Cluster, Stop};
pub use package::Packages;
pub use pgbouncer::PgBouncer;
pub use private::PrivateServer;
pub use programs::{BIN, MAJORS, Places, Programs};
pub use user::is_root;
pub use workspace::Workspace;
