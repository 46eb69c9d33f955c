//! Errors as texts, to compare them with what is expected.

use std::error::Error;

/// An error with all its causes, one a line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(|error| format!("{error}\n")).collect()
}

/// The same on one line.
pub fn in_one_line(error: &dyn Error) -> String {
    chain(error).trim_end().replace('\n', ": ")
}

/// The same without the times in it.
pub fn timeless(error: &dyn Error) -> String {
    let mut text = chain(error);
    for word in ["within ", "tried for "] {
        let mut parts = text.split(word);
        let first = parts.next().unwrap_or_default().to_owned();
        text = parts.fold(first, |text, part| {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || ".mµns".contains(c));
            format!("{text}{word}TIME{rest}")
        });
    }
    text
}
