//! A primary that is lost, and a standby that takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use checkpointer::{
    Checkpointer as _, List, PostgresCheckpointer, Projection, PutWrites, TaskId, Thread, ThreadId,
};
use checkpointer_suite::step::{Step, get};
use db::{Database, GenericClient, Statement};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use rig::{Stop, chain, client, eventually};
use tokio::task::JoinHandle;

use crate::pair::{Pair, count, reload};

const AGENTS: usize = 16;

/// The steps of an agent, each with a text that is too long to be stored with the checkpoint.
type Steps = Vec<(usize, String)>;

fn text(step: usize) -> String {
    format!("step {step} of the agent. ").repeat(50)
}

/// What the agents are told, and what they have done.
#[derive(Default)]
struct Work {
    ending: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Work {
    /// Waits for further steps.
    async fn goes_on(&self, steps: usize) {
        let enough = self.acknowledged.load(Ordering::SeqCst) + steps;
        eventually("the agents go on", async || {
            self.acknowledged.load(Ordering::SeqCst) >= enough
        })
        .await;
    }
}

/// Saves once, again and again until that is acknowledged.
async fn save(thread: &mut Thread<Steps>, state: &Steps) {
    while let Err(error) = thread.save(state).await {
        assert!(error.is_transient(), "{}", chain(&error));
    }
}

/// Takes step after step, one save each, whatever happens to the server; returns how many.
async fn run_agent(mut thread: Thread<Steps>, work: Arc<Work>) -> usize {
    let mut state = Steps::new();
    while !work.ending.load(Ordering::SeqCst) {
        state.push((state.len(), text(state.len())));
        save(&mut thread, &state).await;
        work.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    state.len()
}

/// Checks that a thread has all its steps, each in one checkpoint that follows the one before.
async fn check_steps(checkpointer: &PostgresCheckpointer, thread_id: &str, steps: usize) {
    let listed: Vec<_> = checkpointer
        .list(
            List::thread(ThreadId::new(thread_id).unwrap())
                .unwrap()
                .project(Projection::Metadata),
        )
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), steps);
    for pair in listed.windows(2) {
        assert_eq!(pair[0].parent_address.as_ref(), Some(&pair[1].address));
    }
    let thread = checkpointer.thread::<Steps>(thread_id).unwrap();
    for (tuple, last) in listed.iter().zip((0..steps).rev()).step_by(10) {
        let state = thread.at(&tuple.address.checkpoint_id).await.unwrap();
        let expected: Steps = (0..=last).map(|step| (step, text(step))).collect();
        assert_eq!(state, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_go_on_at_the_standby_and_nothing_acknowledged_is_lost() {
    let pair = Pair::start().await;
    pair.synchronous().await;
    let database = Database::connect(&pair.settings("read-write", &[("DB_POOL_MAX", "4")]))
        .await
        .unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();

    let work = Arc::new(Work::default());
    let agents: Vec<_> = (0..AGENTS)
        .map(|agent| {
            let thread_id = format!("agent-{agent}");
            let thread = checkpointer.thread(&*thread_id).unwrap();
            (
                thread_id,
                tokio::spawn(run_agent(thread, Arc::clone(&work))),
            )
        })
        .collect();
    work.goes_on(4 * AGENTS).await;
    pair.primary.stop(Stop::Immediate).await.unwrap();
    pair.standby.promote().await.unwrap();
    work.goes_on(4 * AGENTS).await;
    work.ending.store(true, Ordering::SeqCst);
    for (thread_id, agent) in agents {
        check_steps(&checkpointer, &thread_id, agent.await.unwrap()).await;
    }

    // The old primary comes back, as a standby. It is the first host still.
    pair.primary.follow(&pair.standby).await.unwrap();
    let old = client(&pair.primary.url()).await.unwrap();
    assert_eq!(
        count(&old, "SELECT pg_is_in_recovery()::int::int8").await,
        1
    );
    let new = client(&pair.standby.url()).await.unwrap();
    let others = "FROM pg_stat_activity WHERE application_name = 'checkpointer'";
    new.batch_execute(&format!("SELECT pg_terminate_backend(pid) {others}"))
        .await
        .unwrap();
    let mut thread = checkpointer.thread::<Steps>("agent-0").unwrap();
    thread.update(|steps| steps.clear()).await.unwrap();
    // The pool replaces its other connections meanwhile, and looks at the first host before the next.
    eventually("no connection stays at the old primary", async || {
        count(&old, &format!("SELECT count(*) {others}")).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_pool_leaves_a_server_that_was_demoted_under_its_connections() {
    let pair = Pair::start().await;
    let settings = pair.settings("read-write", &[("DB_POOL_MIN", "4"), ("DB_POOL_MAX", "4")]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let mut thread = checkpointer.thread::<Steps>("demoted").unwrap();
    thread.save(&vec![(0, text(0))]).await.unwrap();
    let borrowed = join_all((0..4).map(|_| database.get())).await;
    assert!(borrowed.iter().all(Result::is_ok));
    drop(borrowed);
    pair.caught_up().await;

    let old = client(&pair.primary.url()).await.unwrap();
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    old.batch_execute(read_only).await.unwrap();
    reload(&pair.primary).await;
    pair.standby.promote().await.unwrap();

    thread.save(&vec![(1, text(1))]).await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'checkpointer'";
    eventually("no connection is left there", async || {
        drop(join_all((0..4).map(|_| database.get())).await);
        count(&old, others).await == 0
    })
    .await;
    let new = client(&pair.standby.url()).await.unwrap();
    assert_eq!(count(&new, others).await, 4);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_a_synchronous_standby_does_not_have() {
    static INSERT: Statement = Statement::new("INSERT INTO notes VALUES (1)", &[]);
    let pair = Pair::start().await;
    pair.synchronous().await;
    let brief = [
        ("DB_STATEMENT_TIMEOUT", "300ms"),
        ("DB_NETWORK_TIMEOUT", "1s"),
    ];
    let settings =
        |mode| pair.settings("read-write", &[brief[0], brief[1], ("DB_POOL_MODE", mode)]);
    let primary = client(&pair.primary.url()).await.unwrap();
    primary
        .batch_execute("CREATE TABLE notes (id int)")
        .await
        .unwrap();
    let mut databases = Vec::new();
    for mode in ["session", "transaction"] {
        databases.push(Database::connect(&settings(mode)).await.unwrap());
    }
    let checkpointer = PostgresCheckpointer::setup(databases[1].clone())
        .await
        .unwrap();
    let mut thread = checkpointer.thread::<Steps>("waiting").unwrap();
    thread.save(&vec![(0, text(0))]).await.unwrap();

    pair.standby.stop(Stop::Immediate).await.unwrap();
    for database in &databases {
        let inserted = database.get().await.unwrap().execute(&INSERT, &[]).await;
        let error = inserted.unwrap_err();
        assert!(error.is_outcome_unknown(), "{}", chain(&error));
    }
    let saving = tokio::spawn(async move { thread.save(&vec![(1, text(1))]).await });
    eventually("a commit waits for the standby", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
            WHERE wait_event = 'SyncRep' AND query LIKE '%checkpointer::put%'";
        count(&primary, sql).await > 0
    })
    .await;
    assert!(!saving.is_finished());
    pair.standby.start_again().await.unwrap();
    let saved = saving.await.unwrap().unwrap();

    pair.primary.stop(Stop::Immediate).await.unwrap();
    pair.standby.promote().await.unwrap();
    let mut thread = checkpointer.thread::<Steps>("waiting").unwrap();
    let state = thread.load().await.unwrap();
    assert_eq!(thread.checkpoint_id(), Some(&saved.checkpoint_id));
    assert_eq!(state, Some(vec![(1, text(1))]));
}

#[tokio::test]
async fn outputs_that_another_execution_has_stored_are_acknowledged_when_the_standby_has_them() {
    let pair = Pair::start().await;
    pair.synchronous().await;
    // The wait for the standby is cut short, again and again: what was stored can be seen before.
    let variables = [
        ("DB_STATEMENT_TIMEOUT", "300ms"),
        ("DB_RETRY_TIMEOUT", "5min"),
    ];
    let settings = pair.settings("read-write", &variables);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let address = Step::first(&ThreadId::new("twice").unwrap());
    let address = address.put(&checkpointer).await;

    pair.standby.stop(Stop::Immediate).await.unwrap();
    let executions = ["one", "other"].map(|execution| {
        let (checkpointer, address) = (checkpointer.clone(), address.clone());
        tokio::spawn(async move {
            let writes = ["a", "b"].map(|channel| (channel.to_owned(), execution.into()));
            let task_id = TaskId::new("task").unwrap();
            let writes = PutWrites::new(&address, &task_id, &writes);
            checkpointer.put_writes(writes).await
        })
    });
    let primary = client(&pair.primary.url()).await.unwrap();
    eventually("the outputs of one can be seen", async || {
        let sql = "SELECT count(*) FROM checkpointer.pending_writes";
        count(&primary, sql).await == 2
    })
    .await;
    for _ in 0..3 {
        eventually("a commit waits for the standby", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                WHERE wait_event = 'SyncRep' AND query LIKE '%checkpointer::put_writes%'";
            count(&primary, sql).await > 0
        })
        .await;
        assert!(!executions.iter().any(JoinHandle::is_finished));
    }
    pair.standby.start_again().await.unwrap();
    for execution in executions {
        execution.await.unwrap().unwrap();
    }

    pair.primary.stop(Stop::Immediate).await.unwrap();
    pair.standby.promote().await.unwrap();
    let written = get(&checkpointer, &address).await.pending_writes;
    assert_eq!(written.len(), 2);
    assert_eq!(written[0].value, written[1].value);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_of_a_batch_that_a_failover_cuts_off_is_done_once() {
    let pair = Pair::start().await;
    pair.synchronous().await;
    let database = Database::connect(&pair.settings("read-write", &[]))
        .await
        .unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut agents = Vec::new();
    for agent in 0..2 * AGENTS {
        let thread_id = format!("agent-{agent}");
        let mut thread: Thread<Steps> = checkpointer.thread(&*thread_id).unwrap();
        let state = vec![(0, text(0))];
        thread.save(&state).await.unwrap();
        agents.push((thread_id, thread, state));
    }
    // No session holds the lock on the standby.
    let observer = client(&pair.primary.url()).await.unwrap();
    let wait = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END$$;
         CREATE TRIGGER wait BEFORE INSERT ON checkpointer.checkpoints
         FOR EACH STATEMENT EXECUTE FUNCTION public.wait();
         SELECT pg_advisory_lock(1)";
    observer.batch_execute(wait).await.unwrap();
    let saves = agents.iter_mut().map(|(_, thread, state)| {
        state.push((1, text(1)));
        save(thread, state)
    });
    let under_way = "SELECT count(*) FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND query LIKE '%checkpointer::batch%'";
    tokio::join!(join_all(saves), async {
        eventually("a batch is under way", async || {
            count(&observer, under_way).await > 0
        })
        .await;
        pair.primary.stop(Stop::Immediate).await.unwrap();
        pair.standby.promote().await.unwrap();
    });
    for (thread_id, ..) in agents {
        check_steps(&checkpointer, &thread_id, 2).await;
    }
}
