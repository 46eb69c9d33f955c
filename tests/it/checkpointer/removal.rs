//! Whatever removes state, beside writers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, DeleteThread, Error, GetTuple, List,
    PostgresCheckpointer, Prune, PruneStrategy, Removed, ThreadId,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::step::{Step, get, large, thread, try_write, two, values};
use rig::TestDb;

/// How many rows of each table belong to a thread, the thread's own aside.
pub(super) async fn rows(test: &TestDb, thread_id: &ThreadId) -> [i64; 4] {
    let schema = test.schema();
    let count =
        |table: &str| format!("(SELECT count(*) FROM {schema}.{table} WHERE thread_id = $1)");
    let counts = ["heads", "checkpoints", "chunks", "pending_writes"].map(count);
    let sql = format!("SELECT ARRAY[{}]", counts.join(", "));
    let observer = test.observer().await;
    let row = observer.query_one(&sql, &[&thread_id.as_str()]).await;
    let counts: Vec<i64> = row.unwrap().get(0);
    counts.try_into().unwrap()
}

/// Whether a thread is to be swept.
pub(super) async fn is_unswept(test: &TestDb, thread_id: &ThreadId) -> bool {
    let schema = test.schema();
    let sql = format!("SELECT EXISTS (SELECT FROM {schema}.unswept WHERE thread_id = $1)");
    let observer = test.observer().await;
    let row = observer.query_one(&sql, &[&thread_id.as_str()]).await;
    row.unwrap().get(0)
}

/// Prunes a thread to its latest checkpoint.
pub(super) async fn prune(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) {
    let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
}

pub(super) async fn delete_run(checkpointer: &dyn Checkpointer, run: &str) {
    let removed = checkpointer.delete_for_runs(&[run.to_owned()]).await;
    removed.and_then(Removed::complete).unwrap();
}

async fn delete(checkpointer: PostgresCheckpointer, thread_id: ThreadId) {
    let delete = DeleteThread::new(&thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_race_a_delete_leave_no_half_thread() {
    let (test, [one, other]) = two().await;
    for round in 0..18 {
        let thread_id = thread(&format!("deleted {round}"));
        let first = Step::first(&thread_id).values(json!({ "a": large(1) }));
        let address = first.put(&one).await;
        let next = Step::after(&address).values(json!({ "a": large(1), "b": large(2) }));
        let next = match round % 3 {
            0 => next,
            1 => next.without_generation(),
            _ => next.expect_head(&address),
        };
        let put = tokio::spawn({
            let one = one.clone();
            async move { next.try_put(&one).await.map(drop) }
        });
        let write = tokio::spawn({
            let one = one.clone();
            async move { try_write(&one, &address, "task", &large(3)).await }
        });
        delete(other.clone(), thread_id.clone()).await;
        for call in [put, write] {
            match call.await.unwrap() {
                Ok(()) | Err(Error::ThreadDeleted { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(rows(&test, &thread_id).await, [0; 4], "round {round}");
        for checkpointer in [&one, &other] {
            let head = checkpointer
                .get_tuple(GetTuple::head(&thread_id).unwrap())
                .await;
            assert_eq!(head.unwrap(), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_first_put_that_races_a_delete_makes_a_whole_thread_or_none() {
    let (test, [one, other]) = two().await;
    let thread_id = thread("started afresh");
    for round in 0..20 {
        let first = Step::first(&thread_id).values(json!({ "a": large(round % 3), "n": round }));
        let first = match round % 2 {
            0 => first,
            _ => first.expect_no_head(),
        };
        let put = tokio::spawn({
            let (one, first) = (one.clone(), first.clone());
            async move { first.try_put(&one).await }
        });
        delete(other.clone(), thread_id.clone()).await;
        put.await.unwrap().unwrap();
        match other
            .get_tuple(GetTuple::head(&thread_id).unwrap())
            .await
            .unwrap()
        {
            None => assert_eq!(rows(&test, &thread_id).await, [0; 4]),
            Some(head) => {
                assert_eq!(head.address.checkpoint_id, first.checkpoint.id);
                assert_eq!(head.checkpoint.channel_values["a"], large(round % 3));
                assert_eq!(rows(&test, &thread_id).await[..2], [1, 1]);
                delete(one.clone(), thread_id.clone()).await;
            }
        }
    }
}

/// What was put, by checkpoint.
type Expected = Arc<Mutex<BTreeMap<(ThreadId, CheckpointId), Value>>>;

/// An agent that shares large values between its steps and comes back to old ones.
async fn agent(
    checkpointer: PostgresCheckpointer,
    thread_id: ThreadId,
    number: usize,
    expected: Expected,
) {
    let mut last: Option<CheckpointAddress> = None;
    for n in 0..80 {
        let step = match &last {
            Some(last) => Step::after(last),
            None => Step::first(&thread_id),
        };
        let values =
            json!({ "same": large(0), "often": large(n % 4), "mine": large(number), "n": n });
        let step = step
            .values(values.clone())
            .metadata("run_id", format!("run {}", n % 5));
        let key = (thread_id.clone(), step.checkpoint.id.clone());
        expected.lock().unwrap().insert(key, values);
        let address = step.put(&checkpointer).await;
        for task in ["one", "two"] {
            let written = try_write(&checkpointer, &address, task, &large(n % 4)).await;
            written.unwrap();
        }
        last = Some(address);
    }
}

/// Reads everything there is, and compares it with what was put.
async fn read_all(checkpointer: &dyn Checkpointer, expected: &Expected) -> usize {
    let listed = checkpointer.list(List::all());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    let expected = expected.lock().unwrap();
    for tuple in &listed {
        let thread_id = tuple.address.thread_id.as_str();
        let source = thread(
            thread_id
                .split_once(" copy")
                .map_or(thread_id, |(source, _)| source),
        );
        let key = (source, tuple.address.checkpoint_id.clone());
        assert_eq!(values(tuple), expected[&key]);
    }
    listed.len()
}

/// Checks that each namespace with checkpoints has the one put last as its head, whatever was
/// removed.
pub(super) async fn check_heads(test: &TestDb) {
    let sql = format!(
        "SELECT coalesce(c.thread_id, h.thread_id), h.checkpoint_id, c.last
         FROM {schema}.heads AS h FULL JOIN (
             SELECT DISTINCT ON (thread_id, checkpoint_ns)
                 thread_id, checkpoint_ns, checkpoint_id AS last
             FROM {schema}.checkpoints ORDER BY thread_id, checkpoint_ns, seq DESC
         ) AS c USING (thread_id, checkpoint_ns)
         WHERE h.checkpoint_id IS DISTINCT FROM c.last",
        schema = test.schema()
    );
    let wrong = test.observer().await.query(&sql, &[]).await.unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_pruning_deleting_runs_and_copying_leave_is_whole_beside_writers() {
    let (test, [one, other]) = two().await;
    let expected = Expected::default();
    let threads = ["a", "b", "shared"].map(thread);
    let agents = [(&one, 0), (&other, 1), (&one, 2), (&other, 2)];
    let agents = agents
        .iter()
        .enumerate()
        .map(|(number, (checkpointer, of))| {
            let checkpointer = PostgresCheckpointer::clone(checkpointer);
            let thread_id = threads[*of].clone();
            tokio::spawn(agent(
                checkpointer,
                thread_id,
                number + 10,
                Arc::clone(&expected),
            ))
        });
    let agents: Vec<_> = agents.collect();

    let mut rounds = 0;
    while !agents.iter().all(tokio::task::JoinHandle::is_finished) {
        let thread_id = &threads[rounds % 3];
        let checkpointer = [&one, &other][rounds % 2];
        prune(checkpointer, thread_id).await;
        let run = format!("run {}", rounds % 5);
        delete_run(checkpointer, &run).await;
        if rounds % 4 == 0 {
            let copy = thread(&format!("{thread_id} copy {rounds}"));
            match checkpointer.copy_thread(thread_id, &copy).await {
                Ok(()) | Err(Error::ThreadNotFound { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        read_all(checkpointer, &expected).await;
        check_heads(&test).await;
        rounds += 1;
    }
    for agent in agents {
        agent.await.unwrap();
    }
    assert!(rounds > 1, "nothing was removed beside the writers");
    assert!(read_all(&one, &expected).await > 0);
    for (number, thread_id) in threads.iter().enumerate() {
        // The run that was deleted last may have left nothing at all.
        let head = one
            .get_tuple(GetTuple::head(thread_id).unwrap())
            .await
            .unwrap();
        let step = match &head {
            Some(head) => Step::after(&head.address),
            None => Step::first(thread_id),
        };
        let values = json!({ "same": large(0), "last": large(number) });
        let step = step.values(values.clone());
        let key = (thread_id.clone(), step.checkpoint.id.clone());
        expected.lock().unwrap().insert(key, values);
        let address = step.put(&one).await;
        try_write(&one, &address, "one", &large(1)).await.unwrap();
        prune(&other, thread_id).await;
        let head = one
            .get_tuple(GetTuple::head(thread_id).unwrap())
            .await
            .unwrap();
        assert_eq!(head.unwrap().pending_writes.len(), 1);
    }
    read_all(&other, &expected).await;
    check_heads(&test).await;
}

#[tokio::test]
async fn what_another_process_has_pruned_is_stored_again() {
    let (test, [one, other]) = two().await;
    let thread_id = thread("two caches");
    let with = json!({ "a": large(1) });
    let first = Step::first(&thread_id).values(with.clone()).put(&one).await;
    // Both believe that it is stored.
    get(&other, &first).await;
    let mut last = Step::after(&first).values(json!({})).put(&one).await;
    prune(&one, &thread_id).await;
    assert_eq!(rows(&test, &thread_id).await, [1, 1, 0, 0]);

    last = Step::after(&last).values(with.clone()).put(&other).await;
    assert_eq!(values(&get(&one, &last).await), with);
    last = Step::after(&last).values(json!({})).put(&other).await;
    prune(&other, &thread_id).await;
    try_write(&one, &last, "task", &large(1)).await.unwrap();
    let writes = get(&other, &last).await.pending_writes;
    assert_eq!(*writes[0].value, large(1));
}

/// A thread that was deleted has chunks that aren't swept yet when it is started again, and copied.
#[tokio::test]
async fn a_copy_is_swept_as_its_source_would_have_been() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("source");
    let copy = thread("copy");
    let with = json!({ "a": large(1) });
    Step::first(&thread_id).values(with).put(&one).await;
    let left = format!(
        "INSERT INTO {schema}.chunks (thread_id, hash, content)
         VALUES ('source', decode(repeat('11', 16), 'hex'), '[]');
         INSERT INTO {schema}.unswept (thread_id, removed_at) VALUES ('source', '-infinity')",
        schema = test.schema()
    );
    test.observer().await.batch_execute(&left).await.unwrap();
    let kept = rows(&test, &thread_id).await[2] - 1;
    one.copy_thread(&thread_id, &copy).await.unwrap();
    prune(&one, &copy).await;
    assert_eq!(rows(&test, &copy).await, [1, 1, kept, 0]);
    assert_eq!(rows(&test, &thread_id).await, [1, 1, kept + 1, 0]);
}

#[tokio::test]
async fn a_cache_that_lies_loses_nothing() {
    let (test, [checkpointer, other]) = two().await;
    let thread_id = thread("restored");
    let with = json!({ "a": large(1), "b": "x".repeat(10_000) });
    let observer = test.observer().await;
    let lose = async || {
        // As a fail-over or a restore may: `gc` says nothing of it.
        let sql = format!("DELETE FROM {}.chunks", test.schema());
        assert!(observer.execute(&sql, &[]).await.unwrap() > 0);
    };
    let step = Step::first(&thread_id).values(with.clone());
    let first = step.put(&checkpointer).await;

    lose().await;
    let lost = other.get_tuple(GetTuple::at(&first)).await;
    assert!(matches!(lost, Err(Error::Corrupt { .. })), "{lost:?}");
    let step = Step::after(&first).values(with.clone());
    let second = step.put(&checkpointer).await;
    for address in [&first, &second] {
        assert_eq!(values(&get(&other, address).await), with);
    }

    lose().await;
    try_write(&checkpointer, &second, "task", &large(1))
        .await
        .unwrap();
    let step = Step::after(&second).values(with.clone());
    let third = step.put(&checkpointer).await;
    assert_eq!(values(&get(&other, &third).await), with);
    let writes = get(&other, &second).await.pending_writes;
    assert_eq!(*writes[0].value, large(1));

    // What a process has only read, it believes in as well.
    lose().await;
    let fourth = Step::after(&third).values(with.clone()).put(&other).await;
    assert_eq!(values(&get(&checkpointer, &fourth).await), with);
}

#[tokio::test]
async fn a_checkpoint_without_a_format_does_not_stop_a_prune() {
    let (test, [checkpointer, _]) = two().await;
    let thread_id = thread("no format");
    let first = Step::first(&thread_id).put(&checkpointer).await;
    let second = Step::after(&first).put(&checkpointer).await;
    Step::after(&second).put(&checkpointer).await;
    let sql = format!(
        "UPDATE {}.checkpoints SET checkpoint = checkpoint - 'v'",
        test.schema()
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
    prune(&checkpointer, &thread_id).await;
    assert_eq!(rows(&test, &thread_id).await, [1, 1, 0, 0]);
}
