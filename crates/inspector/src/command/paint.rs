//! Text for a terminal: what is printed goes through here, so that nothing in it acts on the terminal
//! but the colours it is given.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use inspector::visible;

/// What was added.
pub(crate) const ADDED: Style = AnsiColor::Green.on_default();
/// What was removed.
pub(crate) const REMOVED: Style = AnsiColor::Red.on_default();
/// What is looked for: ids.
pub(crate) const ID: Style = AnsiColor::Yellow.on_default();
/// The names of things.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// What must not be missed.
pub(crate) const MARK: Style = AnsiColor::Magenta.on_default().bold();
/// What is there for completeness.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// A line of text, or a part of one. Whatever becomes one is made visible: names, metadata and values
/// are text of others. The output takes the colours away where they don't belong.
#[derive(Debug, Clone)]
pub(crate) struct Text(String);

/// Text in a colour.
pub(crate) fn painted(style: Style, text: impl Into<Text>) -> Text {
    let Text(text) = text.into();
    Text(format!("{style}{text}{style:#}"))
}

impl Text {
    /// The text, followed by more.
    pub(crate) fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.push_str(&more.into().0);
        self
    }

    /// Several, with `between` between them.
    pub(crate) fn joined(parts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let parts: Vec<String> = parts.into_iter().map(|Self(part)| part).collect();
        Self(parts.join(between))
    }

    /// What is written to a terminal.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Display> From<T> for Text {
    fn from(text: T) -> Self {
        Self(visible(&text.to_string()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{ID, Text, painted};

    #[test]
    fn only_colours_that_were_given_are_left() {
        let hostile = "\u{1b}[31mred\u{9b}2J";
        let text = Text::from("thread ").and(painted(ID, hostile)).and(hostile);
        let shown = r"\u{1b}[31mred\u{9b}2J";
        let expected = format!("thread {ID}{shown}{ID:#}{shown}");
        assert_eq!(text.as_str(), expected);
    }
}
