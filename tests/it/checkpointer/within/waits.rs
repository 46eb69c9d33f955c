//! Who waits for whom.

use std::time::Duration;

use checkpointer::{
    Checkpointer, DeleteThread, Error, OpenTransaction, PostgresCheckpointer, PutWrites, Result,
    TaskId,
};
use db::{Database, GenericClient};
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ALL, Of, Shop, changed_my_mind};
use crate::checkpointer::removal::is_unswept;
use crate::checkpointer::step::{Step, checkpointer, get, large, thread, try_write, values};

/// What would take an hour if it weren't ended.
const SOON: Duration = Duration::from_secs(60);

const ROOM: [(&str, &str); 1] = [("DB_POOL_MAX", "8")];

#[tokio::test]
async fn of_two_transactions_that_expect_one_head_the_second_learns_what_became_of_the_first() {
    for mode in ["session", "transaction"] {
        for commits in [true, false] {
            let shop = Shop::with(Of::Db(mode), &ROOM, None).await;
            let last = Step::first(&thread("thread")).put(&shop.checkpointer).await;
            let (first, second) = [1, 2].map(|_| Step::after(&last).expect_head(&last)).into();
            let (put, was_put) = oneshot::channel();
            let (goes_on, go_on) = oneshot::channel::<()>();
            let one = shop.order(1, async |tx| {
                let address = shop.checkpointer.put_within(tx, first.request()).await?;
                put.send(()).unwrap();
                go_on.await.unwrap();
                match commits {
                    true => Ok(address),
                    false => Err(changed_my_mind()),
                }
            });
            let other = async {
                was_put.await.unwrap();
                let ordered = shop.order(2, async |tx| {
                    shop.checkpointer.put_within(tx, second.request()).await
                });
                ordered.await
            };
            let release = async {
                shop.test.until_blocked(1).await;
                goes_on.send(()).unwrap();
            };
            let (one, other, ()) = timeout(SOON, async { tokio::join!(one, other, release) })
                .await
                .unwrap();
            match commits {
                true => {
                    let stored = one.unwrap().checkpoint_id;
                    let lost = other.unwrap_err();
                    assert!(matches!(lost, Error::Conflict { head, .. } if head == Some(stored)));
                    assert_eq!(shop.orders().await, [1]);
                }
                false => {
                    one.unwrap_err();
                    other.unwrap();
                    assert_eq!(shop.orders().await, [2]);
                }
            }
        }
    }
}

#[tokio::test]
async fn writers_of_the_thread_wait_for_the_transaction_and_no_other_call_does() {
    for of in ALL {
        let shop = Shop::with(of, &ROOM, None).await;
        let checkpointer = &shop.checkpointer;
        let last = Step::first(&thread("thread")).put(checkpointer).await;
        let other = Step::first(&thread("other")).put(checkpointer).await;
        let within = Step::after(&last).expect_head(&last);
        let waiting = Step::after(&last);
        let ordered = shop.order(1, async |tx| {
            let put = checkpointer.put_within(tx, within.request()).await?;
            // What belongs to the thread and follows no head of this namespace goes on.
            try_write(checkpointer, &last, "task", &large(1)).await?;
            let subgraph = Step::after(&last).without_parent().in_ns("subgraph");
            subgraph.put(checkpointer).await;
            let mut waits_for_us = Box::pin(waiting.try_put(checkpointer));
            assert!(waits_for_us.as_mut().now_or_never().is_none());
            // Others aren't held up by it, in whatever batch it is.
            for _ in 0..10 {
                Step::after(&other).put(checkpointer).await;
            }
            // Readers see what is committed.
            assert_eq!(shop.head("thread").await.unwrap(), last);
            assert!(waits_for_us.as_mut().now_or_never().is_none());
            Ok((put, waits_for_us))
        });
        let (_, waited_for_us) = timeout(SOON, ordered).await.unwrap().unwrap();
        let stored = timeout(SOON, waited_for_us).await.unwrap().unwrap();
        assert_eq!(shop.head("thread").await.unwrap(), stored, "{of:?}");
    }
}

#[tokio::test]
async fn a_call_that_waits_for_the_transaction_does_not_keep_the_transaction_from_going_on() {
    for of in ALL {
        let shop = Shop::with(of, &ROOM, None).await;
        let checkpointer = &shop.checkpointer;
        let last = Step::first(&thread("thread")).put(checkpointer).await;
        let ordered = shop.order(1, async |tx| {
            let put = async |step: Step| checkpointer.put_within(tx, step.request()).await;
            let first = put(Step::after(&last)).await?;
            // It has its turn, and waits for the lock.
            let (waiting, checkpointer) = (Step::after(&last), checkpointer.clone());
            let waits_for_us = tokio::spawn(async move { waiting.put(&checkpointer).await });
            shop.test.until_blocked(1).await;
            put(Step::after(&first)).await?;
            Ok(waits_for_us)
        });
        let waited_for_us = timeout(SOON, ordered).await.unwrap().unwrap();
        let stored = timeout(SOON, waited_for_us).await.unwrap().unwrap();
        assert_eq!(shop.head("thread").await.unwrap(), stored, "{of:?}");
    }
}

#[tokio::test]
async fn pending_writes_go_on_while_one_waits_for_what_concerns_it_alone() {
    // One lane, and no connection to spare.
    const ROOM: [(&str, &str); 1] = [("DB_POOL_MAX", "3")];
    for mode in ["session", "transaction"] {
        let shop = Shop::with(Of::Db(mode), &ROOM, None).await;
        let checkpointer = &shop.checkpointer;
        let last = Step::first(&thread("thread")).put(checkpointer).await;
        let ordered = shop.order(1, async |tx| {
            let (task_id, outputs) = (TaskId::new("task").unwrap(), [("written".into(), json!(1))]);
            let writes = PutWrites::new(&last, &task_id, &outputs);
            checkpointer.put_writes_within(tx, writes).await?;
            let (other, address) = (checkpointer.clone(), last.clone());
            let waits_for_us =
                tokio::spawn(async move { try_write(&other, &address, "task", &json!(1)).await });
            shop.test.until_blocked(1).await;
            for name in ["a", "b", "c"] {
                let tasks = (0..4).map(|number| format!("{name}{number}"));
                let writes =
                    tasks.map(async |task| try_write(checkpointer, &last, &task, &json!(1)).await);
                for written in join_all(writes).await {
                    written?;
                }
            }
            // One that is too large to share a statement.
            let large = json!("large".repeat(120 << 10));
            try_write(checkpointer, &last, "large", &large).await?;
            assert!(!waits_for_us.is_finished());
            Ok(waits_for_us)
        });
        let waited_for_us = timeout(SOON, ordered).await.unwrap().unwrap();
        timeout(SOON, waited_for_us)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let written = get(checkpointer, &last).await.pending_writes;
        assert_eq!(written.len(), 14, "{mode}");
    }
}

/// Puts to two threads, the second after the other transaction has put to its first.
async fn crossing(
    (database, checkpointer): (&Database, &PostgresCheckpointer),
    steps: [Step; 2],
    barrier: &tokio::sync::Barrier,
) -> Result<()> {
    database
        .transaction(async |tx| {
            let within = OpenTransaction::from(tx);
            let [first, second] = &steps;
            checkpointer.put_within(within, first.request()).await?;
            barrier.wait().await;
            checkpointer.put_within(within, second.request()).await?;
            Ok(())
        })
        .await
}

#[tokio::test]
async fn two_transactions_that_wait_for_each_other_are_a_deadlock_of_which_one_is_told() {
    for mode in ["session", "transaction"] {
        let shop = Shop::with(Of::Db(mode), &ROOM, None).await;
        let checkpointer = &shop.checkpointer;
        let on = (&shop.database, checkpointer);
        let a = Step::first(&thread("a")).put(checkpointer).await;
        let b = Step::first(&thread("b")).put(checkpointer).await;
        let barrier = tokio::sync::Barrier::new(2);
        let both = async {
            tokio::join!(
                crossing(on, [Step::after(&a), Step::after(&b)], &barrier),
                crossing(on, [Step::after(&b), Step::after(&a)], &barrier),
            )
        };
        let (one, other) = timeout(SOON, both).await.unwrap();
        let told = match (one, other) {
            (Err(told), Ok(())) | (Ok(()), Err(told)) => told,
            outcome => panic!("{outcome:?}"),
        };
        assert!(told.is_transient() && !told.is_outcome_unknown(), "{told}");
        let Error::Database { source, .. } = told else {
            panic!("{told}");
        };
        assert_eq!(source.code(), Some(&db::SqlState::T_R_DEADLOCK_DETECTED));
    }
}

#[tokio::test]
async fn with_one_snapshot_for_all_a_put_that_was_overtaken_is_for_the_caller_to_repeat() {
    for mode in ["session", "transaction"] {
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            let shop = Shop::with(Of::Db(mode), &ROOM, None).await;
            let checkpointer = &shop.checkpointer;
            let last = Step::first(&thread("thread")).put(checkpointer).await;
            let within = Step::after(&last).expect_head(&last);
            let outcome: Result<()> = shop
                .database
                .transaction(async |tx| {
                    let set = format!("SET TRANSACTION ISOLATION LEVEL {level}; SELECT 1");
                    tx.batch_execute(&set).await?;
                    tx.query(&shop.insert(), &[&1_i64]).await?;
                    Step::after(&last).put(checkpointer).await;
                    checkpointer.put_within(tx.into(), within.request()).await?;
                    Ok(())
                })
                .await;
            let error = outcome.unwrap_err();
            assert!(error.is_transient(), "{level}: {error}");
            assert_eq!(shop.orders().await, [0_i64; 0]);
        }
    }
}

/// A put that keeps a value of its parent, which is put by a transaction that has not ended.
async fn waits_for_its_parent(of: Of, is_guarded: bool, may_be_empty: bool, is_overtaken: bool) {
    let shop = Shop::with(of, &ROOM, None).await;
    let checkpointer = &shop.checkpointer;
    let first = Step::first(&thread("thread")).values(json!({ "kept": 0 }));
    let first = first.put(checkpointer).await;
    let parent = Step::after(&first).values(json!({ "kept": 1 }));
    let ordered = shop.order(1, async |tx| {
        let put = async |step: &Step| checkpointer.put_within(tx, step.request()).await;
        let within = put(&parent).await?;
        let version = parent.checkpoint.id.as_str();
        let mut child = Step::after(&within).versions(json!({ "kept": version }));
        if is_guarded {
            child = child.expect_head(&within);
        }
        if may_be_empty {
            child = child.empty_without_its_parent();
        }
        let checkpointer = checkpointer.clone();
        let waits_for_us = tokio::spawn(async move { child.put(&checkpointer).await });
        shop.test.until_blocked(1).await;
        if is_overtaken {
            put(&Step::after(&within)).await?;
        }
        Ok(waits_for_us)
    });
    let waited_for_us = timeout(SOON, ordered).await.unwrap().unwrap();
    let stored = timeout(SOON, waited_for_us).await.unwrap().unwrap();
    assert_eq!(shop.head("thread").await.unwrap(), stored);
    let stored = values(&get(checkpointer, &stored).await);
    assert_eq!(
        stored,
        json!({ "kept": 1 }),
        "{of:?}, {is_guarded}, {may_be_empty}"
    );
}

#[tokio::test]
async fn a_put_that_waited_for_its_parent_keeps_the_values_of_it() {
    for of in ALL {
        for may_be_empty in [false, true] {
            waits_for_its_parent(of, true, may_be_empty, false).await;
            waits_for_its_parent(of, false, may_be_empty, true).await;
        }
    }
}

#[tokio::test]
async fn a_put_that_waited_for_its_parent_belongs_to_the_generation_of_it() {
    for of in ALL {
        let shop = Shop::with(of, &ROOM, None).await;
        let checkpointer = &shop.checkpointer;
        let thread_id = thread("thread");
        Step::first(&thread_id).put(checkpointer).await;
        let delete = DeleteThread::new(&thread_id).unwrap();
        checkpointer.delete_thread(delete).await.unwrap();
        let again = Step::first(&thread_id).put(checkpointer).await;
        let parent = Step::after(&again).values(json!({ "kept": 1 }));
        let child = Step::after(&parent.address()).values(json!({ "own": 2 }));
        let child = child.without_generation();
        let written = try_write(checkpointer, &child.address(), "task", &json!("done")).await;
        written.unwrap();
        let ordered = shop.order(1, async |tx| {
            checkpointer.put_within(tx, parent.request()).await?;
            let checkpointer = checkpointer.clone();
            let waits_for_us = tokio::spawn(async move { child.put(&checkpointer).await });
            shop.test.until_blocked(1).await;
            Ok(waits_for_us)
        });
        let waited_for_us = timeout(SOON, ordered).await.unwrap().unwrap();
        let stored = timeout(SOON, waited_for_us).await.unwrap().unwrap();
        let stored = get(checkpointer, &stored).await;
        assert_eq!(stored.pending_writes.len(), 1, "{of:?}");
    }
}

/// A statement sees what another transaction has stored only if it looks after its wait.
#[tokio::test]
async fn what_is_replaced_after_a_wait_is_swept() {
    let shop = Shop::with(Of::Db("session"), &ROOM, None).await;
    let checkpointer = &shop.checkpointer;
    let task_id = TaskId::new("task").unwrap();
    let outputs = |value: Value| [("__error__".to_owned(), value)];
    for (number, before) in [(1, None), (2, Some(json!(0)))] {
        let name = format!("thread {number}");
        let last = Step::first(&thread(&name)).put(checkpointer).await;
        if let Some(before) = before {
            let outputs = outputs(before);
            let writes = PutWrites::new(&last, &task_id, &outputs);
            checkpointer.put_writes(writes).await.unwrap();
        }
        let ordered = shop.order(number, async |tx| {
            let first = outputs(large(1));
            let writes = PutWrites::new(&last, &task_id, &first);
            checkpointer.put_writes_within(tx, writes).await?;
            let (other, address) = (checkpointer.clone(), last.clone());
            let (task_id, then) = (task_id.clone(), outputs(json!(1)));
            let waits_for_us = tokio::spawn(async move {
                let writes = PutWrites::new(&address, &task_id, &then);
                other.put_writes(writes).await
            });
            shop.test.until_blocked(1).await;
            Ok(waits_for_us)
        });
        let waited_for_us = timeout(SOON, ordered).await.unwrap().unwrap();
        timeout(SOON, waited_for_us)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(is_unswept(&shop.test, &thread(&name)).await, "{name}");
    }
}

/// Of two first puts of one checkpoint the second stores nothing but its chunks.
#[tokio::test]
async fn the_chunks_of_a_put_that_comes_second_are_swept() {
    let shop = Shop::with(Of::Db("session"), &ROOM, None).await;
    let last = Step::first(&thread("thread")).put(&shop.checkpointer).await;
    let newcomer = checkpointer(&shop.test, &[]).await;
    let ordered = shop.order(1, async |tx| {
        let first = Step::after(&last).id("2");
        shop.checkpointer.put_within(tx, first.request()).await?;
        let second = Step::first(&thread("thread")).id("2");
        let second = second.values(json!({ "messages": large(1) }));
        let waits_for_us = tokio::spawn(async move { second.try_put(&newcomer).await });
        shop.test.until_blocked(1).await;
        Ok(waits_for_us)
    });
    let waited_for_us = timeout(SOON, ordered).await.unwrap().unwrap();
    timeout(SOON, waited_for_us)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(is_unswept(&shop.test, &thread("thread")).await);
}
