//! How far the parallel step is: a bar on a terminal, lines elsewhere.

use std::io::{Write, stdout};

use indicatif::{ProgressBar, ProgressStyle};

use crate::agent;
use crate::event::Event;

/// Shows the progress of one process.
pub(crate) struct Progress {
    bar: ProgressBar,
    shown_quarter: u64,
}

impl Progress {
    /// Shows nothing until the parallel step begins.
    pub(crate) fn new() -> Self {
        Self {
            // It hides itself where there is no terminal.
            bar: ProgressBar::no_length().with_style(
                ProgressStyle::with_template("   {bar:40} {pos} of {len} tasks recorded")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            ),
            shown_quarter: 0,
        }
    }

    /// Shows what happened.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Step {
                node,
                tasks,
                recorded,
            } if node == agent::AUDIT => {
                self.bar.set_length(*tasks as u64);
                self.bar.set_position(*recorded as u64);
                self.shown_quarter = self.quarter();
            }
            Event::Recorded(task_id) if agent::is_audit(task_id) => self.step(),
            _ => {}
        }
    }

    fn step(&mut self) {
        self.bar.inc(1);
        let quarter = self.quarter();
        if self.bar.is_hidden() && quarter > self.shown_quarter {
            self.shown_quarter = quarter;
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            // The next line that isn't about progress reports that the reader has gone.
            let _ = writeln!(stdout(), "   {done} of {all} tasks recorded");
        }
    }

    fn quarter(&self) -> u64 {
        self.bar.position() * 4 / self.bar.length().unwrap_or_default().max(1)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
