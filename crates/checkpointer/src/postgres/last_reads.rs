//! The lists that were read last, so that the next read brings only what is new in them.
//!
//! A read names chunks whose items are at hand, and the server sends neither them nor what is below them. What
//! has the same hash has the same content, whatever became of the thread meanwhile.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::by_bytes::ByBytes;
use super::chunk::Reference;
use super::view::View;
use crate::codec::ContentHash;
use crate::{CheckpointNs, Projection, ThreadId};

/// How many chunks a read names at most: the server compares each one that it needs with all of them.
const MOST_NAMED: usize = 256;

/// About what a list takes besides its chunks, its items and its names.
const LIST_BYTES: usize = 256;

/// About what is remembered of a chunk.
const CHUNK_BYTES: usize = 160;

/// About what a text takes besides its bytes.
const TEXT_BYTES: usize = 16;

/// About what up to eight members of an object take besides their keys and values: a node of a tree.
const MEMBERS_BYTES: usize = 640;
const MEMBERS: usize = 8;

/// The name of a namespace, in all threads.
pub(super) type Namespace = (ThreadId, CheckpointNs);

/// Remembers the lists of the namespaces read last.
///
/// It only saves work: what isn't remembered is read.
#[derive(Debug)]
pub(super) struct LastReads {
    namespaces: Mutex<Namespaces>,
}

type Namespaces = ByBytes<Namespace, Arc<ReadLists>>;

/// The lists of a checkpoint that was read, by their channels.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadLists {
    /// The state in which the thread was.
    view: Option<View>,
    by_channel: BTreeMap<String, ReadList>,
}

/// A list, shared with those who have read it.
#[derive(Debug, Clone)]
pub(super) struct ReadList {
    value: Arc<Value>,
    top: Option<Reference>,
    /// The list's chunks, in the [order](Placed::order) of their ends.
    chunks: Vec<Placed>,
    /// The first chunk of each hash.
    by_hash: HashMap<ContentHash, usize>,
    bytes: usize,
}

/// Where in a list the items of a chunk and of those below it are.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) hash: ContentHash,
    /// How many levels of chunks are below it.
    pub(super) level: u8,
    pub(super) items: Range<usize>,
    /// How many bytes they take where they are stored, and how many in memory.
    pub(super) stored_bytes: usize,
    pub(super) bytes: usize,
}

/// A list as a read has found it: what it has in common with the one that was read before, and the rest.
#[derive(Debug)]
pub(super) struct FoundList {
    top: Reference,
    /// With how many items of the list before it begins.
    same: usize,
    rest: Vec<Value>,
    /// The chunks of the list before whose items those are. They stay, with those below them.
    kept: Vec<Placed>,
    /// The chunks that the list before hasn't at the same place.
    chunks: Vec<Placed>,
    bytes: usize,
}

impl LastReads {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            namespaces: Mutex::new(ByBytes::new(max_bytes)),
        }
    }

    /// The lists read last, if the thread was as it is known to be: otherwise a read brings everything. If it
    /// is known to be another way, they are forgotten.
    pub(super) fn of(&self, name: &Namespace, view: Option<View>) -> Arc<ReadLists> {
        if view.is_none() {
            return Arc::default();
        }
        let mut namespaces = self.lock();
        if let Some(held) = namespaces.get(name).filter(|held| held.view == view) {
            return Arc::clone(held);
        }
        let outdated = namespaces.take(name);
        drop(namespaces);
        drop(outdated);
        Arc::default()
    }

    /// Forgets a thread.
    pub(super) fn forget(&self, thread_id: &ThreadId) {
        let forgotten = self.lock().take_all(|(thread, _)| thread == thread_id);
        drop(forgotten);
    }

    /// Puts lists together, and remembers them. With `all` those of other channels are forgotten. `shown` is told
    /// all chunks of each list.
    pub(super) fn put_together(
        &self,
        name: Namespace,
        held: Arc<ReadLists>,
        found: BTreeMap<String, FoundList>,
        view: View,
        all: bool,
        mut shown: impl FnMut(&mut dyn Iterator<Item = ContentHash>),
    ) -> Vec<(String, Arc<Value>)> {
        self.take_out(&name, &held);
        let mut lists = Arc::unwrap_or_clone(held);
        // An answer of a standby may be older than what is known.
        lists.view = lists.view.max(Some(view));
        if all {
            lists
                .by_channel
                .retain(|channel, _| found.contains_key(channel));
        }
        let mut values = Vec::with_capacity(found.len());
        for (channel, found) in found {
            let list = found.after(lists.by_channel.remove(&channel));
            shown(&mut list.by_hash.keys().copied());
            values.push((channel.clone(), Arc::clone(&list.value)));
            lists.by_channel.insert(channel, list);
        }
        self.remember(name, lists);
        values
    }

    /// Takes out these very lists, so that they can be changed where they are.
    fn take_out(&self, name: &Namespace, lists: &Arc<ReadLists>) {
        let mut namespaces = self.lock();
        let known = namespaces.get(name);
        if known.is_some_and(|known| Arc::ptr_eq(known, lists)) {
            namespaces.take(name);
        }
    }

    fn remember(&self, name: Namespace, mut lists: ReadLists) {
        let max_bytes = self.lock().max_bytes();
        lists.keep_within(max_bytes.saturating_sub(names_bytes(&name)));
        if lists.by_channel.is_empty() {
            return;
        }
        let mut namespaces = self.lock();
        let known = namespaces.get(&name);
        if known.is_some_and(|known| known.view > lists.view) {
            return;
        }
        let bytes = names_bytes(&name) + lists.bytes();
        let dropped = namespaces.put(name, Arc::new(lists), bytes);
        // To drop large lists takes long, so the lock is given back first.
        drop(namespaces);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Namespaces> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadLists {
    /// The chunks that a read names: those at the top of each list that it reads, and on each level those below
    /// the last one of the level above. A list that has grown differs from what it was nowhere else.
    pub(super) fn named(&self, projection: &Projection) -> Vec<ContentHash> {
        let lists = self.by_channel.iter();
        let lists = lists.filter(|(channel, _)| match projection {
            Projection::All => true,
            Projection::Channels(channels) => channels.contains(*channel),
            Projection::Metadata => false,
        });
        let mut level: Vec<_> = lists.map(|(_, list)| (list, list.at_top())).collect();
        let mut named = Vec::new();
        while !level.is_empty() && named.len() < MOST_NAMED {
            let chunks = level.iter().flat_map(|(_, chunks)| chunks);
            named.extend(chunks.map(|chunk| chunk.hash));
            let below = level.into_iter().filter_map(|(list, chunks)| {
                let last = chunks.last()?;
                Some((list, list.below(last)))
            });
            level = below.collect();
        }
        named.truncate(MOST_NAMED);
        named
    }

    /// About how much memory they take.
    fn bytes(&self) -> usize {
        let lists = self.by_channel.iter();
        lists.map(|(channel, list)| list.memory(channel)).sum()
    }

    /// Forgets the largest lists, until the others take no more than that.
    fn keep_within(&mut self, max_bytes: usize) {
        while self.bytes() > max_bytes {
            let lists = self.by_channel.iter();
            let largest = lists.max_by_key(|(channel, list)| list.memory(channel));
            let Some(largest) = largest.map(|(channel, _)| channel.clone()) else {
                break;
            };
            self.by_channel.remove(&largest);
        }
    }

    /// The list of a channel.
    pub(super) fn list(&self, channel: &str) -> Option<&ReadList> {
        self.by_channel.get(channel)
    }

    /// The items of a chunk with so many levels below it, and where they are.
    pub(super) fn items(&self, hash: &ContentHash, level: u8) -> Option<(&[Value], &Placed)> {
        let mut lists = self.by_channel.values();
        lists.find_map(|list| {
            let placed = list.placed(hash, level)?;
            Some((list.items(placed), placed))
        })
    }
}

impl ReadList {
    /// A list of whose chunks nothing is known.
    fn new(items: Vec<Value>) -> Self {
        Self {
            value: Arc::new(Value::Array(items)),
            top: None,
            chunks: Vec::new(),
            by_hash: HashMap::new(),
            bytes: 0,
        }
    }

    /// About how much memory it takes as the list of a channel.
    fn memory(&self, channel: &str) -> usize {
        LIST_BYTES + channel.len() + self.bytes + self.chunks.len() * CHUNK_BYTES
    }

    /// Keeps some chunks, one behind the other, with those below them. A node above them may be none of the list
    /// any more, even if all its items are: it has got further ones.
    fn keep(&mut self, kept: &[Placed]) {
        let mut kept = kept.iter().peekable();
        let mut stays = |chunk: &Placed| {
            while kept
                .next_if(|above| above.items.end < chunk.items.end)
                .is_some()
            {}
            kept.peek().is_some_and(|above| above.is_above(chunk))
        };
        let Some(first) = self.chunks.iter().position(|chunk| !stays(chunk)) else {
            return;
        };
        let behind = self.chunks.split_off(first);
        for (index, chunk) in (first..).zip(behind) {
            if self.by_hash.get(&chunk.hash) == Some(&index) {
                self.by_hash.remove(&chunk.hash);
            }
            if stays(&chunk) {
                self.chunks.push(chunk);
            }
        }
        self.index(first);
    }

    /// Keeps the first `kept` items of the list, and appends others. The items that stay are moved nowhere if no
    /// caller has the list any more; otherwise they are copied.
    fn cut_and_grown(self, kept: usize, others: Vec<Value>) -> Self {
        if kept == array(&self.value).len() && others.is_empty() {
            return self;
        }
        let mut value = Arc::try_unwrap(self.value)
            .unwrap_or_else(|shared| Value::Array(array(&shared)[..kept].to_vec()));
        if let Value::Array(items) = &mut value {
            items.truncate(kept);
            items.extend(others);
            give_back_room(items);
        }
        Self {
            value: Arc::new(value),
            ..self
        }
    }

    /// Adds chunks that were found. One of them may stand above chunks that stay, and so come before others.
    fn add(&mut self, found: Vec<Placed>) {
        let mut indexed = self.chunks.len();
        self.chunks.extend(found);
        if !self.chunks.is_sorted_by_key(Placed::order) {
            self.chunks.sort_by_key(Placed::order);
            self.by_hash.clear();
            indexed = 0;
        }
        self.index(indexed);
        give_back_room(&mut self.chunks);
        if self.by_hash.len() <= self.by_hash.capacity() / 2 {
            self.by_hash.shrink_to_fit();
        }
    }

    /// Notes where the chunks are from that one on.
    fn index(&mut self, from: usize) {
        for (index, chunk) in self.chunks.iter().enumerate().skip(from) {
            self.by_hash.entry(chunk.hash).or_insert(index);
        }
    }

    /// Where the items of a chunk with so many levels below it are.
    pub(super) fn placed(&self, hash: &ContentHash, level: u8) -> Option<&Placed> {
        let placed = self.chunks.get(*self.by_hash.get(hash)?)?;
        (placed.level == level).then_some(placed)
    }

    /// The same of a chunk whose items begin at that one: the same chunk may be in a list many times.
    pub(super) fn placed_at(&self, start: usize, hash: &ContentHash, level: u8) -> Option<&Placed> {
        let end = start + self.placed(hash, level)?.items.len();
        let chunks = &self.chunks;
        let index = chunks.binary_search_by_key(&(end, level), Placed::order);
        let placed = &chunks[index.ok()?];
        (placed.hash == *hash).then_some(placed)
    }

    fn items(&self, placed: &Placed) -> &[Value] {
        &array(&self.value)[placed.items.clone()]
    }

    /// The chunks that the reference names.
    fn at_top(&self) -> Vec<&Placed> {
        let Some(Reference { depth, parts, .. }) = &self.top else {
            return Vec::new();
        };
        let parts = parts.iter();
        parts.filter_map(|hash| self.placed(hash, *depth)).collect()
    }

    /// The chunks right below another.
    fn below(&self, above: &Placed) -> Vec<&Placed> {
        let Some(level) = above.level.checked_sub(1) else {
            return Vec::new();
        };
        let from = self.chunks.iter().rev();
        let from = from.skip_while(|chunk| chunk.items.end > above.items.end);
        let below = from.take_while(|chunk| chunk.items.end > above.items.start);
        let mut below: Vec<_> = below
            .filter(|chunk| chunk.level == level && above.is_above(chunk))
            .collect();
        below.reverse();
        below
    }
}

impl Placed {
    /// Chunks are in the order of their ends, each behind those below it.
    fn order(&self) -> (usize, u8) {
        (self.items.end, self.level)
    }

    /// Whether it is that chunk or above it, in the same list.
    fn is_above(&self, other: &Self) -> bool {
        self.items.start <= other.items.start
            && other.items.end <= self.items.end
            && other.level <= self.level
    }
}

impl FoundList {
    /// A list of which nothing was found yet.
    pub(super) fn new(top: Reference) -> Self {
        Self {
            top,
            same: 0,
            rest: Vec::new(),
            kept: Vec::new(),
            chunks: Vec::new(),
            bytes: 0,
        }
    }

    /// The chunks of the list, but for those below others that the server didn't send.
    pub(super) fn hashes(&self) -> impl Iterator<Item = &ContentHash> {
        let chunks = self.kept.iter().chain(&self.chunks);
        chunks.map(|chunk| &chunk.hash)
    }

    /// How many items were found.
    pub(super) fn len(&self) -> usize {
        self.same + self.rest.len()
    }

    /// About how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Goes on with the items of a chunk of the list that was read before, if that list has begun like this one
    /// so far and has them next. They stay where they are.
    pub(super) fn go_on(&mut self, next: &Placed) -> bool {
        let goes_on = self.rest.is_empty() && next.items.start == self.same;
        if goes_on {
            self.same = next.items.end;
            self.bytes += next.bytes;
            self.kept.push(next.clone());
        }
        goes_on
    }

    /// Goes on with copies of items of a list that was read before.
    pub(super) fn copy(&mut self, items: &[Value], bytes: usize) {
        self.rest.extend_from_slice(items);
        self.bytes += bytes;
    }

    /// Goes on with items that were read.
    pub(super) fn take(&mut self, items: Vec<Value>) {
        self.bytes += items.iter().map(memory).sum::<usize>();
        self.rest.extend(items);
    }

    /// Notes where the items of a chunk are.
    pub(super) fn place(&mut self, chunk: Placed) {
        self.chunks.push(chunk);
    }

    /// The list, where another was before.
    fn after(self, before: Option<ReadList>) -> ReadList {
        let mut list = match before {
            Some(mut before) => {
                before.keep(&self.kept);
                before.cut_and_grown(self.same, self.rest)
            }
            None => ReadList::new(self.rest),
        };
        list.add(self.chunks);
        ReadList {
            top: Some(self.top),
            bytes: self.bytes,
            ..list
        }
    }
}

/// Gives back the room that a cut has left: only what is in a list is counted.
fn give_back_room<T>(list: &mut Vec<T>) {
    if list.len() <= list.capacity() / 2 {
        list.shrink_to_fit();
    }
}

/// The items of a list.
fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// How many bytes a namespace's names take.
fn names_bytes((thread_id, checkpoint_ns): &Namespace) -> usize {
    thread_id.as_str().len() + checkpoint_ns.as_str().len()
}

/// About how much memory an item takes.
fn memory(value: &Value) -> usize {
    let own = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => TEXT_BYTES + text.len(),
        Value::Array(items) => items.iter().map(memory).sum(),
        Value::Object(members) => {
            let nodes = MEMBERS_BYTES * members.len().div_ceil(MEMBERS);
            let member = |(key, value): (&String, &Value)| TEXT_BYTES + key.len() + memory(value);
            nodes + members.iter().map(member).sum::<usize>()
        }
    };
    size_of::<Value>() + own
}
