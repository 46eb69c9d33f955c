//! The inspector's page in a real browser, on a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chromium;
mod hostile;
mod large;
mod looks;
mod pictures;
mod served;
mod walk;
mod writes;
