//! `list`: checkpoints by id, the greatest first.

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::step::{
    Step, find, fresh_thread, fresh_word, get, ids_of, list, map, ns, pending, put_chain, values,
    write,
};
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, GetTuple, List, Loaded, Projection, ThreadId,
};

/// Lists, by metadata, checkpoints that only this case has put.
async fn filtered(checkpointer: &dyn Checkpointer, filter: Value) -> Vec<CheckpointTuple> {
    list(checkpointer, List::all().filter(map(filter))).await
}

/// The ids of a chain, the last one first.
fn reversed(chain: &[CheckpointAddress]) -> Vec<checkpointer::CheckpointId> {
    let ids = chain.iter().rev().map(|address| &address.checkpoint_id);
    ids.cloned().collect()
}

/// Without a thread all threads are listed.
pub async fn all(checkpointer: &dyn Checkpointer) {
    let word = fresh_word();
    let mut put = Vec::new();
    for _ in 0..3 {
        let step = Step::first(&fresh_thread()).metadata("word", word.as_str());
        put.push(step.put(checkpointer).await);
    }
    let listed = filtered(checkpointer, json!({ "word": word })).await;
    assert_eq!(ids_of(&listed), reversed(&put));
}

/// With a thread only its checkpoints are listed.
pub async fn by_thread(checkpointer: &dyn Checkpointer) {
    let (mine, other) = (fresh_thread(), fresh_thread());
    let chain = put_chain(checkpointer, &mine, 3).await;
    put_chain(checkpointer, &other, 2).await;
    let listed = list(checkpointer, List::thread(&mine).unwrap()).await;
    assert_eq!(ids_of(&listed), reversed(&chain));
    assert!(listed.iter().all(|tuple| tuple.address.thread_id == mine));
}

/// With a namespace only its checkpoints are listed.
pub async fn by_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    Step::first(&thread_id).put(checkpointer).await;
    let child = Step::first(&thread_id).in_ns("child:1");
    let child = child.put(checkpointer).await;
    let listed = list(
        checkpointer,
        List::thread(&thread_id).unwrap().in_ns(ns("child:1")),
    )
    .await;
    assert_eq!(ids_of(&listed), [child.checkpoint_id]);
    let listed = list(
        checkpointer,
        List::thread(&thread_id).unwrap().in_ns(ns("")),
    )
    .await;
    assert_eq!(listed.len(), 1);
}

/// The greatest id comes first.
pub async fn ordering(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for id in ["b", "a", "c", "B", "é"] {
        Step::first(&thread_id).id(id).put(checkpointer).await;
    }
    let listed = list(checkpointer, List::thread(&thread_id).unwrap()).await;
    let listed = ids_of(&listed);
    let listed: Vec<_> = listed.iter().map(|id| id.as_str()).collect();
    assert_eq!(listed, ["é", "c", "b", "a", "B"]);
}

async fn with_metadata(checkpointer: &dyn Checkpointer) -> ThreadId {
    let thread_id = fresh_thread();
    for (step, source, user) in [(-1, "input", "ann"), (0, "loop", "ann"), (1, "loop", "bob")] {
        Step::first(&thread_id)
            .metadata("source", source)
            .metadata("step", step)
            .metadata("user", user)
            .put(checkpointer)
            .await;
    }
    thread_id
}

/// How many of the thread's checkpoints a filter finds.
async fn count(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, filter: Value) -> usize {
    let query = List::thread(thread_id).unwrap().filter(map(filter));
    list(checkpointer, query).await.len()
}

/// A filter finds a value.
pub async fn metadata_filter_single_key(checkpointer: &dyn Checkpointer) {
    let thread_id = with_metadata(checkpointer).await;
    let query = List::thread(&thread_id)
        .unwrap()
        .filter(map(json!({ "source": "input" })));
    let listed = list(checkpointer, query).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].metadata.source(), Some("input"));
}

/// A filter finds a step.
pub async fn metadata_filter_step(checkpointer: &dyn Checkpointer) {
    let thread_id = with_metadata(checkpointer).await;
    let query = List::thread(&thread_id)
        .unwrap()
        .filter(map(json!({ "step": 1 })));
    let listed = list(checkpointer, query).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].metadata.step(), Some(1));
}

/// All keys of a filter must be found.
pub async fn metadata_filter_multiple_keys(checkpointer: &dyn Checkpointer) {
    let thread_id = with_metadata(checkpointer).await;
    let filter = json!({ "source": "loop", "step": 0 });
    assert_eq!(count(checkpointer, &thread_id, filter).await, 1);
    let filter = json!({ "source": "input", "step": 0 });
    assert_eq!(count(checkpointer, &thread_id, filter).await, 0);
}

/// A filter may find nothing.
pub async fn metadata_filter_no_match(checkpointer: &dyn Checkpointer) {
    let thread_id = with_metadata(checkpointer).await;
    let filter = json!({ "source": "update" });
    assert_eq!(count(checkpointer, &thread_id, filter).await, 0);
}

/// A filter finds the user's own keys.
pub async fn metadata_custom_keys(checkpointer: &dyn Checkpointer) {
    let thread_id = with_metadata(checkpointer).await;
    let filter = json!({ "user": "ann" });
    assert_eq!(count(checkpointer, &thread_id, filter).await, 2);
}

/// `before` is exclusive.
pub async fn before(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 4).await;
    let query = List::thread(&thread_id)
        .unwrap()
        .before(chain[2].checkpoint_id.clone());
    let listed = list(checkpointer, query).await;
    assert_eq!(ids_of(&listed), reversed(&chain[..2]));
}

/// A limit keeps the greatest ids.
pub async fn limit(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 4).await;
    for limit in [1, 3, 4, 9] {
        let listed = list(checkpointer, List::thread(&thread_id).unwrap().limit(limit)).await;
        let expected = &reversed(&chain)[..limit.min(4)];
        assert_eq!(ids_of(&listed), expected);
    }
}

/// A limit counts from `before`.
pub async fn limit_plus_before(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 4).await;
    let query = List::thread(&thread_id)
        .unwrap()
        .before(chain[3].checkpoint_id.clone());
    let listed = list(checkpointer, query.limit(2)).await;
    assert_eq!(ids_of(&listed), reversed(&chain[1..3]));
}

/// A filter keeps to the thread.
pub async fn combined_thread_and_filter(checkpointer: &dyn Checkpointer) {
    let mine = with_metadata(checkpointer).await;
    with_metadata(checkpointer).await;
    let query = List::thread(&mine)
        .unwrap()
        .filter(map(json!({ "source": "loop" })));
    let listed = list(checkpointer, query).await;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|tuple| tuple.address.thread_id == mine));
}

/// A thread that doesn't exist has nothing to list.
pub async fn empty_result(checkpointer: &dyn Checkpointer) {
    assert_eq!(
        list(checkpointer, List::thread(fresh_thread()).unwrap()).await,
        []
    );
}

/// What is listed has its pending writes.
pub async fn includes_pending_writes(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    write(checkpointer, &chain[0], "task", json!([["a", 1], ["b", 2]])).await;
    let listed = list(checkpointer, List::thread(&thread_id).unwrap()).await;
    assert_eq!(pending(&listed[0]), json!([]));
    let expected = json!([["task", "a", 1], ["task", "b", 2]]);
    assert_eq!(pending(&listed[1]), expected);
}

/// Without a namespace all are listed.
pub async fn multiple_namespaces(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for name in ["", "child:1", "child:2"] {
        Step::first(&thread_id).in_ns(name).put(checkpointer).await;
    }
    let listed = list(checkpointer, List::thread(&thread_id).unwrap()).await;
    let namespaces = listed.iter().rev();
    let namespaces: Vec<_> = namespaces
        .map(|tuple| tuple.address.checkpoint_ns.as_str())
        .collect();
    assert_eq!(namespaces, ["", "child:1", "child:2"]);
}

/// What is listed is what is read one by one.
pub async fn same_as_get_tuple(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    write(checkpointer, &chain[1], "task", json!([["a", 1]])).await;
    for tuple in list(checkpointer, List::thread(&thread_id).unwrap()).await {
        assert_eq!(tuple, get(checkpointer, &tuple.address).await);
    }
}

/// A limit of 0 lists nothing.
pub async fn limit_zero(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_chain(checkpointer, &thread_id, 2).await;
    assert_eq!(
        list(checkpointer, List::thread(&thread_id).unwrap().limit(0)).await,
        []
    );
}

/// With an id only that checkpoint is listed, in whatever namespace.
pub async fn by_checkpoint_id(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let wanted = chain[1].checkpoint_id.clone();
    let twin = Step::first(&thread_id).id(wanted.as_str()).in_ns("child");
    twin.put(checkpointer).await;
    let query = List::thread(&thread_id)
        .unwrap()
        .checkpoint_id(wanted.clone());
    let listed = list(checkpointer, query.clone()).await;
    assert_eq!(ids_of(&listed), [wanted.clone(), wanted.clone()]);
    let listed = list(checkpointer, query.in_ns(ns(""))).await;
    assert_eq!(ids_of(&listed), [wanted]);
}

/// Equal ids come by thread, then namespace.
pub async fn ties(checkpointer: &dyn Checkpointer) {
    let word = fresh_word();
    let mut threads = [fresh_thread(), fresh_thread()];
    threads.sort();
    for thread_id in threads.iter().rev() {
        for name in ["b", "", "a"] {
            let step = Step::first(thread_id).id("same").in_ns(name);
            step.metadata("word", word.as_str()).put(checkpointer).await;
        }
    }
    let listed = filtered(checkpointer, json!({ "word": word })).await;
    let order: Vec<_> = listed
        .iter()
        .map(|tuple| {
            (
                &tuple.address.thread_id,
                tuple.address.checkpoint_ns.as_str(),
            )
        })
        .collect();
    let expected: Vec<_> = threads
        .iter()
        .flat_map(|thread_id| ["", "a", "b"].map(|name| (thread_id, name)))
        .collect();
    assert_eq!(order, expected);
}

async fn found_by(checkpointer: &dyn Checkpointer, stored: Value, cases: &[(Value, bool)]) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id).metadata("mine", stored.clone());
    step.put(checkpointer).await;
    for (filter, expected) in cases {
        let found = count(checkpointer, &thread_id, json!({ "mine": filter })).await == 1;
        assert_eq!(found, *expected, "{stored} @> {filter}");
    }
}

/// A filter without keys finds everything.
pub async fn filter_empty(checkpointer: &dyn Checkpointer) {
    let thread_id = with_metadata(checkpointer).await;
    assert_eq!(count(checkpointer, &thread_id, json!({})).await, 3);
}

/// A filter on a nested key finds what contains it.
pub async fn filter_nested(checkpointer: &dyn Checkpointer) {
    let stored = json!({ "a": { "b": 1, "c": 2 }, "d": "x" });
    let cases = [
        (json!({ "a": { "b": 1 } }), true),
        (json!({ "a": {} }), true),
        (json!({ "a": { "b": 2 } }), false),
        (json!({ "b": 1 }), false),
        (json!({ "a": [] }), false),
    ];
    found_by(checkpointer, stored, &cases).await;
}

/// A filter on null finds a null that is there, not a key that isn't.
pub async fn filter_null(checkpointer: &dyn Checkpointer) {
    let cases = [
        (json!({ "a": null }), true),
        (json!({ "b": null }), false),
        (json!({ "c": null }), false),
    ];
    found_by(checkpointer, json!({ "a": null, "b": 0 }), &cases).await;
}

/// A filter on a list finds one that has its items, in any order.
pub async fn filter_list(checkpointer: &dyn Checkpointer) {
    let cases = [
        (json!({ "tags": ["b"] }), true),
        (json!({ "tags": ["b", "a", "b"] }), true),
        (json!({ "tags": [] }), true),
        (json!({ "tags": ["c"] }), false),
        (json!({ "tags": "a" }), false),
        (json!({ "tags": [{ "k": 1 }] }), true),
        (json!({ "tags": [{ "k": 2 }] }), false),
    ];
    let stored = json!({ "tags": ["a", "b", { "k": 1, "l": 2 }] });
    found_by(checkpointer, stored, &cases).await;
}

/// Numbers of a filter are compared by value.
pub async fn filter_number(checkpointer: &dyn Checkpointer) {
    let cases = [
        (json!({ "n": 1 }), true),
        (json!({ "n": 1.0 }), true),
        (json!({ "n": 1.5 }), false),
        (json!({ "n": "1" }), false),
        (json!({ "big": 1e15 }), true),
    ];
    let stored = json!({ "n": 1.0, "big": 1_000_000_000_000_000_i64 });
    found_by(checkpointer, stored, &cases).await;
}

/// Quotes, backslashes and the like in a filter are data.
pub async fn filter_odd_text(checkpointer: &dyn Checkpointer) {
    let odd = "'; DROP TABLE x; -- \" \\ % $1 \u{1F600}";
    let cases = [
        (json!({ odd: odd }), true),
        (json!({ odd: "'" }), false),
        (json!({ "%": odd }), false),
    ];
    found_by(checkpointer, json!({ odd: odd }), &cases).await;
}

/// Inside the loop other calls work.
pub async fn get_tuple_inside_the_loop(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_chain(checkpointer, &thread_id, 3).await;
    let mut listed = checkpointer.list(List::thread(&thread_id).unwrap());
    let mut seen = 0;
    while let Some(tuple) = listed.try_next().await.unwrap() {
        let same = find(checkpointer, GetTuple::at(&tuple.address)).await;
        assert_eq!(same, Some(tuple));
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// Many checkpoints are listed whole, whatever the size of a page.
pub async fn many(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 300).await;
    let query = List::thread(&thread_id)
        .unwrap()
        .project(Projection::Metadata);
    let listed = list(checkpointer, query).await;
    assert_eq!(ids_of(&listed), reversed(&chain));
}

/// A projection holds for each checkpoint that is listed.
pub async fn projections(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let address = Step::first(&thread_id)
        .values(json!({ "a": 1, "b": [2] }))
        .put(checkpointer)
        .await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    for (projection, loaded, expected) in [
        (Projection::All, Loaded::All, json!({ "a": 1, "b": [2] })),
        (
            Projection::Channels(vec!["b".to_owned()]),
            Loaded::SomeChannels,
            json!({ "b": [2] }),
        ),
        (Projection::Metadata, Loaded::Nothing, json!({})),
    ] {
        let query = List::thread(&thread_id).unwrap().project(projection);
        let listed = list(checkpointer, query).await;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].address, address);
        assert_eq!(listed[0].checkpoint.loaded(), loaded);
        assert_eq!(values(&listed[0]), expected);
        let all = loaded == Loaded::All;
        assert_eq!(listed[0].pending_writes.len(), usize::from(all));
    }
}
