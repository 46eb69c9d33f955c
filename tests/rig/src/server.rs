//! Servers that a test may stop and break, without holding up its other tasks.

mod pgbouncer;
mod postgres;

pub use pgbouncer::PgBouncer;
pub use postgres::PrivateServer;
pub use servers::{Programs, Release, Stop, Workspace, unshare_options};

use anyhow::{Context as _, Result};

/// Does what blocks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.context("use a server")?
}
