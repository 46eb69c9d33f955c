#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{HashMap, HashSet};

use serde_json::{Map, json};

use super::*;
use crate::codec::tests::through_jsonb;
use crate::postgres::chunk::unpack;
use crate::postgres::cut::Cut;
use crate::postgres::decode::Decoder;
use crate::postgres::encode::{Encoder, NewChunk};

/// The chunks of a thread, as the server has them, and a program that reads its lists.
struct Thread {
    name: Namespace,
    stored: HashMap<ContentHash, NewChunk>,
    /// How many items the leaves of lists hold.
    lengths: HashMap<ContentHash, usize>,
    last_reads: LastReads,
    view: View,
}

/// Lists that were read.
struct Read {
    lists: BTreeMap<String, Arc<Value>>,
    /// How many chunks the server sent.
    brought: usize,
}

impl Thread {
    fn new(max_bytes: usize) -> Self {
        Self {
            name: (ThreadId::new("thread").unwrap(), CheckpointNs::default()),
            stored: HashMap::new(),
            lengths: HashMap::new(),
            last_reads: LastReads::new(max_bytes),
            view: View {
                generation: 1,
                gc: 0,
            },
        }
    }

    /// Stores channels, and reads them.
    fn read(&mut self, channels: &[(&str, &Value)]) -> Read {
        self.read_of(channels, &Projection::All)
    }

    /// The same of the channels that are read of a checkpoint.
    fn read_of(&mut self, channels: &[(&str, &Value)], projection: &Projection) -> Read {
        let held = self.last_reads.of(&self.name, Some(self.view));
        let (found, brought) = self.find(channels, &held, projection);
        let all = *projection == Projection::All;
        let lists = self.put_together(held, found, self.view, all);
        self.check_places();
        Read { lists, brought }
    }

    /// Takes the answer to a read.
    fn put_together(
        &self,
        held: Arc<ReadLists>,
        found: BTreeMap<String, FoundList>,
        view: View,
        all: bool,
    ) -> BTreeMap<String, Arc<Value>> {
        let name = self.name.clone();
        let lists = self
            .last_reads
            .put_together(name, held, found, view, all, |_| {});
        lists.into_iter().collect()
    }

    /// Stores channels, and asks for them. Returns what was found, and how many chunks the server sent.
    fn find(
        &mut self,
        channels: &[(&str, &Value)],
        held: &ReadLists,
        projection: &Projection,
    ) -> (BTreeMap<String, FoundList>, usize) {
        let mut references = Map::new();
        let mut sent = Vec::new();
        for (channel, value) in channels {
            let cut = Cut::of_channel(value, || None);
            let mut encoder = Encoder::new(&self.name.0, &|_: &ContentHash| false);
            let mut out = Vec::new();
            encoder
                .value(value, cut.as_ref(), "a channel", &mut out)
                .unwrap();
            let chunks = encoder.chunks.into_iter();
            for (hash, NewChunk { content, refs }) in chunks {
                self.stored.entry(hash).or_insert_with(|| {
                    let content = content.as_deref().map(through_jsonb);
                    NewChunk { content, refs }
                });
            }
            let stored: Value = serde_json::from_slice(&out).unwrap();
            sent.extend(stored.as_object().and_then(Reference::read));
            references.insert((*channel).to_owned(), stored);
        }
        let needed = self.needed(&sent, &held.named(projection));
        let mut decoder = Decoder::after(held);
        for hash in &needed {
            let NewChunk { content, refs } = &self.stored[hash];
            decoder
                .take_chunk(&self.name.0, *hash, content.as_deref(), refs.as_deref())
                .unwrap();
        }
        let references = serde_json::to_vec(&references).unwrap();
        let found = decoder.channels(&self.name.0, &references).unwrap();
        (found.lists, needed.len())
    }

    /// Checks that what is remembered of each list is so: its chunks are in order and where they are in the list,
    /// and no others are there.
    #[track_caller]
    fn check_places(&mut self) {
        let Some(lists) = self.last_reads.lock().get(&self.name).cloned() else {
            return;
        };
        for (channel, list) in &lists.by_channel {
            let mut places = HashSet::new();
            let top = list.top.as_ref().unwrap();
            let end = top.parts.iter().fold(0, |start, part| {
                self.place(part, top.depth, start, &mut places)
            });
            assert_eq!(end, array(&list.value).len(), "`{channel}`");
            assert!(list.chunks.is_sorted_by_key(Placed::order), "`{channel}`");
            let mut first = HashMap::new();
            for (index, chunk) in list.chunks.iter().enumerate() {
                let place = (chunk.hash, chunk.level, chunk.items.clone());
                assert!(places.contains(&place), "`{channel}` has no {chunk:?}");
                first.entry(chunk.hash).or_insert(index);
            }
            assert_eq!(list.by_hash, first, "`{channel}`");
        }
    }

    /// Notes where the items of a chunk and of those below it are. Returns where they end.
    fn place(
        &mut self,
        hash: &ContentHash,
        level: u8,
        start: usize,
        places: &mut HashSet<(ContentHash, u8, Range<usize>)>,
    ) -> usize {
        let NewChunk { content, refs } = &self.stored[hash];
        let end = if level == 0 {
            let length = self.lengths.entry(*hash).or_insert_with(|| {
                let content: Value = serde_json::from_slice(content.as_ref().unwrap()).unwrap();
                let items = content.get("m").unwrap_or(&content);
                array(items).len()
            });
            start + *length
        } else {
            let below = unpack(refs.as_ref().unwrap()).unwrap();
            below.iter().fold(start, |start, part| {
                self.place(part, level - 1, start, places)
            })
        };
        places.insert((*hash, level, start..end));
        end
    }

    /// The chunks that the server sends, as the statement says.
    fn needed(&self, references: &[Reference], held: &[ContentHash]) -> HashSet<ContentHash> {
        let mut needed = HashSet::new();
        let mut below: Vec<ContentHash> = Vec::new();
        for reference in references {
            below.extend(&reference.parts);
        }
        while let Some(hash) = below.pop() {
            if !held.contains(&hash) && needed.insert(hash) {
                let refs = self.stored[&hash].refs.as_deref();
                below.extend(refs.and_then(unpack).unwrap_or_default());
            }
        }
        needed
    }
}

fn item(n: usize) -> Value {
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let text: String = (0..rng.usize(1..160)).map(|_| rng.alphanumeric()).collect();
    match rng.u8(..8) {
        0 => json!({ "n": n, "parts": (0..rng.usize(..400)).collect::<Vec<_>>() }),
        1 => json!({ "n": n, "long": text.repeat(rng.usize(1..40)) }),
        _ => json!({ "n": n, "text": text }),
    }
}

fn items(numbers: impl IntoIterator<Item = usize>) -> Vec<Value> {
    numbers.into_iter().map(item).collect()
}

#[test]
fn a_list_that_grows_is_read_by_what_is_new() {
    let mut thread = Thread::new(usize::MAX);
    let plain = |n: usize| json!({ "n": n, "text": n.to_string().repeat(20) });
    let mut list: Value = (0..3_000).map(plain).collect();
    assert!(thread.read(&[("list", &list)]).brought > 100);
    let mut brought = 0;
    for n in 3_000..3_040 {
        list.as_array_mut().unwrap().push(plain(n));
        let read = thread.read(&[("list", &list)]);
        assert_eq!(*read.lists["list"], list);
        // The last leaf and the one before, and a node or two at each of three levels; where the list gets
        // another level, the nodes of that.
        assert!(read.brought <= 10, "{} chunks for item {n}", read.brought);
        brought += read.brought;
    }
    assert!(brought < 40 * 5, "{brought} chunks for 40 items");
}

#[test]
fn a_list_that_has_grown_and_is_cut_is_read_as_it_is() {
    let plain = |n: usize| json!({ "n": n, "text": n.to_string().repeat(60) });
    let all: Vec<Value> = (0..3_000).map(plain).collect();
    for step in [7, 40, 300] {
        let mut thread = Thread::new(usize::MAX);
        let mut read = |length: usize| {
            let list = Value::Array(all[..length].to_vec());
            let read = thread.read(&[("list", &list)]);
            assert!(
                *read.lists["list"] == list,
                "{length} items, in steps of {step}"
            );
        };
        // It gets further levels, whose nodes stand above chunks that were there.
        for length in (20..700).step_by(step) {
            read(length);
        }
        for length in [990, 700, 2_900, 400, 410, 1_500, 90, 3_000, 2_000, 30] {
            read(length);
        }
    }
}

#[test]
fn a_list_that_is_the_same_is_shared() {
    let mut thread = Thread::new(usize::MAX);
    // Many leaves of the second one are the same chunk.
    for list in [items(0..500), vec![item(7); 500]] {
        let list = Value::Array(list);
        let first = thread.read(&[("list", &list)]);
        let again = thread.read(&[("list", &list)]);
        assert_eq!(again.brought, 0);
        assert!(Arc::ptr_eq(&first.lists["list"], &again.lists["list"]));
    }
}

#[test]
fn every_list_that_is_read_is_named() {
    let mut thread = Thread::new(usize::MAX);
    let plain = |n: usize| json!({ "n": n, "text": n.to_string().repeat(60) });
    // Together they have more chunks to be named than a read names, but fewer at the top.
    let list = |n: usize| (1_000 * n..1_000 * n + 420).map(plain).collect::<Value>();
    let names: Vec<_> = (10..40).map(|n| format!("list {n}")).collect();
    let mut lists: Vec<_> = (10..40).map(list).collect();
    let all = |lists: &[Value]| {
        let channels = names.iter().map(String::as_str).zip(lists);
        channels
            .map(|(name, list)| (name, list.clone()))
            .collect::<Vec<_>>()
    };
    let mut read = |lists: &[Value], projection: &Projection| {
        let all = all(lists);
        let is_read = |channel: &str| match projection {
            Projection::Channels(channels) => channels.iter().any(|read| read == channel),
            _ => true,
        };
        let channels = all.iter().filter(|(channel, _)| is_read(channel));
        let channels: Vec<_> = channels.map(|(channel, list)| (*channel, list)).collect();
        thread.read_of(&channels, projection).brought
    };
    assert!(read(&lists, &Projection::All) > 30 * 34);
    assert_eq!(read(&lists, &Projection::All), 0);

    let last = &mut lists[29];
    last.as_array_mut().unwrap().push(plain(0));
    let brought = read(&lists, &Projection::channels(["list 39"]));
    assert!(brought <= 4, "{brought} chunks for an item");

    let held = thread.last_reads.of(&thread.name, Some(thread.view));
    let few = held.named(&Projection::channels(["list 20", "list 21"]));
    assert!(!few.is_empty());
    let of_these = |hash: &ContentHash| {
        ["list 20", "list 21"]
            .iter()
            .any(|list| held.by_channel[*list].by_hash.contains_key(hash))
    };
    assert!(few.iter().all(of_these));
    assert!(held.named(&Projection::Metadata).is_empty());
}

#[test]
fn a_list_that_was_cut_takes_no_more_than_is_counted() {
    let mut thread = Thread::new(usize::MAX);
    for length in [2_000, 30] {
        thread.read(&[("list", &Value::Array(items(0..length)))]);
    }
    let lists = thread.last_reads.of(&thread.name, Some(thread.view));
    let list = &lists.by_channel["list"];
    let Value::Array(items) = &*list.value else {
        panic!("a list is an array");
    };
    assert!(items.capacity() < 2 * 30, "{}", items.capacity());
    let chunks = [list.chunks.capacity(), list.by_hash.capacity()];
    assert!(chunks.iter().all(|room| *room < 60), "{chunks:?}");
}

#[test]
fn items_stay_where_they_are_unless_others_have_them() {
    let mut thread = Thread::new(usize::MAX);
    let mut list = Value::Array(items(0..500));
    let place = |read: &Read| {
        read.lists["list"][7]["n"].as_u64().map(|_| {
            std::ptr::from_ref(
                read.lists["list"][7]
                    .as_object()
                    .unwrap()
                    .values()
                    .next_back()
                    .unwrap(),
            )
        })
    };
    let first = place(&thread.read(&[("list", &list)]));
    list.as_array_mut().unwrap().extend(items(500..510));
    let second = thread.read(&[("list", &list)]);
    assert_eq!(place(&second), first, "nobody had them");
    let before = list.clone();
    list.as_array_mut().unwrap().truncate(400);
    let third = thread.read(&[("list", &list)]);
    assert_eq!(*third.lists["list"], list);
    assert_ne!(place(&third), first);
    assert_eq!(
        *second.lists["list"], before,
        "what others have stays as it is"
    );
}

#[test]
fn whatever_becomes_of_lists_they_are_read_as_they_are() {
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..8 {
        let mut thread = Thread::new(usize::MAX);
        let mut lists = [
            items(0..rng.usize(..500)),
            items(1_000..1_000 + rng.usize(..100)),
        ];
        let mut kept = Vec::new();
        for step in 0..20 {
            let n = rng.usize(..100_000);
            let which = rng.usize(..2);
            let len = lists[which].len();
            let at = rng.usize(..=len);
            match rng.u8(..10) {
                0 | 1 => lists[which].extend(items(n..n + rng.usize(..50))),
                2 => lists[which].truncate(at),
                3 => drop(lists[which].drain(..at / 4)),
                4 if at < len => lists[which][at] = item(n),
                5 => lists[which].insert(at, item(n)),
                6 => lists[which] = lists[1 - which].clone(),
                7 => lists[which].rotate_left(at),
                8 => {
                    let nested = lists[1 - which].iter().take(100).cloned();
                    let nested = nested.collect();
                    lists[which].push(nested);
                }
                9 => lists[which].extend(vec![item(n); rng.usize(..100)]),
                _ => {}
            }
            if lists[which].len() > 1_000 {
                lists[which].truncate(10);
            }
            let [a, b] = lists.clone().map(Value::Array);
            let object = json!({ "a": a, "b": b });
            let channels = match rng.u8(..6) {
                0 => vec![("b", &b)],
                1 => vec![("b", &a), ("a", &b), ("object", &object)],
                _ => vec![("a", &a), ("b", &b)],
            };
            let read = thread.read(&channels);
            for (channel, value) in channels {
                let list = read.lists.get(channel);
                assert!(
                    list.is_none_or(|list| **list == *value),
                    "round {round}, step {step}, channel {channel}"
                );
            }
            if rng.bool() {
                kept.push((read, a, b));
            }
        }
        for (read, a, b) in kept {
            for list in read.lists.values() {
                assert!(
                    **list == a || **list == b,
                    "round {round}: what was read has changed"
                );
            }
        }
    }
}

#[test]
fn what_takes_more_memory_than_there_is_is_forgotten() {
    let list = Value::Array(items(0..500));
    let taken: usize = list.as_array().unwrap().iter().map(memory).sum();
    let mut thread = Thread::new(taken / 2);
    let all = thread.read(&[("list", &list)]).brought;
    assert_eq!(thread.read(&[("list", &list)]).brought, all);

    let mut thread = Thread::new(3 * taken);
    for ns in 0..20 {
        thread.name.1 = CheckpointNs::new(format!("ns-{ns}")).unwrap();
        thread.read(&[("list", &list)]);
        assert!(thread.last_reads.lock().bytes() <= 3 * taken);
    }
    assert_eq!(
        thread.read(&[("list", &list)]).brought,
        0,
        "the last one is remembered"
    );
    thread.name.1 = CheckpointNs::new("ns-0").unwrap();
    assert_eq!(
        thread.read(&[("list", &list)]).brought,
        all,
        "the first one isn't"
    );
}

#[test]
fn a_list_that_is_too_large_keeps_no_other_out() {
    let large = Value::Array(items(0..1_000));
    let small = Value::Array(items(2_000..2_100));
    let taken: usize = array(&large).iter().map(memory).sum();
    let mut thread = Thread::new(taken / 2);
    let all = thread.read(&[("large", &large), ("small", &small)]).brought;
    let again = thread.read(&[("large", &large), ("small", &small)]).brought;
    let of_large = thread.read(&[("large", &large)]).brought;
    assert_eq!(again, of_large);
    assert!(again < all);
    let lists = thread.last_reads.lock().take(&thread.name);
    assert!(lists.is_none(), "nothing was read that can be remembered");
}

#[test]
fn an_answer_that_comes_late_replaces_none_that_is_newer() {
    let mut thread = Thread::new(usize::MAX);
    let list = Value::Array(items(0..500));
    let channels = [("list", &list)];
    let before = thread.view;
    let held = thread.last_reads.of(&thread.name, None);
    let (late, all) = thread.find(&channels, &held, &Projection::All);
    thread.view.gc += 1;
    assert_eq!(thread.read(&channels).brought, all);
    thread.put_together(held, late, before, true);
    assert_eq!(thread.read(&channels).brought, 0);

    // A database may be restored to a state that is older than the one that was read.
    thread.view = before;
    assert_eq!(thread.read(&channels).brought, all);
    assert_eq!(thread.read(&channels).brought, 0);
}

#[test]
fn a_read_of_no_list_takes_none_away() {
    let mut thread = Thread::new(usize::MAX);
    let list = Value::Array(items(0..500));
    let channels = [("list", &list)];
    let held = thread.last_reads.of(&thread.name, None);
    let (nothing, _) = thread.find(&[], &held, &Projection::Metadata);
    assert!(thread.read(&channels).brought > 0);
    thread.put_together(held, nothing, thread.view, false);
    assert_eq!(thread.read(&channels).brought, 0);
    // Nothing is known of the thread any more.
    thread.last_reads.of(&thread.name, None);
    assert_eq!(thread.read(&channels).brought, 0);
}

#[test]
fn a_thread_that_is_forgotten_is_read_as_a_whole() {
    let mut thread = Thread::new(usize::MAX);
    let list = Value::Array(items(0..500));
    let channels = [("list", &list)];
    let names = [("one", ""), ("one", "ns"), ("other", "")].map(|(thread_id, ns)| {
        let thread_id = ThreadId::new(thread_id).unwrap();
        (thread_id, CheckpointNs::new(ns).unwrap())
    });
    for name in &names {
        thread.name = name.clone();
        assert!(thread.read(&channels).brought > 0);
    }
    thread.last_reads.forget(&names[0].0);
    for (name, is_known) in names.into_iter().zip([false, false, true]) {
        thread.name = name;
        assert_eq!(thread.read(&channels).brought == 0, is_known);
    }
}

#[test]
fn a_thread_in_another_state_is_read_as_a_whole() {
    let mut thread = Thread::new(usize::MAX);
    let list = Value::Array(items(0..500));
    let all = thread.read(&[("list", &list)]).brought;
    thread.view.gc += 1;
    assert_eq!(thread.read(&[("list", &list)]).brought, all);
}
