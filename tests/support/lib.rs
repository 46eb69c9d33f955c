//! What the tests share: a schema of their own, a proxy that breaks things, a future that is
//! dropped half-way, and what is seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    reason = "a test fails by panicking"
)]

mod cancellable;
mod figures;
mod log;
mod spans;
mod tcp_proxy;
mod test_db;

pub use cancellable::at_every_poll;
pub use figures::Figures;
pub use log::log;
pub use spans::{Seen, Spans};
pub use tcp_proxy::TcpProxy;
pub use test_db::{TestDb, url};

use std::error::Error;
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

/// An error with all its causes, one a line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(|error| format!("{error}\n")).collect()
}

/// The same without the times in it.
pub fn timeless(error: &dyn Error) -> String {
    let mut text = chain(error);
    for word in ["within ", "tried for "] {
        let mut parts = text.split(word);
        let first = parts.next().unwrap_or_default().to_owned();
        text = parts.fold(first, |text, part| {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || ".mµns".contains(c));
            format!("{text}{word}TIME{rest}")
        });
    }
    text
}
