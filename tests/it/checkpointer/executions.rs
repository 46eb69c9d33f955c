//! Tasks that are executed twice at the same moment.

use std::collections::BTreeMap;

use checkpointer::{CheckpointAddress, Checkpointer, PostgresCheckpointer, PutWrites, TaskId};
use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::step::{Step, checkpointer, get, large, thread, two};
use rig::TestDb;

/// What one execution of a task writes: channels and values.
type Writes = Vec<(String, Value)>;

const SPECIAL: [&str; 2] = ["__error__", "__resume__"];

/// The writes of an execution that is told from others by `number`.
fn writes(rng: &mut Rng, number: usize) -> Writes {
    let count = rng.usize(1..4);
    let outputs = (0..count).map(|n| {
        let value = match rng.u8(..8) {
            0 => json!([number, large(number)]),
            _ => json!([number, n]),
        };
        (format!("output {n} of {count}"), value)
    });
    let mut writes: Writes = outputs.collect();
    if rng.u8(..3) == 0 {
        let note = ((*rng.choice(&SPECIAL).unwrap()).to_owned(), json!(number));
        writes.insert(rng.usize(..=count), note);
    }
    writes
}

async fn execute(
    checkpointer: &PostgresCheckpointer,
    address: &CheckpointAddress,
    tasks: &[(TaskId, [Writes; 2])],
    execution: usize,
) {
    let calls = tasks.iter().map(|(task_id, writes)| {
        checkpointer.put_writes(PutWrites::new(address, task_id, &writes[execution]))
    });
    for stored in join_all(calls).await {
        stored.unwrap();
    }
}

/// Both the outputs and what is noted of them: special writes apart from the others.
fn parted(writes: &[(String, Value)]) -> (BTreeMap<&str, &Value>, BTreeMap<&str, &Value>) {
    let all = writes
        .iter()
        .map(|(channel, value)| (channel.as_str(), value));
    all.partition(|(channel, _)| SPECIAL.contains(channel))
}

#[track_caller]
fn check(stored: &Writes, executions: &[Writes; 2]) {
    let (notes, outputs) = parted(stored);
    let executed = [parted(&executions[0]), parted(&executions[1])];
    assert!(
        executed.iter().any(|(_, written)| *written == outputs),
        "no execution has written all of {stored:?}, but one {:?}, the other {:?}",
        executions[0],
        executions[1],
    );
    let mut written: Vec<_> = executed
        .iter()
        .flat_map(|(notes, _)| notes.keys())
        .collect();
    written.sort_unstable();
    written.dedup();
    assert_eq!(notes.keys().collect::<Vec<_>>(), written);
}

/// Two programs execute the same tasks: one by one, and so many at once that they share batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_executions_of_a_task_all_that_one_has_written_is_stored() {
    const ROUNDS: usize = 120;
    let (_test, programs) = two().await;
    let mut rng = Rng::new();
    let mut address = Step::first(&thread("twice")).put(&programs[0]).await;
    for round in 0..ROUNDS {
        let count = *rng.choice(&[1, 1, 4, 24]).unwrap();
        let tasks: Vec<_> = (0..count)
            .map(|n| {
                let task_id = TaskId::new(format!("task {n:02}")).unwrap();
                (task_id, [2 * n, 2 * n + 1].map(|n| writes(&mut rng, n)))
            })
            .collect();
        let [one, other] = &programs;
        tokio::join!(
            execute(one, &address, &tasks, 0),
            execute(other, &address, &tasks, 1),
        );
        let tuple = get(&programs[round % 2], &address).await;
        for (task_id, executions) in &tasks {
            let of_task = tuple.pending_writes.iter();
            let stored = of_task
                .filter(|write| write.task_id == *task_id)
                .map(|write| (write.channel.clone(), Value::clone(&write.value)));
            check(&stored.collect(), executions);
        }
        address = Step::after(&address).put(&programs[round % 2]).await;
    }
}

#[tokio::test]
async fn the_outputs_of_a_task_are_locked_before_its_chunks() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let address = Step::first(&thread("thread")).put(&checkpointer).await;
    let (schema, observer) = (test.schema(), test.observer().await);
    let note = format!(
        "CREATE TABLE {schema}.inserted (number serial, what text);
         CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO {schema}.inserted (what) VALUES (TG_TABLE_NAME); RETURN NEW; END$$;
         CREATE TRIGGER note BEFORE INSERT ON {schema}.pending_writes
         FOR EACH ROW EXECUTE FUNCTION {schema}.note();
         CREATE TRIGGER note BEFORE INSERT ON {schema}.chunks
         FOR EACH ROW EXECUTE FUNCTION {schema}.note()"
    );
    observer.batch_execute(&note).await.unwrap();
    for (task, is_special) in [("regular", false), ("special", true)] {
        let mut writes: Writes = (0..3)
            .map(|n| (format!("output {n}"), json!([task, large(n)])))
            .collect();
        if is_special {
            writes.push(("__error__".to_owned(), json!(task)));
        }
        let task_id = TaskId::new(task).unwrap();
        let writes = PutWrites::new(&address, &task_id, &writes);
        checkpointer.put_writes(writes).await.unwrap();
        let sql = format!(
            "WITH inserted AS (DELETE FROM {schema}.inserted RETURNING number, what)
             SELECT max(number) FILTER (WHERE what = 'pending_writes')
                 < min(number) FILTER (WHERE what = 'chunks')
             FROM inserted"
        );
        let row = observer.query_one(&sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, Option<bool>>(0), Some(true), "{task}");
    }
}
