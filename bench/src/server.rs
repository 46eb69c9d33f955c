//! Servers of a program's own, which it may stop and break.

mod postgres;
mod programs;
mod workspace;

pub use postgres::{PrivateServer, Stop};
pub use programs::Programs;
pub use workspace::Workspace;
