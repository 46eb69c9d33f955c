//! `put`: what is stored comes back, and what isn't said is inherited.

use serde_json::json;

use super::step::{
    Step, delete, find, fresh_thread, get, head, id, ids, map, ns, prune, put_chain, values, write,
};
use checkpointer::{
    CheckpointId, Checkpointer, Error, Generation, GetTuple, Projection, TrackedList, Version,
};

/// The answer addresses the checkpoint.
pub async fn returns_config(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id);
    let address = step.put(checkpointer).await;
    assert_eq!(address.thread_id, thread_id);
    assert!(address.checkpoint_ns.is_root());
    assert_eq!(address.checkpoint_id, step.checkpoint.id);
    assert_eq!(address.generation, Some(Generation(1)));
}

/// A checkpoint comes back as it was put, and its metadata too.
pub async fn roundtrip(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread()).values(json!({ "messages": ["hi"], "n": 1 }));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.checkpoint, step.checkpoint);
    assert_eq!(tuple.metadata, step.metadata);
}

/// Values of every JSON type come back.
pub async fn preserves_channel_values(checkpointer: &dyn Checkpointer) {
    let put = json!({
        "text": "hello", "int": 42, "float": 1.5, "yes": true, "none": null,
        "list": [1, [2, "three"]], "object": { "a": { "b": null } }, "empty": {},
    });
    let step = Step::first(&fresh_thread()).values(put.clone());
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(values(&tuple), put);
}

/// Versions of every kind come back.
pub async fn preserves_channel_versions(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread())
        .values(json!({ "a": 1, "b": 2, "c": 3 }))
        .versions(json!({ "a": 3, "b": "00000002.0.5", "c": 1.5 }));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    let versions = tuple.checkpoint.channel_versions;
    assert_eq!(versions, step.checkpoint.channel_versions);
}

/// The nodes of `versions_seen` come back.
pub async fn preserves_versions_seen(checkpointer: &dyn Checkpointer) {
    let mut step = Step::first(&fresh_thread());
    let seen = &mut step.checkpoint.versions_seen;
    seen.insert(
        "node".to_owned(),
        [("a".to_owned(), Version::Int(1))].into(),
    );
    seen.insert("__input__".to_owned(), [].into());
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    let nodes: Vec<_> = tuple.checkpoint.versions_seen.into_keys().collect();
    assert_eq!(nodes, ["__input__", "node"]);
}

/// The versions that each node has seen come back.
pub async fn preserves_versions_seen_values(checkpointer: &dyn Checkpointer) {
    let mut step = Step::first(&fresh_thread());
    let versions = [
        ("a".to_owned(), Version::Int(1)),
        ("b".to_owned(), Version::from("2.5")),
    ];
    let seen = &mut step.checkpoint.versions_seen;
    seen.insert("node".to_owned(), versions.into());
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    let seen = tuple.checkpoint.versions_seen;
    assert_eq!(seen, step.checkpoint.versions_seen);
}

/// All of the metadata comes back.
pub async fn preserves_metadata(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread())
        .metadata("source", "fork")
        .metadata("step", -1)
        .metadata("parents", json!({ "": "1f1e75c6" }))
        .metadata("mine", json!({ "deep": [1, null] }));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.metadata, step.metadata);
}

/// The run of the metadata comes back.
pub async fn preserves_run_id(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread()).metadata("run_id", "run-1");
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.metadata.run_id(), Some("run-1"));
}

/// The root namespace is the empty one.
pub async fn root_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let address = Step::first(&thread_id).in_ns("").put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.address.checkpoint_ns.as_str(), "");
}

/// A subgraph's namespace is its own.
pub async fn child_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id).in_ns("child:abc");
    let address = step.put(checkpointer).await;
    assert_eq!(address.checkpoint_ns, ns("child:abc"));
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.address, address);
    assert_eq!(head(checkpointer, &thread_id).await, None);
}

/// Without a namespace a checkpoint goes to the root graph's.
pub async fn default_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let address = Step::first(&thread_id).put(checkpointer).await;
    let in_root = GetTuple::head(&thread_id).unwrap().in_ns(ns(""));
    let found = find(checkpointer, in_root).await.unwrap();
    assert_eq!(found.address, address);
}

/// A thread holds many checkpoints.
pub async fn multiple_checkpoints_same_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    for (n, address) in chain.iter().enumerate() {
        let tuple = get(checkpointer, address).await;
        assert_eq!(values(&tuple), json!({ "n": n }));
    }
}

/// Threads don't see each other, even where ids are the same.
pub async fn multiple_threads_isolated(checkpointer: &dyn Checkpointer) {
    let (left, right) = (fresh_thread(), fresh_thread());
    let left = Step::first(&left).id("same").values(json!({ "a": "left" }));
    let right = Step::first(&right)
        .id("same")
        .values(json!({ "a": "right" }));
    let left = left.put(checkpointer).await;
    let right = right.put(checkpointer).await;
    let left = get(checkpointer, &left).await;
    let right = get(checkpointer, &right).await;
    assert_eq!(values(&left), json!({ "a": "left" }));
    assert_eq!(values(&right), json!({ "a": "right" }));
}

/// A checkpoint names its parent.
pub async fn parent_address(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).put(checkpointer).await;
    let second = Step::after(&first).put(checkpointer).await;
    let first_tuple = get(checkpointer, &first).await;
    let second_tuple = get(checkpointer, &second).await;
    assert_eq!(first_tuple.parent_address, None);
    assert_eq!(second_tuple.parent_address, Some(first));
}

/// A step that changes one channel leaves the others' values.
pub async fn incremental_channel_update(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": "one", "b": "two" }))
        .versions(json!({ "a": 1, "b": 1 }))
        .changed(["a", "b"])
        .put(checkpointer)
        .await;
    let second = Step::after(&first)
        .values(json!({ "a": "changed", "b": "two" }))
        .versions(json!({ "a": 2, "b": 1 }))
        .changed(["a"])
        .put(checkpointer)
        .await;
    let first = get(checkpointer, &first).await;
    let second = get(checkpointer, &second).await;
    assert_eq!(values(&first), json!({ "a": "one", "b": "two" }));
    assert_eq!(values(&second), json!({ "a": "changed", "b": "two" }));
}

/// A channel may come later.
pub async fn new_channel_added(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": 1 }))
        .versions(json!({ "a": 1 }))
        .put(checkpointer)
        .await;
    let second = Step::after(&first)
        .values(json!({ "a": 1, "b": 2 }))
        .versions(json!({ "a": 1, "b": 1 }))
        .changed(["b"])
        .put(checkpointer)
        .await;
    let second = get(checkpointer, &second).await;
    assert_eq!(values(&second), json!({ "a": 1, "b": 2 }));
}

/// A channel that has no version any more is gone.
pub async fn channel_removed(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": 1, "b": 2 }))
        .versions(json!({ "a": 1, "b": 1 }))
        .put(checkpointer)
        .await;
    let second = Step::after(&first)
        .values(json!({ "a": 2 }))
        .versions(json!({ "a": 2 }))
        .changed(["a"])
        .put(checkpointer)
        .await;
    let second = get(checkpointer, &second).await;
    assert_eq!(values(&second), json!({ "a": 2 }));
}

/// The runtime's own fields come back, those unknown here too.
pub async fn preserves_other_fields(checkpointer: &dyn Checkpointer) {
    let mut step = Step::first(&fresh_thread());
    step.checkpoint.v = 2;
    step.checkpoint.ts = "2026-11-23T16:39:04.425664+00:00".to_owned();
    step.checkpoint.updated_channels = Some(vec!["b".to_owned(), "a".to_owned()]);
    step.checkpoint.extra = map(json!({ "pending_sends": [], "mine": { "a": null } }));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.checkpoint, step.checkpoint);
}

/// A channel that isn't mentioned keeps its parent's value if it has the parent's version.
pub async fn missing_channel_is_inherited(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": 1, "b": [2] }))
        .versions(json!({ "a": 1, "b": 1 }))
        .put(checkpointer)
        .await;
    let mut last = first;
    for version in 2..4 {
        last = Step::after(&last)
            .values(json!({ "a": version }))
            .versions(json!({ "a": version, "b": 1 }))
            .changed(["a"])
            .put(checkpointer)
            .await;
    }
    let last = get(checkpointer, &last).await;
    assert_eq!(values(&last), json!({ "a": 3, "b": [2] }));
}

/// A channel of another version than the parent's isn't inherited.
pub async fn missing_channel_of_another_version_is_empty(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": 1 }))
        .versions(json!({ "a": 1 }))
        .put(checkpointer)
        .await;
    let second = Step::after(&first).versions(json!({ "a": 2 }));
    let second = get(checkpointer, &second.put(checkpointer).await).await;
    assert_eq!(values(&second), json!({}));
}

/// A channel that its parent never had is empty, and so is one without a value of a first
/// checkpoint.
pub async fn missing_channel_the_parent_never_had_is_empty(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": 1 }))
        .versions(json!({ "a": 1, "b": 1 }))
        .changed(["a"])
        .put(checkpointer)
        .await;
    let second = Step::after(&first).versions(json!({ "a": 1, "b": 1, "c": 1 }));
    let second = second.put(checkpointer).await;
    for address in [&first, &second] {
        let tuple = get(checkpointer, address).await;
        assert_eq!(values(&tuple), json!({ "a": 1 }));
    }
}

/// A channel can't keep the value of a parent that was pruned, is elsewhere or never was: nothing
/// is stored then.
pub async fn missing_channel_of_a_missing_parent_is_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    prune(checkpointer, &thread_id).await;
    let of_pruned = Step::after(&chain[0]).versions(json!({ "n": 1 }));
    let of_another_ns = Step::after(&chain[1])
        .in_ns("child:abc")
        .versions(json!({ "n": 1 }));
    let of_none = Step::first(&fresh_thread())
        .parent(id("none"))
        .versions(json!({ "n": 1 }));
    for step in [of_pruned, of_another_ns, of_none] {
        for step in [step.clone(), step.without_generation()] {
            let refusal = step.try_put(checkpointer).await;
            assert!(
                matches!(&refusal, Err(Error::ParentNotFound { channel, .. }) if channel == "n"),
                "{refusal:?}"
            );
            let address = step.address();
            assert_eq!(find(checkpointer, GetTuple::at(&address)).await, None);
        }
    }
    let found = find(checkpointer, GetTuple::head(&thread_id).unwrap()).await;
    assert_eq!(found.map(|head| head.address), Some(chain[1].clone()));
}

/// Or else a channel is empty that keeps the value of a parent that isn't there, if the put asks for
/// that. The parent is named all the same.
pub async fn missing_channel_of_a_missing_parent_may_be_empty(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    prune(checkpointer, &thread_id).await;
    let of_pruned = Step::after(&chain[0]);
    let of_another_ns = Step::after(&chain[1]).in_ns("child:abc");
    let of_none = Step::first(&fresh_thread()).parent(id("none"));
    for step in [of_pruned, of_another_ns, of_none] {
        for step in [step.clone(), step.without_generation()] {
            let step = step
                .id(CheckpointId::generate(None).as_str())
                .values(json!({ "a": 1 }))
                .versions(json!({ "a": 1, "n": 1 }))
                .changed(["a"])
                .empty_without_its_parent();
            let tuple = get(checkpointer, &step.put(checkpointer).await).await;
            assert_eq!(values(&tuple), json!({ "a": 1 }));
            let parent = tuple.parent_address.map(|parent| parent.checkpoint_id);
            assert_eq!(parent.as_ref(), step.request().parent);
            assert_eq!(
                tuple.checkpoint.channel_versions,
                step.checkpoint.channel_versions
            );
        }
    }
}

/// A put that asks for that keeps the values of a parent that is there, and what it kept itself when it
/// was put before.
pub async fn missing_channel_of_a_parent_that_is_there_is_not_empty(
    checkpointer: &dyn Checkpointer,
) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id)
        .values(json!({ "a": 1 }))
        .versions(json!({ "a": 1 }));
    let first = first.put(checkpointer).await;
    let second = Step::after(&first)
        .versions(json!({ "a": 1 }))
        .empty_without_its_parent();
    let address = second.put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(find(checkpointer, GetTuple::at(&first)).await, None);
    second.put(checkpointer).await;
    assert_eq!(
        values(&get(checkpointer, &address).await),
        json!({ "a": 1 })
    );
}

/// A put that keeps nothing needs no parent: its channels have values, or are named as changed.
pub async fn whole_state_needs_no_parent(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread())
        .parent(id("none"))
        .values(json!({ "a": 1 }))
        .versions(json!({ "a": 1, "b": 1 }))
        .changed(["b"]);
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(values(&tuple), json!({ "a": 1 }));
}

/// A channel that changed and has no value is empty, whatever its version.
pub async fn changed_channel_without_a_value_is_empty(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread())
        .values(json!({ "a": 1 }))
        .versions(json!({ "a": 1 }))
        .put(checkpointer)
        .await;
    let second = Step::after(&first)
        .versions(json!({ "a": 1 }))
        .changed(["a"])
        .put(checkpointer)
        .await;
    let third = Step::after(&second).versions(json!({ "a": 1 }));
    let third = third.put(checkpointer).await;
    for address in [&second, &third] {
        let tuple = get(checkpointer, address).await;
        assert_eq!(values(&tuple), json!({}));
    }
}

/// A channel may have a value and no version.
pub async fn value_without_a_version(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread())
        .values(json!({ "a": 1, "b": [2] }))
        .versions(json!({}));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(values(&tuple), json!({ "a": 1, "b": [2] }));
}

/// A list that its owner keeps from put to put is stored as it is, whatever becomes of the list and of its
/// thread in between.
pub async fn list_that_its_owner_keeps(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut list = TrackedList::new();
    let mut first = None;
    for (step, (kept, further)) in [(0, 90), (90, 1), (40, 20), (60, 0), (0, 80)]
        .into_iter()
        .enumerate()
    {
        list.truncate(kept);
        list.extend((0..further).map(|n| json!({ "n": n, "text": format!("{step} ").repeat(60) })));
        for parent in [first.clone(), None] {
            let put = match &parent {
                Some(parent) => Step::after(parent),
                None => Step::first(&thread_id),
            };
            let mut put = put.values(json!({ "list": null }));
            put.checkpoint.channel_values.insert_list("list", &list);
            let address = put.put(checkpointer).await;
            let stored = get(checkpointer, &address).await;
            assert_eq!(values(&stored)["list"], json!(list.items()));
            first.get_or_insert(address);
        }
        match step {
            1 => prune(checkpointer, &thread_id).await,
            2 => {
                delete(checkpointer, &thread_id).await;
                first = None;
            }
            _ => {}
        }
    }
}

/// A checkpoint put again has the new content and metadata.
pub async fn again_replaces_content(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread()).values(json!({ "a": 1, "b": 2 }));
    step.put(checkpointer).await;
    let step = step.values(json!({ "a": 3 })).metadata("mine", true);
    let address = step.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.checkpoint, step.checkpoint);
    assert_eq!(tuple.metadata, step.metadata);
}

/// A checkpoint put again with another parent takes the values it leaves out from that one.
pub async fn again_takes_values_from_the_parent_that_it_names(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let versions = json!({ "a": "1" });
    let step = |value: i32| {
        Step::first(&thread_id)
            .values(json!({ "a": value }))
            .versions(versions.clone())
    };
    let (one, two) = (
        step(1).put(checkpointer).await,
        step(2).put(checkpointer).await,
    );
    let child = Step::after(&one).versions(versions.clone());
    let address = child.put(checkpointer).await;
    let child = child.parent(two.checkpoint_id);
    child.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(values(&tuple), json!({ "a": 2 }));
    assert_eq!(tuple.parent_address, Some(one));
}

/// A checkpoint put again keeps its parent.
pub async fn again_keeps_the_parent(checkpointer: &dyn Checkpointer) {
    let chain = put_chain(checkpointer, &fresh_thread(), 2).await;
    let step = Step::after(&chain[0]);
    let address = step.put(checkpointer).await;
    let other = chain[1].checkpoint_id.clone();
    step.parent(other).put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.parent_address.as_ref(), Some(&chain[0]));
}

/// A checkpoint put again doesn't become the head again.
pub async fn again_does_not_move_the_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id);
    let second = Step::after(&first.put(checkpointer).await);
    second.put(checkpointer).await;
    first.put(checkpointer).await;
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head, Some(second.checkpoint.id));
}

/// A checkpoint put again keeps its writes.
pub async fn again_keeps_the_writes(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread());
    let address = step.put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    step.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.pending_writes.len(), 1);
}

/// A checkpoint put again keeps what it inherited, even from a parent that was pruned since.
pub async fn again_keeps_what_it_inherited(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id)
        .values(json!({ "a": [1] }))
        .versions(json!({ "a": 1 }))
        .put(checkpointer)
        .await;
    let second = Step::after(&first).versions(json!({ "a": 1 }));
    let address = second.put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    second.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(values(&tuple), json!({ "a": [1] }));
}

/// A value is kept by a version that is the same number, with a point or without one.
pub async fn keeps_by_the_same_number(checkpointer: &dyn Checkpointer) {
    for (before, after, is_kept) in [
        (json!(1), json!(1.0), true),
        (json!(1.0), json!(1), true),
        (json!(1e22), json!(1e22), true),
        (json!(0.0), json!(-0.0), false),
        (json!(2), json!(2.5), false),
    ] {
        let first = Step::first(&fresh_thread()).values(json!({ "a": [1] }));
        let first = first.versions(json!({ "a": before }));
        let first = first.put(checkpointer).await;
        let second = Step::after(&first).versions(json!({ "a": after }));
        let tuple = get(checkpointer, &second.put(checkpointer).await).await;
        let kept = tuple.checkpoint.channel_values.contains_key("a");
        assert_eq!(kept, is_kept, "{before}, {after}");
    }
}

/// The head is the checkpoint put last, even if its id is smaller than its parent's.
pub async fn the_last_one_is_the_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).id("z").put(checkpointer).await;
    Step::after(&first).id("a").put(checkpointer).await;
    let head = find(checkpointer, GetTuple::head(&thread_id).unwrap())
        .await
        .unwrap();
    assert_eq!(head.address.checkpoint_id.as_str(), "a");
    assert_eq!(head.parent_address, Some(first));
    let listed = ids(checkpointer, &thread_id).await;
    let listed: Vec<_> = listed.iter().map(|id| id.as_str()).collect();
    assert_eq!(listed, ["z", "a"]);
}

/// A parent may come after its child.
pub async fn before_its_parent(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread());
    let first_config = first.checkpoint.id.clone();
    let second = first.clone().parent(first_config).id("child");
    let address = second.put(checkpointer).await;
    let first = first.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.parent_address, Some(first));
}

/// A checkpoint that was read in part is refused: what wasn't read would be lost.
pub async fn partial_is_refused(checkpointer: &dyn Checkpointer) {
    let mut step = Step::first(&fresh_thread()).values(json!({ "a": 1, "b": 2 }));
    let address = step.put(checkpointer).await;
    for projection in [
        Projection::Channels(vec!["a".to_owned()]),
        Projection::Metadata,
    ] {
        let query = GetTuple::at(&address).project(projection);
        step.checkpoint = find(checkpointer, query).await.unwrap().checkpoint;
        let refusal = step.try_put(checkpointer).await;
        assert!(
            matches!(refusal, Err(Error::PartialCheckpoint { .. })),
            "{refusal:?}"
        );
    }
    let tuple = get(checkpointer, &address).await;
    assert_eq!(values(&tuple), json!({ "a": 1, "b": 2 }));
}
