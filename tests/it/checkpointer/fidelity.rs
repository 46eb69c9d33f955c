//! Whatever is put comes back equal, to the bits of every float. On PostgreSQL and in memory.

pub(super) mod any;
mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpointer::{
    ChannelValues, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple,
    Checkpointer, DeleteThread, GetTuple, List, ListThreads, MemoryCheckpointer, Metadata, Prune,
    PruneStrategy, Put, PutWrites, Removed, TaskId, ThreadId,
};
use futures_util::TryStreamExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use self::any::{same, same_object};
use super::step::{Step, checkpointer, get, map, thread, try_write, two};
use rig::{TestDb, without_orders};

/// Both implementations.
async fn both() -> [Arc<dyn Checkpointer>; 2] {
    let test = TestDb::without_schema().await;
    [
        Arc::new(checkpointer(&test, &[]).await),
        Arc::new(MemoryCheckpointer::new()),
    ]
}

/// Checks a property of both implementations.
fn check<T: std::fmt::Debug>(
    cases: u32,
    of: impl Strategy<Value = T>,
    property: impl AsyncFn(&Arc<dyn Checkpointer>, &T),
) {
    let runtime = Runtime::new().unwrap();
    let checkpointers = runtime.block_on(both());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&of, |case| {
        runtime.block_on(async {
            for checkpointer in &checkpointers {
                property(checkpointer, &case).await;
            }
        });
        Ok(())
    });
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
}

/// A checkpoint with all that belongs to it.
#[derive(Debug)]
struct Case {
    thread_id: ThreadId,
    checkpoint_ns: CheckpointNs,
    checkpoint: Checkpoint,
    metadata: Metadata,
    task_id: TaskId,
    task_path: String,
    writes: Vec<(String, Value)>,
    thread_metadata: Map<String, Value>,
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    let versions = || any::by_name(any::version());
    let fields = (
        (any::name(1, 256), any::<i64>(), any::text()),
        any::by_name(any::value()),
        (
            versions(),
            prop::collection::btree_map(any::text(), versions(), 0..3),
        ),
        prop::option::of(prop::collection::vec(any::text(), 0..3)),
        any::object(),
    );
    fields.prop_map(|((id, v, ts), values, (versions, seen), updated, extra)| {
        let mut checkpoint = Checkpoint::new(CheckpointId::new(id).unwrap());
        checkpoint.v = v;
        checkpoint.ts = ts;
        checkpoint.channel_versions = versions;
        for (channel, value) in values {
            // A value without a version comes back as well; here all have one, so that the next
            // checkpoint inherits them.
            let version = checkpoint.channel_versions.entry(channel.clone());
            version.or_insert_with(|| "1".into());
            checkpoint.channel_values.insert(channel, value);
        }
        checkpoint.versions_seen = seen;
        checkpoint.updated_channels = updated;
        checkpoint.extra = extra;
        checkpoint
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let names = (
        any::name(1, 512),
        any::name(0, 1600),
        any::name(1, 256),
        any::name(0, 4096),
    );
    let writes = prop::collection::vec((any::name(0, 256), any::value()), 0..4);
    let fields = (
        names,
        any_checkpoint(),
        any::object(),
        writes,
        any::object(),
    );
    fields.prop_map(|(names, checkpoint, metadata, writes, thread_metadata)| {
        let (thread_id, checkpoint_ns, task_id, task_path) = names;
        Case {
            thread_id: ThreadId::new(thread_id).unwrap(),
            checkpoint_ns: CheckpointNs::new(checkpoint_ns).unwrap(),
            checkpoint,
            metadata: metadata.into(),
            task_id: TaskId::new(task_id).unwrap(),
            task_path,
            writes,
            thread_metadata,
        }
    })
}

fn sorted(values: &ChannelValues) -> Value {
    values.clone().into()
}

/// Compares all but the values of the channels, which a child inherits.
#[track_caller]
fn check_same(got: &CheckpointTuple, case: &Case) {
    let (got_checkpoint, put) = (&got.checkpoint, &case.checkpoint);
    assert_eq!(got_checkpoint.id, put.id);
    assert_eq!((got_checkpoint.v, &got_checkpoint.ts), (put.v, &put.ts));
    // As text: `==` hides the sign of a zero.
    let versions = |checkpoint: &Checkpoint| {
        format!(
            "{:?} {:?}",
            checkpoint.channel_versions, checkpoint.versions_seen
        )
    };
    assert_eq!(versions(got_checkpoint), versions(put));
    assert_eq!(got_checkpoint.updated_channels, put.updated_channels);
    assert!(same_object(&got_checkpoint.extra, &put.extra));
    assert!(same_object(got.metadata.as_map(), case.metadata.as_map()));
    assert!(same(
        &sorted(&got_checkpoint.channel_values),
        &sorted(&put.channel_values)
    ));
}

#[test]
fn whatever_is_put_comes_back_equal() {
    check(80, any_case(), async |checkpointer, case| {
        let thread_id = &case.thread_id;
        // Another case may have used the same names.
        let delete = DeleteThread::new(thread_id).unwrap();
        checkpointer.delete_thread(delete).await.unwrap();
        if !case.checkpoint_ns.is_root() {
            // A subgraph's first put doesn't start a thread afresh.
            Step::first(thread_id).put(&**checkpointer).await;
        }
        let root = checkpointer
            .get_tuple(GetTuple::head(thread_id).unwrap())
            .await;
        let generation = root.unwrap().and_then(|root| root.address.generation);

        let mut put = Put::new(thread_id, &case.checkpoint, &case.metadata)
            .in_ns(&case.checkpoint_ns)
            .new_versions(&case.checkpoint.channel_versions);
        put.generation = generation;
        let address = checkpointer.put(put).await.unwrap();
        let writes = PutWrites::new(&address, &case.task_id, &case.writes);
        let writes = writes.task_path(&case.task_path);
        checkpointer.put_writes(writes).await.unwrap();
        let thread_metadata = case.thread_metadata.clone();
        checkpointer
            .set_thread_metadata(thread_id, thread_metadata)
            .await
            .unwrap();

        let got = get(&**checkpointer, &address).await;
        check_same(&got, case);
        assert_eq!(got.address, address);
        assert_eq!(got.pending_writes.len(), case.writes.len());
        for (got, (channel, value)) in got.pending_writes.iter().zip(&case.writes) {
            assert_eq!((&got.task_id, &got.channel), (&case.task_id, channel));
            assert!(same(&got.value, value));
        }
        let threads: Vec<_> = checkpointer
            .threads(ListThreads::all())
            .try_filter(|info| std::future::ready(info.thread_id == *thread_id))
            .try_collect()
            .await
            .unwrap();
        assert!(same_object(&threads[0].metadata, &case.thread_metadata));

        // A child that says nothing of the channels has all of its parent's values.
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(Some(&address.checkpoint_id)));
        checkpoint.channel_versions = case.checkpoint.channel_versions.clone();
        let child = Put::after(&address, &checkpoint, &case.metadata);
        let child = checkpointer.put(child).await.unwrap();
        let child = get(&**checkpointer, &child).await;
        assert!(same(
            &sorted(&child.checkpoint.channel_values),
            &sorted(&case.checkpoint.channel_values)
        ));

        let list = List::thread(thread_id)
            .unwrap()
            .in_ns(case.checkpoint_ns.clone());
        let listed: Vec<_> = checkpointer.list(list).try_collect().await.unwrap();
        assert_eq!(listed.len(), 2);
        check_same(&listed[1], case);
    });
}

#[test]
fn a_value_that_is_edited_comes_back_equal_at_every_step() {
    let values = (
        any::large_value(),
        prop::collection::vec(prop::collection::vec(any::edit(), 1..4), 1..8),
        any::<bool>(),
    );
    let runtime = Runtime::new().unwrap();
    let (test, [writer, reader]) = runtime.block_on(two());
    let client = runtime.block_on(test.observer());
    let sql = format!("SELECT ({}.state($1) -> 'a')::text", test.schema());
    let config = Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&values, |(mut value, edits, is_plain)| {
        runtime.block_on(async {
            let name = format!("edited {}", fastrand::u64(..));
            let mut put: Vec<(CheckpointAddress, Value)> = Vec::new();
            for (n, edits) in edits.iter().enumerate() {
                if is_plain {
                    any::make_plain(&mut value);
                }
                let step = match put.last() {
                    Some((last, _)) => Step::after(last),
                    None => Step::first(&thread(&name)),
                };
                let mut step = step.values(json!({}));
                let values = &mut step.checkpoint.channel_values;
                values.insert("a".to_owned(), value.clone());
                let address = step.put(&writer).await;
                // Without what the writer remembers.
                let write = try_write(&reader, &address, "task", &value).await;
                write.unwrap();
                put.push((address, value.clone()));
                edits.iter().for_each(|edit| edit.apply(&mut value));
                if n == 4 {
                    let prune = Prune::new(vec![thread(&name)], PruneStrategy::KeepLatest).unwrap();
                    reader
                        .prune(prune)
                        .await
                        .and_then(Removed::complete)
                        .unwrap();
                    put.drain(..n);
                }
            }
            for (address, value) in &put {
                for checkpointer in [&writer, &reader] {
                    let got = get(checkpointer, address).await;
                    assert!(same(&got.checkpoint.channel_values["a"], value));
                    assert!(same(&got.pending_writes[0].value, value));
                }
            }
            if is_plain {
                let (_, last) = put.last().unwrap();
                let row = client.query_one(&sql, &[&name]).await.unwrap();
                let document: Value = serde_json::from_str(row.get(0)).unwrap();
                let texts = [&without_orders(document), last].map(Value::to_string);
                let equal = "SELECT $1::text::jsonb = $2::text::jsonb";
                let row = client.query_one(equal, &[&texts[0], &texts[1]]).await;
                assert!(row.unwrap().get::<_, bool>(0));
            }
        });
        Ok(())
    });
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
}

/// Values of which many contain each other.
fn any_findable() -> impl Strategy<Value = Value> {
    let scalar = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(1e16),
        json!("a"),
        json!("a\0"),
        json!("\u{1}n-0.0"),
    ]);
    scalar.prop_recursive(3, 8, 3, |inner| {
        let key = prop::sample::select(vec!["a", "b", "\0"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..3)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

#[test]
fn both_find_the_same_by_metadata() {
    let runtime = Runtime::new().unwrap();
    let [postgres, memory] = runtime.block_on(both());
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let mut any = move || any_findable().new_tree(&mut runner).unwrap().current();
    runtime.block_on(async {
        let mut found = 0;
        for n in 0..150 {
            let step = Step::first(&thread("found")).id(&format!("{n:04}"));
            let step = step.metadata("mine", any());
            step.put(&*postgres).await;
            step.put(&*memory).await;
        }
        for _ in 0..150 {
            let filter = map(json!({ "mine": any() }));
            let mut ids = Vec::new();
            for checkpointer in [&postgres, &memory] {
                let list = List::all().filter(filter.clone());
                let listed: Vec<_> = checkpointer.list(list).try_collect().await.unwrap();
                let listed = listed.into_iter().map(|tuple| tuple.address.checkpoint_id);
                ids.push(listed.collect::<Vec<_>>());
            }
            assert_eq!(ids[0], ids[1], "by {filter:?}");
            found += ids[0].len();
        }
        assert!(found > 0);
    });
}

/// A state with a field of each kind that is easily changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    text: String,
    float: f64,
    single: f32,
    unsigned: u64,
    signed: i64,
    wide: i128,
    char: char,
    value: Value,
    floats: Vec<Option<f64>>,
    by_text: BTreeMap<String, Value>,
    by_number: BTreeMap<u64, f64>,
}

fn any_state() -> impl Strategy<Value = State> {
    let single = any::<u32>().prop_map(f32::from_bits);
    let single = single.prop_filter("finite", |single| single.is_finite());
    let fields = (
        (
            any::text(),
            any::float(),
            single,
            any::<u64>(),
            any::<i64>(),
        ),
        (any::<u64>(), any::<char>(), any::plain_value()),
        prop::collection::vec(prop::option::of(any::float()), 0..4),
        prop::collection::btree_map(any::text(), any::plain_value(), 0..3),
        prop::collection::btree_map(any::<u64>(), any::float(), 0..3),
    );
    fields.prop_map(|(scalars, others, floats, by_text, by_number)| {
        let (text, float, single, unsigned, signed) = scalars;
        let (wide, char, value) = others;
        State {
            text,
            float,
            single,
            unsigned,
            signed,
            wide: i128::from(wide),
            char,
            value,
            floats,
            by_text,
            by_number,
        }
    })
}

#[test]
fn a_typed_state_comes_back_equal() {
    let states = (any_state(), prop::collection::vec(any::plain_value(), 0..4));
    check(60, states, async |checkpointer, (state, list)| {
        let name = format!("state {}", fastrand::u64(..));
        let mut saved = checkpointer.thread::<State>(&*name).unwrap();
        let address = saved.save(state).await.unwrap();
        let mut thread = checkpointer.thread::<State>(&*name).unwrap();
        for loaded in [
            thread.load().await.unwrap().unwrap(),
            thread.at(&address.checkpoint_id).await.unwrap(),
        ] {
            let [got, put] = [&loaded, state].map(|state| serde_json::to_value(state).unwrap());
            assert!(same(&got, &put), "{got} is not {put}");
            assert_eq!(loaded.single.to_bits(), state.single.to_bits());
        }
        // What was loaded is what a save compares with.
        thread.update(|_| ()).await.unwrap();
        let head = checkpointer
            .get_tuple(GetTuple::head(&address.thread_id).unwrap())
            .await;
        let changed = head.unwrap().unwrap().checkpoint.updated_channels;
        assert_eq!(changed, Some(Vec::new()));

        let name = format!("list {}", fastrand::u64(..));
        let mut saved = checkpointer.thread::<Vec<Value>>(&*name).unwrap();
        saved.save(list).await.unwrap();
        let mut thread = checkpointer.thread::<Vec<Value>>(&*name).unwrap();
        let loaded = thread.load().await.unwrap().unwrap();
        assert!(same(&loaded.into(), &Value::from(list.clone())));
    });
}
