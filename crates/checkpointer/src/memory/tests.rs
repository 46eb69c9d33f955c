//! What only the checkpointer in memory does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use serde_json::json;

use super::{Fault, FaultyCall, MemoryCheckpointer};
use crate::{
    AcquireLease, Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, DeleteThread, Error,
    GetChannelHistory, GetTuple, List, Metadata, PendingWrite, Put, PutWrites, Source, TaskId,
    ThreadId,
};

#[tokio::test]
async fn a_clone_shares_the_store() {
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("shared").unwrap();
    let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let metadata = Metadata::new(Source::Input, -1);
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    checkpointer.clone().put(put).await.unwrap();
    let head = checkpointer
        .get_tuple(GetTuple::head(&thread_id).unwrap())
        .await;
    assert_eq!(head.unwrap().unwrap().checkpoint, checkpoint);
}

#[tokio::test]
async fn reads_and_a_copied_thread_share_the_values_of_pending_writes() {
    let memory = MemoryCheckpointer::new();
    let [thread_id, copy] = ["thread", "copy"].map(|name| ThreadId::new(name).unwrap());
    let metadata = Metadata::default();
    let first = Checkpoint::new(CheckpointId::generate(None));
    let first = memory.put(Put::new(&thread_id, &first, &metadata));
    let first = first.await.unwrap();
    let task_id = TaskId::new("task").unwrap();
    let writes = [("log".to_owned(), json!(["Where is my order?"]))];
    let put = PutWrites::new(&first, &task_id, &writes);
    memory.put_writes(put).await.unwrap();
    let second = Checkpoint::new(CheckpointId::generate(Some(&first.checkpoint_id)));
    let second = memory.put(Put::after(&first, &second, &metadata));
    let second = second.await.unwrap();
    memory.copy_thread(&thread_id, &copy).await.unwrap();

    let mut read = Vec::new();
    for id in [&thread_id, &thread_id, &copy] {
        let address = CheckpointAddress::new(id, &first.checkpoint_id).unwrap();
        let tuple = memory.get_tuple(GetTuple::at(&address)).await.unwrap();
        read.extend(tuple.unwrap().pending_writes);
    }
    let listed = memory.list(List::thread(&thread_id).unwrap());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    read.extend(listed.into_iter().flat_map(|tuple| tuple.pending_writes));
    let query = GetChannelHistory::new(GetTuple::at(&second), ["log"]).unwrap();
    let mut histories = memory.channel_history(query).await.unwrap();
    read.extend(histories.remove("log").unwrap().writes);

    assert_eq!(read.len(), 5);
    let is_shared = |write: &PendingWrite| Arc::ptr_eq(&write.value, &read[0].value);
    assert!(read.iter().all(is_shared));
}

#[tokio::test]
async fn debug_output_holds_no_state() {
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("secretive").unwrap();
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let values = &mut checkpoint.channel_values;
    values.insert("card".to_owned(), json!("4711"));
    let metadata = Metadata::default();
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    checkpointer.put(put).await.unwrap();
    let debug = format!("{checkpointer:?}");
    assert_eq!(debug, "MemoryCheckpointer { threads: 1, .. }");
}

#[tokio::test]
async fn a_generation_of_a_thread_nobody_remembers_is_over() {
    let before = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("forgotten").unwrap();
    let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let metadata = Metadata::default();
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    let address = before.put(put).await.unwrap();
    let after = MemoryCheckpointer::new();
    let put = Put::after(&address, &checkpoint, &metadata);
    let refusal = after.put(put).await.unwrap_err();
    assert!(matches!(refusal, Error::ThreadDeleted { .. }), "{refusal}");
}

#[tokio::test]
async fn calls_fail_as_a_test_asks_for_and_then_no_more() {
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<u64>("counter").unwrap();
    memory.fail(FaultyCall::Put, 1, Fault::Transient);
    memory.fail(FaultyCall::Put, 2, Fault::Conflict);
    memory.fail(FaultyCall::Put, 3, Fault::outcome_unknown(false));
    thread.save(&1).await.unwrap();
    let lost = thread.save(&2).await.unwrap_err();
    assert!(
        lost.is_transient() && !lost.is_outcome_unknown(),
        "{lost:?}"
    );
    let conflict = thread.save(&3).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict:?}");
    assert_eq!(thread.load().await.unwrap(), Some(1));
    let unknown = thread.save(&4).await.unwrap_err();
    assert!(unknown.is_outcome_unknown(), "{unknown:?}");
    assert_eq!(thread.load().await.unwrap(), Some(4));
    thread.save(&5).await.unwrap();
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_was_done_or_not() {
    for is_done in [false, true] {
        let memory = MemoryCheckpointer::new();
        memory.fail(FaultyCall::Put, 0, Fault::outcome_unknown(is_done));
        memory.fail(FaultyCall::GetTuple, 0, Fault::Transient);
        let mut thread = memory.thread::<u64>("counter").unwrap();
        thread.save(&1).await.unwrap_err();
        let mut other = memory.thread::<u64>("counter").unwrap();
        other.load().await.unwrap_err();
        assert_eq!(other.load().await.unwrap(), is_done.then_some(1));
    }
}

#[tokio::test]
async fn an_update_that_failed_for_now_may_be_repeated_and_counts_once() {
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<u64>("counter").unwrap();
    memory.fail(FaultyCall::Put, 0, Fault::Transient);
    let error = thread.update(|n| *n += 1).await.unwrap_err();
    assert!(error.is_transient() && !error.is_outcome_unknown());
    thread.update(|n| *n += 1).await.unwrap();
    assert_eq!(thread.load().await.unwrap(), Some(1));
}

#[tokio::test]
async fn each_call_meets_its_own_faults() {
    let memory = MemoryCheckpointer::new();
    let calls = [
        FaultyCall::PutWrites,
        FaultyCall::DeleteThread,
        FaultyCall::AcquireLease,
        FaultyCall::RenewLease,
    ];
    for call in calls {
        memory.fail(call, 0, Fault::Transient);
    }
    memory.thread("counter").unwrap().save(&1).await.unwrap();
    let delete = || DeleteThread::new("counter").unwrap();
    assert!(memory.delete_thread(delete()).await.is_err());
    memory.delete_thread(delete()).await.unwrap();
    let acquire = AcquireLease::new("counter", Duration::from_secs(1)).unwrap();
    assert!(memory.acquire_lease(acquire.clone()).await.is_err());
    let lease = memory.acquire_lease(acquire).await.unwrap();
    assert!(
        memory
            .renew_lease(&lease, Duration::from_secs(1))
            .await
            .is_err()
    );
    memory
        .renew_lease(&lease, Duration::from_secs(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn calls_within_a_transaction_meet_the_same_faults() {
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<u64>("counter").unwrap();
    let tx = memory.begin().unwrap();
    for state in 1..=2 {
        memory.fail(FaultyCall::Put, 0, Fault::Transient);
        assert!(thread.save_within(&tx, &state).await.is_err());
        thread.save_within(&tx, &state).await.unwrap();
        memory.fail(FaultyCall::GetTuple, 0, Fault::Transient);
        let lost = thread.load_within(&tx).await.unwrap_err();
        assert!(lost.is_transient(), "{lost:?}");
        assert_eq!(thread.load_within(&tx).await.unwrap(), Some(state));
    }
    tx.commit();
    assert_eq!(thread.load().await.unwrap(), Some(2));
}

#[tokio::test]
async fn threads_change_when_the_clock_says_so_and_never_at_the_same_time() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let memory = MemoryCheckpointer::new().clock(move || noon);
    for thread_id in ["first", "second"] {
        memory.thread(thread_id).unwrap().save(&1).await.unwrap();
    }
    let mut changed = Vec::new();
    for thread_id in ["first", "second"] {
        let thread_id = ThreadId::new(thread_id).unwrap();
        let thread = memory.thread_info(&thread_id).await.unwrap().unwrap();
        changed.push(thread.updated_at);
    }
    assert!(changed[0] >= noon && changed[0] < changed[1], "{changed:?}");
    assert!(changed[1] < noon + Duration::from_secs(1), "{changed:?}");
}
