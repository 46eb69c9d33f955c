//! What is logged.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::instrument::WithSubscriber;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged while `work` runs, but for the tasks it starts.
pub async fn log(work: impl Future<Output = ()>) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    work.with_subscriber(subscriber).await;
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}
