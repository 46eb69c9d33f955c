//! Programs that write to the same threads at the same time.

use checkpointer::{
    CheckpointId, Checkpointer, DeleteThread, Error, GetTuple, PostgresCheckpointer, Prune,
    PruneStrategy, Put, PutWrites, Removed, TaskId,
};
use serde_json::Value;

use super::{THREADS, checkpoint, everything, metadata, thread};
use rig::{TestDb, chain};

/// Two programs write to the same threads, in batches, while a third deletes and prunes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_share_threads_never_break_one() {
    let test = TestDb::new().await;
    let mut programs = Vec::new();
    for _ in 0..3 {
        let database = test.connect(&[("DB_POOL_MAX", "4")]).await;
        programs.push(PostgresCheckpointer::setup(database).await.unwrap());
    }
    let gardener = programs.pop().unwrap();
    let mut agents = Vec::new();
    for number in 0..2 * THREADS {
        let checkpointer = programs[number % 2].clone();
        let seed = fastrand::u64(..);
        agents.push(tokio::spawn(async move {
            careless_agent(&checkpointer, number, seed).await;
        }));
    }
    let garden = tokio::spawn(async move {
        let mut rng = fastrand::Rng::new();
        loop {
            let thread_id = thread(rng.usize(..THREADS / 2));
            match rng.u8(..8) {
                0 => {
                    gardener
                        .delete_thread(DeleteThread::new(thread_id).unwrap())
                        .await
                }
                _ => {
                    let prune = Prune::new(vec![thread_id], PruneStrategy::KeepLatest).unwrap();
                    gardener.prune(prune).await.and_then(Removed::complete)
                }
            }
            .unwrap();
        }
    });
    for agent in agents {
        agent.await.unwrap();
    }
    garden.abort();

    // All that is stored can be read, which checks every chunk.
    everything(&programs[0]).await;
    let schema = test.schema();
    let sql = format!(
        "SELECT count(*) FROM {schema}.heads AS h
         JOIN {schema}.threads AS t USING (thread_id)
         LEFT JOIN {schema}.checkpoints AS c
           ON (c.thread_id, c.checkpoint_ns, c.checkpoint_id)
            = (h.thread_id, h.checkpoint_ns, h.checkpoint_id)
         WHERE t.deleted_at IS NOT NULL OR c.seq IS NULL
           OR c.seq <> (SELECT max(seq) FROM {schema}.checkpoints AS o
               WHERE (o.thread_id, o.checkpoint_ns) = (h.thread_id, h.checkpoint_ns))
           OR EXISTS (SELECT FROM {schema}.checkpoints AS o
               WHERE (o.thread_id, o.checkpoint_ns) = (h.thread_id, h.checkpoint_ns)
               GROUP BY seq HAVING count(*) > 1)"
    );
    let row = test.observer().await.query_one(&sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "heads that are none");
}

/// Writes to a thread that another program writes to as well.
async fn careless_agent(checkpointer: &PostgresCheckpointer, number: usize, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let thread_id = thread(number / 4);
    let task = TaskId::new("task").unwrap();
    for _ in 0..25 {
        let found = checkpointer
            .get_tuple(GetTuple::head(&thread_id).unwrap())
            .await;
        let parent = found.unwrap().map(|tuple| tuple.address);
        let id = CheckpointId::generate(parent.as_ref().map(|address| &address.checkpoint_id));
        let mut checkpoint = checkpoint("x");
        checkpoint.id = id;
        let words: Value = (0..rng.usize(..60))
            .map(|n| format!("word {n} {n} {n}"))
            .collect();
        checkpoint.channel_values.insert("long".to_owned(), words);
        let metadata = metadata();
        let outcome = match &parent {
            Some(parent) if rng.bool() => {
                let put = Put::after(parent, &checkpoint, &metadata);
                checkpointer
                    .put(put.expect_head(&parent.checkpoint_id))
                    .await
            }
            Some(parent) => {
                checkpointer
                    .put(Put::after(parent, &checkpoint, &metadata))
                    .await
            }
            None => {
                checkpointer
                    .put(Put::new(&thread_id, &checkpoint, &metadata))
                    .await
            }
        };
        let outcome = match outcome {
            Ok(address) => {
                let writes = [("long".to_owned(), checkpoint.channel_values["long"].clone())];
                checkpointer
                    .put_writes(PutWrites::new(&address, &task, &writes))
                    .await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) | Err(Error::Conflict { .. } | Error::ThreadDeleted { .. }) => {}
            Err(error) => panic!("{}", chain(&error)),
        }
    }
}
