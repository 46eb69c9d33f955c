//! Colours. The output takes them away where they don't belong.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

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

/// Something in a colour.
pub(crate) struct Painted<T>(pub(crate) Style, pub(crate) T);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(style, text) = self;
        write!(f, "{style}{text}{style:#}")
    }
}
