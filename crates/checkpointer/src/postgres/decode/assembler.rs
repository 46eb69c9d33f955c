//! Values that are put together from chunks, each of which is checked against its hash.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Body, Chunk, corrupt, malformed};
use crate::codec::{self, ContentHash, DecodeError, Form, MAX_BYTES, MAX_DEPTH, ORDER, order};
use crate::postgres::chunk::{Kind, Reference, items_hash, members_hash, node_hash};
use crate::postgres::last_reads::{FoundList, Placed, ReadList, ReadLists};
use crate::{Error, Result, ThreadId};

/// The most bytes of chunks that make one value. No value that was written takes more, but a few
/// chunks that refer to each other many times could stand for any number of bytes.
pub(super) const MAX_READ: usize = 4 * MAX_BYTES;

/// What a chunk counts besides its bytes: many small ones take time to read. Those that were written
/// have more than a kilobyte on average.
const CHUNK_BYTES: usize = 256;

/// Makes the value of one channel, and checks each chunk against its hash.
pub(super) struct Assembler<'a> {
    pub(super) thread_id: &'a ThreadId,
    pub(super) chunks: Option<&'a HashMap<ContentHash, Chunk<'a>>>,
    /// The lists that were read last, in place of whose chunks their items are taken.
    pub(super) held: Option<&'a ReadLists>,
    pub(super) keeps: bool,
    pub(super) channel: &'a str,
    /// How many more bytes of chunks the value may take.
    pub(super) left: usize,
}

/// A leaf that was read.
struct Leaf<'a> {
    chunk: &'a Chunk<'a>,
    content: Value,
    parts: Parts,
}

/// What there is to know of the items or members of a leaf.
#[derive(Clone, Copy)]
struct Parts {
    form: Form,
    /// Whether each of them is `[value]` or a reference.
    nested: bool,
    /// Whether the reference to the leaf's tree says that there may be references.
    refers: bool,
    /// Whether their hashes are needed.
    hashed: bool,
}

impl<'a> Assembler<'a> {
    /// Makes the value of `[value]` or of a reference, with its hash as part of another's. It lies
    /// in a leaf inside `depth` others.
    pub(super) fn entry(
        &mut self,
        stored: Value,
        form: Form,
        depth: usize,
    ) -> Result<(Value, ContentHash)> {
        match stored {
            Value::Array(mut inline) if inline.len() == 1 => {
                let mut value = inline.remove(0);
                let hash = form.restore_and_hash(&mut value);
                let hash = hash.map_err(|error| self.malformed(&error))?;
                Ok((value, hash))
            }
            Value::Object(stored) => {
                let reference = Reference::read(&stored)
                    .ok_or_else(|| self.corrupt("has a reference in an unknown form"))?;
                if depth > MAX_DEPTH {
                    return Err(self.corrupt("is nested deeper than any that is stored"));
                }
                let value = self.refer(&reference, depth)?;
                Ok((value, reference.hash()))
            }
            _ => Err(self.corrupt("is stored in an unknown form")),
        }
    }

    fn refer(&mut self, reference: &Reference, depth: usize) -> Result<Value> {
        match reference.kind {
            Kind::Value => match &reference.parts[..] {
                [hash] => self.value(hash),
                _ => Err(self.corrupt("refers to no chunk")),
            },
            Kind::Array => {
                let mut items = Vec::new();
                for part in &reference.parts {
                    self.branch(part, reference.depth, reference, depth, &mut items)?;
                }
                Ok(Value::Array(items))
            }
            Kind::Object => {
                let mut members = Map::new();
                let mut keys = None;
                for hash in self.leaves(reference)? {
                    self.members(&hash, reference, depth, &mut members, &mut keys)?;
                }
                order::restore_keys(&mut members, keys)
                    .ok_or_else(|| self.corrupt("has keys that can't have the stored order"))?;
                Ok(Value::Object(members))
            }
        }
    }

    /// The hashes of a tree's leaves, in order.
    fn leaves(&mut self, reference: &Reference) -> Result<Vec<ContentHash>> {
        let mut hashes = reference.parts.clone();
        for _ in 0..reference.depth {
            let mut below = Vec::new();
            for hash in hashes {
                below.extend_from_slice(self.children(&hash)?);
            }
            hashes = below;
        }
        Ok(hashes)
    }

    /// The hashes of a node's children.
    fn children(&mut self, hash: &ContentHash) -> Result<&'a [ContentHash]> {
        let chunk = self.chunk(hash)?;
        let Body::Node(children) = &chunk.body else {
            return Err(self.corrupt(&format!("has a leaf, chunk {hash}, for a node")));
        };
        // Any kind will do: a node's hash doesn't depend on it.
        self.verify(hash, chunk, Kind::Value, || node_hash(children.iter()))?;
        Ok(children)
    }

    /// Reads a list that may go on from the one that was read before.
    pub(super) fn list(&mut self, top: Reference, before: Option<&ReadList>) -> Result<FoundList> {
        let mut list = FoundList::new(top.clone());
        for part in &top.parts {
            self.placed(part, top.depth, &top, before, &mut list)?;
        }
        Ok(list)
    }

    /// Reads the items of a chunk in such a list, and notes where they are.
    fn placed(
        &mut self,
        hash: &ContentHash,
        level: u8,
        tree: &Reference,
        before: Option<&ReadList>,
        list: &mut FoundList,
    ) -> Result<()> {
        let (start, left, bytes) = (list.len(), self.left, list.bytes());
        if let Some(next) = before.and_then(|before| before.placed_at(start, hash, level))
            && list.go_on(next)
        {
            return self.spend(next.stored_bytes);
        }
        match self.held.and_then(|held| held.items(hash, level)) {
            Some((items, placed)) => {
                self.spend(placed.stored_bytes)?;
                list.copy(items, placed.bytes);
            }
            None if level == 0 => {
                let mut items = Vec::new();
                self.items(hash, tree, 0, &mut items)?;
                list.take(items);
            }
            None => {
                for child in self.children(hash)? {
                    self.placed(child, level - 1, tree, before, list)?;
                }
            }
        }
        list.place(Placed {
            hash: *hash,
            level,
            items: start..list.len(),
            stored_bytes: left - self.left,
            bytes: list.bytes() - bytes,
        });
        Ok(())
    }

    /// Reads the items of a chunk and of those below it.
    fn branch(
        &mut self,
        hash: &ContentHash,
        level: u8,
        tree: &Reference,
        depth: usize,
        items: &mut Vec<Value>,
    ) -> Result<()> {
        if let Some((held, placed)) = self.held.and_then(|held| held.items(hash, level)) {
            self.spend(placed.stored_bytes)?;
            items.extend_from_slice(held);
        } else if level == 0 {
            self.items(hash, tree, depth, items)?;
        } else {
            for child in self.children(hash)? {
                self.branch(child, level - 1, tree, depth, items)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, hash: &ContentHash) -> Result<Value> {
        let leaf = self.leaf(hash, Kind::Value, false)?;
        let (value, found) = self.plain(leaf.content, leaf.parts)?;
        if let Some(found) = found {
            self.verify(hash, leaf.chunk, Kind::Value, || found)?;
        }
        Ok(value)
    }

    fn items(
        &mut self,
        hash: &ContentHash,
        tree: &Reference,
        depth: usize,
        items: &mut Vec<Value>,
    ) -> Result<()> {
        let leaf = self.leaf(hash, Kind::Array, tree.nested)?;
        let Value::Array(stored) = leaf.content else {
            return Err(self.unknown_form(hash));
        };
        let mut hashes = Vec::with_capacity(stored.len());
        for stored in stored {
            let (item, hash) = self.part(stored, leaf.parts, depth)?;
            items.push(item);
            hashes.extend(hash);
        }
        self.verify(hash, leaf.chunk, Kind::Array, || items_hash(hashes.iter()))
    }

    /// Reads a leaf's members; in the first leaf there may be the order of all keys as well.
    fn members(
        &mut self,
        hash: &ContentHash,
        tree: &Reference,
        depth: usize,
        members: &mut Map<String, Value>,
        keys: &mut Option<Value>,
    ) -> Result<()> {
        let leaf = self.leaf(hash, Kind::Object, tree.nested)?;
        let Value::Object(stored) = leaf.content else {
            return Err(self.unknown_form(hash));
        };
        let mut read = Vec::with_capacity(stored.len());
        let mut hashes = Vec::with_capacity(stored.len());
        for (key, stored) in stored {
            let key = self.member_key(key, leaf.parts.form)?;
            let (value, hash) = self.part(stored, leaf.parts, depth)?;
            read.push((key, value));
            hashes.extend(hash);
        }
        self.verify(hash, leaf.chunk, Kind::Object, || {
            let keys = read.iter().map(|(key, _)| key.as_deref());
            let mut hashed: Vec<_> = keys.zip(&hashes).collect();
            hashed.sort_unstable_by_key(|(key, _)| *key);
            members_hash(hashed.into_iter())
        })?;
        for (key, value) in read {
            match key {
                Some(key) => {
                    members.insert(key, value);
                }
                None => *keys = Some(value),
            }
        }
        Ok(())
    }

    /// The key of a member; none is that of the order of all keys.
    fn member_key(&self, stored: String, form: Form) -> Result<Option<String>> {
        if stored == ORDER {
            return Ok(None);
        }
        let key = form.restore_key(stored);
        key.map(Some).map_err(|error| self.malformed(&error))
    }

    /// Makes an item or the value of a member, with its hash if that is needed.
    fn part(
        &mut self,
        stored: Value,
        parts: Parts,
        depth: usize,
    ) -> Result<(Value, Option<ContentHash>)> {
        if parts.nested {
            if stored.is_object() && !parts.refers {
                return Err(self.corrupt("has a reference in a tree that is said to have none"));
            }
            let (value, hash) = self.entry(stored, parts.form, depth + 1)?;
            return Ok((value, Some(hash)));
        }
        self.plain(stored, parts)
    }

    fn plain(&self, mut value: Value, parts: Parts) -> Result<(Value, Option<ContentHash>)> {
        let hash = if parts.hashed {
            parts.form.restore_and_hash(&mut value).map(Some)
        } else {
            parts.form.restore(&mut value).map(|()| None)
        };
        let hash = hash.map_err(|error| self.malformed(&error))?;
        Ok((value, hash))
    }

    /// Reads a leaf of a tree of a kind, which may hold references or not.
    fn leaf(&mut self, hash: &ContentHash, kind: Kind, refers: bool) -> Result<Leaf<'a>> {
        let chunk = self.chunk(hash)?;
        let Body::Leaf { text, parsed } = &chunk.body else {
            return Err(self.corrupt(&format!("has a node, chunk {hash}, for a leaf")));
        };
        let (content, form) = match parsed.take() {
            Some(parsed) => parsed,
            None => codec::parse(text)
                .map_err(|error| malformed(self.thread_id, &format!("chunk {hash}"), &error))?,
        };
        if self.keeps {
            parsed.replace(Some((content.clone(), form)));
        }
        let (content, nested) = unwrapped(content, kind).ok_or_else(|| self.unknown_form(hash))?;
        let parts = Parts {
            form,
            nested,
            refers,
            hashed: chunk.verified.get() != Some(kind),
        };
        Ok(Leaf {
            chunk,
            content,
            parts,
        })
    }

    fn chunk(&mut self, hash: &ContentHash) -> Result<&'a Chunk<'a>> {
        let Some(chunk) = self.chunks.and_then(|chunks| chunks.get(hash)) else {
            return Err(self.corrupt(&format!("misses chunk {hash}")));
        };
        self.spend(chunk.bytes + CHUNK_BYTES)?;
        Ok(chunk)
    }

    /// Counts bytes that go into the value.
    fn spend(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => return Err(self.corrupt("is larger than any that is stored")),
        }
        Ok(())
    }

    /// Compares a chunk's hash with that of its content, unless that was done.
    fn verify(
        &self,
        hash: &ContentHash,
        chunk: &Chunk<'_>,
        kind: Kind,
        found: impl FnOnce() -> ContentHash,
    ) -> Result<()> {
        if chunk.verified.get() == Some(kind) {
            return Ok(());
        }
        if *hash != found() {
            return Err(self.corrupt(&format!(
                "has chunk {hash}, whose content doesn't match its hash"
            )));
        }
        chunk.verified.set(Some(kind));
        Ok(())
    }

    fn unknown_form(&self, hash: &ContentHash) -> Error {
        self.corrupt(&format!("has an unknown form of chunk, {hash}"))
    }

    fn malformed(&self, error: &DecodeError) -> Error {
        malformed(
            self.thread_id,
            &format!("channel `{}`", self.channel),
            error,
        )
    }

    fn corrupt(&self, what: &str) -> Error {
        corrupt(self.thread_id, format!("channel `{}` {what}", self.channel))
    }
}

/// The value, the items or the members of a leaf, and whether each is `[value]` or a reference.
pub(in crate::postgres) fn unwrapped(content: Value, kind: Kind) -> Option<(Value, bool)> {
    match (content, kind) {
        (value, Kind::Value) => Some((value, false)),
        (Value::Object(mut content), _) => {
            let parts = content.remove("m")?;
            content.is_empty().then_some((parts, true))
        }
        (Value::Array(mut content), Kind::Object) => {
            let members = content.pop()?;
            content.is_empty().then_some((members, false))
        }
        (items, _) => Some((items, false)),
    }
}
