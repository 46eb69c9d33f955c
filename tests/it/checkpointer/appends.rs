//! Puts that append, where what this program remembers of the list isn't enough.

use std::cell::{Cell, RefCell};

use checkpointer::{
    CheckpointAddress, Checkpointer, GetTuple, PostgresCheckpointer, PostgresOptions, Prune,
    PruneStrategy, Removed,
};
use futures_util::future::join;
use serde_json::{Value, json};

use super::step::{Step, get, head, large, thread, two, values};
use rig::{TcpProxy, TestDb, at_every_poll};

fn message(n: usize) -> Value {
    json!({ "n": n, "text": format!("message {n}, ").repeat(20) })
}

fn messages(count: usize) -> Value {
    (0..count).map(message).collect()
}

/// Appends the message of that number to as many.
fn append(at: &CheckpointAddress, n: usize) -> Step {
    Step::after(at).append("list", n, json!([message(n)]))
}

async fn check(checkpointer: &dyn Checkpointer, at: &CheckpointAddress, count: usize) {
    assert_eq!(
        values(&get(checkpointer, at).await)["list"],
        messages(count)
    );
}

#[tokio::test]
async fn programs_append_by_turns() {
    let (_test, programs) = two().await;
    let first = Step::first(&thread("by turns")).append("list", 0, messages(60));
    let mut last = first.put(&programs[0]).await;
    for n in 60..80 {
        // Each now and then twice in a row.
        let program = &programs[n / 3 % 2];
        last = append(&last, n).expect_head(&last).put(program).await;
        check(&programs[n % 2], &last, n + 1).await;
    }
}

#[tokio::test]
async fn an_append_sends_a_list_again_of_which_another_program_removed_chunks() {
    let (_test, [writer, gardener]) = two().await;
    let thread_id = thread("swept");
    let first = Step::first(&thread_id).values(json!({ "list": messages(60), "gone": large(1) }));
    let mut last = first.put(&writer).await;
    for n in 60..70 {
        last = append(&last, n).put(&writer).await;
        if n % 3 == 0 {
            let prune = Prune::new([&thread_id], PruneStrategy::KeepLatest).unwrap();
            let pruned = gardener.prune(prune).await.and_then(Removed::complete);
            pruned.unwrap();
        }
    }
    check(&gardener, &last, 70).await;
}

#[tokio::test]
async fn an_append_needs_no_cache() {
    let test = TestDb::without_schema().await;
    for bytes in [0, 8 << 10] {
        let options = PostgresOptions::default().cache_bytes(bytes);
        let checkpointer = options.setup(test.connect(&[]).await).await.unwrap();
        let first = Step::first(&thread(&format!("{bytes}"))).append("list", 0, messages(500));
        let mut last = first.put(&checkpointer).await;
        for n in 500..503 {
            last = append(&last, n).put(&checkpointer).await;
        }
        check(&checkpointer, &last, 503).await;
    }
}

#[tokio::test]
async fn an_append_waits_for_the_put_before_it() {
    let (_test, [checkpointer, _]) = two().await;
    let first = Step::first(&thread("in a row")).append("list", 0, messages(20));
    let mut last = first.put(&checkpointer).await;
    for n in (20..40).step_by(2) {
        let one = append(&last, n);
        let other = append(&one.address(), n + 1);
        let (_, put) = join(one.put(&checkpointer), other.put(&checkpointer)).await;
        last = put;
    }
    check(&checkpointer, &last, 40).await;
}

#[tokio::test]
async fn an_append_that_follows_another_at_once_reads_nothing() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let first = Step::first(&thread("at once")).append("list", 0, messages(60));
    let mut last = first.put(&checkpointer).await;
    let put = |step: Step| {
        let checkpointer = checkpointer.clone();
        tokio::spawn(async move { step.put(&checkpointer).await })
    };
    for n in (60..80).step_by(2) {
        let one = append(&last, n);
        let other = append(&one.address(), n + 1);
        let before = proxy.round_trips();
        let (one, other) = (put(one), put(other));
        one.await.unwrap();
        last = other.await.unwrap();
        // The first time statements are prepared as well.
        if n > 60 {
            assert_eq!(proxy.round_trips() - before, 2, "{n}");
        }
    }
    check(&checkpointer, &last, 80).await;
}

#[tokio::test]
async fn a_dropped_append_leaves_all_or_nothing_and_may_be_repeated() {
    let (_test, [writer, reader]) = two().await;
    let thread_id = thread("dropped");
    let first = Step::first(&thread_id).append("list", 0, messages(30));
    let last = RefCell::new(first.put(&writer).await);
    let attempt = RefCell::new(None);
    let count = Cell::new(30);
    at_every_poll(
        async || {
            let parent = last.borrow().clone();
            let step = append(&parent, count.get()).expect_head(&parent);
            attempt.replace(Some(step.clone()));
            step.put(&writer).await;
        },
        async || {
            let step = attempt.take().unwrap();
            count.set(count.get() + 1);
            let address = last.borrow().sibling(step.checkpoint.id.clone());
            if let Some(found) = reader.get_tuple(GetTuple::at(&address)).await.unwrap() {
                assert_eq!(values(&found)["list"], messages(count.get()));
            }
            for checkpointer in [&reader, &writer] {
                let put = step.try_put(checkpointer).await.unwrap();
                assert_eq!(put.checkpoint_id, address.checkpoint_id);
            }
            let newest = head(&reader, &thread_id).await;
            assert_eq!(newest.as_ref(), Some(&step.checkpoint.id));
            check(&reader, &address, count.get()).await;
            last.replace(address);
        },
    )
    .await;
}
