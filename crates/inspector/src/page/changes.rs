//! What differs between two states, as lines.

use askama::Template;
use checkpointer::ChannelValues;
use checkpointer::serde_json::Value;

use super::shown;
use crate::{Change, Difference, TextPart};

/// How many lines are shown.
const MOST: usize = 200;

/// After how many bytes of values no further line is shown.
const ROOM: usize = 40_000;

/// How much of a value is shown, in characters.
const LONG: usize = 1_200;

/// What differs between two states.
#[derive(Debug, Default, Template)]
#[template(path = "changes.html")]
pub(super) struct Changes {
    pub(super) lines: Vec<Line>,
    /// How many lines are left out.
    pub(super) left_out: usize,
    /// How many bytes of values the lines have.
    taken: usize,
}

/// One value that differs.
#[derive(Debug)]
pub(super) struct Line {
    path: String,
    sign: Sign,
    before: Vec<Part>,
    after: Vec<Part>,
}

/// What became of a value, in words that don't need colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sign {
    Added,
    Removed,
    Changed,
}

/// A part of a text, and whether the other side has it too.
#[derive(Debug)]
struct Part {
    differs: bool,
    text: String,
}

impl Sign {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Changes {
    /// What differs between two states, channel by channel.
    pub(super) fn between(before: &ChannelValues, after: &ChannelValues) -> Self {
        let mut changes = Self::default();
        for channel in &Difference::between(before, after).channels {
            changes.add(channel.channel.to_owned(), &channel.change);
        }
        changes
    }

    fn add(&mut self, path: String, change: &Change<'_>) {
        match change {
            Change::Added(after) => self.line(path, Sign::Added, Vec::new(), whole(after)),
            Change::Removed(before) => self.line(path, Sign::Removed, whole(before), Vec::new()),
            Change::Replaced { before, after, .. } => {
                self.line(path, Sign::Changed, whole(before), whole(after));
            }
            Change::Text(parts) => {
                let (before, after) = (side(parts, false), side(parts, true));
                self.line(path, Sign::Changed, before, after);
            }
            Change::Items(items) => {
                for item in items {
                    let at = item.after.or(item.before).unwrap_or_default();
                    self.add(format!("{path}[{at}]"), &item.change);
                }
            }
            Change::Members(members) => {
                for member in members {
                    self.add(format!("{path}.{}", member.key), &member.change);
                }
            }
        }
    }

    fn line(&mut self, path: String, sign: Sign, before: Vec<Part>, after: Vec<Part>) {
        let long = |parts: &[Part]| parts.iter().map(|part| part.text.len()).sum::<usize>();
        let taken = long(&before) + long(&after);
        if self.lines.len() == MOST || self.taken > ROOM {
            self.left_out += 1;
            return;
        }
        self.taken += taken;
        self.lines.push(Line {
            path: shown::start(&path, 200),
            sign,
            before,
            after,
        });
    }
}

fn whole(value: &Value) -> Vec<Part> {
    let text = match value {
        Value::String(text) => cut(text),
        value => shown::start(&value.to_string(), LONG),
    };
    vec![Part {
        differs: false,
        text,
    }]
}

/// One side of a text: what the other side has as well, and what it hasn't.
fn side(parts: &[TextPart<'_>], after: bool) -> Vec<Part> {
    let mut left = LONG;
    let parts = parts.iter().filter_map(|part| match part {
        TextPart::Kept(text) => Some((false, *text)),
        TextPart::Added(text) => after.then_some((true, *text)),
        TextPart::Removed(text) => (!after).then_some((true, *text)),
    });
    let mut side = Vec::new();
    for (differs, text) in parts {
        // Of what is the same, the ends are enough to see where it is.
        let text = if differs { cut(text) } else { ends(text) };
        if left == 0 {
            break;
        }
        left = left.saturating_sub(text.len());
        side.push(Part { differs, text });
    }
    side
}

fn cut(text: &str) -> String {
    shown::lines_of(text, LONG)
}

/// The ends of a long text.
fn ends(text: &str) -> String {
    const END: usize = 120;
    let characters = text.chars().count();
    if characters <= 3 * END {
        return shown::lines(text);
    }
    let start: String = text.chars().take(END).collect();
    let end: String = text.chars().skip(characters - END).collect();
    format!("{} … {}", shown::lines(&start), shown::lines(&end))
}
