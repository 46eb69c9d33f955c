//! What is saved can be loaded by the same type, and is equal; or it is refused.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;

use expect_test::{Expect, expect};
use fastrand::Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Error, MemoryCheckpointer};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Plain<T> {
    one: T,
    list: Vec<T>,
    named: BTreeMap<String, T>,
    pair: (T, u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat<T> {
    id: u8,
    #[serde(flatten)]
    rest: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum External<T> {
    Unit,
    Newtype(T),
    Tuple(u8, T),
    Struct { field: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal<T> {
    Unit,
    Struct { field: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent<T> {
    Unit,
    Newtype(T),
    Struct { field: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Left { left: T },
    Right { right: T },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Side {
    Left,
    Right,
}

/// What can be made at random.
trait Any {
    fn any(rng: &mut Rng) -> Self;
}

macro_rules! any {
    ($($type:ty: |$rng:ident| $make:expr;)*) => {$(
        impl Any for $type {
            fn any($rng: &mut Rng) -> Self {
                $make
            }
        }
    )*};
}

any! {
    (): |_rng| ();
    bool: |rng| rng.bool();
    u8: |rng| rng.u8(..4);
    u16: |rng| rng.u16(..);
    i64: |rng| rng.i64(..);
    f32: |rng| rng.f32() * 3.0;
    char: |rng| rng.choice(['a', '1', '\u{0}', 'é']).unwrap();
    String: |rng| (*rng.choice(["", "a", "id", "true", "17", "kind", "1.5"]).unwrap()).to_owned();
    Side: |rng| if rng.bool() { Side::Left } else { Side::Right };
    Value: |rng| match rng.u8(..8) {
        0 | 1 => Value::Null,
        2 => json!(rng.i64(..)),
        3 => json!(rng.f64()),
        4 => json!(String::any(rng)),
        5 => json!(bool::any(rng)),
        6 => Value::Array((0..rng.usize(..3)).map(|_| Value::any(rng)).collect()),
        _ => Value::Object(Map::from_iter([(String::any(rng), Value::any(rng))])),
    };
}

impl<T: Any> Any for Option<T> {
    fn any(rng: &mut Rng) -> Self {
        rng.bool().then(|| T::any(rng))
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(..4)).map(|_| T::any(rng)).collect()
    }
}

impl<K: Any + Ord, T: Any> Any for BTreeMap<K, T> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(..4))
            .map(|_| (K::any(rng), T::any(rng)))
            .collect()
    }
}

impl Any for HashSet<u16> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(..40)).map(|_| u16::any(rng)).collect()
    }
}

impl<T: Any, U: Any> Any for (T, U) {
    fn any(rng: &mut Rng) -> Self {
        (T::any(rng), U::any(rng))
    }
}

impl<T: Any> Any for Plain<T> {
    fn any(rng: &mut Rng) -> Self {
        Self {
            one: T::any(rng),
            list: Vec::any(rng),
            named: BTreeMap::any(rng),
            pair: <(T, u8)>::any(rng),
        }
    }
}

impl<T: Any> Any for Flat<T> {
    fn any(rng: &mut Rng) -> Self {
        Self {
            id: u8::any(rng),
            rest: T::any(rng),
        }
    }
}

impl<T: Any> Any for External<T> {
    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..4) {
            0 => Self::Unit,
            1 => Self::Newtype(T::any(rng)),
            2 => Self::Tuple(u8::any(rng), T::any(rng)),
            _ => Self::Struct { field: T::any(rng) },
        }
    }
}

impl<T: Any> Any for Internal<T> {
    fn any(rng: &mut Rng) -> Self {
        match rng.bool() {
            true => Self::Unit,
            false => Self::Struct { field: T::any(rng) },
        }
    }
}

impl<T: Any> Any for Adjacent<T> {
    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..3) {
            0 => Self::Unit,
            1 => Self::Newtype(T::any(rng)),
            _ => Self::Struct { field: T::any(rng) },
        }
    }
}

impl<T: Any> Any for Untagged<T> {
    fn any(rng: &mut Rng) -> Self {
        match rng.bool() {
            true => Self::Left { left: T::any(rng) },
            false => Self::Right { right: T::any(rng) },
        }
    }
}

/// Saves and loads states of a type at random; returns how many of them were saved.
async fn check<T>() -> usize
where
    T: Any + Debug + PartialEq + Serialize + DeserializeOwned + 'static,
{
    const STATES: u64 = 150;
    let mut saved = 0;
    for seed in 0..STATES {
        let state = T::any(&mut Rng::with_seed(seed));
        let memory = MemoryCheckpointer::new();
        let mut thread = memory.thread::<T>("any").unwrap();
        match thread.save(&state).await {
            Err(Error::UnstorableState { .. }) => continue,
            other => other.unwrap(),
        };
        saved += 1;
        let loaded = thread.load().await;
        assert!(
            matches!(&loaded, Ok(Some(loaded)) if *loaded == state),
            "{state:?}, seed {seed}, was loaded as {loaded:?}"
        );
    }
    saved
}

/// Checks a type by itself, and in each form that serde has of putting it into another.
async fn check_in_all<T>()
where
    T: Any + Debug + PartialEq + Serialize + DeserializeOwned + 'static,
{
    let saved = [
        check::<T>().await,
        check::<Plain<T>>().await,
        check::<Flat<BTreeMap<String, T>>>().await,
        check::<Flat<Plain<T>>>().await,
        check::<External<T>>().await,
        check::<Internal<T>>().await,
        check::<Adjacent<T>>().await,
        check::<Untagged<T>>().await,
        check::<Plain<External<Internal<T>>>>().await,
        check::<Internal<Adjacent<Option<T>>>>().await,
    ];
    assert!(saved.iter().all(|saved| *saved > 0), "{saved:?}");
}

#[tokio::test]
async fn options_come_back_equal_or_are_refused() {
    check_in_all::<Value>().await;
    check_in_all::<Option<Value>>().await;
    check_in_all::<Option<Option<u8>>>().await;
    check_in_all::<Option<()>>().await;
    check_in_all::<Option<Vec<Option<f32>>>>().await;
}

#[tokio::test]
async fn maps_come_back_equal_or_are_refused() {
    check_in_all::<BTreeMap<u16, u8>>().await;
    check_in_all::<BTreeMap<i64, Option<Value>>>().await;
    check_in_all::<BTreeMap<bool, u8>>().await;
    check_in_all::<BTreeMap<char, u8>>().await;
    check_in_all::<BTreeMap<Side, String>>().await;
    check_in_all::<BTreeMap<String, Option<u8>>>().await;
}

#[tokio::test]
async fn sets_and_tuples_come_back_equal_or_are_refused() {
    check_in_all::<HashSet<u16>>().await;
    check_in_all::<(char, (f32, Option<bool>))>().await;
    check_in_all::<External<Untagged<i64>>>().await;
}

/// Checks that a state is refused, and by which words.
async fn refused<T>(state: T, expected: Expect)
where
    T: Serialize + DeserializeOwned + 'static,
{
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<T>("refused").unwrap();
    // Each time: nothing is learned from a failure.
    for _ in 0..2 {
        let error = thread.save(&state).await.unwrap_err();
        let text = error.to_string();
        let text = text.strip_prefix("the state of thread `refused` can't be saved: at ");
        expected.assert_eq(text.unwrap());
    }
    assert!(thread.load().await.unwrap().is_none());
}

#[tokio::test]
async fn a_refusal_names_the_place() {
    let mut plain = Plain {
        list: vec![None, Some(Value::Null)],
        ..Plain::default()
    };
    refused(
        plain.clone(),
        expect!["`list[1]`: `Some` of what is null in JSON, which would be loaded as `None`"],
    )
    .await;
    plain.list.pop();
    let memory = MemoryCheckpointer::new();
    memory.thread("good").unwrap().save(&plain).await.unwrap();

    refused(
        Plain {
            named: BTreeMap::from([("a".to_owned(), Some(None::<u8>))]),
            ..Plain::default()
        },
        expect!["`named.a`: `Some` of what is null in JSON, which would be loaded as `None`"],
    )
    .await;
    refused(
        Flat {
            id: 1,
            rest: BTreeMap::from([("id".to_owned(), 2)]),
        },
        expect!["`id`: one key twice in an object"],
    )
    .await;
    refused(
        vec![Internal::Struct {
            field: BTreeMap::from([(17_u32, 1)]),
        }],
        expect!["`[0]`: the type can't read its own JSON: expected u32"],
    )
    .await;
    refused(
        vec![
            Untagged::Right { right: Some(1) },
            Untagged::Right { right: None },
        ],
        expect!["`[0].right`: a field that isn't there when the state is loaded"],
    )
    .await;
}

#[tokio::test]
async fn what_a_type_reads_in_its_own_way_is_saved() {
    /// Takes a null that is there for `Some(None)`.
    fn there<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u8>>, D::Error> {
        Option::deserialize(from).map(Some)
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Patch {
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "there"
        )]
        age: Option<Option<u8>>,
        /// For readers of the JSON only.
        #[serde(skip_deserializing)]
        ages: Vec<u8>,
    }

    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<Patch>("patch").unwrap();
    for age in [None, Some(None), Some(Some(7))] {
        let ages = vec![1, 2];
        thread.save(&Patch { age, ages }).await.unwrap();
        assert_eq!(thread.load().await.unwrap().unwrap().age, age);
    }
}

#[tokio::test]
async fn a_list_keeps_its_order_beside_a_set_of_the_same_name() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Part {
        Tags { values: HashSet<String> },
        Steps { values: Vec<String> },
    }

    let names = (0..50).map(|n| format!("step-{n}")).rev();
    let tags = Part::Tags {
        values: names.clone().collect(),
    };
    let steps = Part::Steps {
        values: names.collect(),
    };
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<Vec<Part>>("parts").unwrap();
    for state in [vec![tags.clone()], vec![steps.clone(), tags, steps]] {
        thread.save(&state).await.unwrap();
        assert_eq!(thread.load().await.unwrap(), Some(state));
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Skipping {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<String>,
}

/// Checks that a state is refused though another of its type was saved before.
async fn refused_after<T>(full: T, empty: T, expected: Expect)
where
    T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static,
{
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<T>("skipping").unwrap();
    thread.save(&full).await.unwrap();
    let error = thread.save(&empty).await.unwrap_err();
    let text = error.to_string();
    let text = text.strip_prefix("the state of thread `skipping` can't be saved: at ");
    expected.assert_eq(text.unwrap());
    assert_eq!(thread.load().await.unwrap(), Some(full));
}

#[tokio::test]
async fn a_field_that_is_left_out_and_has_no_default_is_refused() {
    let with = |messages: &[&str]| Skipping {
        messages: messages.iter().map(|text| (*text).to_owned()).collect(),
    };
    refused_after(
        with(&["Hello"]),
        with(&[]),
        expect!["`$`: the type can't read its own JSON: missing field `messages`"],
    )
    .await;
    refused_after(
        vec![External::Newtype(with(&["Hello"]))],
        vec![External::Newtype(with(&[]))],
        expect!["`[0].Newtype`: the type can't read its own JSON: missing field `messages`"],
    )
    .await;
}

#[tokio::test]
async fn a_field_of_a_variant_that_is_left_out_and_has_no_default_is_refused() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Part {
        Text {
            #[serde(skip_serializing_if = "String::is_empty")]
            text: String,
        },
    }

    let with = |text: &str| Part::Text {
        text: text.to_owned(),
    };
    refused_after(
        vec![with("Hello")],
        vec![with("")],
        expect!["`[0].Text`: the type can't read its own JSON: missing field `text`"],
    )
    .await;
}
