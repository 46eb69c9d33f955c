//! Typed states as JSON.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashMap};

use expect_test::{Expect, expect};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Top;
use crate::codec::Refused;
use crate::typed::notes::{Known, Notes};

fn to_value<T: Serialize + ?Sized>(state: &T) -> Result<Top, Refused> {
    super::to_value(state, &Notes::new(&Known::default()), None)
}

#[derive(Serialize)]
struct Message {
    text: String,
    score: f64,
}

#[derive(Serialize)]
struct State {
    messages: Vec<Message>,
    turn: u64,
}

fn state(score: f64) -> State {
    let message = |score| Message {
        text: "hello".to_owned(),
        score,
    };
    State {
        messages: vec![message(0.5), message(score)],
        turn: 3,
    }
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Newtype<T>(T);

#[derive(Serialize)]
struct Pair(i8, f32);

#[derive(Serialize)]
struct Flattened<T> {
    first: u8,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
enum Shape<T> {
    Unit,
    Newtype(T),
    Tuple(u8, T),
    Struct { field: T },
}

/// A list that nests one array deeper with each item.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [Self].serialize(serializer)
    }
}

struct Failing;

impl Serialize for Failing {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("the lock is poisoned"))
    }
}

struct Bytes;

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&[1, 255])
    }
}

fn json<T: Serialize>(value: &T) -> Value {
    match to_value(value).unwrap() {
        Top::Fields(fields) => Value::Object(fields),
        Top::Root(root) => root,
    }
}

#[track_caller]
fn check_like_serde_json<T: Serialize>(value: T) {
    let mut expected = serde_json::to_value(&value).unwrap();
    let mut converted = json(&value);
    // Which keys are sorted is another matter.
    expected.sort_all_objects();
    converted.sort_all_objects();
    // By text: `==` takes `-0.0` for `0.0`.
    assert_eq!(converted.to_string(), expected.to_string());
}

#[track_caller]
fn check_refused<T: Serialize>(value: T, expected: Expect) {
    expected.assert_eq(&to_value(&value).unwrap_err().to_string());
}

#[test]
fn every_shape_of_serde_is_as_serde_json_makes_it() {
    check_like_serde_json(state(0.25));
    check_like_serde_json((true, 'é', "text", Unit, (), None::<u8>, Some(1)));
    check_like_serde_json((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::from(i64::MIN)));
    check_like_serde_json((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::from(u64::MAX)));
    check_like_serde_json((0.1_f32, f32::MAX, 0.1_f64, -0.0_f64, f64::MAX));
    check_like_serde_json(Bytes);
    check_like_serde_json(Newtype(Newtype(5)));
    check_like_serde_json(Pair(-1, 2.5));
    check_like_serde_json([Shape::Unit, Shape::Newtype(1), Shape::Tuple(1, 2)]);
    check_like_serde_json(Shape::Struct { field: state(1.0) });
    check_like_serde_json(Flattened {
        first: 1,
        rest: BTreeMap::from([("second", 2)]),
    });
    check_like_serde_json(json!({ "a": [1, 2.5, null, { "b": "c" }], "n": -0.0 }));
}

#[derive(Serialize)]
struct Call {
    name: String,
    arguments: Value,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: Map<String, Value>,
    by_id: HashMap<String, Value>,
}

/// Only these have an order that is the same in each process.
#[test]
fn objects_of_serde_json_keep_the_order_of_their_keys() {
    let arguments = || serde_json::from_str::<Value>(r#"{"query":{"z":1,"y":2},"limit":[3]}"#);
    let call = Call {
        name: "search".to_owned(),
        arguments: arguments().unwrap(),
        extra: arguments().unwrap().as_object().unwrap().clone(),
        by_id: (0..20).map(|n| (n.to_string(), json!(n))).collect(),
    };
    let calls = Flattened {
        first: 1,
        rest: BTreeMap::from([("calls", [&call])]),
    };
    let Value::Object(calls) = json(&calls) else {
        unreachable!()
    };
    let call = calls["calls"][0].as_object().unwrap();
    let kept = arguments().unwrap().to_string();
    assert_eq!(call["arguments"].to_string(), kept);
    assert_eq!(call["extra"].to_string(), kept);
    let sorted = |object: &Map<String, Value>| object.keys().is_sorted();
    assert!(sorted(&calls) && sorted(call));
    assert!(sorted(call["by_id"].as_object().unwrap()));
}

#[test]
fn every_map_key_of_serde_json_is_a_key() {
    check_like_serde_json(BTreeMap::from([(-1_i64, "a"), (7, "b")]));
    check_like_serde_json(BTreeMap::from([(u128::MAX, "a")]));
    check_like_serde_json(BTreeMap::from([(true, "a"), (false, "b")]));
    check_like_serde_json(BTreeMap::from([('x', "a")]));
    check_like_serde_json(BTreeMap::from([(Shape::<u8>::Unit, "a")]));
}

#[test]
fn only_a_struct_has_fields() {
    #[track_caller]
    fn check(value: impl Serialize, is_fields: bool) {
        let top = to_value(&value).unwrap();
        assert_eq!(matches!(top, Top::Fields(_)), is_fields, "{top:?}");
    }
    check(state(1.0), true);
    check(Some(Newtype(state(1.0))), true);
    check([state(1.0)], false);
    check(Unit, false);
    check(None::<State>, false);
    check(json!({ "a": 1 }), false);
    check(BTreeMap::from([("a", state(1.0))]), false);
    check(Shape::Newtype(state(1.0)), false);
    check(Shape::Struct { field: 1 }, false);
    check(
        Flattened {
            first: 1,
            rest: state(1.0),
        },
        false,
    );
    check(json!(1.5), false);
}

#[test]
fn what_serde_json_would_change_is_refused_with_its_path() {
    check_refused(
        state(f64::NAN),
        expect!["a number that is not finite at `messages[1].score`"],
    );
    check_refused(
        Newtype(f64::INFINITY),
        expect!["a number that is not finite at `$`"],
    );
    check_refused(
        [f32::NEG_INFINITY],
        expect!["a number that is not finite at `[0]`"],
    );
    check_refused(
        BTreeMap::from([("a b", u128::MAX)]),
        expect![[r#"an integer beyond 64 bits at `["a b"]`"#]],
    );
    check_refused(
        Shape::Newtype(i128::MIN),
        expect!["an integer beyond 64 bits at `Newtype`"],
    );
    check_refused(
        Shape::Tuple(1, f64::NAN),
        expect!["a number that is not finite at `Tuple[1]`"],
    );
    check_refused(
        Shape::Struct { field: f64::NAN },
        expect!["a number that is not finite at `Struct.field`"],
    );
    check_refused(
        Flattened {
            first: 1,
            rest: state(f64::NAN),
        },
        expect!["a number that is not finite at `messages[1].score`"],
    );
    check_refused(
        (1, BTreeMap::from([((1, 2), 3)])),
        expect!["key must be a string at `[1]`"],
    );
    check_refused(
        BTreeMap::from([("failing", Failing)]),
        expect!["the lock is poisoned at `failing`"],
    );
}

#[test]
fn a_state_without_end_is_refused() {
    let refused = to_value(&Endless).unwrap_err();
    assert_eq!(refused.path.to_string(), "[0]".repeat(100));
    expect!["arrays and objects nested deeper than 100"].assert_eq(&refused.reason.to_string());
}

#[test]
fn the_deepest_value_may_be_a_field_but_not_an_item() {
    let deepest = (0..99).fold(json!([]), |inner, _| Value::Array(vec![inner]));
    check_like_serde_json(&deepest);
    to_value(&[&deepest]).unwrap_err();

    #[derive(Serialize)]
    struct State {
        field: Value,
    }
    to_value(&State { field: deepest }).unwrap();
}

#[test]
fn no_more_kinds_are_noted_than_are_remembered() {
    let flattened = |names: std::ops::Range<u32>| Flattened {
        first: 1,
        rest: BTreeMap::from_iter(names.map(|name| (format!("name-{name}"), 1))),
    };
    let mut known = Known::default();
    let notes = Notes::new(&known);
    super::to_value(&flattened(0..20_000), &notes, None).unwrap();
    let fresh = notes.into_fresh();
    assert_eq!(fresh.len(), 10_000);
    known.learn(fresh);
    let notes = Notes::new(&known);
    super::to_value(&flattened(20_000..20_010), &notes, None).unwrap();
    assert!(notes.into_fresh().is_empty());
}
