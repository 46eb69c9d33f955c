//! `put_within`, `put_writes_within`, `get_tuple_within`: in a transaction of the caller's.
//!
//! These cases need transactions of the store, so they have a macro of their own,
//! [`transaction_tests!`](crate::transaction_tests).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::time::timeout;

use super::step::{
    LONG, Step, acquire, delete, find, fresh_thread, fresh_word, get, head, ids, is_deleted,
    is_held, put_chain, values,
};
use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, Error, GetTuple, HeadChange, List,
    MemoryCheckpointer, OpenTransaction, PutWrites, Result, TaskId, Thread, Watch,
};

/// How long the end of a transaction may take to reach those who wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A checkpointer, and transactions of its store.
///
/// More than one call may be under way at once, so a pool needs more than one connection.
pub trait Transactions {
    /// Returns the checkpointer.
    fn checkpointer(&self) -> Arc<dyn Checkpointer>;

    /// Runs a body within a transaction and commits that, or rolls it back if the body fails.
    ///
    /// # Errors
    ///
    /// That of the body.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the transaction is rolled back.
    fn run<T>(
        &self,
        body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>,
    ) -> impl Future<Output = Result<T>>;
}

impl Transactions for MemoryCheckpointer {
    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(self.clone())
    }

    async fn run<T>(&self, body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.begin()?;
        let done = body(OpenTransaction::from(&transaction)).await?;
        transaction.commit();
        Ok(done)
    }
}

/// What rolls a transaction back.
fn taken_back() -> Error {
    Error::unsupported("to go on")
}

async fn write_within(
    checkpointer: &dyn Checkpointer,
    within: OpenTransaction<'_>,
    address: &CheckpointAddress,
) -> Result<()> {
    let writes = [("said".to_owned(), json!("hello"))];
    let task_id = TaskId::new("task")?;
    let writes = PutWrites::new(address, &task_id, &writes);
    checkpointer.put_writes_within(within, writes).await
}

/// What is put within a transaction is there once it is committed, and not before.
pub async fn takes_effect_with_the_commit(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let chain = put_chain(checkpointer, &fresh_thread(), 2).await;
    let last = &chain[1];
    let step = Step::after(last)
        .expect_head(last)
        .values(json!({ "a": 7 }));
    let put = transactions.run(async |within| {
        let put = checkpointer.put_within(within, step.request()).await?;
        write_within(checkpointer, within, &put).await?;
        let seen = head(checkpointer, &last.thread_id).await;
        assert_eq!(seen.as_ref(), Some(&last.checkpoint_id));
        Ok(put)
    });
    let put = put.await.unwrap();
    let read = get(checkpointer, &put).await;
    assert_eq!(values(&read), json!({ "a": 7 }));
    assert_eq!(read.parent_address.as_ref(), Some(last));
    assert_eq!(read.pending_writes.len(), 1);
    let seen = head(checkpointer, &last.thread_id).await;
    assert_eq!(seen, Some(put.checkpoint_id));
}

/// A transaction that is rolled back leaves nothing, and what follows is as if it had never been.
pub async fn rolled_back_leaves_nothing(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let first = Step::first(&thread_id).expect_no_head();
    let next = Step::after(&chain[0]);
    let rolled_back: Result<()> = transactions
        .run(async |within| {
            let put = checkpointer.put_within(within, first.request()).await?;
            write_within(checkpointer, within, &put).await?;
            checkpointer.put_within(within, next.request()).await?;
            write_within(checkpointer, within, &chain[0]).await?;
            Err(taken_back())
        })
        .await;
    assert!(matches!(rolled_back, Err(Error::Unsupported { .. })));
    assert_eq!(ids(checkpointer, &thread_id).await, []);
    assert_eq!(get(checkpointer, &chain[0]).await.pending_writes, []);
    first.put(checkpointer).await;
    next.expect_head(&chain[0]).put(checkpointer).await;
}

/// Puts in one transaction see each other, and a later one keeps values of an earlier one.
pub async fn sees_its_own_puts(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let thread_id = fresh_thread();
    let put = transactions.run(async |within| {
        let first = Step::first(&thread_id).expect_no_head();
        let first = first.values(json!({ "a": 1, "b": 2 }));
        let id = first.checkpoint.id.as_str();
        let versions = json!({ "a": id, "b": id });
        let first = checkpointer.put_within(within, first.request()).await?;
        let second = Step::after(&first).versions(versions).expect_head(&first);
        let second = checkpointer.put_within(within, second.request()).await?;
        let query = GetTuple::head(&thread_id)?;
        let seen = checkpointer.get_tuple_within(within, query).await?.unwrap();
        assert_eq!(seen.address, second);
        assert_eq!(values(&seen), json!({ "a": 1, "b": 2 }));
        Ok(second)
    });
    let second = put.await.unwrap();
    let read = get(checkpointer, &second).await;
    assert_eq!(values(&read), json!({ "a": 1, "b": 2 }));
}

/// Puts in one transaction append to each other's lists, and to what was there before.
pub async fn appends_to_its_own_puts(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let before = Step::first(&fresh_thread()).append("list", 0, json!([1]));
    let before = before.put(checkpointer).await;
    let put = transactions.run(async |within| {
        let first = Step::after(&before).append("list", 1, json!([2]));
        let first = checkpointer.put_within(within, first.request()).await?;
        let second = Step::after(&first).append("list", 2, json!([3]));
        checkpointer.put_within(within, second.request()).await
    });
    let last = put.await.unwrap();
    let after = Step::after(&last).append("list", 3, json!([4]));
    let after = after.put(checkpointer).await;
    assert_eq!(
        values(&get(checkpointer, &after).await),
        json!({ "list": [1, 2, 3, 4] })
    );
}

/// A thread that the transaction doesn't touch is read as it is stored.
pub async fn reads_what_others_have_put(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let chain = put_chain(checkpointer, &fresh_thread(), 2).await;
    let read = transactions.run(async |within| {
        let query = GetTuple::head(&chain[0].thread_id)?;
        checkpointer.get_tuple_within(within, query).await
    });
    let read = read.await.unwrap().unwrap();
    assert_eq!(read, get(checkpointer, &chain[1]).await);
}

/// A refused put says at once what a put would say, and the rest of the transaction may be committed.
pub async fn a_refusal_leaves_the_rest(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &fresh_thread(), 3).await;
    let late = Step::after(&chain[1]).expect_head(&chain[1]);
    let lost = chain[0].sibling(CheckpointId::new(fresh_word()).unwrap());
    let orphan = Step::after(&lost).versions(json!({ "a": 1 }));
    let refused = transactions.run(async |within| {
        let first = Step::first(&thread_id);
        checkpointer.put_within(within, first.request()).await?;
        let late = checkpointer.put_within(within, late.request()).await;
        let orphan = checkpointer.put_within(within, orphan.request()).await;
        Ok([late, orphan])
    });
    let [late, orphan] = refused.await.unwrap();
    let head_of = |error| match error {
        Err(Error::Conflict { head, .. }) => head,
        other => panic!("{other:?}"),
    };
    assert_eq!(head_of(late).as_ref(), Some(&chain[2].checkpoint_id));
    assert!(
        matches!(orphan, Err(Error::ParentNotFound { .. })),
        "{orphan:?}"
    );
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 1);
    assert_eq!(ids(checkpointer, &chain[0].thread_id).await.len(), 3);
}

/// A put that is stored already is no conflict, and fails no transaction.
pub async fn again_is_no_conflict(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let step = Step::after(&chain[0]).expect_head(&chain[0]);
    let mut stored = Vec::new();
    for _ in 0..3 {
        let put = transactions.run(async |within| {
            let put = checkpointer.put_within(within, step.request()).await?;
            assert_eq!(checkpointer.put_within(within, step.request()).await?, put);
            Ok(put)
        });
        stored.push(put.await.unwrap());
    }
    assert!(stored.iter().all(|put| *put == stored[0]));
    assert_eq!(ids(checkpointer, &chain[0].thread_id).await.len(), 2);
}

/// A lease keeps the transactions of others out, and lets those of its holder in.
pub async fn respects_leases(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let lease = acquire(checkpointer, &chain[0].thread_id, LONG).await;
    let refused = transactions.run(async |within| {
        let step = Step::after(&chain[0]);
        checkpointer
            .put_within(within, step.request())
            .await
            .map(drop)
    });
    assert!(is_held(&refused.await));
    let held = transactions.run(async |within| {
        let step = Step::after(&chain[0]).lease(&lease);
        checkpointer
            .put_within(within, step.request())
            .await
            .map(drop)
    });
    held.await.unwrap();
}

/// A thread that was deleted is started again by a first put only.
pub async fn respects_deletions(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 1).await;
    delete(checkpointer, &thread_id).await;
    let put = |step: Step| {
        transactions.run(async move |within| checkpointer.put_within(within, step.request()).await)
    };
    let late = put(Step::after(&chain[0])).await;
    assert!(is_deleted(&late.map(drop)));
    let first = put(Step::first(&thread_id)).await.unwrap();
    assert_ne!(first.generation, chain[0].generation);
    assert_eq!(ids(checkpointer, &thread_id).await, [first.checkpoint_id]);
}

/// A put to the same thread waits for the transaction, and then knows what became of it.
pub async fn a_put_waits_for_the_end(transactions: &impl Transactions) {
    let checkpointer = transactions.checkpointer();
    for commits in [true, false] {
        let chain = put_chain(&*checkpointer, &fresh_thread(), 1).await;
        let last = &chain[0];
        let within = Step::after(last).expect_head(last);
        let other = Step::after(last).expect_head(last);
        let mut waits: Pin<Box<dyn Future<Output = _>>> = Box::pin(other.try_put(&*checkpointer));
        let ended = transactions.run(async |transaction| {
            let put = checkpointer
                .put_within(transaction, within.request())
                .await?;
            assert!(waits.as_mut().now_or_never().is_none());
            match commits {
                true => Ok(put),
                false => Err(taken_back()),
            }
        });
        let ended = ended.await;
        let waited = timeout(PATIENCE, waits).await.unwrap();
        match (ended, waited) {
            (Ok(put), Err(Error::Conflict { head, .. })) => {
                assert_eq!(head, Some(put.checkpoint_id));
            }
            (Err(_), Ok(_)) => {}
            outcome => panic!("{outcome:?}"),
        }
    }
}

/// Calls for other threads, and reads of the same one, don't wait for the transaction.
pub async fn others_go_on(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let step = Step::after(&chain[0]);
    let done = transactions.run(async |within| {
        checkpointer.put_within(within, step.request()).await?;
        let others = put_chain(checkpointer, &fresh_thread(), 2).await;
        delete(checkpointer, &others[0].thread_id).await;
        let query = GetTuple::head(&chain[0].thread_id)?;
        let read = find(checkpointer, query).await.unwrap();
        assert_eq!(read.address, chain[0]);
        Ok(())
    });
    timeout(PATIENCE, done).await.unwrap().unwrap();
}

/// Those who watch are told the head that was committed, and none that was rolled back.
pub async fn told_once_it_is_committed(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let chain = put_chain(checkpointer, &fresh_thread(), 1).await;
    let watch = Watch::thread(&chain[0].thread_id).unwrap();
    let mut changes = checkpointer.watch(watch).await.unwrap();
    let mut next = async || timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
    assert_eq!(next().await.unwrap(), HeadChange::Moved(chain[0].clone()));
    for commits in [false, true] {
        let ended = transactions.run(async |within| {
            let step = Step::after(&chain[0]);
            let put = checkpointer.put_within(within, step.request()).await?;
            match commits {
                true => Ok(put),
                false => Err(taken_back()),
            }
        });
        if let Ok(put) = ended.await {
            assert_eq!(next().await.unwrap(), HeadChange::Moved(put));
        }
    }
}

/// A typed save follows the last one that was committed.
pub async fn saves_follow_what_was_committed(transactions: &impl Transactions) {
    let checkpointer = transactions.checkpointer();
    let thread_id = fresh_thread();
    let mut counter: Thread<u32> = checkpointer.thread(&thread_id).unwrap();
    for (states, commits) in [([1, 2], true), ([3, 4], false), ([5, 6], true)] {
        let saved: Result<()> = transactions
            .run(async |within| {
                for state in states {
                    counter.save_within(within, &state).await?;
                    assert_eq!(counter.load_within(within).await?, Some(state));
                }
                match commits {
                    true => Ok(()),
                    false => Err(taken_back()),
                }
            })
            .await;
        assert_eq!(saved.is_ok(), commits, "{saved:?}");
    }
    counter.save(&7).await.unwrap();
    let listed = checkpointer.list(List::thread(&thread_id).unwrap());
    let mut states = Vec::new();
    for tuple in listed.try_collect::<Vec<_>>().await.unwrap() {
        states.push(counter.at(&tuple.address.checkpoint_id).await.unwrap());
    }
    assert_eq!(states, [7, 6, 5, 2, 1]);
}

/// A closed checkpointer puts nothing within a transaction.
///
/// The checkpointer must be this case's own.
pub async fn closed_refuses(transactions: &impl Transactions) {
    let checkpointer = &*transactions.checkpointer();
    let refused = transactions.run(async |within| {
        checkpointer.close().await?;
        let step = Step::first(&fresh_thread());
        checkpointer
            .put_within(within, step.request())
            .await
            .map(drop)
    });
    assert!(matches!(refused.await, Err(Error::Closed)));
}
