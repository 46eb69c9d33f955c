//! Large arrays and objects as trees, and how one is made from the one before it.

use serde_json::{Map, Value};

use super::Cut;
use super::leaves::first_leaf;
use super::levels::Levels;
use super::node::{Item, Node};
use crate::codec::order;
use crate::postgres::chunk::Kind;

/// What is known of a large array or object besides its contents.
#[derive(Debug)]
pub(in crate::postgres) struct Tree {
    /// Its items, or its members in the order of their keys.
    items: Vec<Item>,
    levels: Levels,
}

impl Tree {
    /// Cuts an array or object that lies `depth` deep. It is compared with the one that is known to
    /// have been in its place, but for the items at the front that are known to be the same, and only
    /// what differs is hashed and cut.
    pub(super) fn of(members: &Members<'_>, depth: usize, before: Option<(Self, usize)>) -> Self {
        let kind = members.kind();
        let (known, known_nodes, same) = match before {
            Some((known, same)) if known.levels.reference().kind == kind => {
                (known.items, known.levels.into_nodes(), same)
            }
            _ => (Vec::new(), Vec::new(), 0),
        };
        let overlap = Overlap::of(&known, members, same);
        let items = overlap.replace(known, members, depth);
        let mut known_nodes = known_nodes.into_iter();
        let known_leaves = known_nodes.next().unwrap_or_default();
        let (leaves, kept) = overlap.leaves(kind, &items, known_leaves);
        Self {
            items,
            levels: Levels::above(kind, leaves, kept, known_nodes),
        }
    }

    /// Its items, and the chunks that hold them.
    pub(super) fn into_parts(self) -> (Vec<Item>, Levels) {
        (self.items, self.levels)
    }

    pub(in crate::postgres) fn levels(&self) -> &Levels {
        &self.levels
    }

    pub(in crate::postgres) fn items(&self) -> &[Item] {
        &self.items
    }

    /// About how much memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.levels.memory() + size_of::<Self>()
    }

    pub(super) fn is_of(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => self.has(Kind::Array, items.iter().map(|item| (None, item))),
            Value::Object(object) if order::is_sorted(object) => {
                let members = object.iter().map(|(key, value)| (Some(&**key), value));
                self.has(Kind::Object, members)
            }
            Value::Object(object) => {
                let members = Members::of_object(object);
                let places = 0..members.len();
                self.has(Kind::Object, places.map(|place| members.at(place)))
            }
            _ => false,
        }
    }

    fn has<'v>(
        &self,
        kind: Kind,
        members: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value)>,
    ) -> bool {
        self.levels.reference().kind == kind
            && self.items.len() == members.len()
            && (self.items.iter().zip(members)).all(|(item, (key, value))| item.is(key, value))
    }
}

/// The items of an array, or the members of an object.
#[derive(Debug)]
pub(in crate::postgres) enum Members<'v> {
    Items(&'v [Value]),
    Sorted {
        /// The keys in their order, unless they are sorted. It comes first, without a key.
        order: Option<Value>,
        members: Vec<(&'v str, &'v Value)>,
    },
}

impl<'v> Members<'v> {
    pub(in crate::postgres) fn of(value: &'v Value) -> Option<Self> {
        match value {
            Value::Array(items) => Some(Self::Items(items)),
            Value::Object(object) => Some(Self::of_object(object)),
            _ => None,
        }
    }

    fn of_object(object: &'v Map<String, Value>) -> Self {
        let mut members: Vec<_> = object.iter().map(|(key, value)| (&**key, value)).collect();
        let order = order::keys(object);
        if order.is_some() {
            members.sort_unstable_by_key(|(key, _)| *key);
        }
        Self::Sorted { order, members }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Items(_) => Kind::Array,
            Self::Sorted { .. } => Kind::Object,
        }
    }

    pub(in crate::postgres) fn len(&self) -> usize {
        match self {
            Self::Items(items) => items.len(),
            Self::Sorted { order, members } => usize::from(order.is_some()) + members.len(),
        }
    }

    /// The key, if there is one, and the value at a place.
    pub(in crate::postgres) fn at(&self, place: usize) -> (Option<&str>, &Value) {
        match self {
            Self::Items(items) => (None, &items[place]),
            Self::Sorted {
                order: Some(order), ..
            } if place == 0 => (None, order),
            Self::Sorted { order, members } => {
                let (key, value) = members[place - usize::from(order.is_some())];
                (Some(key), value)
            }
        }
    }
}

/// What an array or object has in common with the one that was there before.
#[derive(Debug)]
struct Overlap {
    /// How many items there were, and how many there are.
    before: usize,
    len: usize,
    /// How many items were cut off the front.
    trimmed: usize,
    /// How many items behind those, and how many at the end, are the same as before.
    front: usize,
    back: usize,
}

impl Overlap {
    /// Compares what isn't known to be the `same`.
    fn of(known: &[Item], members: &Members<'_>, same: usize) -> Self {
        let is = |item: &Item, place| {
            let (key, value) = members.at(place);
            item.is(key, value)
        };
        let (before, len) = (known.len(), members.len());
        let trimmed = match members {
            Members::Items([_, ..]) if same == 0 => known.iter().position(|item| is(item, 0)),
            _ => None,
        };
        let trimmed = trimmed.unwrap_or(0);
        let known = &known[trimmed..];
        let at_most = known.len().min(len);
        let further = (same..at_most).take_while(|place| is(&known[*place], *place));
        let front = same + further.count();
        let back = (1..=at_most - front)
            .take_while(|back| is(&known[known.len() - back], len - back))
            .count();
        Self {
            before,
            len,
            trimmed,
            front,
            back,
        }
    }

    /// Replaces the items that differ, and keeps the others.
    fn replace(&self, mut known: Vec<Item>, members: &Members<'_>, depth: usize) -> Vec<Item> {
        let back = known.split_off(self.before - self.back);
        let mut replaced = known
            .split_off(self.trimmed + self.front)
            .into_iter()
            .peekable();
        let mut items = known;
        items.drain(..self.trimmed);
        for place in self.front..self.len - self.back {
            let (key, value) = members.at(place);
            // What an item replaces is found by its place, what a member replaces by its key.
            while replaced.next_if(|item| item.key.as_deref() < key).is_some() {}
            let known = replaced.next_if(|item| item.key.as_deref() == key);
            items.push(Item {
                key: key.map(Box::from),
                cut: Cut::again(value, depth + 1, known.map(|item| item.cut.into())),
            });
        }
        items.extend(back);
        items
    }

    /// Cuts the items into leaves, and takes known leaves over where that is possible. Returns the
    /// leaves, and how many at the front were taken over.
    fn leaves(&self, kind: Kind, items: &[Item], known: Vec<Node>) -> (Vec<Node>, usize) {
        let mut known = known.into_iter();
        let mut next = known.next();
        let mut next_begins = 0;
        let mut leaves = Vec::new();
        let (mut begins, mut kept) = (0, 0);
        while begins < self.len {
            let leaf = self.same_since(begins).and_then(|(was, end)| {
                while let Some(leaf) = &next
                    && next_begins < was
                {
                    next_begins += leaf.length;
                    next = known.next();
                }
                // What follows a leaf also decides whether it ends.
                next.take_if(|leaf| {
                    let ends = begins + leaf.length;
                    next_begins == was && (ends < end || ends == self.len && end == self.len)
                })
            });
            let leaf = match leaf {
                Some(leaf) => {
                    next_begins += leaf.length;
                    next = known.next();
                    if self.trimmed == 0 && begins < self.front && kept == leaves.len() {
                        kept += 1;
                    }
                    leaf
                }
                None => first_leaf(kind, &items[begins..]),
            };
            begins += leaf.length;
            leaves.push(leaf);
        }
        (leaves, kept)
    }

    /// Where the item at a place was before, and up to which place the items after it are the same.
    fn same_since(&self, place: usize) -> Option<(usize, usize)> {
        if place < self.front {
            Some((place + self.trimmed, self.front))
        } else if place >= self.len - self.back {
            Some((place + self.before - self.len, self.len))
        } else {
            None
        }
    }
}
