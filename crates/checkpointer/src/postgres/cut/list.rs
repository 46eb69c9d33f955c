//! Lists that grow: of a long one only the end is kept, because the rest is stored.

use std::iter;

use serde_json::Value;

use super::leaves::first_leaf;
use super::levels::Levels;
use super::node::Item;
use super::{Cut, LEAF_BYTES, Tree};
use crate::postgres::chunk::Kind;

/// A list that a put appends to.
#[derive(Debug)]
pub(in crate::postgres) enum List {
    /// All of it is at hand.
    Whole { value: Value, cut: Option<Cut> },
    /// Only its end is at hand.
    End(Box<End>),
}

/// The end of a long list that is stored: its last items, and the chunks that an append changes.
#[derive(Debug)]
pub(in crate::postgres) struct End {
    levels: Levels,
    /// How many items the list has.
    len: usize,
    /// The items of the last leaves, and their values.
    items: Vec<Item>,
    values: Vec<Value>,
}

impl List {
    /// Cuts a list.
    pub(in crate::postgres) fn of(value: Value) -> Self {
        let cut = Cut::of_channel(&value, || None);
        Self::Whole { value, cut }
    }

    /// A list of which a put has stored all; none for another value.
    pub(in crate::postgres) fn of_stored(value: &Value, cut: Option<&Cut>) -> Option<Self> {
        let items = value.as_array()?;
        Some(match cut {
            Some(Cut::Tree(tree)) => Self::End(Box::new(End::of_stored(tree.levels(), items))),
            _ => Self::Whole {
                value: value.clone(),
                cut: None,
            },
        })
    }

    /// How many items it has.
    pub(in crate::postgres) fn len(&self) -> usize {
        match self {
            Self::Whole { value, .. } => value.as_array().map_or(0, Vec::len),
            Self::End(end) => end.len,
        }
    }

    /// Appends items, and cuts what that changes.
    pub(in crate::postgres) fn append(self, further: &[Value]) -> Self {
        match self {
            Self::Whole {
                value: Value::Array(mut items),
                ..
            } => {
                items.extend_from_slice(further);
                Self::of(Value::Array(items))
            }
            Self::Whole { .. } => self,
            Self::End(end) => Self::End(Box::new(end.append(further))),
        }
    }

    /// Lets go of all but the end of a long list that is stored.
    pub(in crate::postgres) fn stored(self) -> Self {
        match self {
            Self::Whole {
                value: Value::Array(items),
                cut: Some(Cut::Tree(tree)),
            } => Self::End(Box::new(End::of(*tree, &items))),
            Self::Whole { .. } => self,
            Self::End(mut end) => {
                end.keep_ends();
                Self::End(end)
            }
        }
    }

    /// About how much memory a list takes that is stored.
    pub(in crate::postgres) fn memory(&self) -> usize {
        match self {
            Self::Whole { .. } => self.len() * size_of::<Value>() + 2 * LEAF_BYTES,
            Self::End(end) => end.memory(),
        }
    }
}

impl End {
    fn of(tree: Tree, values: &[Value]) -> Self {
        let (mut items, levels) = tree.into_parts();
        let len = items.len();
        let last = levels.last_leaf().map_or(0, |leaf| leaf.length);
        Self {
            levels: levels.ends(),
            len,
            items: items.split_off(len - last),
            values: values[len - last..].to_vec(),
        }
    }

    fn of_stored(levels: &Levels, values: &[Value]) -> Self {
        let last = levels.last_leaf().map_or(0, |leaf| leaf.length);
        let end = values[values.len() - last..].to_vec();
        Self {
            levels: levels.ends(),
            len: values.len(),
            items: end.iter().map(item).collect(),
            values: end,
        }
    }

    /// Cuts the last leaf again, with further items behind it: what follows a leaf also decides
    /// whether it ends.
    fn append(mut self, further: &[Value]) -> Self {
        self.keep_ends();
        self.items.extend(further.iter().map(item));
        self.values.extend_from_slice(further);
        let mut begins = 0;
        let leaves = iter::from_fn(|| {
            let rest = self.items.get(begins..).filter(|rest| !rest.is_empty())?;
            let leaf = first_leaf(Kind::Array, rest);
            begins += leaf.length;
            Some(leaf)
        });
        Self {
            levels: self.levels.append(leaves),
            len: self.len + further.len(),
            ..self
        }
    }

    fn keep_ends(&mut self) {
        self.keep_last_leaf();
        self.levels = self.levels.ends();
    }

    fn keep_last_leaf(&mut self) {
        let last = self.levels.last_leaf().map_or(0, |leaf| leaf.length);
        let first = self.items.len() - last;
        self.items.drain(..first);
        self.values.drain(..first);
    }

    pub(in crate::postgres) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The place of the first item that is at hand.
    pub(in crate::postgres) fn first(&self) -> usize {
        self.len - self.items.len()
    }

    pub(in crate::postgres) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(in crate::postgres) fn values(&self) -> &[Value] {
        &self.values
    }

    fn memory(&self) -> usize {
        let items = self.items.iter().map(|item| {
            let text = item.cut.measure().max_bytes;
            item.memory() + 2 * text + size_of::<Value>()
        });
        self.levels.memory_of_nodes() + items.sum::<usize>() + size_of::<Self>()
    }
}

/// Cuts an item of a list.
fn item(value: &Value) -> Item {
    Item {
        key: None,
        cut: Cut::again(value, 1, None),
    }
}
