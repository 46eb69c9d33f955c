//! Strings and keys in the forms that JSONB takes.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// What an escaped string begins with.
const ESCAPE: char = '\u{1}';
const TEXT: &str = "\u{1}s";
const NUMBER: &str = "\u{1}n";

/// The key under which an object has the order of its keys.
pub(crate) const ORDER: &str = "\u{1}o";

/// What the names of `serde_json`'s own structs begin with.
pub(crate) const PRIVATE: &str = "$serde_json::private::";

/// What a stored string stands for.
pub(super) enum Stored<'a> {
    /// The string itself.
    Plain,
    /// Another string.
    Text(String),
    /// The number with this text.
    Number(&'a str),
}

pub(super) fn text_needs_escape(text: &str) -> bool {
    memchr2(0, 1, text.as_bytes()).is_some()
}

pub(super) fn key_needs_escape(key: &str) -> bool {
    key.starts_with(PRIVATE) || text_needs_escape(key)
}

/// The key under which `key` is stored.
pub(crate) fn stored_key(key: &str) -> Cow<'_, str> {
    if key_needs_escape(key) {
        Cow::Owned(escape_text(key))
    } else {
        Cow::Borrowed(key)
    }
}

/// The key that is stored as `stored`; `None` if no key is.
pub(crate) fn key_of(stored: &str) -> Option<String> {
    match read(stored)? {
        Stored::Plain => Some(stored.to_owned()),
        Stored::Text(key) => Some(key),
        Stored::Number(_) => None,
    }
}

pub(super) fn escape_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    escaped.push_str(TEXT);
    for char in text.chars() {
        match char {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, '1']),
            other => escaped.push(other),
        }
    }
    escaped
}

pub(super) fn escape_number(number: &str) -> String {
    format!("{NUMBER}{number}")
}

/// Reads a stored string; `None` if it holds the escape character in a way that
/// was never written.
pub(super) fn read(stored: &str) -> Option<Stored<'_>> {
    if memchr(ESCAPE as u8, stored.as_bytes()).is_none() {
        return Some(Stored::Plain);
    }
    if let Some(number) = stored.strip_prefix(NUMBER) {
        return Some(Stored::Number(number));
    }
    let mut parts = stored.strip_prefix(TEXT)?.split(ESCAPE);
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (char, rest) = match part.as_bytes().first()? {
            b'0' => ('\0', &part[1..]),
            b'1' => (ESCAPE, &part[1..]),
            _ => return None,
        };
        text.push(char);
        text.push_str(rest);
    }
    Some(Stored::Text(text))
}
