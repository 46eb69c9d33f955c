//! Forks: sibling branches never see each other's values.

use serde_json::{Value, json};

use super::step::{Step, fresh_thread, get, head, pending, values, write};
use checkpointer::{CheckpointAddress, Checkpointer};

/// Forks one parent twice; both children have the same version of `a`, and different values.
async fn siblings(checkpointer: &dyn Checkpointer, parent: &CheckpointAddress, version: Value) {
    let mut children = Vec::new();
    for side in ["left", "right"] {
        let step = Step::after(parent)
            .values(json!({ "a": side, "list": [side, { "deep": side }] }))
            .versions(json!({ "a": version, "list": version }))
            .changed(["a", "list"]);
        children.push((side, step.put(checkpointer).await));
    }
    // Their children inherit from them.
    for (side, child) in children.clone() {
        let heir = Step::after(&child).versions(json!({ "a": version, "list": version }));
        children.push((side, heir.put(checkpointer).await));
    }
    for (side, child) in children {
        let tuple = get(checkpointer, &child).await;
        let expected = json!({ "a": side, "list": [side, { "deep": side }] });
        assert_eq!(values(&tuple), expected);
    }
}

async fn parent(checkpointer: &dyn Checkpointer, version: Value) -> CheckpointAddress {
    let step = Step::first(&fresh_thread())
        .values(json!({ "a": "parent", "list": ["parent"] }))
        .versions(json!({ "a": version, "list": version }));
    step.put(checkpointer).await
}

/// Integer versions of two forks are the same number, their values aren't.
pub async fn integer_versions(checkpointer: &dyn Checkpointer) {
    let parent = parent(checkpointer, json!(1)).await;
    siblings(checkpointer, &parent, json!(2)).await;
}

/// Even with the same text for a version two forks have their own values.
pub async fn text_versions(checkpointer: &dyn Checkpointer) {
    let parent = parent(checkpointer, json!("0001.5")).await;
    siblings(checkpointer, &parent, json!("0002.5")).await;
}

/// A version that goes back to an older one's name has its own value.
pub async fn version_of_an_ancestor(checkpointer: &dyn Checkpointer) {
    let first = parent(checkpointer, json!(1)).await;
    let second = Step::after(&first)
        .values(json!({ "a": "second" }))
        .versions(json!({ "a": 2 }))
        .put(checkpointer)
        .await;
    siblings(checkpointer, &second, json!(1)).await;
}

/// Branches keep apart at any depth.
pub async fn at_any_depth(checkpointer: &dyn Checkpointer) {
    let root = parent(checkpointer, json!(0)).await;
    let mut level = vec![(String::new(), root)];
    for depth in 1..5 {
        let mut next = Vec::new();
        for (path, address) in &level {
            for side in ["l", "r"] {
                let path = format!("{path}{side}");
                let step = Step::after(address)
                    .values(json!({ "a": path }))
                    .versions(json!({ "a": depth, "list": 0 }))
                    .changed(["a"]);
                next.push((path, step.put(checkpointer).await));
            }
        }
        level = next;
    }
    for (path, address) in level {
        let tuple = get(checkpointer, &address).await;
        assert_eq!(values(&tuple), json!({ "a": path, "list": ["parent"] }));
    }
}

/// Sibling branches have their own writes.
pub async fn writes(checkpointer: &dyn Checkpointer) {
    let parent = parent(checkpointer, json!(1)).await;
    let left = Step::after(&parent).put(checkpointer).await;
    let right = Step::after(&parent).put(checkpointer).await;
    write(checkpointer, &left, "task", json!([["a", "left"]])).await;
    write(checkpointer, &right, "task", json!([["a", "right"]])).await;
    let left = get(checkpointer, &left).await;
    let right = get(checkpointer, &right).await;
    assert_eq!(pending(&left), json!([["task", "a", "left"]]));
    assert_eq!(pending(&right), json!([["task", "a", "right"]]));
}

/// A fork becomes the head, and the branch it left stays.
pub async fn becomes_the_head(checkpointer: &dyn Checkpointer) {
    let first = parent(checkpointer, json!(1)).await;
    let second = Step::after(&first).put(checkpointer).await;
    let third = Step::after(&second).put(checkpointer).await;
    let fork = Step::after(&first).put(checkpointer).await;
    let head = head(checkpointer, &first.thread_id).await;
    assert_eq!(head.as_ref(), Some(&fork.checkpoint_id));
    let third = get(checkpointer, &third).await;
    assert_eq!(third.parent_address, Some(second));
    let fork = get(checkpointer, &fork).await;
    assert_eq!(fork.parent_address, Some(first));
}
