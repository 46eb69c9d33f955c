#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Known, LastValues};
use crate::codec::tests::any_value;
use crate::codec::{self, ContentHash};
use crate::postgres::cut::{Before, Cut};
use crate::postgres::encode::Encoder;
use crate::{ChannelValues, CheckpointNs, ThreadId, TrackedList};

fn thread() -> ThreadId {
    ThreadId::new("thread").unwrap()
}

/// What is stored for a value: what stands for it, and the columns of its chunks.
type Written = (Vec<u8>, BTreeMap<ContentHash, [Option<Vec<u8>>; 2]>);

fn written(value: &Value, cut: Option<&Cut>) -> Option<Written> {
    sent(value, cut, &|_| false).map(|(written, _)| written)
}

/// The same where some chunks are stored, and those that are relied on.
fn sent(
    value: &Value,
    cut: Option<&Cut>,
    is_stored: &dyn Fn(&ContentHash) -> bool,
) -> Option<(Written, HashSet<ContentHash>)> {
    let thread = thread();
    let mut encoder = Encoder::new(&thread, is_stored);
    let mut out = Vec::new();
    encoder.value(value, cut, "channel `a`", &mut out).ok()?;
    let chunks = encoder
        .chunks
        .into_iter()
        .map(|(hash, new)| (hash, [new.content, new.refs]))
        .collect();
    Some(((out, chunks), encoder.relied))
}

/// The chunks of a thread.
#[derive(Default)]
struct Stored(BTreeMap<ContentHash, Vec<ContentHash>>);

impl Stored {
    /// Stores a value, relying on what is stored but for the chunks that are forgotten, and checks
    /// that nothing of the value is missed then. Says on how many chunks it relied.
    #[track_caller]
    fn put(
        &mut self,
        value: &Value,
        cut: Option<&Cut>,
        is_forgotten: impl Fn(&ContentHash) -> bool,
    ) -> usize {
        let is_stored = |hash: &ContentHash| self.0.contains_key(hash) && !is_forgotten(hash);
        let Some(((_, chunks), relied)) = sent(value, cut, &is_stored) else {
            return 0;
        };
        let count = relied.len();
        let mut there: HashSet<_> = chunks.keys().copied().collect();
        let mut below: Vec<_> = relied.into_iter().collect();
        while let Some(hash) = below.pop() {
            if there.insert(hash) {
                below.extend(&self.0[&hash]);
            }
        }
        let (_, all) = written(value, cut).unwrap();
        assert!(all.keys().all(|hash| there.contains(hash)), "{value}");
        for (hash, [_, refs]) in chunks {
            let refs = refs.unwrap_or_default();
            let (refs, _) = refs.as_chunks();
            let refs = refs.iter().copied().map(ContentHash::from_bytes);
            self.0.insert(hash, refs.collect());
        }
        count
    }
}

/// Cuts values one after the other, as if they were put: what is known must change nothing, and
/// what is stored must be enough.
#[track_caller]
fn check<'a>(values: impl IntoIterator<Item = &'a Value>) {
    let mut known = None;
    let mut stored = Stored::default();
    for value in values {
        let expected = written(value, Cut::of_channel(value, || None).as_ref());
        for time in ["", " again"] {
            known = Cut::of_channel(value, || known);
            let written = written(value, known.as_ref());
            assert!(written == expected, "{value}{time}");
        }
        for forgotten in [0, 1, 4] {
            let is_forgotten = |hash: &ContentHash| hash.as_bytes()[0] & 7 < forgotten;
            stored.put(value, known.as_ref(), is_forgotten);
        }
    }
}

fn item(n: usize) -> Value {
    json!({ "n": n, "text": n.to_string().repeat(50) })
}

fn items(numbers: impl IntoIterator<Item = usize>) -> Value {
    numbers.into_iter().map(item).collect()
}

#[test]
fn edits_are_seen_wherever_they_are() {
    check(&[
        items(0..200),
        items(0..201),
        items(5..202),
        items((5..100).chain([999]).chain(101..202)),
        items(5..100),
        items((5..100).rev()),
        items([]),
        items(std::iter::repeat_n(7, 200)),
        items(std::iter::repeat_n(7, 199)),
        items(0..2000),
        items(0..2001),
        items((0..1700).chain([9999]).chain(1701..2002)),
        items((0..1700).chain(1701..2002)),
        items(3..2002),
        items(0..900),
        items(0..2000),
        json!({ "": items(0..100), "a": ["", { "": "" }, items(0..100)] }),
        json!({ "": items(0..100), "a": ["", { "": "x" }, items(0..100)] }),
        json!({ "": items(0..100), "a": ["x", { "": "x" }, items(0..100)] }),
        json!({ "x": items(0..100), "": ["x", { "x": "x" }, items(0..100)] }),
        json!({ "a": items(0..100), "b": items(0..100) }),
        json!({ "b": items(0..101), "c": [items(0..100), "x".repeat(3000)] }),
        json!({ "b": items(0..101), "c": [items(1..100), "y".repeat(3000)] }),
        json!([items(0..101), items(1..100), "x".repeat(3000)]),
        json!("x".repeat(3000)),
    ]);
}

#[test]
fn an_append_relies_on_the_node_it_replaces_for_all_that_is_in_front_of_it() {
    let mut stored = Stored::default();
    let mut known = None;
    let mut most = 0;
    for length in 2000..2050 {
        let list = items(0..length);
        known = Cut::of_channel(&list, || known);
        let cut = known.as_ref().unwrap();
        let Cut::Tree(tree) = cut else {
            panic!("a long list is a tree");
        };
        assert!(tree.levels().nodes().len() > 1);
        let relied = stored.put(&list, Some(cut), |_| false);
        let parts = cut.reference().parts.len();
        // A part of the reference that is new has replaced one on each level below.
        assert!(
            relied < parts + tree.levels().nodes().len(),
            "{relied} for {parts}"
        );
        most = most.max(relied);
    }
    assert!(most > 1);
}

#[test]
fn values_that_only_compare_as_equal_are_told_apart() {
    let long = "x".repeat(3000);
    for [one, other] in [
        [json!(0.0), json!(-0.0)],
        [json!(1), json!(1.0)],
        [json!([0.0]), json!([-0.0])],
        [json!({ "a": { "b": 0.0 } }), json!({ "a": { "b": -0.0 } })],
    ] {
        assert_ne!(codec::hash(&one), codec::hash(&other));
        check(&[json!([long, one]), json!([long, other]), json!([long, one])]);
    }
}

#[test]
fn a_value_too_deep_is_not_compared() {
    let mut deep = json!("x".repeat(3000));
    for _ in 0..100_000 {
        deep = Value::Array(vec![deep]);
    }
    check([&deep]);
    while let Value::Array(mut items) = deep {
        deep = items.pop().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_known_changes_nothing(
        one in prop::collection::vec(any_value(), 0..8),
        other in prop::collection::vec(any_value(), 0..8),
        places in prop::collection::vec((0..8_usize, 0..8_usize), 1..6),
    ) {
        let long = json!("x".repeat(3000));
        let values = places.into_iter().map(|(from, to)| {
            let items = one.iter().skip(from).chain(other.iter().take(to));
            Value::Array(items.chain([&long]).cloned().collect())
        });
        check(&values.collect::<Vec<_>>());
    }
}

/// What happens to a list before its next put.
#[derive(Debug, Clone)]
enum Change {
    Extend(Vec<Value>),
    Truncate(usize),
    /// Someone else goes on holding its value.
    Hold,
    /// Another value of this channel is put in between.
    PutOther(Vec<Value>),
    /// It is put, and known to be so.
    Put,
}

fn any_change() -> impl Strategy<Value = Change> {
    let items = || prop::collection::vec(any_value(), 0..4);
    prop_oneof![
        3 => items().prop_map(Change::Extend),
        1 => (0..6_usize).prop_map(Change::Truncate),
        1 => Just(Change::Hold),
        1 => items().prop_map(Change::PutOther),
        3 => Just(Change::Put),
    ]
}

/// Changes a tracked list, and puts it now and then. Checks that a put of it cuts its value as a put does
/// that knows nothing of the list.
fn check_tracked(changes: Vec<Change>) -> Result<(), TestCaseError> {
    let memo = LastValues::new(usize::MAX);
    let long = json!("x".repeat(3000));
    let mut list = TrackedList::from(vec![long.clone()]);
    let mut held = Vec::new();
    for change in changes {
        match change {
            Change::Extend(items) => list.extend(items),
            Change::Truncate(len) => list.truncate(len),
            Change::Hold => held.push((Arc::clone(list.value()), list.items().to_vec())),
            Change::PutOther(mut items) => {
                items.push(long.clone());
                put(&memo, "a", &Value::Array(items));
            }
            Change::Put => {
                let mut values = ChannelValues::new();
                values.insert_list("a", &list);
                let cuts = memo.cut(&thread(), &CheckpointNs::ROOT, &values);
                let cut = cuts.iter().next().flatten();
                let expected = Cut::of_channel(&values["a"], || None);
                prop_assert_eq!(
                    written(&values["a"], cut),
                    written(&values["a"], expected.as_ref())
                );
            }
        }
    }
    for (value, items) in held {
        prop_assert_eq!(&*value, &Value::Array(items));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_tracked_list_is_stored_as_it_is(changes in prop::collection::vec(any_change(), 1..20)) {
        check_tracked(changes)?;
    }
}

#[test]
fn items_that_are_known_to_be_the_same_are_not_looked_at() {
    let before = items(0..200);
    let cut = || Cut::of_channel(&before, || None).unwrap();
    // That isn't so, and therefore it shows.
    let claimed = items((1000..1150).chain(150..201));
    let cut = Cut::of_large(&claimed, Some(Before::with_same(cut(), 150)));
    let is = Cut::of_channel(&items(0..201), || None).unwrap();
    assert_eq!(cut.reference(), is.reference());
}

fn put(memo: &LastValues, channel: &str, list: &Value) {
    let values = [(channel, list.clone())].into();
    memo.cut(&thread(), &CheckpointNs::ROOT, &values);
}

fn is_remembered(memo: &LastValues, channel: &str) -> bool {
    let name = (thread(), CheckpointNs::ROOT, channel.to_owned());
    let known = memo.take(&name);
    let is_remembered = known.is_some();
    if let Some(known) = known {
        memo.give_back(name, known);
    }
    is_remembered
}

#[test]
fn a_memo_is_bounded_and_forgets_what_was_used_longest_ago() {
    let list = items(0..100);
    let memo = LastValues::new(usize::MAX);
    put(&memo, "a", &list);
    let one = memo.lock().bytes();
    let memo = LastValues::new(3 * one);
    for channel in ["a", "b", "c"] {
        put(&memo, channel, &list);
    }
    assert!(is_remembered(&memo, "a"));
    put(&memo, "d", &list);
    assert!(!is_remembered(&memo, "b"));
    for channel in ["a", "c", "d"] {
        assert!(is_remembered(&memo, channel));
    }
    // One that is too long by itself drives out no other.
    put(&memo, "e", &items(0..1000));
    assert!(!is_remembered(&memo, "e"));
    assert!(is_remembered(&memo, "a"));
    put(&memo, "a", &items(0..1000));
    assert!(!is_remembered(&memo, "a"));
    assert_eq!(memo.lock().bytes(), 2 * one);
}

#[test]
fn a_memo_forgets_a_thread() {
    let memo = LastValues::new(usize::MAX);
    put(&memo, "a", &items(0..100));
    memo.forget(&ThreadId::new("other").unwrap());
    assert!(is_remembered(&memo, "a"));
    memo.forget(&thread());
    assert!(!is_remembered(&memo, "a"));
    assert_eq!(memo.lock().bytes(), 0);
}

#[test]
fn a_value_is_known_by_its_place_until_it_is_changed() {
    let mut values = ChannelValues::from([("a", items(0..100))]);
    let shared = values.get_shared("a").unwrap();
    let known = Known::of(shared, None, None);
    assert!(known.is_of(shared));
    assert!(!known.is_of(&Arc::new(items(0..100))));

    // No one else holds it, so that it isn't copied: it moves.
    values.get_mut("a").unwrap()[0] = json!("other");
    assert!(!known.is_of(values.get_shared("a").unwrap()));
}

#[test]
fn a_value_that_is_shared_with_the_one_put_last_is_what_was_put() {
    let memo = LastValues::new(usize::MAX);
    let values = ChannelValues::from([("a", items(0..100))]);
    for values in [&values, &values.clone()] {
        let cuts = memo.cut(&thread(), &CheckpointNs::ROOT, values);
        let cut = cuts.iter().next().flatten();
        assert_eq!(
            written(&values["a"], cut),
            written(
                &values["a"],
                Cut::of_channel(&values["a"], || None).as_ref()
            )
        );
    }
}
