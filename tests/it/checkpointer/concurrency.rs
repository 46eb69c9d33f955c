//! Writers beside each other: guards, repeats, and calls dropped half-way.

use std::cell::RefCell;

use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, Error, GetTuple, PostgresCheckpointer,
};
use db::Database;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::step::{Step, get, head, ids, large, thread, two, values};
use rig::{TcpProxy, TestDb, at_every_poll};

/// Puts each step with each of the checkpointers, all at once.
async fn put_all(
    checkpointers: &[PostgresCheckpointer],
    steps: &[Step],
) -> Vec<checkpointer::Result<CheckpointAddress>> {
    let puts = steps.iter().flat_map(|step| {
        checkpointers.iter().map(|checkpointer| {
            let (step, checkpointer) = (step.clone(), checkpointer.clone());
            tokio::spawn(async move { step.try_put(&checkpointer).await })
        })
    });
    let puts: Vec<_> = puts.collect();
    let put = join_all(puts).await.into_iter();
    put.map(|put| put.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guarded_puts_on_one_head_one_succeeds() {
    let (_test, checkpointers) = two().await;
    let thread_id = thread("guarded");
    let mut last = None;
    for round in 0..10 {
        let next = |n: usize| {
            let step = match &last {
                Some(last) => Step::after(last).expect_head(last),
                None => Step::first(&thread_id).expect_no_head(),
            };
            step.values(json!({ "a": large(round), "n": n }))
        };
        let steps: Vec<_> = (0..6).map(next).collect();
        // Each by one of the two, so that every success is another checkpoint.
        let puts = steps.iter().enumerate().map(|(n, step)| {
            let (step, checkpointer) = (step.clone(), checkpointers[n % 2].clone());
            tokio::spawn(async move { step.try_put(&checkpointer).await })
        });
        let puts = join_all(puts.collect::<Vec<_>>()).await;
        let (mut winners, mut conflicts) = (Vec::new(), Vec::new());
        for put in puts {
            match put.unwrap() {
                Ok(address) => winners.push(address),
                Err(Error::Conflict { expected, head, .. }) => conflicts.push((expected, head)),
                Err(error) => panic!("{error:?}"),
            }
        }
        let [winner] = &winners[..] else {
            panic!("{} puts succeeded", winners.len());
        };
        let lost = last.as_ref().map(|last| last.checkpoint_id.clone());
        for (expected, head) in &conflicts {
            assert_eq!(*expected, lost);
            assert_eq!(head.as_ref(), Some(&winner.checkpoint_id));
        }
        assert_eq!(conflicts.len(), 5);
        assert_eq!(
            head(&checkpointers[round % 2], &thread_id).await.as_ref(),
            Some(&winner.checkpoint_id)
        );
        last = Some(winner.clone());
    }
    assert_eq!(ids(&checkpointers[0], &thread_id).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_put_repeated_beside_itself_is_one_checkpoint() {
    let (_test, checkpointers) = two().await;
    for guarded in [false, true] {
        let thread_id = thread(&format!("repeated, guarded: {guarded}"));
        let mut last = Step::first(&thread_id).put(&checkpointers[0]).await;
        for n in 1..8 {
            let step = Step::after(&last).values(json!({ "a": large(n) }));
            let step = match guarded {
                true => step.expect_head(&last),
                false => step,
            };
            for put in put_all(&checkpointers, &vec![step.clone(); 4]).await {
                assert_eq!(put.unwrap().checkpoint_id, step.checkpoint.id);
            }
            last = last.sibling(step.checkpoint.id.clone());
            assert_eq!(ids(&checkpointers[1], &thread_id).await.len(), n + 1);
            let stored = get(&checkpointers[1], &last).await;
            assert_eq!(values(&stored), values_of(&step));
        }
    }
}

fn values_of(step: &Step) -> Value {
    step.checkpoint.channel_values.clone().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_put_repeated_beside_its_child_never_moves_the_head_back() {
    let (_test, checkpointers) = two().await;
    let thread_id = thread("moves on");
    let first = Step::first(&thread_id);
    let mut last = first.put(&checkpointers[0]).await;
    let mut stored = first;
    for n in 0..15 {
        let child = Step::after(&last).values(json!({ "n": n }));
        for put in put_all(&checkpointers, &[stored.clone(), child.clone(), stored]).await {
            put.unwrap();
        }
        let newest = Some(child.checkpoint.id.clone());
        assert_eq!(head(&checkpointers[0], &thread_id).await, newest);
        last = last.sibling(child.checkpoint.id.clone());
        stored = child;
    }
    let list = ids(&checkpointers[1], &thread_id).await;
    assert_eq!(list.len(), 16);
}

#[tokio::test]
async fn a_dropped_put_leaves_all_or_nothing_and_may_be_repeated() {
    let (_test, [writer, reader]) = two().await;
    let last = RefCell::new(Step::first(&thread("dropped")).put(&writer).await);
    let attempt = RefCell::new(None);
    let mut round = 0;
    at_every_poll(
        async || {
            round += 1;
            let parent = last.borrow().clone();
            let step = Step::after(&parent)
                .values(json!({ "a": large(round), "b": large(round + 1), "n": round }))
                .expect_head(&parent);
            attempt.replace(Some(step.clone()));
            step.put(&writer).await;
        },
        async || {
            let step = attempt.take().unwrap();
            let address = last.borrow().sibling(step.checkpoint.id.clone());
            if let Some(found) = reader.get_tuple(GetTuple::at(&address)).await.unwrap() {
                assert_eq!(values(&found), values_of(&step));
                assert_eq!(
                    head(&reader, &address.thread_id).await.as_ref(),
                    Some(&step.checkpoint.id)
                );
            }
            // By another process, as after a crash, and by the same one.
            for checkpointer in [&reader, &writer] {
                let put = step.try_put(checkpointer).await.unwrap();
                assert_eq!(put, address);
            }
            assert_eq!(values(&get(&reader, &address).await), values_of(&step));
            last.replace(address);
        },
    )
    .await;
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_stored_once() {
    let proxy = TcpProxy::new();
    let test = TestDb::without_schema().await;
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let first = Step::first(&thread("lost"));
    let parent = first.put(&checkpointer).await;
    // Prepared, so that what is cut is the answer to the statement itself.
    let parent = Step::after(&parent).put(&checkpointer).await;

    let id = CheckpointId::generate(Some(&parent.checkpoint_id));
    let marker: &'static str = Box::leak(id.as_str().to_owned().into_boxed_str());
    let step = Step::after(&parent)
        .id(marker)
        .values(json!({ "a": large(1) }))
        .expect_head(&parent);
    proxy.cut_instead_of_answer_to(marker);
    let stored = step.put(&checkpointer).await;
    assert_eq!(ids(&checkpointer, &stored.thread_id).await.len(), 3);
    let next = Step::after(&stored).expect_head(&stored);
    next.put(&checkpointer).await;
}

#[tokio::test]
async fn the_latest_is_the_one_put_last_whatever_the_clocks_say() {
    let (_test, [ahead, behind]) = two().await;
    let thread_id = thread("clocks");
    let first = Step::first(&thread_id).id("1ffffff0-0000-6000-8000-000000000000");
    let first = first.put(&ahead).await;
    let second = Step::after(&first).put(&behind).await;
    assert!(second.checkpoint_id > first.checkpoint_id);
    let third = Step::after(&second).id("1f000000-0000-6000-8000-000000000000");
    let third = third.put(&behind).await;
    for checkpointer in [&ahead, &behind] {
        let latest = head(checkpointer, &thread_id).await;
        assert_eq!(latest.as_ref(), Some(&third.checkpoint_id));
        let by_id = [&second, &first, &third].map(|address| address.checkpoint_id.clone());
        assert_eq!(ids(checkpointer, &thread_id).await, by_id);
    }
    let fourth = Step::after(&third).expect_head(&third);
    let fourth = fourth.put(&ahead).await;
    assert!(fourth.checkpoint_id > third.checkpoint_id);
    let latest = head(&behind, &thread_id).await;
    assert_eq!(latest, Some(fourth.checkpoint_id));
}
