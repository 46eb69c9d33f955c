//! The task of a connection, which moves its bytes.

use std::future::poll_fn;
use std::sync::Arc;

use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cancel::Canceller;
use crate::condition::Condition;
use crate::connect::Driver;
use crate::error::Chain;
use crate::meter::Disconnect;
use crate::shared::Shared;

/// Moves a connection's bytes until its client is dropped, the connection is
/// lost, or somebody hangs up.
pub(crate) async fn drive(
    mut driver: Driver,
    condition: Arc<Condition>,
    canceller: Canceller,
    hangup: CancellationToken,
    shared: Arc<Shared>,
) {
    let ended = hangup.run_until_cancelled(exchange(&mut driver)).await;
    let hung_up = ended.is_none();
    let lost = ended.and_then(Result::err);
    let is_lost = lost.is_some();
    if let Some(error) = lost {
        warn!(error = %Chain(&error), "lost a connection");
        condition.set_lost(Arc::new(error));
    }
    // The server doesn't notice that nobody listens before it has a result, and a
    // pooler no longer knows what to cancel once the connection is closed.
    if hung_up && condition.in_flight() {
        canceller.cancel().await;
    }
    // From here on everything that still waits for an answer gets an error.
    drop(driver);
    if is_lost {
        shared.lost.notify_one();
    }
    // A borrower may have been told of it first.
    condition.place().closed(if condition.lost().is_some() {
        Disconnect::Lost
    } else if shared.closing.is_cancelled() {
        Disconnect::Closed
    } else if hung_up {
        Disconnect::GivenUp
    } else {
        Disconnect::Retired
    });
    debug!(hung_up, "closed a connection");
}

async fn exchange(driver: &mut Driver) -> Result<(), tokio_postgres::Error> {
    while let Some(message) = poll_fn(|cx| driver.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message? {
            debug!(
                severity = notice.severity(),
                code = notice.code().code(),
                "{}",
                notice.message()
            );
        }
    }
    Ok(())
}
