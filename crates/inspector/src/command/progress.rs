//! How far long work is: a spinner on a terminal, and nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows that work goes on, and how far it is.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to show it.
    pub(crate) fn begin(what: &'static str) -> Self {
        // It hides itself where the standard error is no terminal.
        let style = ProgressStyle::with_template("{spinner} {prefix} {msg} ({elapsed})");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner()
            .with_style(style)
            .with_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Says how far it is.
    pub(crate) fn note(&self, done: String) {
        self.0.set_message(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
