//! Ctrl-C.

use anyhow::Context;

use super::exit::Outcome;

/// What `work` comes to, unless Ctrl-C ends it first: then it is dropped.
pub(crate) async fn until_interrupted(
    work: impl Future<Output = anyhow::Result<Outcome>>,
) -> anyhow::Result<Outcome> {
    tokio::select! {
        done = work => done,
        interrupted = interrupted() => interrupted,
    }
}

/// Waits for Ctrl-C.
pub(crate) async fn interrupted() -> anyhow::Result<Outcome> {
    let interrupt = tokio::signal::ctrl_c().await;
    interrupt.context("failed to wait for Ctrl-C")?;
    Ok(Outcome::Interrupted)
}
