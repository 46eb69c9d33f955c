//! The entries of a `.env` file, taken apart.
//!
//! Values are written as for dotenvy and its like: plain, or in quotes, which may span lines. Only
//! `$NAME` and `${NAME}` stand for a variable, as in a shell; what else a shell does with a `$` is
//! wrong here.

use std::iter;
use std::mem;
use std::str::Chars;

const BLANK: [char; 2] = [' ', '\t'];

/// A name and its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) parts: Result<Vec<Part<'a>>, Wrong>,
    text: &'a str,
}

/// A part of a value.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Text(String),
    /// The value of the variable of this name.
    Variable(&'a str),
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Malformed,
    /// A quote is opened and not closed.
    Open,
    /// A `$` begins neither `$NAME` nor `${NAME}`.
    Dollar,
    /// What is referred to has no value.
    NotSet,
    /// The line is within the quotes of another entry.
    Hidden,
}

impl Wrong {
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Malformed => {
                "`NAME=value`; a value with spaces is in quotes, \
                 and a `\\` is written `\\\\` or between single quotes"
            }
            Self::Open => "each quote to be closed",
            Self::Dollar => {
                "`$NAME` or `${NAME}` where there is a `$`; \
                 one that stands for itself is written `\\$` or between single quotes"
            }
            Self::NotSet => {
                "what follows a `$` to be a variable that is set or has a value further up; \
                 a `$` that stands for itself is written `\\$` or between single quotes"
            }
            Self::Hidden => "a line of its own, outside of the quotes that another value opens",
        }
    }
}

impl<'a> Entry<'a> {
    /// The names on further lines that would be entries, if the value didn't span them.
    pub(super) fn names_within(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines = self.text.lines().skip(1).filter_map(split_name);
        lines.filter_map(|(name, after)| after.starts_with('=').then_some(name))
    }
}

/// Every entry of a file, in its order. A line that isn't one is passed over.
pub(super) fn all(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let (mut rest, mut line) = (text, 1);
    iter::from_fn(move || {
        while !rest.is_empty() {
            let entry = entry(rest, line);
            let length = entry
                .as_ref()
                .map_or_else(|| first_line(rest).len(), |e| e.text.len());
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
            if entry.is_some() {
                return entry;
            }
        }
        None
    })
}

/// The entry that a text begins with. A malformed one ends with its line.
fn entry(text: &str, line: usize) -> Option<Entry<'_>> {
    let (name, after) = split_name(text)?;
    let mut value = Value::default();
    let (parts, text) = match after.strip_prefix('=') {
        None => (Err(Wrong::Malformed), first_line(text)),
        Some(after) => match value.read(after.chars()) {
            Ok(rest) => (Ok(value.parts), &text[..text.len() - rest.len()]),
            Err(wrong) => (Err(wrong), first_line(text)),
        },
    };
    Some(Entry {
        line,
        name,
        parts,
        text,
    })
}

/// Splits off the name that a line begins with, and the spaces around it.
fn split_name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(BLANK);
    let line = match line.strip_prefix("export") {
        Some(exported) if exported.starts_with(BLANK) => exported.trim_start_matches(BLANK),
        _ => line,
    };
    let (name, after) = line.split_at(name_length(line));
    (!name.is_empty()).then(|| (name, after.trim_start_matches(BLANK)))
}

fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.starts_with(|c: char| c.is_ascii_digit()) {
        true => 0,
        false => text.find(|c| !is_name(c)).unwrap_or(text.len()),
    }
}

/// A line with its end.
fn first_line(text: &str) -> &str {
    text.split_inclusive('\n').next().unwrap_or_default()
}

/// A value while it is read.
#[derive(Default)]
struct Value<'a> {
    parts: Vec<Part<'a>>,
    text: String,
}

impl<'a> Value<'a> {
    /// Reads a value to the end of its line, and returns what comes after that.
    fn read(&mut self, mut rest: Chars<'a>) -> Result<&'a str, Wrong> {
        let trimmed = rest.as_str().trim_start_matches(BLANK);
        let is_comment = trimmed.starts_with('#') && trimmed.len() < rest.as_str().len();
        if is_comment {
            return end_of_line(trimmed);
        }
        rest = trimmed.chars();
        loop {
            let before = rest.as_str();
            match rest.next() {
                None | Some('\n' | '\r' | ' ' | '\t') => {
                    self.end_text();
                    return end_of_line(before);
                }
                Some('\'') => self.single_quoted(&mut rest)?,
                Some('"') => self.double_quoted(&mut rest)?,
                Some(c) => self.push(c, &mut rest)?,
            }
        }
    }

    fn single_quoted(&mut self, rest: &mut Chars<'a>) -> Result<(), Wrong> {
        let (quoted, after) = rest.as_str().split_once('\'').ok_or(Wrong::Open)?;
        self.text.push_str(quoted);
        *rest = after.chars();
        Ok(())
    }

    fn double_quoted(&mut self, rest: &mut Chars<'a>) -> Result<(), Wrong> {
        loop {
            match rest.next().ok_or(Wrong::Open)? {
                '"' => return Ok(()),
                '\\' if rest.as_str().starts_with('n') => {
                    rest.next();
                    self.text.push('\n');
                }
                c => self.push(c, rest)?,
            }
        }
    }

    /// Takes a character that isn't within single quotes, and what belongs to it.
    fn push(&mut self, c: char, rest: &mut Chars<'a>) -> Result<(), Wrong> {
        match c {
            '$' => return self.refer(rest),
            '\\' => match rest.next() {
                Some(escaped @ ('\\' | '\'' | '"' | '$' | '`' | '#' | ' ')) => {
                    self.text.push(escaped)
                }
                _ => return Err(Wrong::Malformed),
            },
            c => self.text.push(c),
        }
        Ok(())
    }

    /// Takes what follows a `$`.
    fn refer(&mut self, rest: &mut Chars<'a>) -> Result<(), Wrong> {
        let text = rest.as_str();
        let inner = text.strip_prefix('{');
        let (name, after) = inner
            .unwrap_or(text)
            .split_at(name_length(inner.unwrap_or(text)));
        let after = match inner {
            Some(_) => after.strip_prefix('}'),
            None => Some(after),
        };
        match after {
            Some(after) if !name.is_empty() => *rest = after.chars(),
            _ => return Err(Wrong::Dollar),
        }
        self.end_text();
        self.parts.push(Part::Variable(name));
        Ok(())
    }

    /// The text so far becomes a part.
    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(mem::take(&mut self.text)));
        }
    }
}

/// Passes over the end of a line, at which there may be a comment.
fn end_of_line(rest: &str) -> Result<&str, Wrong> {
    let line = first_line(rest);
    match line.trim() {
        "" => Ok(&rest[line.len()..]),
        comment if comment.starts_with('#') => Ok(&rest[line.len()..]),
        _ => Err(Wrong::Malformed),
    }
}
