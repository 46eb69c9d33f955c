//! A thread that is deleted while runs write to it: what comes late is refused, and a new run
//! starts on nothing.

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Error, GetTuple, PostgresCheckpointer,
    PostgresOptions, Result, ThreadId,
};
use futures_util::future::join_all;
use serde_json::json;

use super::step::{Step, checkpointer, get, ids, large, thread, try_write, two, values};
use rig::{TcpProxy, TestDb, eventually};

/// How many runs write at the same moment.
const RUNS: usize = 8;

/// Writes to a thread until that is refused, and returns how.
async fn run(checkpointer: PostgresCheckpointer, first: CheckpointAddress, number: usize) -> Error {
    // A foreign front names no generation.
    let named = number.is_multiple_of(2);
    let mut last = first;
    for n in 0.. {
        let step = Step::after(&last).values(json!({ "run": number, "a": large(n % 3) }));
        let step = match named {
            true => step,
            false => step.without_generation(),
        };
        let put = async { step.try_put(&checkpointer).await };
        let tasks = ["one", "two"].map(|task| {
            let address = match named {
                true => last.clone(),
                false => CheckpointAddress::new(last.thread_id.clone(), last.checkpoint_id.clone())
                    .unwrap(),
            };
            let checkpointer = &checkpointer;
            async move { try_write(checkpointer, &address, task, &large(n % 3)).await }
        });
        match step_of(put, tasks).await {
            Ok(address) => last = address,
            Err(error) => return error,
        }
    }
    unreachable!()
}

/// The tasks of a step at once, and its checkpoint beside them: all are in flight together.
async fn step_of(
    put: impl Future<Output = Result<CheckpointAddress>>,
    tasks: [impl Future<Output = Result<()>>; 2],
) -> Result<CheckpointAddress> {
    let (put, tasks) = tokio::join!(put, join_all(tasks));
    let address = put?;
    tasks.into_iter().collect::<Result<()>>()?;
    Ok(address)
}

async fn rows(test: &TestDb, thread_id: &ThreadId) -> i64 {
    let tables = ["heads", "checkpoints", "chunks", "pending_writes"];
    let counts = tables.map(|table| {
        let schema = test.schema();
        format!("(SELECT count(*) FROM {schema}.{table} WHERE thread_id = $1)")
    });
    let sql = format!("SELECT {}", counts.join(" + "));
    let observer = test.observer().await;
    let count = observer.query_one(&sql, &[&thread_id.as_str()]).await;
    count.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_late_to_a_deleted_thread_is_refused() {
    let test = TestDb::without_schema().await;
    let mut writers = Vec::new();
    for shared in [true, false] {
        let options = PostgresOptions::default().shared_transactions(shared);
        let database = test.connect(&[]).await;
        writers.push(options.setup(database).await.unwrap());
    }
    let operator = PostgresOptions::default()
        .setup(test.connect(&[]).await)
        .await;
    let operator = operator.unwrap();

    let mut runs = Vec::new();
    for number in 0..RUNS {
        let thread_id = thread(&format!("run {number}"));
        let writer = writers[number / 2 % 2].clone();
        let first = Step::first(&thread_id).put(&writer).await;
        let handle = tokio::spawn(run(writer, first, number));
        runs.push((thread_id, handle));
    }
    let mut restarted = Vec::new();
    for (number, (thread_id, _)) in runs.iter().enumerate() {
        eventually("the run is on its way", async || {
            ids(&operator, thread_id).await.len() > 3
        })
        .await;
        let delete = DeleteThread::new(thread_id).unwrap();
        operator.delete_thread(delete).await.unwrap();
        // A new run starts at once on some, and none on the others.
        restarted.push(match number < RUNS / 2 {
            true => {
                let step = Step::first(thread_id).values(json!({ "new": large(number) }));
                Some(step.put(&operator).await)
            }
            false => None,
        });
    }
    for ((thread_id, handle), restarted) in runs.into_iter().zip(restarted) {
        let refusal = handle.await.unwrap();
        assert!(
            matches!(refusal, Error::ThreadDeleted { .. }),
            "{refusal:?}"
        );
        let Some(new) = restarted else {
            let head = operator
                .get_tuple(GetTuple::head(&thread_id).unwrap())
                .await;
            assert_eq!(head.unwrap(), None);
            assert_eq!(rows(&test, &thread_id).await, 0);
            continue;
        };
        let found = ids(&operator, &thread_id).await;
        assert_eq!(found.as_slice(), std::slice::from_ref(&new.checkpoint_id));
        assert_eq!(get(&operator, &new).await.pending_writes, []);
        for writer in &writers {
            let step = Step::after(&new).values(json!({ "new": large(1) }));
            let next = step.put(writer).await;
            try_write(writer, &next, "task", &large(2)).await.unwrap();
            let tuple = get(&operator, &next).await;
            assert_eq!(values(&tuple), json!({ "new": large(1) }));
            assert_eq!(tuple.pending_writes.len(), 1);
        }
    }
}

#[tokio::test]
async fn the_writes_of_a_refused_put_stay_if_its_checkpoint_came_meanwhile() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    // In this mode a statement is one message, and its text is seen in the server's list.
    let variables = [
        ("DB_POOL_MODE", "transaction"),
        ("DB_POOL_MAX", "1"),
        ("DB_NETWORK_TIMEOUT", "1h"),
    ];
    let database = db::Database::connect(&test.settings_through(&proxy, &variables)).await;
    let late = PostgresCheckpointer::setup(database.unwrap())
        .await
        .unwrap();
    let operator = checkpointer(&test, &[]).await;
    let thread_id = thread("contended");
    let old = Step::first(&thread_id).put(&late).await;
    late.delete_thread(DeleteThread::new(&thread_id).unwrap())
        .await
        .unwrap();
    let new = Step::first(&thread_id).put(&late).await;
    let step = Step::after(&new).id("contended");
    try_write(&late, &step.address(), "task", &json!(1))
        .await
        .unwrap();

    proxy.hold_answers();
    let refused = tokio::spawn(async move {
        let step = Step::after(&old).id("contended").without_generation();
        step.try_put(&late).await
    });
    let observer = test.observer().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 \
         AND state = 'idle' AND query LIKE '%checkpointer::put\n%'";
    eventually("the put was refused", async || {
        let row = observer.query_one(sql, &[&test.schema()]).await.unwrap();
        row.get::<_, i64>(0) > 0
    })
    .await;
    step.put(&operator).await;
    proxy.release();
    let refused = refused.await.unwrap();
    assert!(
        matches!(refused, Err(Error::ThreadDeleted { .. })),
        "{refused:?}"
    );
    assert_eq!(
        get(&operator, &step.address()).await.pending_writes.len(),
        1
    );
}

/// They have left chunks, which nothing else would tell.
#[tokio::test]
async fn what_the_dropped_writes_of_a_refused_put_needed_is_swept() {
    let (test, [late, operator]) = two().await;
    let thread_id = thread("started again");
    let old = Step::first(&thread_id).put(&late).await;
    let delete = DeleteThread::new(&thread_id).unwrap();
    operator.delete_thread(delete).await.unwrap();
    let new = Step::first(&thread_id).put(&operator).await;
    let observer = test.observer().await;
    let unswept = format!("SELECT count(*) FROM {}.unswept", test.schema());
    for (value, noted) in [(json!(1), 0), (large(1), 1)] {
        let step = Step::after(&old).without_generation();
        let mut address = step.address();
        address.generation = None;
        try_write(&late, &address, "task", &value).await.unwrap();
        let refused = step.try_put(&late).await;
        assert!(
            matches!(refused, Err(Error::ThreadDeleted { .. })),
            "{refused:?}"
        );
        let row = observer.query_one(&unswept, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), noted);
    }
    assert_eq!(get(&operator, &new).await.pending_writes, []);
}

#[tokio::test]
async fn a_late_put_is_told_of_the_deletion_and_not_of_a_conflict_whatever_is_remembered() {
    let (_test, [deleter, other]) = two().await;
    let thread_id = thread("started again");
    let old = Step::first(&thread_id).put(&deleter).await;
    let delete = DeleteThread::new(&thread_id).unwrap();
    deleter.delete_thread(delete).await.unwrap();
    let new = Step::first(&thread_id).put(&deleter).await;
    subgraph_of(&thread_id, &new).put(&deleter).await;

    // One remembers the thread, another sees it for the first time.
    for remembers in [&deleter, &other] {
        let late = Step::after(&old).without_generation().expect_head(&old);
        let late = late.try_put(remembers).await;
        assert!(matches!(late, Err(Error::ThreadDeleted { .. })), "{late:?}");
        let late = subgraph_of(&thread_id, &old).expect_no_head();
        let late = late.try_put(remembers).await;
        assert!(matches!(late, Err(Error::ThreadDeleted { .. })), "{late:?}");
    }
    // One that remembers the time before, and one that knows nothing, are told the same.
    let thread_id = thread("started again elsewhere");
    let (test, [one, other]) = two().await;
    let old = Step::first(&thread_id).put(&one).await;
    let delete = DeleteThread::new(&thread_id).unwrap();
    other.delete_thread(delete).await.unwrap();
    let new = Step::first(&thread_id).put(&other).await;
    subgraph_of(&thread_id, &new).put(&other).await;
    let late = Step::after(&old).without_generation().expect_head(&old);
    let late = late.try_put(&one).await;
    assert!(matches!(late, Err(Error::ThreadDeleted { .. })), "{late:?}");
    let newcomer = checkpointer(&test, &[]).await;
    let late = subgraph_of(&thread_id, &old).expect_no_head();
    let late = late.try_put(&newcomer).await;
    assert!(matches!(late, Err(Error::ThreadDeleted { .. })), "{late:?}");

    // One that belongs there meets another head.
    let newcomer = checkpointer(&test, &[]).await;
    let head = Step::after(&new).put(&other).await;
    let beside = Step::after(&new).without_generation().expect_head(&new);
    let beside = beside.try_put(&newcomer).await;
    let Err(Error::Conflict { head: lost_to, .. }) = beside else {
        panic!("{beside:?}");
    };
    assert_eq!(lost_to, Some(head.checkpoint_id));
}

/// The first checkpoint of a subgraph, which names its root.
fn subgraph_of(thread_id: &ThreadId, root: &CheckpointAddress) -> Step {
    let parents = json!({ "": root.checkpoint_id.as_str() });
    Step::first(thread_id)
        .in_ns("child")
        .metadata("parents", parents)
}
