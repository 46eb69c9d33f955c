//! How far long work is: a bar or a spinner on a terminal, and nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::paint::Text;

const SPINNER: &str = "{spinner} {prefix} {msg} ({elapsed})";
const COUNTED: &str = "{prefix} {bar:24} {human_pos} of {human_len} {msg} ({elapsed}, {eta} left)";
const BYTES: &str = "{prefix} {bar:24} {bytes} of {total_bytes} {msg} ({elapsed}, {eta} left)";

/// Shows that work goes on, and how far it is.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to show work of which no one knows how much it is.
    pub(crate) fn begin(what: &'static str) -> Self {
        Self::new(what, ProgressBar::new_spinner(), SPINNER)
    }

    /// Shows nothing, where what is printed shows how far it is.
    pub(crate) fn none() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Begins to show work on so many things.
    pub(crate) fn of(what: &'static str, total: u64) -> Self {
        Self::new(what, ProgressBar::new(total), COUNTED)
    }

    /// Begins to show work on so many bytes.
    pub(crate) fn of_bytes(what: &'static str, total: u64) -> Self {
        Self::new(what, ProgressBar::new(total), BYTES)
    }

    fn new(what: &'static str, bar: ProgressBar, template: &str) -> Self {
        // It hides itself where the standard error is no terminal.
        let bar = bar.with_style(style(template)).with_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Whether anyone sees it: if not, nothing needs to be counted for it.
    pub(crate) fn is_shown(&self) -> bool {
        !self.0.is_hidden()
    }

    /// Says how much there is to do, once that is known.
    pub(crate) fn set_total(&self, total: u64) {
        self.0.set_length(total);
        self.0.set_style(style(COUNTED));
    }

    /// Says what was done.
    pub(crate) fn note(&self, done: impl Into<Text>) {
        self.0.set_message(done.into().as_str().to_owned());
    }

    /// Goes on by so much.
    pub(crate) fn add(&self, done: u64) {
        self.0.inc(done);
    }

    /// Says how much is done altogether.
    pub(crate) fn reach(&self, done: u64) {
        self.0.set_position(done);
    }

    /// Makes room on the terminal for what `print` prints.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    use super::{BYTES, COUNTED, SPINNER};

    #[test]
    fn the_templates_can_be_used() {
        for template in [SPINNER, COUNTED, BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
