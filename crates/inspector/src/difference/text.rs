//! What differs between two texts, by word.

use std::ops::Range;
use std::time::Instant;

use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};
use unicode_segmentation::UnicodeSegmentation;

/// A part of a text that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextPart<'a> {
    /// It is in both texts.
    Kept(&'a str),
    /// It is in the text after only.
    Added(&'a str),
    /// It is in the text before only.
    Removed(&'a str),
}

/// Compares two texts by words; none if they have less than a third of the shorter one in common.
pub(super) fn compare<'a>(
    before: &'a str,
    after: &'a str,
    deadline: Instant,
) -> Option<Vec<TextPart<'a>>> {
    let (old, new) = (Words::of(before), Words::of(after));
    let ops =
        capture_diff_slices_deadline(Algorithm::Myers, &old.words, &new.words, Some(deadline));
    let mut parts = Vec::new();
    for (tag, removed, added) in ops.iter().map(|op| op.as_tag_tuple()) {
        if tag == DiffTag::Equal {
            parts.push(TextPart::Kept(new.text(added)));
            continue;
        }
        if !removed.is_empty() {
            parts.push(TextPart::Removed(old.text(removed)));
        }
        if !added.is_empty() {
            parts.push(TextPart::Added(new.text(added)));
        }
    }
    let kept: usize = parts.iter().map(kept_letters).sum();
    (kept > 0 && kept * 3 >= letters(before).min(letters(after))).then_some(parts)
}

/// The words of a text, and what stands between them.
struct Words<'a> {
    text: &'a str,
    words: Vec<&'a str>,
    starts: Vec<usize>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let (starts, words) = text.split_word_bound_indices().unzip();
        Self {
            text,
            words,
            starts,
        }
    }

    /// The text of neighbouring words.
    fn text(&self, words: Range<usize>) -> &'a str {
        let byte = |word: usize| self.starts.get(word).copied().unwrap_or(self.text.len());
        &self.text[byte(words.start)..byte(words.end)]
    }
}

fn kept_letters(part: &TextPart<'_>) -> usize {
    match part {
        TextPart::Kept(text) => letters(text),
        _ => 0,
    }
}

fn letters(text: &str) -> usize {
    text.chars().filter(|char| !char.is_whitespace()).count()
}
