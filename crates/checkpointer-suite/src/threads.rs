//! `threads` and `set_thread_metadata`.

use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};

use super::step::{Step, delete, fresh_thread, fresh_word, map, put_chain, write};
use checkpointer::{
    CheckpointAddress, Checkpointer, Error, Generation, ListThreads, ThreadId, ThreadInfo,
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
