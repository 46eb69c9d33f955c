//! What goes wrong with one write of a shared transaction is no other's business.

use std::time::Duration;

use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, Error, ErrorKind, List, PostgresCheckpointer,
    Put, PutWrites, Result, TaskId,
};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio_postgres::Client;

use super::{
    THREADS, checkpoint, head, head_id, metadata, put_after, put_first, refuse_bad_ones,
    somebody_with, started, thread,
};
use rig::{Figures, TcpProxy, TestDb, chain, eventually};

/// What must happen at once happens within this on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The ids of a thread's checkpoints.
async fn ids(checkpointer: &dyn Checkpointer, number: usize) -> Vec<String> {
    let list = checkpointer.list(List::thread(thread(number)).unwrap());
    let ids = list.map_ok(|tuple| tuple.checkpoint.id.as_str().to_owned());
    ids.try_collect().await.unwrap()
}

#[tokio::test]
async fn a_conflict_fails_alone() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let other = CheckpointId::new("other").unwrap();
    let (checkpoint, metadata) = (checkpoint("2"), metadata());
    let puts = heads.iter().enumerate().map(|(number, head)| {
        let expected = match number % 4 {
            0 => &other,
            _ => &head.checkpoint_id,
        };
        checkpointer.put(Put::after(head, &checkpoint, &metadata).expect_head(expected))
    });
    for (number, outcome) in join_all(puts).await.into_iter().enumerate() {
        let id = head_id(&checkpointer, &thread(number)).await;
        if number % 4 == 0 {
            assert!(
                matches!(&outcome, Err(Error::Conflict { head: Some(head), .. }) if head.as_str() == "1"),
                "{outcome:?}"
            );
            assert_eq!(id, "1");
        } else {
            assert_eq!(outcome.unwrap().checkpoint_id, checkpoint.id);
            assert_eq!(id, "2");
        }
    }
}

#[tokio::test]
async fn a_put_whose_parent_is_missing_fails_alone() {
    let checkpointer = PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let (mut checkpoint, metadata) = (checkpoint("2"), metadata());
    checkpoint.channel_values.remove("long");
    let lost = CheckpointId::new("lost").unwrap();
    let puts = heads.iter().enumerate().map(|(number, head)| {
        let put = Put::after(head, &checkpoint, &metadata);
        checkpointer.put(match number % 4 {
            0 => put.parent(&lost),
            _ => put,
        })
    });
    for (number, outcome) in join_all(puts).await.into_iter().enumerate() {
        let head = head(&checkpointer, &thread(number)).await.checkpoint;
        if number % 4 == 0 {
            assert!(
                matches!(&outcome, Err(Error::ParentNotFound { .. })),
                "{outcome:?}"
            );
            assert_eq!(head.id.as_str(), "1");
        } else {
            assert_eq!(outcome.unwrap().checkpoint_id, head.id);
        }
        assert_eq!(head.channel_values["long"][1], "1");
    }
}

#[tokio::test]
async fn a_write_the_server_refuses_fails_alone() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    refuse_bad_ones(&test).await;
    let puts = heads.iter().enumerate().map(|(number, head)| {
        let id = if number == 7 { "bad" } else { "2" };
        put_after(&checkpointer, head, id)
    });
    for (number, outcome) in join_all(puts).await.into_iter().enumerate() {
        let id = head_id(&checkpointer, &thread(number)).await;
        if number == 7 {
            assert!(
                matches!(outcome, Err(Error::Database { .. })),
                "{outcome:?}"
            );
            assert_eq!(id, "1");
        } else {
            outcome.unwrap();
            assert_eq!(id, "2");
        }
    }
}

#[tokio::test]
async fn a_thread_somebody_has_locked_does_not_hold_up_the_others() {
    for table in ["threads", "heads"] {
        let test = TestDb::new().await;
        let checkpointer = PostgresCheckpointer::setup(test.connect(&[("DB_POOL_MAX", "4")]).await)
            .await
            .unwrap();
        let heads = started(&checkpointer).await;
        let somebody = somebody_with(&test, table).await;

        // Alone first, then in company.
        let (alone, first) = (checkpointer.clone(), heads[0].clone());
        let alone = tokio::spawn(async move { put_after(&alone, &first, "2").await });
        for id in ["2", "3", "4"] {
            let puts = heads[1..]
                .iter()
                .map(|head| put_after(&checkpointer, head, id));
            let outcomes = tokio::time::timeout(SOON, join_all(puts)).await.unwrap();
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
        assert!(!alone.is_finished(), "{table}");
        alone.abort();

        let (again, all) = (checkpointer.clone(), heads.clone());
        let together = tokio::spawn(async move {
            let puts = all.iter().map(|head| put_after(&again, head, "5"));
            join_all(puts).await
        });
        eventually("all but one are stored", async || {
            head_id(&checkpointer, &thread(THREADS - 1)).await == "5"
        })
        .await;
        assert!(!together.is_finished(), "{table}");
        somebody.batch_execute("ROLLBACK").await.unwrap();
        for outcome in together.await.unwrap() {
            outcome.unwrap();
        }
        assert_eq!(head_id(&checkpointer, &thread(0)).await, "5");
    }
}

#[tokio::test]
async fn a_lost_answer_is_made_good_write_by_write() {
    let (test, proxy) = (TestDb::new().await, TcpProxy::new());
    // In this mode each message holds the statement's text.
    let settings = test.settings_through(&proxy, &[("DB_POOL_MODE", "transaction")]);
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let (checkpoint, metadata) = (checkpoint("2"), metadata());
    proxy.cut_instead_of_answer_to("checkpointer::batch");
    let puts = heads.iter().map(|head| {
        let put = Put::after(head, &checkpoint, &metadata);
        checkpointer.put(put.expect_head(&head.checkpoint_id))
    });
    for outcome in join_all(puts).await {
        outcome.unwrap();
    }
    for number in 0..THREADS {
        assert_eq!(ids(&checkpointer, number).await, ["2", "1"]);
    }
}

/// A number for a lock that no other test takes.
fn lock_of(test: &TestDb) -> String {
    format!("hashtext('{}')", test.schema())
}

#[tokio::test]
async fn each_write_of_a_batch_whose_backend_is_killed_is_done_once() {
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let heads = started(&checkpointer).await;
    let observer = test.observer().await;
    let (schema, lock) = (test.schema(), lock_of(&test));
    observer
        .batch_execute(&format!(
            "CREATE FUNCTION {schema}.wait() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM pg_advisory_xact_lock_shared({lock}); RETURN NULL; END$$;
             CREATE TRIGGER wait BEFORE INSERT ON {schema}.checkpoints
             FOR EACH STATEMENT EXECUTE FUNCTION {schema}.wait();
             SELECT pg_advisory_lock({lock})"
        ))
        .await
        .unwrap();
    let (checkpoint, metadata) = (checkpoint("2"), metadata());
    let puts = heads.iter().map(|head| {
        let put = Put::after(head, &checkpoint, &metadata);
        checkpointer.put(put.expect_head(&head.checkpoint_id))
    });
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = $1 AND wait_event_type = 'Lock'
           AND query LIKE '%checkpointer::batch%'";
    let (outcomes, ()) = tokio::join!(join_all(puts), async {
        eventually("a batch that was under way is killed", async || {
            observer.execute(kill, &[&schema]).await.unwrap() > 0
        })
        .await;
        let unlock = format!("SELECT pg_advisory_unlock({lock})");
        observer.batch_execute(&unlock).await.unwrap();
    });
    for outcome in outcomes {
        outcome.unwrap();
    }
    for number in 0..THREADS {
        assert_eq!(ids(&checkpointer, number).await, ["2", "1"]);
    }
}

#[tokio::test]
async fn a_thread_somebody_has_locked_does_not_take_every_connection() {
    let test = TestDb::new().await;
    let variables = [("DB_POOL_MAX", "4"), ("DB_ACQUIRE_TIMEOUT", "2s")];
    let checkpointer = PostgresCheckpointer::setup(test.connect(&variables).await);
    let checkpointer = checkpointer.await.unwrap();
    let heads = started(&checkpointer).await;
    let somebody = somebody_with(&test, "threads").await;
    // The outputs of a step's tasks, each with a call of its own.
    let tasks =
        (0..8).map(|number| tokio::spawn(write(checkpointer.clone(), heads[0].clone(), number)));
    let tasks: Vec<_> = tasks.collect();
    test.until_blocked(1).await;
    for id in ["2", "3", "4", "5"] {
        let puts = heads[1..]
            .iter()
            .map(|head| put_after(&checkpointer, head, id));
        let outcomes = tokio::time::timeout(SOON, join_all(puts)).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(head_id(&checkpointer, &thread(1)).await, id);
    }
    assert!(tasks.iter().all(|task| !task.is_finished()));
    somebody.batch_execute("ROLLBACK").await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let written = head(&checkpointer, &thread(0)).await.pending_writes;
    assert_eq!(written.len(), 8);
}

/// Stores the output of a task.
async fn write(
    checkpointer: PostgresCheckpointer,
    address: CheckpointAddress,
    number: usize,
) -> Result<()> {
    let task_id = TaskId::new(format!("task-{number}")).unwrap();
    let writes = [("done".to_owned(), json!(number))];
    let writes = PutWrites::new(&address, &task_id, &writes);
    checkpointer.put_writes(writes).await
}

#[tokio::test]
async fn writes_that_wait_for_a_lock_in_vain_fail_together() {
    const TASKS: usize = 12;
    for variables in [
        // The first one that waits takes too long, or isn't tried again.
        [
            ("DB_POOL_MODE", "transaction"),
            ("DB_STATEMENT_TIMEOUT", "2s"),
        ],
        [("DB_RETRY_ATTEMPTS", "1"), ("DB_STATEMENT_TIMEOUT", "4s")],
        [("DB_RETRY_TIMEOUT", "0s"), ("DB_STATEMENT_TIMEOUT", "4s")],
    ] {
        let test = TestDb::new().await;
        let checkpointer = PostgresCheckpointer::setup(test.connect(&variables).await)
            .await
            .unwrap();
        let head = put_first(&checkpointer, &thread(0)).await;
        let _somebody = somebody_with(&test, "threads").await;
        let tasks = (0..TASKS)
            .map(|number| tokio::spawn(write(checkpointer.clone(), head.clone(), number)));
        let mut are_busy = 0;
        for task in tasks.collect::<Vec<_>>() {
            let error = task.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            are_busy += usize::from(matches!(error, Error::Busy { .. }));
        }
        // The others found free lanes.
        assert!(
            (TASKS - 3..TASKS).contains(&are_busy),
            "{variables:?}: {are_busy}"
        );
    }
}

#[tokio::test]
async fn writes_whose_thread_has_changed_are_not_sent_again_and_again() {
    const TASKS: usize = 40;
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::new().await;
    let checkpointer = PostgresCheckpointer::setup(test.connect(&[]).await)
        .await
        .unwrap();
    let head = put_first(&checkpointer, &thread(0)).await;
    // As something that has removed chunks.
    let change = format!("UPDATE {}.threads SET gc = gc + 1", test.schema());
    test.observer().await.batch_execute(&change).await.unwrap();
    let calls = (0..TASKS).map(|number| write(checkpointer.clone(), head.clone(), number));
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let sent: f64 = figures
        .histogram("checkpointer_batch_writes", &[])
        .iter()
        .sum();
    assert!(sent < 4.0 * TASKS as f64, "{sent}");
}

/// Holds outputs of the first tasks of the first thread in an open transaction.
async fn somebody_with_outputs(test: &TestDb, tasks: usize) -> Client {
    let somebody = test.observer().await;
    let sql = format!(
        "BEGIN;
         INSERT INTO {}.pending_writes
             (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
         SELECT 'thread-0', '', '1', 'task-' || number, 0, '', 'done', '0'
         FROM generate_series(0, {tasks} - 1) AS number",
        test.schema()
    );
    somebody.batch_execute(&sql).await.unwrap();
    somebody
}

#[tokio::test]
async fn writes_are_stored_beside_those_that_wait_for_what_concerns_them_alone() {
    let test = TestDb::new().await;
    let variables = [
        ("DB_POOL_MAX", "2"),
        ("DB_RETRY_ATTEMPTS", "1"),
        ("DB_STATEMENT_TIMEOUT", "2s"),
    ];
    let checkpointer = PostgresCheckpointer::setup(test.connect(&variables).await)
        .await
        .unwrap();
    let head = put_first(&checkpointer, &thread(0)).await;
    let _somebody = somebody_with_outputs(&test, 3).await;
    let first = tokio::spawn(write(checkpointer.clone(), head.clone(), 0));
    test.until_blocked(1).await;
    // They share a statement, in which two wait as the first one does.
    let others = (1..7).map(|number| write(checkpointer.clone(), head.clone(), number));
    let mut outcomes = join_all(others).await;
    let stored = outcomes.split_off(2);
    outcomes.push(first.await.unwrap());
    for waits in outcomes {
        let error = waits.unwrap_err();
        assert!(matches!(error, Error::Database { .. }), "{error:?}");
    }
    for outcome in stored {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// Each batch that fails shows one write that waits. With many of them, the others don't wait for all these batches.
#[tokio::test]
async fn a_write_is_in_few_batches_that_fail() {
    const WAITING: usize = 7;
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::new().await;
    let variables = [("DB_RETRY_ATTEMPTS", "1"), ("DB_STATEMENT_TIMEOUT", "2s")];
    let checkpointer = PostgresCheckpointer::setup(test.connect(&variables).await)
        .await
        .unwrap();
    let head = put_first(&checkpointer, &thread(0)).await;
    let _somebody = somebody_with_outputs(&test, WAITING).await;
    let first = tokio::spawn(write(checkpointer.clone(), head.clone(), 0));
    test.until_blocked(1).await;
    let others = (1..=WAITING).map(|number| write(checkpointer.clone(), head.clone(), number));
    let mut outcomes = join_all(others).await;
    assert!(outcomes.pop().unwrap().is_ok());
    outcomes.push(first.await.unwrap());
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    let sent = figures.histogram("checkpointer_batch_writes", &[]);
    let batches = sent.iter().filter(|writes| **writes > 1.0).count();
    assert_eq!(batches, 4, "{sent:?}");
}

/// Whether the time for retries is over first, or their number: writes whose outcome stays unknown don't take that
/// long one after the other.
#[tokio::test]
async fn writes_whose_outcome_stays_unknown_are_in_few_batches() {
    const TASKS: usize = 14;
    for variables in [
        [("DB_RETRY_TIMEOUT", "1s"), ("DB_RETRY_ATTEMPTS", "100")],
        [("DB_RETRY_TIMEOUT", "30s"), ("DB_RETRY_ATTEMPTS", "1")],
    ] {
        let figures = Figures::default();
        let _recording = figures.record();
        let test = TestDb::new().await;
        let checkpointer = PostgresCheckpointer::setup(test.connect(&variables).await)
            .await
            .unwrap();
        let head = put_first(&checkpointer, &thread(0)).await;
        // As a server that has lost the one which does the work.
        let refuse = format!(
            "CREATE FUNCTION {0}.refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN RAISE EXCEPTION 'who knows' USING ERRCODE = '40003'; END$$;
             CREATE TRIGGER refuse BEFORE INSERT ON {0}.pending_writes
             FOR EACH ROW EXECUTE FUNCTION {0}.refuse()",
            test.schema()
        );
        test.observer().await.batch_execute(&refuse).await.unwrap();
        let calls = (0..TASKS).map(|number| write(checkpointer.clone(), head.clone(), number));
        for outcome in join_all(calls).await {
            let error = outcome.unwrap_err();
            assert!(error.is_outcome_unknown(), "{error:?}");
        }
        let sent = figures.histogram("checkpointer_batch_writes", &[]);
        let batches = sent.iter().filter(|writes| **writes > 1.0).count();
        assert!((1..=4).contains(&batches), "{variables:?}: {sent:?}");
    }
}

/// No write has reached the server, so none can say that the thread is locked.
#[tokio::test]
async fn writes_that_find_no_connection_say_so() {
    let test = TestDb::new().await;
    let variables = [("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")];
    let database = test.connect(&variables).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let head = put_first(&checkpointer, &thread(0)).await;
    let _only = database.get().await.unwrap();
    let calls = (0..12).map(|number| write(checkpointer.clone(), head.clone(), number));
    for outcome in join_all(calls).await {
        let error = outcome.unwrap_err();
        let found_none = matches!(
            &error,
            Error::Database {
                source: db::Error::AcquireTimeout { .. },
                ..
            }
        );
        assert!(found_none, "{error:?}");
    }
}

#[tokio::test]
async fn what_may_be_stored_stays_unknown_where_it_then_waits_for_another_write_in_vain() {
    let test = TestDb::new().await;
    let variables = [
        ("DB_POOL_MAX", "2"),
        ("DB_RETRY_ATTEMPTS", "1"),
        ("DB_STATEMENT_TIMEOUT", "4s"),
    ];
    let checkpointer = PostgresCheckpointer::setup(test.connect(&variables).await)
        .await
        .unwrap();
    let head = put_first(&checkpointer, &thread(0)).await;
    // As a server that has lost the one which does the work, and then has no lock for one write.
    let refuse = format!(
        "CREATE FUNCTION {0}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
             IF current_query() LIKE '%checkpointer::batch%' THEN
                 RAISE EXCEPTION 'who knows' USING ERRCODE = '40003';
             ELSIF NEW.task_id = 'task-1' THEN
                 RAISE EXCEPTION 'no lock' USING ERRCODE = '55P03';
             END IF;
             RETURN NEW;
         END$$;
         CREATE TRIGGER refuse BEFORE INSERT ON {0}.pending_writes
         FOR EACH ROW EXECUTE FUNCTION {0}.refuse()",
        test.schema()
    );
    let observer = test.observer().await;
    observer.batch_execute(&refuse).await.unwrap();
    let _somebody = somebody_with_outputs(&test, 1).await;
    let first = tokio::spawn(write(checkpointer.clone(), head.clone(), 0));
    test.until_blocked(1).await;
    let others = (1..4).map(|number| write(checkpointer.clone(), head.clone(), number));
    let unknown = join_all(others).await;
    for outcome in &unknown {
        let error = outcome.as_ref().unwrap_err();
        assert!(error.is_outcome_unknown(), "{error:?}");
    }
    let why = chain(unknown[2].as_ref().unwrap_err());
    assert!(why.contains("stayed locked"), "{why}");
    let failed = first.await.unwrap().unwrap_err();
    assert!(!failed.is_outcome_unknown(), "{failed:?}");
}

#[tokio::test]
async fn what_a_batch_may_have_stored_stays_unknown_where_it_then_fails_alone() {
    let test = TestDb::new().await;
    let database = test.connect(&[("DB_RETRY_ATTEMPTS", "1")]).await;
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let heads = started(&checkpointer).await;
    let schema = test.schema();
    // As a server that has lost the one which does the work, and then has no room.
    let refuse = format!(
        "CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
             IF current_query() LIKE '%checkpointer::batch%' THEN
                 RAISE EXCEPTION 'who knows' USING ERRCODE = '40003';
             END IF;
             RAISE EXCEPTION 'no room' USING ERRCODE = '53200';
         END$$;
         CREATE TRIGGER refuse BEFORE INSERT ON {schema}.checkpoints
         FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()"
    );
    test.observer().await.batch_execute(&refuse).await.unwrap();
    let puts = heads.iter().map(|head| put_after(&checkpointer, head, "2"));
    let outcomes = join_all(puts).await;
    let unknown = |outcome: &&Result<_>| {
        let error = outcome.as_ref().unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        error.is_outcome_unknown()
    };
    // The first ones found free lanes.
    let count = outcomes.iter().filter(unknown).count();
    assert!((THREADS - 4..THREADS).contains(&count), "{outcomes:?}");
}
