//! What is large in a state.

use checkpointer::ChannelValues;
use checkpointer::serde_json::Value;

use super::{shown, tree};

/// How deep it is looked, from how many percent on a part is large, and how many parts are named.
const DEPTH: usize = 4;
const SHARE: usize = 10;
const MOST: usize = 6;

/// A state of fewer bytes has nothing that is large.
const LIGHT: usize = 20_000;

/// A part of a state that is large.
#[derive(Debug, PartialEq)]
pub(super) struct Heavy {
    pub(super) path: String,
    pub(super) size: String,
    pub(super) percent: usize,
}

/// The parts that take most of a state of `total` bytes, the largest first.
pub(super) fn heavy(state: &ChannelValues, total: usize) -> Vec<Heavy> {
    if total < LIGHT {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (channel, value) in state {
        weigh(channel.clone(), value, DEPTH, total, &mut found);
    }
    found.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let heavy = found.into_iter().take(MOST).map(|(path, bytes)| Heavy {
        path: shown::start(&path, 120),
        size: shown::size(bytes),
        percent: bytes * 100 / total,
    });
    heavy.collect()
}

fn weigh(
    path: String,
    value: &Value,
    depth: usize,
    total: usize,
    found: &mut Vec<(String, usize)>,
) {
    let bytes = tree::bytes(value);
    if bytes * 100 < total * SHARE {
        return;
    }
    if depth > 0 {
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    weigh(format!("{path}[{at}]"), item, depth - 1, total, found);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    weigh(format!("{path}.{key}"), value, depth - 1, total, found);
                }
            }
            _ => {}
        }
    }
    found.push((path, bytes));
}
