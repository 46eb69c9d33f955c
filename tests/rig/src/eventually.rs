//! Waiting for what happens by itself.

use std::time::Duration;

/// How long anything may take that happens by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is yes.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, asking).await.is_err() {
        panic!("still not so: {what}");
    }
}
