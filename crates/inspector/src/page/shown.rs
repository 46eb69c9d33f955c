//! How things are written on the page: texts, sizes, times, and what frames each page.

use std::time::SystemTime;

use axum::response::Html;
use checkpointer::Checkpoint;
use checkpointer::serde_json::Value;

use super::assets;
use super::problem::Problem;
use crate::{visible, visible_in_json};

/// The answer of a page or of a part of one.
pub(super) type Shown = Result<Html<String>, Problem>;

/// Writes a template out.
pub(super) fn show(template: &impl askama::Template) -> Shown {
    Ok(Html(template.render()?))
}

/// What is around each page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) edition: &'static str,
}

impl Frame {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            edition: &assets::EDITION,
        }
    }
}

/// A text with what can't be seen made visible.
pub(super) fn text(text: &str) -> String {
    visible(text).into_owned()
}

/// A text of several lines with what can't be seen made visible, but for the ends of its lines.
pub(super) fn lines(text: &str) -> String {
    let lines = text
        .split('\n')
        .map(|line| visible(line.trim_end_matches('\r')));
    lines.collect::<Vec<_>>().join("\n")
}

/// The start of a text of several lines.
pub(super) fn lines_of(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", lines(&text[..end])),
        None => lines(text),
    }
}

/// JSON to be changed, in which what can't be seen is escaped as JSON has it.
pub(super) fn json(value: &Value) -> String {
    visible_in_json(&value.to_string()).into_owned()
}

/// The start of a text: at most so many characters, with a sign that there are more.
pub(super) fn start(of: &str, characters: usize) -> String {
    match of.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", visible(&of[..end])),
        None => text(of),
    }
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: usize) -> String {
    let scaled = |unit: f64| bytes as f64 / unit;
    match bytes {
        ..1_000 => format!("{bytes} B"),
        1_000..10_000 => format!("{:.1} kB", scaled(1e3)),
        10_000..1_000_000 => format!("{:.0} kB", scaled(1e3)),
        1_000_000..10_000_000 => format!("{:.1} MB", scaled(1e6)),
        _ => format!("{:.0} MB", scaled(1e6)),
    }
}

/// When a checkpoint was made, in UTC. What isn't a time stays as it is.
pub(super) fn made_at(checkpoint: &Checkpoint) -> String {
    match checkpoint.made_at() {
        Some(at) => moment(at),
        None => start(&checkpoint.ts, 40),
    }
}

/// A time in UTC, to the second.
pub(super) fn moment(at: SystemTime) -> String {
    let time = crate::json::time(at);
    let (to_the_second, _) = time.split_once('.').unwrap_or((&time, ""));
    format!("{}Z", to_the_second.replace('T', " "))
}

/// How many of something, in words.
pub(super) fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}
