//! `threads` and `set_thread_metadata`.

use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};

use super::step::{Step, delete, fresh_thread, fresh_word, map, put_chain, write};
use checkpointer::{
    CheckpointAddress, Checkpointer, Error, Generation, ListThreads, ThreadId, ThreadInfo,
    ThreadOrder,
};

async fn threads(checkpointer: &dyn Checkpointer, query: ListThreads) -> Vec<ThreadInfo> {
    checkpointer.threads(query).try_collect().await.unwrap()
}

/// Makes threads that are found by the word; each is put to after the one before.
async fn marked(
    checkpointer: &dyn Checkpointer,
    count: usize,
) -> (Map<String, Value>, Vec<CheckpointAddress>) {
    let metadata = map(json!({ "word": fresh_word() }));
    let mut configs = Vec::new();
    for _ in 0..count {
        let address = Step::first(&fresh_thread()).put(checkpointer).await;
        let set = checkpointer.set_thread_metadata(&address.thread_id, metadata.clone());
        set.await.unwrap();
        configs.push(address);
    }
    (metadata, configs)
}

fn names(threads: &[ThreadInfo]) -> Vec<&ThreadId> {
    threads.iter().map(|thread| &thread.thread_id).collect()
}

/// The thread that changed last comes first.
pub async fn by_last_change(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 3).await;
    Step::after(&made[1]).put(checkpointer).await;
    let found = threads(checkpointer, ListThreads::all().filter(word)).await;
    let expected = [1, 2, 0].map(|n: usize| &made[n].thread_id);
    assert_eq!(names(&found), expected);
}

/// A checkpoint put again doesn't move the head, and so changes nothing here.
pub async fn put_again_is_no_change(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread());
    let first = step.put(checkpointer).await;
    let (word, made) = marked(checkpointer, 1).await;
    let set = checkpointer.set_thread_metadata(&first.thread_id, word.clone());
    set.await.unwrap();
    step.put(checkpointer).await;
    let found = threads(checkpointer, ListThreads::all().filter(word)).await;
    let expected = [&made[0].thread_id, &first.thread_id];
    assert_eq!(names(&found), expected);
}

/// A thread says what is known of it.
pub async fn entry(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 1).await;
    let second = Step::after(&made[0]).put(checkpointer).await;
    Step::first(&second.thread_id)
        .in_ns("child")
        .put(checkpointer)
        .await;
    let found = threads(checkpointer, ListThreads::all().filter(word.clone())).await;
    let [thread] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(thread.thread_id, second.thread_id);
    assert_eq!(thread.metadata, word);
    assert_eq!(thread.head, Some(second.checkpoint_id));
    assert_eq!(thread.generation, Generation(1));
    assert!(thread.created_at <= thread.updated_at);
}

/// A filter finds threads by what their metadata contains.
pub async fn metadata_filter(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_chain(checkpointer, &thread_id, 1).await;
    let word = fresh_word();
    let metadata = map(json!({ "word": word, "user": { "name": "ann", "age": 7 } }));
    let set = checkpointer.set_thread_metadata(&thread_id, metadata);
    set.await.unwrap();
    for (filter, expected) in [
        (json!({ "word": word, "user": { "name": "ann" } }), 1),
        (json!({ "word": word, "user": { "name": "bob" } }), 0),
    ] {
        let found = threads(checkpointer, ListThreads::all().filter(map(filter))).await;
        assert_eq!(found.len(), expected);
    }
}

/// Pages follow each other without gaps.
pub async fn paging(checkpointer: &dyn Checkpointer) {
    let (word, mut made) = marked(checkpointer, 5).await;
    made.reverse();
    let mut seen = Vec::new();
    let mut query = ListThreads::all().filter(word).limit(2);
    loop {
        let page = threads(checkpointer, query.clone()).await;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        query = query.after(last.clone());
        seen.extend(page);
    }
    let made: Vec<_> = made.iter().map(|address| &address.thread_id).collect();
    assert_eq!(names(&seen), made);
}

/// The thread that hasn't changed for the longest time comes first if that is asked for, page by page.
pub async fn oldest_first(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 5).await;
    Step::after(&made[1]).put(checkpointer).await;
    let mut query = ListThreads::all().filter(word).oldest_first().limit(2);
    let mut seen = Vec::new();
    loop {
        let page = threads(checkpointer, query.clone()).await;
        let Some(last) = page.last() else { break };
        query = query.after(last.clone());
        seen.extend(page);
    }
    let expected = [0, 2, 3, 4, 1].map(|n: usize| &made[n].thread_id);
    assert_eq!(names(&seen), expected);
}

/// Threads are found by the time of their last change, which is neither before nor after itself.
pub async fn changed_before_and_after(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 4).await;
    let query = ListThreads::all().filter(word).oldest_first();
    let all = threads(checkpointer, query.clone()).await;
    let [_, second, third, fourth] = all.as_slice() else {
        panic!("{all:?}")
    };
    let (second, third, fourth) = (second.updated_at, third.updated_at, fourth.updated_at);
    for (query, expected) in [
        (query.clone().changed_before(third), vec![0, 1]),
        (query.clone().changed_after(second), vec![2, 3]),
        (
            query.clone().changed_after(second).changed_before(fourth),
            vec![2],
        ),
        (query.clone().changed_after(fourth), vec![]),
    ] {
        for is_reversed in [false, true] {
            let mut query = query.clone();
            let mut expected: Vec<_> = expected.iter().map(|n| &made[*n].thread_id).collect();
            if is_reversed {
                query.order = ThreadOrder::NewestFirst;
                expected.reverse();
            }
            assert_eq!(names(&threads(checkpointer, query).await), expected);
        }
    }
}

/// A thread whose subgraphs have heads of their own is listed once, at the last change of them all.
pub async fn once_whatever_its_namespaces(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 3).await;
    for ns in ["a", "b", "c"] {
        let child = Step::first(&made[0].thread_id).in_ns(ns);
        child.put(checkpointer).await;
    }
    let newest = ListThreads::all().filter(word);
    for (query, expected) in [
        (newest.clone(), [0, 2, 1]),
        (newest.oldest_first(), [1, 2, 0]),
    ] {
        let found = threads(checkpointer, query).await;
        let expected = expected.map(|n: usize| &made[n].thread_id);
        assert_eq!(names(&found), expected);
    }
}

/// Threads without a head have their place among the others, by the time at which they were made.
pub async fn without_a_head_in_order(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 2).await;
    let thread_id = fresh_thread();
    let address = CheckpointAddress::new(thread_id.clone(), super::step::id("later")).unwrap();
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    let set = checkpointer.set_thread_metadata(&thread_id, word.clone());
    set.await.unwrap();
    Step::after(&made[0]).put(checkpointer).await;
    let query = ListThreads::all().filter(word);
    let expected = [&made[0].thread_id, &thread_id, &made[1].thread_id];
    let found = threads(checkpointer, query.clone()).await;
    assert_eq!(names(&found), expected);

    // Its first checkpoint makes it one like the others.
    Step::first(&thread_id).put(checkpointer).await;
    let found = threads(checkpointer, query).await;
    let expected = [&thread_id, &made[0].thread_id, &made[1].thread_id];
    assert_eq!(names(&found), expected);
}

/// Many threads, of which a filter picks a few, are listed whole, in order and once.
pub async fn many_of_which_few_match(checkpointer: &dyn Checkpointer) {
    let (word, many) = marked(checkpointer, 80).await;
    let few: Vec<_> = many.iter().step_by(20).collect();
    let mut chosen = word.clone();
    chosen.insert("chosen".to_owned(), json!(true));
    for address in &few {
        let set = checkpointer.set_thread_metadata(&address.thread_id, chosen.clone());
        set.await.unwrap();
    }
    for (filter, expected) in [(word, many.iter().collect::<Vec<_>>()), (chosen, few)] {
        let query = ListThreads::all().filter(filter).oldest_first();
        let found = threads(checkpointer, query).await;
        let expected: Vec<_> = expected.iter().map(|address| &address.thread_id).collect();
        assert_eq!(names(&found), expected);
    }
}

/// Threads are found by what the state at their heads contains, whatever form it is stored in.
pub async fn state_contains(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 3).await;
    // Large enough to be stored in parts, where a store does that.
    let messages = |last: &str| {
        let long = (0..100).map(|n| json!({ "n": n, "text": "long ".repeat(30) }));
        long.chain([json!({ "text": last })]).collect::<Value>()
    };
    for (address, values) in made.iter().zip([
        json!({ "waits_for": "approval", "list": [1, [2]], "messages": messages("yes") }),
        json!({ "waits_for": "approval", "list": 1, "messages": messages("no") }),
        json!({ "waits_for": null, "messages": "yes" }),
    ]) {
        Step::after(address).values(values).put(checkpointer).await;
        // What a subgraph holds is another state.
        let child = Step::first(&address.thread_id).in_ns("child");
        let child = child.values(json!({ "waits_for": "nothing" }));
        child.put(checkpointer).await;
    }
    for (state, expected) in [
        (json!({ "waits_for": "approval" }), vec![0, 1]),
        (json!({ "waits_for": null }), vec![2]),
        (json!({ "waits_for": "nothing" }), vec![]),
        (json!({ "list": [1] }), vec![0]),
        (json!({ "list": [[2]] }), vec![0]),
        (json!({ "list": 1 }), vec![1]),
        (json!({ "messages": [{ "text": "yes" }] }), vec![0]),
        (
            json!({ "messages": [{ "text": "no" }], "waits_for": "approval" }),
            vec![1],
        ),
        (json!({ "missing": {} }), vec![]),
        (json!({}), vec![0, 1, 2]),
    ] {
        let query = ListThreads::all().filter(word.clone()).oldest_first();
        let found = threads(checkpointer, query.state_contains(map(state.clone()))).await;
        let expected: Vec<_> = expected.iter().map(|n| &made[*n].thread_id).collect();
        assert_eq!(names(&found), expected, "{state}");
    }
}

/// A limit of 0 lists nothing.
pub async fn limit_zero(checkpointer: &dyn Checkpointer) {
    let (word, _) = marked(checkpointer, 2).await;
    let query = ListThreads::all().filter(word).limit(0);
    assert_eq!(threads(checkpointer, query).await, []);
}

/// Without a filter every thread is listed.
pub async fn all(checkpointer: &dyn Checkpointer) {
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let found = threads(checkpointer, ListThreads::all()).await;
    assert!(names(&found).contains(&&chain[0].thread_id));
}

/// A deleted thread isn't listed.
pub async fn deleted_ones_are_not_listed(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 2).await;
    delete(checkpointer, &made[1].thread_id).await;
    let found = threads(checkpointer, ListThreads::all().filter(word)).await;
    assert_eq!(names(&found), [&made[0].thread_id]);
}

/// Metadata is replaced, not merged, and changes nothing about the order.
pub async fn metadata_is_replaced(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 2).await;
    let mut metadata = word.clone();
    metadata.insert("more".to_owned(), json!(1));
    for metadata in [metadata, word.clone()] {
        let set = checkpointer.set_thread_metadata(&made[0].thread_id, metadata);
        set.await.unwrap();
    }
    let found = threads(checkpointer, ListThreads::all().filter(word.clone())).await;
    assert_eq!(names(&found), [&made[1].thread_id, &made[0].thread_id]);
    assert_eq!(found[1].metadata, word);
}

/// A thread that doesn't exist has no metadata to set.
pub async fn metadata_of_a_missing_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let set = checkpointer.set_thread_metadata(&thread_id, Map::new());
    let set = set.await;
    assert!(matches!(set, Err(Error::ThreadNotFound { .. })), "{set:?}");
}

/// Keys of metadata are changed one by one: null removes one, a value is replaced as a whole.
pub async fn metadata_is_changed_by_key(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 1).await;
    let thread_id = &made[0].thread_id;
    for (changes, expected) in [
        (
            json!({ "a": 1, "b": { "c": null, "d": 1 } }),
            json!({ "a": 1, "b": { "c": null, "d": 1 } }),
        ),
        (
            json!({ "a": null, "b": { "e": 2 }, "none": null }),
            json!({ "b": { "e": 2 } }),
        ),
        (
            json!({ "\0": 1, "\u{1}": 2 }),
            json!({ "b": { "e": 2 }, "\0": 1, "\u{1}": 2 }),
        ),
        (json!({ "\0": null, "b": null }), json!({ "\u{1}": 2 })),
        (json!({}), json!({ "\u{1}": 2 })),
    ] {
        let update = checkpointer.update_thread_metadata(thread_id, map(changes));
        update.await.unwrap();
        let mut expected = map(expected);
        expected.extend(word.clone());
        let thread = checkpointer.thread_info(thread_id).await.unwrap();
        assert_eq!(thread.map(|thread| thread.metadata), Some(expected));
    }
}

/// A thread that doesn't exist, or was deleted, has no metadata to change.
pub async fn metadata_of_a_missing_thread_is_not_changed(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let changes = map(json!({ "a": 1 }));
    let update = checkpointer.update_thread_metadata(&thread_id, changes.clone());
    let missing = update.await;
    assert!(
        matches!(missing, Err(Error::ThreadNotFound { .. })),
        "{missing:?}"
    );
    put_chain(checkpointer, &thread_id, 1).await;
    delete(checkpointer, &thread_id).await;
    let update = checkpointer.update_thread_metadata(&thread_id, changes);
    let deleted = update.await;
    assert!(
        matches!(deleted, Err(Error::ThreadDeleted { .. })),
        "{deleted:?}"
    );
}

/// A put changes the thread's metadata, and the thread is found by it.
pub async fn metadata_with_a_put(checkpointer: &dyn Checkpointer) {
    let word = map(json!({ "word": fresh_word() }));
    let first = Step::first(&fresh_thread());
    let put = first.request().thread_metadata(&word);
    let address = checkpointer.put(put.expect_no_head()).await.unwrap();
    let found = threads(checkpointer, ListThreads::all().filter(word.clone())).await;
    assert_eq!(names(&found), [&address.thread_id]);
    assert_eq!(found[0].head, Some(address.checkpoint_id.clone()));

    let second = Step::after(&address);
    let changes = map(json!({ "status": "open", "word": null }));
    let put = second.request().thread_metadata(&changes);
    let address = checkpointer
        .put(put.expect_head(&address.checkpoint_id))
        .await;
    let thread_id = address.unwrap().thread_id;
    let found = threads(checkpointer, ListThreads::all().filter(word)).await;
    assert_eq!(found, []);
    let thread = checkpointer.thread_info(&thread_id).await.unwrap();
    let status = map(json!({ "status": "open" }));
    assert_eq!(thread.map(|thread| thread.metadata), Some(status));
}

/// A put that is refused changes no metadata, and one whose metadata can't be stored stores nothing.
pub async fn metadata_with_a_refused_put(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 1).await;
    let changes = map(json!({ "word": null, "more": 1 }));
    let step = Step::after(&made[0]);
    let put = step.request().thread_metadata(&changes).expect_no_head();
    let refused = checkpointer.put(put).await;
    assert!(
        matches!(refused, Err(Error::Conflict { .. })),
        "{refused:?}"
    );
    let too_deep = (0..200).fold(json!(0), |inner, _| json!([inner]));
    let too_deep = map(json!({ "more": too_deep }));
    let refused = checkpointer
        .put(step.request().thread_metadata(&too_deep))
        .await;
    assert!(
        matches!(refused, Err(Error::Unstorable { .. })),
        "{refused:?}"
    );
    let thread = checkpointer
        .thread_info(&made[0].thread_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(thread.metadata, word);
    assert_eq!(thread.head, Some(made[0].checkpoint_id.clone()));
}

/// A thread that is started again by a put has the metadata of that put alone.
pub async fn metadata_with_a_put_that_starts_again(checkpointer: &dyn Checkpointer) {
    let (_, made) = marked(checkpointer, 1).await;
    let thread_id = &made[0].thread_id;
    delete(checkpointer, thread_id).await;
    let changes = map(json!({ "again": true }));
    let late = Step::after(&made[0]);
    let refused = checkpointer
        .put(late.request().thread_metadata(&changes))
        .await;
    assert!(super::step::is_deleted(&refused), "{refused:?}");
    let first = Step::first(thread_id);
    let put = checkpointer
        .put(first.request().thread_metadata(&changes))
        .await;
    put.unwrap();
    let thread = checkpointer.thread_info(thread_id).await.unwrap().unwrap();
    assert_eq!(thread.metadata, changes);
}

/// Writes before the first checkpoint make the thread, without a head.
pub async fn writes_make_a_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let address = CheckpointAddress::new(thread_id.clone(), super::step::id("later")).unwrap();
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    let metadata = map(json!({ "word": fresh_word() }));
    let set = checkpointer.set_thread_metadata(&thread_id, metadata.clone());
    set.await.unwrap();
    let found = threads(checkpointer, ListThreads::all().filter(metadata)).await;
    assert_eq!(names(&found), [&thread_id]);
    assert_eq!(found[0].head, None);
}

/// What is known of one thread is what a list says of it.
pub async fn one(checkpointer: &dyn Checkpointer) {
    let (word, made) = marked(checkpointer, 1).await;
    Step::after(&made[0]).in_ns("child").put(checkpointer).await;
    let listed = threads(checkpointer, ListThreads::all().filter(word)).await;
    let thread_id = &made[0].thread_id;
    let one = checkpointer.thread_info(thread_id).await.unwrap();
    assert_eq!(one.as_slice(), listed);
    assert_eq!(
        checkpointer.thread_info(&fresh_thread()).await.unwrap(),
        None
    );
    delete(checkpointer, thread_id).await;
    assert_eq!(checkpointer.thread_info(thread_id).await.unwrap(), None);
    let before = CheckpointAddress::new(fresh_thread(), "1").unwrap();
    write(checkpointer, &before, "task", json!([["a", 1]])).await;
    let written = checkpointer.thread_info(&before.thread_id).await.unwrap();
    assert_eq!(written.map(|thread| thread.head), Some(None));
}

/// A thread's size counts its rows, and each large value once, however often it is stored.
pub async fn size(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    assert_eq!(checkpointer.thread_size(&thread_id).await.unwrap(), None);
    let large = |mark: &str| -> Value {
        (0..200)
            .map(|n| json!(format!("{mark} {n} {}", "x".repeat(90))))
            .collect()
    };
    let first = Step::first(&thread_id).values(json!({ "a": large("a"), "b": large("b") }));
    let first = first.put(checkpointer).await;
    let one = checkpointer.thread_size(&thread_id).await.unwrap().unwrap();
    assert_eq!((one.checkpoints, one.pending_writes), (1, 0));
    assert_eq!(one.channels.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(
        one.channels
            .values()
            .all(|channel| channel.own_bytes > 0 && channel.shared_bytes == 0)
    );

    // The same again takes little more, and what two channels have is shared.
    let again = Step::after(&first).values(json!({ "a": large("a"), "b": large("b") }));
    let again = again.put(checkpointer).await;
    write(
        checkpointer,
        &again,
        "task",
        json!([["c", large("a")], ["\u{1}", 1]]),
    )
    .await;
    let two = checkpointer.thread_size(&thread_id).await.unwrap().unwrap();
    assert_eq!((two.checkpoints, two.pending_writes), (2, 2));
    assert!(two.chunks >= one.chunks, "{one:?} {two:?}");
    assert!(two.bytes < one.bytes + one.bytes / 2, "{one:?} {two:?}");
    let [a, b, c] = ["a", "b", "c"].map(|channel| two.channels[channel]);
    assert_eq!(a.shared_bytes, c.shared_bytes);
    assert!(a.shared_bytes > 1000 && b.shared_bytes == 0, "{two:?}");
    assert!(two.channels["\u{1}"].own_bytes > 0, "{two:?}");
    let own: u64 = two.channels.values().map(|channel| channel.own_bytes).sum();
    assert!(own + a.shared_bytes <= two.bytes, "{two:?}");

    delete(checkpointer, &thread_id).await;
    assert_eq!(checkpointer.thread_size(&thread_id).await.unwrap(), None);
}
