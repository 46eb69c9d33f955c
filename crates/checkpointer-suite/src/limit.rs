//! A limit of bytes per thread.
//!
//! The group isn't among those of every checkpointer: name it for one that has a limit of
//! [`MAX_THREAD_BYTES`].

use std::fmt::Debug;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::step::{
    Step, delete, fresh_thread, get, head, ids, list, pending, prune, try_write, values,
};
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, Error, Import, List, MemoryCheckpointer,
    Result, ThreadId, ThreadInfo, ThreadSize, export,
};

/// The limit of the checkpointers that the cases are for.
pub const MAX_THREAD_BYTES: u64 = 60_000;

/// A tenth of it.
const A_TENTH: usize = 6_000;

/// Text that no store makes much shorter.
fn text(bytes: usize) -> String {
    (0..bytes).map(|_| fastrand::alphanumeric()).collect()
}

#[track_caller]
fn check_full<T: Debug>(refused: &Result<T>, of: &ThreadId) {
    let Err(Error::ThreadFull {
        thread_id,
        bytes,
        limit,
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((thread_id, *limit), (of, MAX_THREAD_BYTES));
    assert!(*bytes > MAX_THREAD_BYTES, "{bytes}");
}

/// A step that is as large as a tenth of what fits.
fn a_tenth_after(last: &CheckpointAddress) -> Step {
    Step::after(last).values(json!({ "a": text(A_TENTH) }))
}

/// Puts until the thread is full; returns the checkpoint put last.
async fn fill(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> CheckpointAddress {
    let first = Step::first(thread_id).values(json!({ "a": text(A_TENTH) }));
    let mut last = first.put(checkpointer).await;
    for _ in 0..20 {
        match a_tenth_after(&last).try_put(checkpointer).await {
            Ok(address) => last = address,
            refused => {
                check_full(&refused, thread_id);
                return last;
            }
        }
    }
    panic!("twice as much as fits was stored");
}

/// All that can be seen of a thread.
type Seen = (Option<ThreadInfo>, Vec<CheckpointTuple>, Option<ThreadSize>);

async fn seen(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Seen {
    let all = List::thread(thread_id).unwrap();
    (
        checkpointer.thread_info(thread_id).await.unwrap(),
        list(checkpointer, all).await,
        checkpointer.thread_size(thread_id).await.unwrap(),
    )
}

async fn bytes(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> u64 {
    let size = checkpointer.thread_size(thread_id).await.unwrap();
    size.map_or(0, |size| size.bytes)
}

async fn write_text(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    bytes: usize,
) -> Result<()> {
    let writes = json!([["a", text(bytes)]]);
    try_write(checkpointer, address, task, "", writes).await
}

/// A put for which there is no room stores nothing.
pub async fn a_put_beyond_it_is_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let last = fill(checkpointer, &thread_id).await;
    let before = seen(checkpointer, &thread_id).await;
    let stored = before.2.as_ref().map_or(0, |size| size.bytes);
    assert!(stored <= MAX_THREAD_BYTES, "{stored}");
    assert!(stored > MAX_THREAD_BYTES / 2, "{stored}");

    for step in [
        a_tenth_after(&last).expect_head(&last),
        a_tenth_after(&last).in_ns("child:1").without_parent(),
        a_tenth_after(&last).without_generation(),
    ] {
        check_full(&step.try_put(checkpointer).await, &thread_id);
    }
    assert_eq!(seen(checkpointer, &thread_id).await, before);
}

/// A first put that fits into no thread makes none.
pub async fn a_first_put_beyond_it_makes_no_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let too_many = MAX_THREAD_BYTES as usize + A_TENTH;
    let first = Step::first(&thread_id).values(json!({ "a": text(too_many) }));
    check_full(&first.try_put(checkpointer).await, &thread_id);
    let guarded = first.clone().expect_no_head();
    check_full(&guarded.try_put(checkpointer).await, &thread_id);
    let address = first.address();
    let written = write_text(checkpointer, &address, "task", too_many).await;
    check_full(&written, &thread_id);
    assert_eq!(
        seen(checkpointer, &thread_id).await,
        (None, Vec::new(), None)
    );
    Step::first(&thread_id).put(checkpointer).await;
}

/// Pending writes for which there is no room aren't stored.
pub async fn writes_beyond_it_are_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let last = fill(checkpointer, &thread_id).await;
    let before = seen(checkpointer, &thread_id).await;
    let written = write_text(checkpointer, &last, "task", A_TENTH).await;
    check_full(&written, &thread_id);
    assert_eq!(seen(checkpointer, &thread_id).await, before);
}

/// Pending writes fill a thread as puts do.
pub async fn writes_count(checkpointer: &dyn Checkpointer) {
    let last = Step::first(&fresh_thread()).put(checkpointer).await;
    let mut stored = 0;
    for n in 0..20 {
        let written = write_text(checkpointer, &last, &format!("task {n}"), A_TENTH).await;
        if written.is_err() {
            check_full(&written, &last.thread_id);
            break;
        }
        stored += 1;
    }
    assert!((5..20).contains(&stored), "{stored}");
    assert!(bytes(checkpointer, &last.thread_id).await <= MAX_THREAD_BYTES);
    assert_eq!(get(checkpointer, &last).await.pending_writes.len(), stored);
}

/// What is small still fits after a refusal.
pub async fn a_smaller_put_fits_after_a_refusal(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let too_large = json!({ "a": text(MAX_THREAD_BYTES as usize + A_TENTH) });
    let refused = Step::after(&first).values(too_large);
    check_full(&refused.try_put(checkpointer).await, &thread_id);
    let second = a_tenth_after(&first).put(checkpointer).await;
    let written = write_text(checkpointer, &second, "task", A_TENTH).await;
    written.unwrap();
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 2);
}

/// A write that is stored already is no further one, however full its thread is.
pub async fn what_is_stored_may_be_repeated(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let put = a_tenth_after(&first).expect_head(&first);
    let address = put.put(checkpointer).await;
    let writes = json!([["a", text(A_TENTH)]]);
    let write = async || try_write(checkpointer, &first, "task", "", writes.clone()).await;
    write().await.unwrap();
    let mut last = address.clone();
    while let Ok(next) = a_tenth_after(&last).try_put(checkpointer).await {
        last = next;
    }
    let before = seen(checkpointer, &thread_id).await;

    for _ in 0..2 {
        assert_eq!(put.try_put(checkpointer).await.unwrap(), address);
        write().await.unwrap();
    }
    assert_eq!(seen(checkpointer, &thread_id).await, before);
}

/// The outputs of a second execution of a task are ignored, however full the thread is.
pub async fn a_second_execution_needs_no_room(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread()).put(checkpointer).await;
    let write = async || write_text(checkpointer, &first, "task", A_TENTH).await;
    write().await.unwrap();
    let mut last = first.clone();
    while let Ok(next) = a_tenth_after(&last).try_put(checkpointer).await {
        last = next;
    }
    let before = seen(checkpointer, &first.thread_id).await;
    for _ in 0..2 {
        write().await.unwrap();
    }
    assert_eq!(seen(checkpointer, &first.thread_id).await, before);
}

/// What a checkpoint or a special write had before it was put again has room again, after a prune at the
/// latest.
pub async fn what_was_replaced_makes_room(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id);
    let first = step.put(checkpointer).await;
    for _ in 0..20 {
        let again = step.clone().values(json!({ "a": text(A_TENTH) }));
        let put = again.try_put(checkpointer).await.map(drop);
        let writes = json!([["__resume__", text(A_TENTH)]]);
        let write = || try_write(checkpointer, &first, "task", "", writes.clone());
        let written = write().await;
        if put.is_ok() && written.is_ok() {
            continue;
        }
        for outcome in [&put, &written] {
            if outcome.is_err() {
                check_full(outcome, &thread_id);
            }
        }
        prune(checkpointer, &thread_id).await;
        again.put(checkpointer).await;
        write().await.unwrap();
    }
}

/// A checkpoint that is put again may have less, but not more than there is room for.
pub async fn a_checkpoint_put_again_may_not_grow(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let small = |bytes: usize| json!({ "a": text(bytes) });
    let put = Step::first(&thread_id).values(small(500));
    let address = put.put(checkpointer).await;
    let mut last = address.clone();
    while let Ok(next) = a_tenth_after(&last).try_put(checkpointer).await {
        last = next;
    }
    let before = seen(checkpointer, &thread_id).await;
    let larger = put.clone().values(small(2 * A_TENTH));
    check_full(&larger.try_put(checkpointer).await, &thread_id);
    assert_eq!(seen(checkpointer, &thread_id).await, before);

    let smaller = put.values(small(100));
    smaller.put(checkpointer).await;
    let stored = get(checkpointer, &address).await;
    assert_eq!(values(&stored), values_of(&smaller));
}

fn values_of(step: &Step) -> Value {
    step.checkpoint.channel_values.clone().into()
}

/// What is stored once counts once, however often it is put.
pub async fn what_is_shared_counts_once(checkpointer: &dyn Checkpointer) {
    let shared = json!({ "a": text(MAX_THREAD_BYTES as usize / 4) });
    let first = Step::first(&fresh_thread()).values(shared.clone());
    let mut last = first.put(checkpointer).await;
    for _ in 0..10 {
        let step = Step::after(&last).values(shared.clone());
        last = step.put(checkpointer).await;
    }
    assert_eq!(values(&get(checkpointer, &last).await), shared);
}

/// Small values that a put keeps may be stored again with each checkpoint, and then they count.
pub async fn kept_values_do_not_exceed_it(checkpointer: &dyn Checkpointer) {
    let channels = || (0..25).map(|n| format!("channel {n:02}"));
    let thread_id = fresh_thread();
    let state = channels().map(|name| (name, json!(text(900))));
    let first = Step::first(&thread_id).values(Value::Object(state.collect()));
    let version = json!(first.checkpoint.id.as_str());
    let mut last = first.put(checkpointer).await;
    for _ in 0..5 {
        let versions = channels().map(|name| (name, version.clone()));
        let next = Step::after(&last).versions(Value::Object(versions.collect()));
        match next.try_put(checkpointer).await {
            Ok(address) => last = address,
            refused => check_full(&refused, &thread_id),
        }
    }
    assert!(bytes(checkpointer, &thread_id).await <= MAX_THREAD_BYTES);
    assert_eq!(values(&get(checkpointer, &last).await), values_of(&first));
}

/// What a prune removes has room again.
pub async fn a_prune_makes_room(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let last = fill(checkpointer, &thread_id).await;
    prune(checkpointer, &thread_id).await;
    let next = a_tenth_after(&last).put(checkpointer).await;
    a_tenth_after(&next).put(checkpointer).await;
}

/// A thread that is started again has nothing.
pub async fn a_deletion_makes_room(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    fill(checkpointer, &thread_id).await;
    delete(checkpointer, &thread_id).await;
    fill(checkpointer, &thread_id).await;
}

/// A copy has what its source has, and no more room.
pub async fn a_copy_is_as_full_as_its_source(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    let mut last = fill(checkpointer, &source).await;
    checkpointer.copy_thread(&source, &target).await.unwrap();
    assert_eq!(
        bytes(checkpointer, &target).await,
        bytes(checkpointer, &source).await
    );
    last.thread_id = target.clone();
    let next = a_tenth_after(&last).try_put(checkpointer).await;
    check_full(&next, &target);
    assert_eq!(head(checkpointer, &target).await, Some(last.checkpoint_id));
}

/// An import that doesn't fit leaves nothing.
pub async fn an_import_beyond_it_leaves_nothing(checkpointer: &dyn Checkpointer) {
    let memory = MemoryCheckpointer::new();
    let source = fresh_thread();
    let mut last = Step::first(&source).put(&memory).await;
    for _ in 0..15 {
        last = a_tenth_after(&last).put(&memory).await;
    }
    let lines = export(&memory, &source).unwrap();
    let lines: Vec<String> = lines.try_collect().await.unwrap();
    let target = fresh_thread();
    let mut import = Import::new(checkpointer).into_thread(&target).unwrap();
    let mut refused = Ok(());
    for line in &lines {
        refused = import.line(line).await.map(drop);
        if refused.is_err() {
            break;
        }
    }
    check_full(&refused, &target);
    assert_eq!(seen(checkpointer, &target).await, (None, Vec::new(), None));
}

/// Of many writes at once, as many are stored as there is room for.
pub async fn of_many_at_once_some_fit(checkpointer: &dyn Checkpointer) {
    let last = Step::first(&fresh_thread()).put(checkpointer).await;
    let writes = (0..32).map(async |n: usize| {
        let task = format!("task {n}");
        let written = write_text(checkpointer, &last, &task, A_TENTH).await;
        if written.is_err() {
            check_full(&written, &last.thread_id);
        }
        written.is_ok()
    });
    let written = join_all(writes).await;
    let stored = written.iter().filter(|is_stored| **is_stored).count();
    let found = pending(&get(checkpointer, &last).await);
    assert_eq!(found.as_array().map(Vec::len), Some(stored));
    assert!((5..32).contains(&stored), "{stored}");
    assert!(bytes(checkpointer, &last.thread_id).await <= MAX_THREAD_BYTES);
}
