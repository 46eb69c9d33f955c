use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, CancelToken, NoTls};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::condition::Condition;
use crate::connect::Driver;
use crate::error::Chain;

/// How long a cancel request may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// Moves a connection's bytes until its client is dropped, the connection is
/// lost, or somebody hangs up.
pub(crate) async fn drive(
    mut driver: Driver,
    condition: Arc<Condition>,
    cancel: CancelToken,
    hangup: CancellationToken,
) {
    let hung_up = match hangup.run_until_cancelled(exchange(&mut driver)).await {
        Some(Ok(())) => false,
        Some(Err(error)) => {
            warn!(error = %Chain(&error), "lost a connection");
            condition.set_lost(error);
            false
        }
        None => true,
    };
    // From here on everything that still waits for an answer gets an error.
    drop(driver);
    debug!(hung_up, "closed a connection");
    // The server doesn't notice that nobody listens before it has a result.
    if hung_up && condition.in_flight() {
        match timeout(CANCEL_LIMIT, cancel.cancel_query(NoTls)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %Chain(&error), "failed to cancel a statement"),
            Err(_) => warn!("failed to cancel a statement in time"),
        }
    }
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
