//! Tests of the crate, and what they share.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builder;
mod dotenv;
mod hostile;
mod providers;
mod secrets;
mod table;
mod tls;
mod unknown;
mod url;
mod values;

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex};

use expect_test::Expect;

use crate::{Result, Settings};

const URL: &str = "postgres://app@db.internal/agents";

/// Reads `variables`, and [`URL`] unless they hold another.
fn read(variables: &[(&str, &str)]) -> Result<Settings> {
    let url = ("DATABASE_URL", URL);
    let all = [url].into_iter().chain(variables.iter().copied());
    Settings::from_iter(all)
}

/// Compares the whole chain of the error with `expected`.
#[track_caller]
fn check_error(result: Result<Settings>, expected: Expect) {
    let error = result.unwrap_err();
    let mut chain = format!("{error}\n");
    let mut source = error.source();
    while let Some(error) = source {
        chain += &format!("caused by: {error}\n");
        source = error.source();
    }
    expected.assert_eq(&chain);
}

/// Runs `body` and returns everything that it logged, at every level.
fn log_of(body: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, body);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
