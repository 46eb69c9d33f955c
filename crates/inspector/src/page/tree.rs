//! A value as a tree that opens: what is small is part of the page, what is large is asked for.

use std::fmt::Write as _;

use askama::Template;
use checkpointer::serde_json::{Map, Value};

use super::links::{Place, encoded_bytes};
use super::shown;

/// How many members or items are shown at once.
pub(super) const PAGE: usize = 100;

/// The longest text that is shown with its key, and how much of a longer one, in characters.
const SHORT: usize = 300;
const START: usize = 160;

/// How many bytes of JSON a value may have that is part of the page though it isn't open.
pub(super) const SMALL: usize = 600;

/// The longest path that a link has, in bytes as it is encoded. The names of others are part of it, and may be of
/// any length.
const LONGEST_PATH: usize = 1_000;

/// The members or items of a value.
#[derive(Debug, Default, Template)]
#[template(path = "tree.html")]
pub(super) struct Tree {
    pub(super) branches: Vec<Branch>,
    /// The link to those that follow, and how many they are.
    pub(super) more: Option<(String, usize)>,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) key: String,
    pub(super) size: String,
    /// How much of the whole it is, in percent.
    pub(super) share: Option<usize>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// A value that is shown whole: the name of its type, and its text.
    Leaf(&'static str, String),
    /// The start of a long text, and the link to all of it.
    Long(String, String),
    /// A small array or object.
    Open(String, Tree),
    /// A large one, and the link to what is in it.
    Closed(String, String),
    /// One of these that has too long a name for a link: the style of what is shown of it, and that.
    Shut(&'static str, String),
}

impl Tree {
    /// The members or items of `value`, which is at `path`, from the one at `from` on.
    pub(super) fn of(value: &Value, place: &Place, path: &str, from: usize) -> Self {
        let children = children(value);
        let total = children.len();
        let shown = children.into_iter().skip(from).take(PAGE);
        let branches = shown
            .map(|(key, value)| Branch::of(&key, value, place, path))
            .collect();
        Self {
            branches,
            more: more(total, from, place, path),
        }
    }

    /// The members of an object at `path`, from the one at `from` on.
    pub(super) fn members(
        members: &Map<String, Value>,
        from: usize,
        place: &Place,
        path: &str,
    ) -> Self {
        let shown = members.iter().skip(from).take(PAGE);
        Self {
            more: more(members.len(), from, place, path),
            ..Self::of_all(shown.map(|(key, value)| (key, &**key, value)), place, path)
        }
    }

    /// A few values, each with the name that it has under `path`.
    pub(super) fn of_all<'a>(
        values: impl IntoIterator<Item = (impl AsRef<str>, &'a str, &'a Value)>,
        place: &Place,
        path: &str,
    ) -> Self {
        let values = values.into_iter();
        let branches = values.map(|(key, shown, value)| Branch {
            key: shown::start(shown, 120),
            ..Branch::of(key.as_ref(), value, place, path)
        });
        Self {
            branches: branches.collect(),
            more: None,
        }
    }
}

/// The link to what follows a page that begins at `from`, and how many that are.
pub(super) fn more(
    total: usize,
    from: usize,
    place: &Place,
    list: &str,
) -> Option<(String, usize)> {
    let next = from.saturating_add(PAGE);
    let rest = total.checked_sub(next).filter(|rest| *rest > 0)?;
    let next = next.to_string();
    let link = place.link_with("value", &[("path", list), ("from", &next)]);
    Some((link, rest))
}

impl Branch {
    pub(super) fn of(key: &str, value: &Value, place: &Place, path: &str) -> Self {
        let bytes = bytes(value);
        let path = below(path, key);
        Self {
            key: shown::start(key, 120),
            size: shown::size(bytes),
            share: None,
            content: content(value, bytes, place, &path),
        }
    }
}

fn content(value: &Value, bytes: usize, place: &Place, path: &str) -> Content {
    match value {
        Value::Null => Content::Leaf("null", "null".to_owned()),
        Value::Bool(value) => Content::Leaf("bool", value.to_string()),
        Value::Number(value) => Content::Leaf("number", value.to_string()),
        Value::String(text) if text.char_indices().nth(SHORT).is_none() => {
            Content::Leaf("text", shown::text(text))
        }
        Value::String(text) => {
            let start = shown::start(text, START);
            match link(place, path) {
                Some(link) => Content::Long(start, link),
                None => Content::Shut("value text", start),
            }
        }
        Value::Array(items) if items.is_empty() => Content::Leaf("empty", "[ ]".to_owned()),
        Value::Object(members) if members.is_empty() => Content::Leaf("empty", "{ }".to_owned()),
        _ if bytes <= SMALL => Content::Open(outline(value), Tree::of(value, place, path, 0)),
        _ => match link(place, path) {
            Some(link) => Content::Closed(outline(value), link),
            None => Content::Shut("outline", outline(value)),
        },
    }
}

/// The link to a value, unless its path is too long.
fn link(place: &Place, path: &str) -> Option<String> {
    (encoded_bytes(path) <= LONGEST_PATH).then(|| place.link_with("value", &[("path", path)]))
}

/// What an array or object holds, in a few words.
fn outline(value: &Value) -> String {
    match value {
        Value::Array(items) => shown::count(items.len(), "item"),
        Value::Object(members) => {
            let keys: Vec<_> = members
                .keys()
                .take(5)
                .map(|key| shown::start(key, 24))
                .collect();
            let more = if members.len() > keys.len() {
                ", …"
            } else {
                ""
            };
            format!("{}{more}", keys.join(", "))
        }
        _ => String::new(),
    }
}

fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        _ => Vec::new(),
    }
}

/// The path of a member or an item, as RFC 6901 has it.
pub(super) fn below(path: &str, key: &str) -> String {
    let mut below = path.to_owned();
    // Writing to a string doesn't fail.
    let _ = write!(below, "/{}", key.replace('~', "~0").replace('/', "~1"));
    below
}

/// About how many bytes of JSON a value has.
pub(super) fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(number) => number.to_string().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| bytes(item) + 1).sum::<usize>() + 2,
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| key.len() + bytes(value) + 4);
            members.sum::<usize>() + 2
        }
    }
}
