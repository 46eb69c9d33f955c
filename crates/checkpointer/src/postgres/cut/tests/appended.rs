use std::collections::BTreeMap;
use std::iter;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Sent, message, messages, send, thread};
use crate::ChannelValues;
use crate::codec::ContentHash;
use crate::codec::tests::any_value;
use crate::postgres::cut::List;
use crate::postgres::encode::{Encoder, NewChunk};

/// The chunks of a thread.
#[derive(Default)]
struct Stored(BTreeMap<ContentHash, NewChunk>);

impl Stored {
    fn of(value: &Value) -> Self {
        Self(send(value).chunks)
    }

    /// Sends a list; none if it lacks what isn't stored.
    fn send(&self, list: List) -> (Option<Sent>, List) {
        let thread = thread();
        let is_stored = |hash: &ContentHash| self.0.contains_key(hash);
        let mut encoder = Encoder::new(&thread, &is_stored);
        let lists = BTreeMap::from([("a".to_owned(), list)]);
        let channels = encoder.channels(&ChannelValues::new(), iter::empty(), &lists);
        let channels = channels.unwrap();
        let sent = Sent {
            stored: channels[b"{\"a\":".len()..channels.len() - 1].to_vec(),
            chunks: encoder.chunks,
            relied: encoder.relied,
        };
        let list = lists.into_values().next().unwrap();
        ((!encoder.lacks).then_some(sent), list)
    }
}

/// Appends to a list, stores it each time, and compares what is stored with what a put of the whole
/// list stores.
#[track_caller]
fn check(begin: Vec<Value>, batches: impl IntoIterator<Item = Vec<Value>>) {
    let mut whole = begin.clone();
    let mut stored = Stored::of(&Value::from(begin.clone()));
    let mut list = List::of(begin.into()).stored();
    for batch in batches {
        whole.extend_from_slice(&batch);
        let (sent, appended) = stored.send(list.append(&batch));
        let sent = sent.unwrap();
        let expected = send(&Value::from(whole.clone()));
        assert_eq!(sent.stored, expected.stored);
        for (hash, chunk) in sent.chunks {
            let same = &expected.chunks[&hash];
            assert_eq!((&chunk.content, &chunk.refs), (&same.content, &same.refs));
            stored.0.insert(hash, chunk);
        }
        let is_there = |hash| stored.0.contains_key(hash);
        assert!(expected.chunks.keys().all(is_there));
        assert_eq!(appended.len(), whole.len());
        list = appended.stored();
    }
}

/// An item of a list: small, as long as a leaf, or large enough to be a tree.
fn item() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => any_value(),
        4 => (0..600_usize).prop_map(message),
        2 => (0..6000_usize).prop_map(|bytes| json!("x".repeat(bytes))),
        1 => (0..30_usize).prop_map(|length| json!({ "history": messages(0..length) })),
        1 => Just(json!("same")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn a_list_that_is_appended_to_is_stored_as_the_whole_list_is(
        begin in prop::collection::vec(item(), 0..20),
        batches in prop::collection::vec(prop::collection::vec(item(), 0..5), 1..12),
    ) {
        check(begin, batches);
    }
}

#[test]
fn a_long_list_grows_as_the_whole_list_does() {
    let begin = (0..600).map(message).collect();
    check(begin, (600..625).map(|n| vec![message(n)]));
    let same = vec![json!("the same item again and again"); 1000];
    check(same.clone(), iter::repeat_n(same[..40].to_vec(), 6));
    check(
        Vec::new(),
        [(0..400).map(message).collect(), vec![message(7)]],
    );
}

#[test]
fn a_list_of_many_levels_grows_as_the_whole_list_does() {
    let item = |n: usize| json!(format!("{n} ").repeat(300));
    let begin = (0..800).map(item).collect();
    check(
        begin,
        [
            (800..2500).map(item).collect(),
            vec![item(2500)],
            vec![item(7)],
        ],
    );
}

#[test]
fn what_is_kept_of_a_list_hardly_grows_with_it() {
    let memory = |count| List::of(messages(0..count)).stored().memory();
    let (short, long) = (memory(200), memory(10_000));
    assert!(long < 3 * short, "{short} and {long}");
}

#[test]
fn an_append_to_forty_megabytes_needs_no_more_than_the_end() {
    let list = List::of(vec![json!("x".repeat(8 << 20)); 5].into()).stored();
    let (thread, list) = (thread(), list.append(&[message(1)]));
    let mut encoder = Encoder::new(&thread, &|_| true);
    let lists = BTreeMap::from([("a".to_owned(), list)]);
    let channels = encoder.channels(&ChannelValues::new(), iter::empty(), &lists);
    channels.unwrap();
    assert!(!encoder.lacks);
}

#[test]
fn an_append_sends_and_keeps_little() {
    let all = messages(0..1000);
    let stored = Stored::of(&all);
    let list = List::of(all.clone()).stored();
    assert!(10 * list.memory() < all.to_string().len());
    let (sent, list) = stored.send(list.append(&[message(1000)]));
    assert!(sent.unwrap().bytes() < 10 * 1024);
    let grown = list.stored();
    assert!(10 * grown.memory() < all.to_string().len());
}

#[test]
fn a_list_whose_front_is_not_stored_lacks_it() {
    let list = List::of(messages(0..100));
    let (sent, list) = Stored::default().send(list);
    assert!(sent.is_some(), "all of it is at hand");
    let (sent, list) = Stored::default().send(list.stored());
    assert!(sent.is_none());
    let (sent, _) = Stored::default().send(list.append(&[message(100)]));
    assert!(sent.is_none());
}
