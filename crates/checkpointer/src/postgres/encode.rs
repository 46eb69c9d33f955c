//! Values on their way to the database.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use serde_json::{Map, Value};

use super::chunk::pack;
use super::cut::{Cut, End, Item, Levels, List, Members, Node, Replaced, Tree, Whole};
use super::wire::Jsonb;
use crate::codec::{self, ContentHash, ORDER_KEY, Refused};
use crate::{ChannelValues, ChannelVersions, Checkpoint, Error, Result, ThreadId};

/// The format of a checkpoint's own fields.
pub(super) const FORMAT: i64 = 1;

/// A chunk to store.
#[derive(Debug)]
pub(super) struct NewChunk {
    /// The content of a leaf; an inner node has none.
    pub(super) content: Option<Vec<u8>>,
    /// The chunks it refers to, packed.
    pub(super) refs: Option<Vec<u8>>,
}

impl NewChunk {
    fn leaf(content: Vec<u8>) -> Self {
        Self {
            content: Some(content),
            refs: None,
        }
    }
}

/// The chunks that a write needs.
#[derive(Debug)]
pub(super) struct Chunks {
    /// The chunks relied on: they are stored, with everything below them.
    pub(super) relied: Vec<ContentHash>,
    /// The chunks to store, by hash: rows are locked in this order.
    pub(super) hashes: Vec<ContentHash>,
    new: Vec<NewChunk>,
}

impl Chunks {
    /// The chunks to store, and those relied on.
    pub(super) fn into_hashes(self) -> Vec<ContentHash> {
        let mut hashes = self.hashes;
        hashes.extend(self.relied);
        hashes
    }

    /// How many bytes the chunks to store have.
    pub(super) fn bytes(&self) -> usize {
        let parts = self.new.iter().flat_map(|new| [&new.content, &new.refs]);
        parts.flatten().map(Vec::len).sum()
    }

    /// The contents and the references of the chunks to store.
    pub(super) fn columns(&self) -> (Vec<Option<Jsonb<'_>>>, Vec<Option<&[u8]>>) {
        let new = self.new.iter();
        new.map(|new| (new.content.as_deref().map(Jsonb), new.refs.as_deref()))
            .unzip()
    }
}

/// Writes values: small ones as they are, large ones as references to chunks, of which it collects
/// those that aren't stored yet.
pub(super) struct Encoder<'a> {
    thread_id: &'a ThreadId,
    /// Whether a chunk is known to be stored, with everything below it.
    is_stored: &'a dyn Fn(&ContentHash) -> bool,
    /// The chunks to store, by hash: rows are locked in this order.
    pub(super) chunks: BTreeMap<ContentHash, NewChunk>,
    /// The chunks relied on: the topmost ones.
    pub(super) relied: HashSet<ContentHash>,
    /// Whether a chunk is missing whose content isn't at hand: what was written is no use then.
    pub(super) lacks: bool,
}

/// A large value, of which perhaps only the end is at hand.
struct Contents<'a> {
    levels: &'a Levels,
    /// The place of the first item that is at hand.
    first: usize,
    items: &'a [Item],
    members: Members<'a>,
}

impl Contents<'_> {
    /// How many items or nodes are at hand below a level.
    fn below(&self, level: usize) -> usize {
        match level.checked_sub(1) {
            Some(below) => self.levels.nodes()[below].len(),
            None => self.members.len(),
        }
    }
}

impl<'a> Encoder<'a> {
    pub(super) fn new(
        thread_id: &'a ThreadId,
        is_stored: &'a dyn Fn(&ContentHash) -> bool,
    ) -> Self {
        Self {
            thread_id,
            is_stored,
            chunks: BTreeMap::new(),
            relied: HashSet::new(),
            lacks: false,
        }
    }

    /// The chunks of everything that was written.
    pub(super) fn into_chunks(self) -> Chunks {
        let (hashes, new) = self.chunks.into_iter().unzip();
        Chunks {
            relied: self.relied.into_iter().collect(),
            hashes,
            new,
        }
    }

    /// Writes `[value]`, or a reference whose chunks it collects.
    pub(super) fn value(
        &mut self,
        value: &Value,
        cut: Option<&Cut>,
        place: &str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(cut) = cut else {
            out.push(b'[');
            self.json(value, place, out)?;
            out.push(b']');
            return Ok(());
        };
        // Chunks are checked one by one, and stored ones not at all. So a value that may be too
        // large or too deep as a whole is encoded once, only to check it.
        if cut.may_be_too_large() {
            self.json(value, place, &mut Vec::new())?;
        }
        match cut {
            Cut::Whole(whole) => self.whole(value, whole),
            Cut::Tree(tree) => self.tree(value, tree),
        }
        .map_err(|refused| Error::refused(self.thread_id, place, &refused))?;
        cut.reference().write(out);
        Ok(())
    }

    /// Writes a list that a put appends to, as [`value`](Self::value) does.
    fn list(&mut self, list: &List, place: &str, out: &mut Vec<u8>) -> Result<()> {
        match list {
            List::Whole { value, cut } => self.value(value, cut.as_ref(), place, out),
            List::End(end) => self
                .end(end, out)
                .map_err(|refused| Error::refused(self.thread_id, place, &refused)),
        }
    }

    /// Writes a list of which only the end is at hand.
    fn end(&mut self, end: &End, out: &mut Vec<u8>) -> Result<(), Refused> {
        // To check it takes all of it.
        self.lacks |= end.levels().may_be_too_large();
        self.contents(&Contents {
            levels: end.levels(),
            first: end.first(),
            items: end.items(),
            members: Members::Items(end.values()),
        })?;
        end.levels().reference().write(out);
        Ok(())
    }

    /// Whether a chunk must be written: it isn't stored, nor among those that will be.
    fn is_missing(&mut self, hash: &ContentHash) -> bool {
        if (self.is_stored)(hash) {
            self.relied.insert(*hash);
            return false;
        }
        !self.chunks.contains_key(hash)
    }

    fn whole(&mut self, value: &Value, whole: &Whole) -> Result<(), Refused> {
        if self.is_missing(whole.hash()) {
            let mut content = Vec::new();
            codec::encode(value, &mut content)?;
            self.chunks.insert(*whole.hash(), NewChunk::leaf(content));
        }
        Ok(())
    }

    fn tree(&mut self, value: &Value, tree: &Tree) -> Result<(), Refused> {
        let Some(members) = Members::of(value) else {
            return Ok(());
        };
        self.contents(&Contents {
            levels: tree.levels(),
            first: 0,
            items: tree.items(),
            members,
        })
    }

    /// Collects all chunks of a large value.
    fn contents(&mut self, contents: &Contents<'_>) -> Result<(), Refused> {
        let top = contents.levels.nodes().len() - 1;
        self.nodes(contents, top, 0..contents.levels.nodes()[top].len())
    }

    /// Collects chunks of a level, with those below them.
    fn nodes(
        &mut self,
        contents: &Contents<'_>,
        level: usize,
        places: Range<usize>,
    ) -> Result<(), Refused> {
        let nodes = &contents.levels.nodes()[level];
        let from_here = nodes[places.start..].iter();
        let mut from_here: usize = from_here.map(|node| node.length).sum();
        for node in &nodes[places] {
            let begins = contents.below(level).checked_sub(from_here);
            from_here -= node.length;
            if !self.is_missing(&node.hash) {
                continue;
            }
            let Some(begins) = begins else {
                self.lacks = true;
                return Ok(());
            };
            let below = begins..begins + node.length;
            let new = if level == 0 {
                self.leaf(contents, node.nested, below)?
            } else {
                let relied = self.relied_children(node);
                self.nodes(contents, level - 1, below.start + relied..below.end)?;
                let children = &contents.levels.nodes()[level - 1][below];
                NewChunk {
                    content: None,
                    refs: Some(pack(children.iter().map(|child| &child.hash))),
                }
            };
            self.chunks.insert(node.hash, new);
        }
        Ok(())
    }

    /// Relies on the node that a new one replaces, for the children they share. Returns how many
    /// these are.
    fn relied_children(&mut self, node: &Node) -> usize {
        match &node.replaced {
            Some(Replaced { hash, kept }) if *kept > 0 && (self.is_stored)(hash) => {
                self.relied.insert(*hash);
                *kept
            }
            _ => 0,
        }
    }

    fn leaf(
        &mut self,
        contents: &Contents<'_>,
        nested: bool,
        places: Range<usize>,
    ) -> Result<NewChunk, Refused> {
        let Contents { items, members, .. } = contents;
        let mut out = Vec::new();
        let mut refs = Vec::new();
        let first = places.start;
        let is_object = matches!(members, Members::Sorted { .. });
        out.extend_from_slice(match (nested, is_object) {
            (true, false) => b"{\"m\":[",
            (true, true) => b"{\"m\":{",
            (false, false) => b"[",
            (false, true) => b"[{",
        });
        for place in places {
            separate(place - first, &mut out);
            let (key, value) = members.at(place);
            match key {
                Some(key) => codec::encode_key(key, &mut out)?,
                None if is_object => out.extend_from_slice(ORDER_KEY),
                None => {}
            }
            if is_object {
                out.push(b':');
            }
            let cut = &items[place].cut;
            self.item(value, cut, nested, &mut refs, &mut out)
                .map_err(|refused| match key {
                    Some(key) => refused.in_key(key),
                    None if is_object => refused,
                    None => refused.in_index(contents.first + place),
                })?;
        }
        out.extend_from_slice(match (nested, is_object) {
            (true, false) => b"]}",
            (true, true) => b"}}",
            (false, false) => b"]",
            (false, true) => b"}]",
        });
        Ok(NewChunk {
            content: Some(out),
            refs: (!refs.is_empty()).then(|| pack(&refs)),
        })
    }

    /// Writes an item or a member's value, in a leaf that may hold references or not.
    fn item(
        &mut self,
        value: &Value,
        cut: &Cut,
        nested: bool,
        refs: &mut Vec<ContentHash>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match cut {
            Cut::Tree(tree) => {
                self.tree(value, tree)?;
                let reference = tree.levels().reference();
                refs.extend_from_slice(&reference.parts);
                reference.write(out);
            }
            Cut::Whole(_) if nested => {
                out.push(b'[');
                codec::encode(value, out)?;
                out.push(b']');
            }
            Cut::Whole(_) => codec::encode(value, out)?,
        }
        Ok(())
    }

    /// Writes the values of channels, and lists that channels grow to, as one object.
    pub(super) fn channels<'c>(
        &mut self,
        values: &ChannelValues,
        cuts: impl Iterator<Item = Option<&'c Cut>>,
        lists: &BTreeMap<String, List>,
    ) -> Result<Vec<u8>> {
        let mut out = vec![b'{'];
        for (index, ((channel, value), cut)) in values.iter().zip(cuts).enumerate() {
            let place = self.channel(index, channel, &mut out)?;
            self.value(value, cut, &place, &mut out)?;
        }
        for (index, (channel, list)) in (values.len()..).zip(lists) {
            let place = self.channel(index, channel, &mut out)?;
            self.list(list, &place, &mut out)?;
        }
        out.push(b'}');
        Ok(out)
    }

    /// Writes a channel's name; returns what its value is called in errors.
    fn channel(&self, index: usize, channel: &str, out: &mut Vec<u8>) -> Result<String> {
        separate(index, out);
        codec::encode_key(channel, out)
            .map_err(|refused| Error::refused(self.thread_id, "a channel's name", &refused))?;
        out.push(b':');
        Ok(format!("channel `{channel}`"))
    }

    /// Writes a value as it is.
    pub(super) fn json(&self, value: &Value, place: &str, out: &mut Vec<u8>) -> Result<()> {
        codec::encode(value, out).map_err(|refused| Error::refused(self.thread_id, place, &refused))
    }

    /// Writes an object as it is.
    pub(super) fn object(&self, object: &Map<String, Value>, place: &str) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        codec::encode_object(object, &mut out)
            .map_err(|refused| Error::refused(self.thread_id, place, &refused))?;
        Ok(out)
    }

    /// Writes a checkpoint's own fields.
    pub(super) fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
        let mut fields = Map::new();
        fields.insert("format".to_owned(), Value::from(FORMAT));
        fields.insert("v".to_owned(), Value::from(checkpoint.v));
        fields.insert("ts".to_owned(), Value::from(checkpoint.ts.as_str()));
        fields.insert(
            "channel_versions".to_owned(),
            versions_to_json(&checkpoint.channel_versions),
        );
        let seen = checkpoint.versions_seen.iter();
        fields.insert(
            "versions_seen".to_owned(),
            Value::Object(
                seen.map(|(node, versions)| (node.clone(), versions_to_json(versions)))
                    .collect(),
            ),
        );
        if let Some(channels) = &checkpoint.updated_channels {
            fields.insert(
                "updated_channels".to_owned(),
                Value::from(channels.as_slice()),
            );
        }
        if !checkpoint.extra.is_empty() {
            fields.insert("extra".to_owned(), Value::Object(checkpoint.extra.clone()));
        }
        self.object(&fields, "the checkpoint's own fields")
    }

    /// Writes the versions of channels that keep their parent's value.
    pub(super) fn versions(&self, versions: &ChannelVersions) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.json(
            &versions_to_json(versions),
            "the channel versions",
            &mut out,
        )?;
        Ok(out)
    }
}

/// Encodes a filter as metadata is encoded. Returns none for a filter that can't be encoded: nothing
/// that is stored contains it, so the list is empty.
#[expect(
    clippy::option_option,
    reason = "no filter is something else than one that matches nothing"
)]
pub(super) fn encode_filter(filter: Option<&Map<String, Value>>) -> Option<Option<Vec<u8>>> {
    let Some(filter) = filter else {
        return Some(None);
    };
    let mut text = Vec::new();
    codec::encode_object(filter, &mut text).ok()?;
    Some(Some(text))
}

/// Encodes what metadata is compared with piece by piece, as a list; none if it is empty. What nothing that
/// is stored contains is left out.
pub(super) fn encode_filters(filters: &[Map<String, Value>]) -> Option<Vec<u8>> {
    let filters = filters
        .iter()
        .filter_map(|filter| encode_filter(Some(filter)).flatten());
    let filters: Vec<_> = filters.collect();
    (!filters.is_empty()).then(|| [b"[".as_slice(), &filters.join(&b','), b"]"].concat())
}

fn versions_to_json(versions: &ChannelVersions) -> Value {
    Value::Object(
        versions
            .iter()
            .map(|(channel, version)| (channel.clone(), version.to_json()))
            .collect(),
    )
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}
