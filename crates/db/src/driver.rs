//! The task of a connection, which moves its bytes.

use std::future::poll_fn;
use std::sync::Arc;

use tokio_postgres::AsyncMessage;
use tracing::{debug, warn};

use crate::connect::Driver;
use crate::error::Chain;
use crate::meter::Disconnect;
use crate::watch::Watch;

/// Moves a connection's bytes until its client is dropped, the connection is lost, or it is
/// discarded.
pub(crate) async fn drive(mut driver: Driver, watch: Arc<Watch>) {
    let exchange = exchange(&mut driver);
    let ended = watch.hangup.run_until_cancelled(exchange).await;
    let discarded = ended.is_none();
    let lost = ended.and_then(Result::err);
    let is_lost = lost.is_some();
    if let Some(error) = lost {
        warn!(error = %Chain(&error), "lost a connection");
        watch.condition.set_lost(Arc::new(error));
    }
    // The server doesn't notice that its client is gone before it has a result, and a pooler no
    // longer knows what to cancel once the connection is closed.
    if discarded && watch.condition.in_flight() {
        watch.canceller.cancel().await;
    }
    // From here on everything that still waits for an answer gets an error.
    drop(driver);
    if is_lost {
        watch.shared.lost.notify_one();
    }
    watch.place.closed(why(&watch, discarded));
    debug!(discarded, "closed a connection");
}

fn why(watch: &Watch, discarded: bool) -> Disconnect {
    // The caller may have been told of it first.
    if watch.condition.lost().is_some() {
        Disconnect::Lost
    } else if watch.shared.closing.is_cancelled() {
        Disconnect::Closed
    } else if discarded {
        Disconnect::Discarded
    } else {
        Disconnect::Retired
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
