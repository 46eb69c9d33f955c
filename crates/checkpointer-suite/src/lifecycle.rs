//! `next_version` and `close`.

use futures_util::TryStreamExt;
use serde_json::json;

use super::step::{Step, fresh_thread, get, put_chain, try_write};
use checkpointer::{Checkpointer, Error, GetTuple, List, Version};

/// Each version follows the one before, by the order of its kind, and comes back as it was put.
pub async fn versions_grow(checkpointer: &dyn Checkpointer) {
    let mut last = checkpointer.next_version(None);
    for _ in 0..20 {
        let next = checkpointer.next_version(Some(&last));
        let grows = match (&last, &next) {
            (Version::Int(last), Version::Int(next)) => last < next,
            (Version::Float(last), Version::Float(next)) => last < next,
            (Version::Text(last), Version::Text(next)) => last < next,
            _ => false,
        };
        assert!(grows, "{last} is followed by {next}");
        last = next;
    }
    let step = Step::first(&fresh_thread()).versions(json!({ "a": last.to_json() }));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.checkpoint.channel_versions["a"], last);
}

/// A closed checkpointer refuses every call, and closing again is harmless.
///
/// The checkpointer must be this case's own.
pub async fn closed_refuses(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 1).await;
    checkpointer.close().await.unwrap();
    checkpointer.close().await.unwrap();
    let put = Step::first(&thread_id).try_put(checkpointer).await;
    let written = try_write(checkpointer, &chain[0], "task", "", json!([["a", 1]])).await;
    let read = checkpointer
        .get_tuple(GetTuple::head(&thread_id).unwrap())
        .await;
    let listed: Result<Vec<_>, _> = checkpointer
        .list(List::thread(&thread_id).unwrap())
        .try_collect()
        .await;
    for refusal in [put.map(drop), written, read.map(drop), listed.map(drop)] {
        assert!(matches!(refusal, Err(Error::Closed)), "{refusal:?}");
    }
}
