//! `put` that appends: a channel's value is the parent's list and further items.

use serde_json::{Value, json};

use super::step::{
    Step, delete, find, fresh_thread, get, head, id, is_deleted, prune, put_chain, values,
};
use checkpointer::{CheckpointAddress, Checkpointer, Error, GetTuple, Result};

/// A message of a conversation.
fn message(n: usize) -> Value {
    json!({ "n": n, "text": format!("{n} ").repeat(60) })
}

fn messages(count: usize) -> Value {
    (0..count).map(message).collect()
}

/// Whether a put was refused because the list has `found` items, and nothing else was stored.
fn is_mismatch(put: &Result<CheckpointAddress>, found: Option<usize>) -> bool {
    match put {
        Err(Error::AppendMismatch {
            channel, found: is, ..
        }) => channel == "list" && *is == found,
        _ => false,
    }
}

/// A list begins with what is appended to nothing.
pub async fn begins_a_list(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, json!([1, 2]));
    let first = first.put(checkpointer).await;
    assert_eq!(
        values(&get(checkpointer, &first).await),
        json!({ "list": [1, 2] })
    );
    let other = Step::after(&first).append("other", 0, json!([3]));
    let other = other.put(checkpointer).await;
    assert_eq!(
        values(&get(checkpointer, &other).await),
        json!({ "other": [3] })
    );
}

/// The value is the parent's and what is appended, however the parent got it.
pub async fn is_the_parents_and_more(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).values(json!({ "list": messages(100) }));
    let mut last = first.put(checkpointer).await;
    for n in 100..103 {
        let step = Step::after(&last).append("list", n, json!([message(n)]));
        last = step.put(checkpointer).await;
        let stored = get(checkpointer, &last).await;
        assert_eq!(values(&stored), json!({ "list": messages(n + 1) }));
        let versions = stored.checkpoint.channel_versions;
        assert_eq!(versions, step.checkpoint.channel_versions);
    }
}

/// A list may grow from nothing, by any number of items, and each checkpoint keeps its own.
pub async fn grows_step_by_step(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut chain: Vec<(usize, CheckpointAddress)> = Vec::new();
    let mut len = 0;
    for n in 0..25 {
        let items: Value = (len..len + n % 4).map(message).collect();
        let step = match chain.last() {
            Some((_, last)) => Step::after(last),
            None => Step::first(&thread_id),
        };
        let step = step.append("list", len, items);
        len += n % 4;
        chain.push((len, step.put(checkpointer).await));
    }
    for (len, at) in &chain {
        let stored = get(checkpointer, at).await;
        assert_eq!(values(&stored), json!({ "list": messages(*len) }));
    }
}

/// Other channels are stored beside the list: kept, new and emptied ones.
pub async fn beside_other_channels(checkpointer: &dyn Checkpointer) {
    let before = json!({ "list": [1], "kept": "k", "changed": 1, "gone": 1 });
    let first = Step::first(&fresh_thread()).values(before);
    let first = first.versions(json!({ "list": 1, "kept": 1, "changed": 1, "gone": 1 }));
    let first = first.put(checkpointer).await;
    let second = Step::after(&first)
        .values(json!({ "changed": 2, "new": 3 }))
        .versions(json!({ "kept": 1, "changed": 2, "gone": 2, "new": 1 }))
        .changed(["changed", "gone", "new"])
        .append("list", 1, json!([2]));
    let stored = get(checkpointer, &second.put(checkpointer).await).await;
    let expected = json!({ "list": [1, 2], "kept": "k", "changed": 2, "new": 3 });
    assert_eq!(values(&stored), expected);
}

/// Steps between two appends keep the list, or replace it.
pub async fn goes_on_after_other_steps(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).append("list", 0, messages(40));
    let first = first.put(checkpointer).await;
    let version = get(checkpointer, &first).await.checkpoint.channel_versions["list"].to_json();
    let kept = Step::after(&first)
        .values(json!({ "n": 1 }))
        .versions(json!({ "n": 1, "list": version }))
        .changed(["n"]);
    let kept = kept.put(checkpointer).await;
    let grown = Step::after(&kept).append("list", 40, json!([message(40)]));
    let grown = grown.put(checkpointer).await;
    assert_eq!(
        values(&get(checkpointer, &grown).await)["list"],
        messages(41)
    );
    let replaced = Step::after(&grown).values(json!({ "list": ["new"] }));
    let replaced = replaced.put(checkpointer).await;
    let grown = Step::after(&replaced).append("list", 1, json!(["more"]));
    let grown = grown.put(checkpointer).await;
    assert_eq!(
        values(&get(checkpointer, &grown).await)["list"],
        json!(["new", "more"])
    );
    let emptied = Step::after(&grown).values(json!({ "n": 2 }));
    let emptied = emptied.put(checkpointer).await;
    let again = Step::after(&emptied).append("list", 0, json!([1]));
    let again = again.put(checkpointer).await;
    assert_eq!(values(&get(checkpointer, &again).await)["list"], json!([1]));
}

/// A step that brings a whole list may say that it grows. What isn't a list can't be appended to all the
/// same.
pub async fn goes_on_after_a_list_that_grows(checkpointer: &dyn Checkpointer) {
    for len in [0, 3, 100] {
        let first = Step::first(&fresh_thread())
            .values(json!({ "list": messages(len), "text": "t" }))
            .grows("list")
            .grows("text")
            .grows("none");
        let mut last = first.put(checkpointer).await;
        for n in len..len + 3 {
            let step = Step::after(&last).append("list", n, json!([message(n)]));
            last = step.put(checkpointer).await;
            let stored = values(&get(checkpointer, &last).await);
            assert_eq!(stored, json!({ "list": messages(n + 1) }));
        }
        let text = Step::after(&first.address()).append("text", 1, json!([1]));
        let refusal = text.try_put(checkpointer).await;
        assert!(matches!(
            refusal,
            Err(Error::AppendMismatch { found: None, .. })
        ));
    }
}

/// Each fork of an old checkpoint appends to that one's list.
pub async fn in_forks(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, messages(30));
    let first = first.put(checkpointer).await;
    let main = Step::after(&first).append("list", 30, json!(["main"]));
    main.put(checkpointer).await;
    for fork in ["one", "other"] {
        let step = Step::after(&first).append("list", 30, json!([fork]));
        let at = step.put(checkpointer).await;
        let at = Step::after(&at).append("list", 31, json!(["end"]));
        let stored = get(checkpointer, &at.put(checkpointer).await).await;
        let list = &values(&stored)["list"];
        assert_eq!(
            (&list[29], &list[30], &list[31]),
            (&message(29), &json!(fork), &json!("end"))
        );
        assert_eq!(list.as_array().map(Vec::len), Some(32));
    }
}

/// Each namespace has lists of its own.
pub async fn per_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut lasts = Vec::new();
    for ns in ["", "sub"] {
        let step = Step::first(&thread_id)
            .in_ns(ns)
            .append("list", 0, json!([ns]));
        lasts.push(step.put(checkpointer).await);
    }
    for last in lasts {
        let step = Step::after(&last).append("list", 1, json!(["more"]));
        let stored = get(checkpointer, &step.put(checkpointer).await).await;
        let ns = last.checkpoint_ns.as_str();
        assert_eq!(values(&stored), json!({ "list": [ns, "more"] }));
    }
}

/// A put that is repeated stores the same, also once its parent was pruned.
pub async fn again_is_the_same(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, messages(20));
    let first = first.put(checkpointer).await;
    let step = Step::after(&first).append("list", 20, json!(["more"]));
    for time in 0..3 {
        if time == 2 {
            prune(checkpointer, &thread_id).await;
            assert!(find(checkpointer, GetTuple::at(&first)).await.is_none());
        }
        let list = values(&get(checkpointer, &step.put(checkpointer).await).await);
        assert_eq!(list["list"].as_array().map(Vec::len), Some(21));
        assert_eq!(list["list"][20], "more");
    }
}

/// A parent that was put again is appended to as it is by now.
pub async fn to_a_parent_that_was_put_again(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, json!(["old"]));
    let at = first.put(checkpointer).await;
    let again = Step::first(&thread_id).id(at.checkpoint_id.as_str());
    let again = again.values(json!({ "list": ["new"] }));
    again.put(checkpointer).await;
    let step = Step::after(&at).append("list", 1, json!(["more"]));
    let stored = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(values(&stored), json!({ "list": ["new", "more"] }));
}

/// Nothing may be appended: the value is the parent's, of a new version.
pub async fn of_nothing(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).append("list", 0, messages(10));
    let first = first.put(checkpointer).await;
    let step = Step::after(&first).append("list", 10, json!([]));
    let stored = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(values(&stored), json!({ "list": messages(10) }));
}

/// A list of another length is refused, and nothing is stored.
pub async fn after_another_length_is_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, messages(20));
    let first = first.put(checkpointer).await;
    for after in [0, 19, 21] {
        let step = Step::after(&first).append("list", after, json!([1]));
        assert!(is_mismatch(&step.try_put(checkpointer).await, Some(20)));
        assert_eq!(
            head(checkpointer, &thread_id).await.as_ref(),
            Some(&first.checkpoint_id)
        );
        assert!(
            find(checkpointer, GetTuple::at(&step.address()))
                .await
                .is_none()
        );
    }
    let nothing = Step::first(&fresh_thread()).append("list", 1, json!([1]));
    assert!(is_mismatch(&nothing.try_put(checkpointer).await, Some(0)));
    let step = Step::after(&first).append("list", 20, json!([message(20)]));
    let stored = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(values(&stored), json!({ "list": messages(21) }));
}

/// A value that is no list is refused.
pub async fn to_what_is_no_list_is_refused(checkpointer: &dyn Checkpointer) {
    for value in [json!(null), json!("text"), json!({ "a": 1 })] {
        let first = Step::first(&fresh_thread()).values(json!({ "list": value }));
        let first = first.put(checkpointer).await;
        let step = Step::after(&first).append("list", 0, json!([1]));
        assert!(is_mismatch(&step.try_put(checkpointer).await, None));
    }
}

/// Without its parent a put can't append.
pub async fn to_a_missing_parent_is_refused(checkpointer: &dyn Checkpointer) {
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let missing = chain[0].sibling(id("missing"));
    let step = Step::after(&missing).append("list", 0, json!([1]));
    match step.try_put(checkpointer).await {
        Err(Error::ParentNotFound { channel, .. }) => assert_eq!(channel, "list"),
        other => panic!("{other:?}"),
    }
}

/// A parent that was pruned can't be appended to.
pub async fn to_a_pruned_parent_is_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, json!([1]));
    let first = first.put(checkpointer).await;
    let second = Step::after(&first).values(json!({ "n": 1 }));
    second.put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    let step = Step::after(&first).append("list", 1, json!([2]));
    let refused = step.try_put(checkpointer).await;
    assert!(
        matches!(refused, Err(Error::ParentNotFound { .. })),
        "{refused:?}"
    );
}

/// That the thread was deleted says more than that its list is gone.
pub async fn to_a_deleted_thread_is_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).append("list", 0, json!([1]));
    let first = first.put(checkpointer).await;
    delete(checkpointer, &thread_id).await;
    let late = Step::after(&first).append("list", 1, json!([2]));
    assert!(is_deleted(&late.try_put(checkpointer).await));
    let again = Step::first(&thread_id).append("list", 0, json!(["again"]));
    let again = again.put(checkpointer).await;
    assert!(is_deleted(&late.try_put(checkpointer).await));
    let unnamed = late.without_generation();
    assert!(is_deleted(&unnamed.try_put(checkpointer).await));
    let next = Step::after(&again).append("list", 1, json!([2]));
    let stored = get(checkpointer, &next.put(checkpointer).await).await;
    assert_eq!(values(&stored), json!({ "list": ["again", 2] }));
}

/// A conflict says more than a list of another length.
pub async fn guarded(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).append("list", 0, json!([1]));
    let first = first.put(checkpointer).await;
    let step = Step::after(&first).expect_head(&first);
    let second = step
        .clone()
        .append("list", 1, json!([2]))
        .put(checkpointer)
        .await;
    for after in [1, 7] {
        let late = Step::after(&first)
            .expect_head(&first)
            .append("list", after, json!([3]));
        let refused = late.try_put(checkpointer).await;
        assert!(
            matches!(refused, Err(Error::Conflict { .. })),
            "{refused:?}"
        );
    }
    let third = Step::after(&second)
        .expect_head(&second)
        .append("list", 2, json!([3]));
    let stored = get(checkpointer, &third.put(checkpointer).await).await;
    assert_eq!(values(&stored), json!({ "list": [1, 2, 3] }));
}

/// A channel has a value or is appended to, not both.
pub async fn beside_a_value_is_refused(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).append("list", 0, json!([1]));
    let first = first.put(checkpointer).await;
    let both = Step::after(&first).values(json!({ "list": [1] }));
    let refused = both
        .append("list", 1, json!([2]))
        .try_put(checkpointer)
        .await;
    assert!(
        matches!(refused, Err(Error::Unstorable { .. })),
        "{refused:?}"
    );
}

/// An item that can't be stored is refused by its place in the list.
pub async fn an_item_too_deep_is_refused(checkpointer: &dyn Checkpointer) {
    let mut last = None;
    let deep = (0..100).fold(json!("x".repeat(3000)), |inner, _| json!([inner]));
    for len in [0, 2, 50] {
        let step = match &last {
            Some(last) => Step::after(last),
            None => Step::first(&fresh_thread()),
        };
        let step = step.values(json!({ "list": messages(len) }));
        let at = step.put(checkpointer).await;
        let grown = Step::after(&at).append("list", len, json!([message(len)]));
        let at = grown.put(checkpointer).await;
        let refused = Step::after(&at).append("list", len + 1, json!([1, deep]));
        match refused.try_put(checkpointer).await {
            Err(Error::Unstorable { place, path, .. }) => {
                assert_eq!(place, "channel `list`");
                assert!(path.starts_with(&format!("[{}]", len + 2)), "{path}");
            }
            other => panic!("{other:?}"),
        }
        last = Some(at);
    }
}
