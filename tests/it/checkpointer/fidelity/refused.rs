//! What wouldn't come back equal is refused before anything is stored.

use std::sync::Arc;

use checkpointer::{Checkpointer, Error, List, ListThreads, Version};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{State, both};
use crate::checkpointer::step::{Step, checkpointer, get, thread, try_write};
use rig::TestDb;

/// Checks that a save is refused with this path and reason, and leaves nothing behind.
async fn check_not_saved<T: Serialize + for<'de> Deserialize<'de> + 'static>(
    checkpointer: &Arc<dyn Checkpointer>,
    state: &T,
    expected: (&str, &str),
) {
    let mut thread = checkpointer.thread::<T>("refused").unwrap();
    match thread.save(state).await {
        Err(Error::UnstorableState { path, reason, .. }) => {
            assert_eq!((&*path, &*reason), expected);
        }
        other => panic!("{other:?}"),
    }
    check_nothing_stored(&**checkpointer).await;
}

async fn check_nothing_stored(checkpointer: &dyn Checkpointer) {
    let listed: Vec<_> = checkpointer.list(List::all()).try_collect().await.unwrap();
    assert_eq!(listed, []);
    let threads = checkpointer.threads(ListThreads::all());
    let threads: Vec<_> = threads.try_collect().await.unwrap();
    assert_eq!(threads, []);
}

#[tokio::test]
async fn what_json_would_change_in_a_typed_state_is_refused_with_its_path() {
    for checkpointer in &both().await {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let not_finite = "a number that is not finite";
            let state = State {
                floats: vec![None, Some(1.0), Some(float)],
                ..State::default()
            };
            check_not_saved(checkpointer, &state, ("floats[2]", not_finite)).await;
            let state = State {
                single: float as f32,
                ..State::default()
            };
            check_not_saved(checkpointer, &state, ("single", not_finite)).await;
            let state = State {
                by_number: [(1, 0.5), (2, float)].into(),
                ..State::default()
            };
            check_not_saved(checkpointer, &state, ("by_number.2", not_finite)).await;
            check_not_saved(checkpointer, &vec![(1, float)], ("[0][1]", not_finite)).await;
        }
        let beyond = "an integer beyond 64 bits";
        for wide in [
            i128::from(u64::MAX) + 1,
            i128::from(i64::MIN) - 1,
            i128::MIN,
        ] {
            let state = State {
                wide,
                ..State::default()
            };
            check_not_saved(checkpointer, &state, ("wide", beyond)).await;
        }
        check_not_saved(checkpointer, &u128::MAX, ("$", beyond)).await;
    }
}

#[tokio::test]
async fn versions_that_are_no_numbers_are_refused() {
    for checkpointer in &both().await {
        for float in [f64::NAN, f64::INFINITY] {
            let mut step = Step::first(&thread("versions")).values(json!({ "a": 1 }));
            let versions = &mut step.checkpoint.channel_versions;
            versions.insert("a".to_owned(), Version::Float(float));
            let mut step = step.changed(["a"]);
            let refused = step.try_put(&**checkpointer).await;
            check_unstorable(refused, "the version of channel `a`");
            let versions = std::mem::take(&mut step.checkpoint.channel_versions);
            let seen = &mut step.checkpoint.versions_seen;
            seen.insert("node".to_owned(), versions);
            let refused = step.changed([]).try_put(&**checkpointer).await;
            check_unstorable(refused, "the version of channel `a`");
        }
        let mut step = Step::first(&thread("versions"));
        let versions = &mut step.checkpoint.channel_versions;
        versions.insert("a\0".to_owned(), Version::Int(1));
        let refused = step.changed(["a\0"]).try_put(&**checkpointer).await;
        assert!(matches!(refused, Err(Error::InvalidName { .. })));
        check_nothing_stored(&**checkpointer).await;
    }
}

/// Lists in lists.
fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(0), |inner, _| Value::Array(vec![inner]))
}

#[tokio::test]
async fn values_are_stored_to_the_greatest_depth_and_refused_beyond() {
    for checkpointer in &both().await {
        for depth in [101, 102, 128, 1_000] {
            let mut step = Step::first(&thread("deep")).values(json!({ "shallow": 1 }));
            let values = &mut step.checkpoint.channel_values;
            values.insert("deep".to_owned(), deep(depth));
            let refused = step.try_put(&**checkpointer).await;
            check_unstorable(refused, "channel `deep`");
            let address = step.address();
            let refused = try_write(&**checkpointer, &address, "task", &deep(depth)).await;
            check_unstorable(refused, "the write to channel `written`");
            let step = Step::first(&thread("deep")).metadata("mine", deep(depth - 1));
            check_unstorable(step.try_put(&**checkpointer).await, "the metadata");
            let mut step = Step::first(&thread("deep"));
            // It lies inside of the checkpoint's own fields.
            let extra = &mut step.checkpoint.extra;
            extra.insert("mine".to_owned(), deep(depth - 2));
            let refused = step.try_put(&**checkpointer).await;
            check_unstorable(refused, "the checkpoint's own fields");
            let refused = checkpointer
                .set_thread_metadata(
                    &thread("deep"),
                    Map::from_iter([("mine".to_owned(), deep(depth - 1))]),
                )
                .await;
            check_unstorable(refused, "the thread's metadata");
            let mut typed = checkpointer.thread::<Value>("deep").unwrap();
            let refused = typed.save(&deep(depth)).await;
            assert!(
                matches!(refused, Err(Error::UnstorableState { .. })),
                "{refused:?}"
            );
            check_nothing_stored(&**checkpointer).await;
        }

        let values = json!({ "deep": deep(100) });
        let step = Step::first(&thread("deep")).values(values);
        let mut step = step.metadata("mine", deep(99));
        let extra = &mut step.checkpoint.extra;
        extra.insert("mine".to_owned(), deep(98));
        let address = step.put(&**checkpointer).await;
        let written = try_write(&**checkpointer, &address, "task", &deep(100)).await;
        written.unwrap();
        let got = get(&**checkpointer, &address).await;
        assert_eq!(got.checkpoint.channel_values["deep"], deep(100));
        assert_eq!(got.metadata.get("mine"), Some(&deep(99)));
        assert_eq!(got.checkpoint.extra["mine"], deep(98));
        assert_eq!(*got.pending_writes[0].value, deep(100));
    }
}

#[track_caller]
fn check_unstorable<T: std::fmt::Debug>(refused: checkpointer::Result<T>, expected: &str) {
    match refused {
        Err(Error::Unstorable { place, .. }) => assert_eq!(place, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_largest_value_is_stored_and_a_larger_one_refused() {
    const LONGEST: usize = (256 << 20) - 16;
    for checkpointer in &both().await {
        let longer = Value::from("x".repeat(LONGEST + 1));
        let step = Step::first(&thread("large")).values(json!({ "small": 1, "text": longer }));
        check_unstorable(step.try_put(&**checkpointer).await, "channel `text`");
        check_nothing_stored(&**checkpointer).await;
    }
    let test = TestDb::without_schema().await;
    // A busy machine may need longer than the usual half minute.
    let postgres = checkpointer(&test, &[("DB_STATEMENT_TIMEOUT", "2min")]).await;
    let value = Value::from("x".repeat(LONGEST));
    let step = Step::first(&thread("large")).values(json!({ "text": value }));
    let address = step.put(&postgres).await;
    let got = get(&postgres, &address).await.checkpoint.channel_values;
    assert!(got == step.checkpoint.channel_values);
}
