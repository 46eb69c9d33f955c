//! Finds, starts and stops PostgreSQL and PgBouncer: the only place that does.
//!
//! [`Places`] finds the programs, and [`Packages`] downloads or builds them. A [`Cluster`] is a folder with
//! data, and the programs that run it; a [`PrivateServer`] is one that a test may break, a
//! [`PgBouncer`] is a pooler before it. All calls block.

mod cluster;
mod mounts;
mod package;
mod pgbouncer;
mod pid_file;
mod pooler;
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
pub use mounts::unshare_options;
pub use package::Packages;
pub use pgbouncer::PgBouncer;
pub use pid_file::PidFile;
pub use pooler::Release;
pub use private::PrivateServer;
pub use programs::{BIN, MAJORS, PGBOUNCER, Places, Programs};
pub use user::is_root;
pub use workspace::Workspace;
