//! Values, for people.

use checkpointer::serde_json::Value;
use inspector::visible;

/// How much of a value is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    lines: usize,
    columns: usize,
}

impl Room {
    /// All of it.
    pub(crate) const ALL: Self = Self {
        lines: usize::MAX,
        columns: usize::MAX,
    };

    /// The beginning of a large one.
    pub(crate) const SOME: Self = Self {
        lines: 20,
        columns: 400,
    };

    /// All, or the beginning.
    pub(crate) fn full(full: bool) -> Self {
        if full { Self::ALL } else { Self::SOME }
    }
}

/// A value on one line, cut to `columns` characters.
pub(crate) fn short(value: &Value, columns: usize) -> String {
    cut(&visible(&value.to_string()), columns)
}

/// A value as indented JSON, a text for each line, with everything visible. What is left out is
/// counted in its place.
pub(crate) fn lines(value: &Value, room: Room) -> Vec<String> {
    let text = format!("{value:#}");
    let mut lines: Vec<String> = (text.lines().take(room.lines))
        .map(|line| cut(&visible(line), room.columns))
        .collect();
    match text.lines().count() - lines.len() {
        0 => {}
        more => lines.push(format!("… {more} more lines (--full shows all)")),
    }
    lines
}

/// The beginning of a text, and how much is missing.
fn cut(text: &str, columns: usize) -> String {
    match text.char_indices().nth(columns) {
        None => text.to_owned(),
        Some((end, _)) => {
            let more = text[end..].chars().count();
            format!("{}… {more} more characters", &text[..end])
        }
    }
}
