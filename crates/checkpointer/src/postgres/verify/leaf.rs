//! Checking a chunk by itself: its hash is made of the hashes of what it holds.

use serde_json::{Map, Value};

use super::shapes::Shape;
use crate::codec::{self, ContentHash, Form, ORDER};
use crate::postgres::chunk::{Kind, Reference, items_hash, members_hash, node_hash, unpack};
use crate::postgres::decode::unwrapped;

/// The kinds of trees whose leaf a chunk may be.
const KINDS: [Kind; 3] = [Kind::Object, Kind::Array, Kind::Value];

/// What a leaf holds, if it is one of a tree of a kind.
#[derive(Default)]
struct Contents {
    /// The chunks that its values refer to.
    refs: Vec<ContentHash>,
    ordered: bool,
}

/// Says what a chunk is, or what is wrong with it.
pub(super) fn shape(
    hash: &ContentHash,
    content: Option<&[u8]>,
    refs: Option<&[u8]>,
) -> Result<Shape, String> {
    let refs = match refs.map(unpack) {
        Some(None) => return Err("holds half a hash".to_owned()),
        Some(refs) => refs,
        None => None,
    };
    match (content, refs) {
        (Some(content), refs) => leaf(hash, content, refs.unwrap_or_default()),
        (None, Some(refs)) => node(hash, &refs),
        (None, None) => Err("is empty".to_owned()),
    }
}

fn node(hash: &ContentHash, refs: &[ContentHash]) -> Result<Shape, String> {
    match refs.first() {
        Some(first) if node_hash(refs.iter()) == *hash => Ok(Shape::Node(*first)),
        _ => Err("refers to others than its hash says".to_owned()),
    }
}

fn leaf(hash: &ContentHash, content: &[u8], mut refs: Vec<ContentHash>) -> Result<Shape, String> {
    let (content, form) =
        codec::parse(content).map_err(|error| format!("can't be read: {error}"))?;
    let found = KINDS.into_iter().find_map(|kind| {
        let mut contents = Contents::default();
        let found = contents.hash(content.clone(), form, kind)?;
        (found == *hash).then_some((kind, contents))
    });
    let Some((kind, mut contents)) = found else {
        return Err("has content that doesn't match its hash".to_owned());
    };
    // JSONB has an order of keys of its own.
    contents.refs.sort_unstable();
    refs.sort_unstable();
    if contents.refs != refs {
        return Err("refers to others than its content does".to_owned());
    }
    let ordered = contents.ordered;
    Ok(Shape::Leaf { kind, ordered })
}

impl Contents {
    /// The hash of a leaf of a kind of tree; none if the content can't be one.
    fn hash(&mut self, content: Value, form: Form, kind: Kind) -> Option<ContentHash> {
        let (parts, nested) = unwrapped(content, kind)?;
        match (kind, parts) {
            (Kind::Value, mut value) => form.restore_and_hash(&mut value).ok(),
            (Kind::Array, Value::Array(items)) => {
                let hashes = items.into_iter().map(|item| self.part(item, form, nested));
                let hashes: Vec<_> = hashes.collect::<Option<_>>()?;
                Some(items_hash(hashes.iter()))
            }
            (Kind::Object, Value::Object(members)) => self.members(members, form, nested),
            _ => None,
        }
    }

    fn members(
        &mut self,
        members: Map<String, Value>,
        form: Form,
        nested: bool,
    ) -> Option<ContentHash> {
        let mut hashed = Vec::with_capacity(members.len());
        for (key, value) in members {
            let key = match key == ORDER {
                true => None,
                false => Some(form.restore_key(key).ok()?),
            };
            self.ordered |= key.is_none();
            hashed.push((key, self.part(value, form, nested)?));
        }
        hashed.sort_unstable();
        let hashed = hashed.iter().map(|(key, hash)| (key.as_deref(), hash));
        Some(members_hash(hashed))
    }

    /// The hash of an item, or of the value of a member.
    fn part(&mut self, mut stored: Value, form: Form, nested: bool) -> Option<ContentHash> {
        if !nested {
            return form.restore_and_hash(&mut stored).ok();
        }
        match stored {
            Value::Array(mut inline) if inline.len() == 1 => {
                form.restore_and_hash(&mut inline[0]).ok()
            }
            Value::Object(stored) => {
                let reference = Reference::read(&stored)?;
                self.refs.extend_from_slice(&reference.parts);
                Some(reference.hash())
            }
            _ => None,
        }
    }
}
