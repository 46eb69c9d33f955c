//! Agents at work while the pooler, or the server behind it, comes and goes.

use std::sync::Arc;

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer as _, DeleteThread, List, Metadata,
    PostgresCheckpointer, Prune, PruneStrategy, Put, PutWrites, Removed, Source, TaskId, Thread,
    ThreadId,
};
use db::Database;
use futures_util::TryStreamExt as _;
use rig::{PgBouncer, Release, Stop, TcpProxy};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{PATIENT, Pooled, TRANSACTION, leftovers, settings_for};
use crate::pair::Pair;

/// How many connections the pooler opens to the server.
const CONNECTIONS: usize = 4;
const PROCESSES: usize = 4;
const AGENTS_OF_EACH: usize = 16;
const STEPS: u32 = 12;

/// Saves step after step, whatever happens, and counts them along.
async fn work(mut thread: Thread<Vec<u32>>, saved: Arc<watch::Sender<usize>>) {
    let mut state = Vec::new();
    for step in 0..STEPS {
        state.push(step);
        while let Err(error) = thread.save(&state).await {
            assert!(error.is_transient(), "{error:?}");
        }
        saved.send_modify(|saved| *saved += 1);
    }
}

/// Checks that every step is there, and none twice.
async fn check(checkpointer: &PostgresCheckpointer, thread_id: &str) {
    let mut thread = checkpointer.thread::<Vec<u32>>(thread_id).unwrap();
    let state = thread.load().await.unwrap().unwrap();
    assert!(state.iter().copied().eq(0..STEPS), "{state:?}");
    let history: Vec<_> = thread.history().try_collect().await.unwrap();
    assert_eq!(history.len(), STEPS as usize);
}

async fn agents_go_on_through_outages_of_the_pooler_and_of_the_server_behind_it(release: Release) {
    let pooled = Pooled::start(release, CONNECTIONS).await;
    let saved = Arc::new(watch::Sender::new(0));
    let mut agents = JoinSet::new();
    let mut processes = Vec::new();
    for process in 0..PROCESSES {
        let max = AGENTS_OF_EACH.to_string();
        let variables: Vec<_> = PATIENT
            .iter()
            .chain(&[("DB_POOL_MAX", &*max)])
            .copied()
            .collect();
        let database = pooled.connect(&variables).await;
        let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
        for agent in 0..AGENTS_OF_EACH {
            let thread = checkpointer
                .thread(format!("{process}-{agent}").as_str())
                .unwrap();
            agents.spawn(work(thread, Arc::clone(&saved)));
        }
        processes.push(checkpointer);
    }
    // Each disturbance comes when the agents have got on after the one before.
    let total = PROCESSES * AGENTS_OF_EACH * STEPS as usize;
    let mut progress = saved.subscribe();
    let mut get_on = async |eighths: usize| {
        let goal = total * eighths / 8;
        let _ = progress.wait_for(|saved| *saved >= goal).await.unwrap();
    };
    get_on(1).await;
    pooled.pooler.command("PAUSE").await.unwrap();
    pooled.pooler.command("RESUME").await.unwrap();
    get_on(2).await;
    pooled.pooler.command("RECONNECT").await.unwrap();
    get_on(3).await;
    pooled.pooler.kill();
    pooled.pooler.start_again().await.unwrap();
    get_on(4).await;
    pooled.server.stop(Stop::Immediate).await.unwrap();
    pooled.server.start_again().await.unwrap();
    get_on(5).await;
    pooled.server.stop(Stop::Fast).await.unwrap();
    pooled.server.start_again().await.unwrap();
    get_on(6).await;
    pooled.pooler.command("KILL postgres").await.unwrap();
    pooled.pooler.command("RESUME postgres").await.unwrap();
    agents.join_all().await;

    for (process, checkpointer) in processes.iter().enumerate() {
        for agent in 0..AGENTS_OF_EACH {
            check(checkpointer, &format!("{process}-{agent}")).await;
        }
    }
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}

async fn agents_go_on_when_the_pooler_is_led_to_the_new_primary(release: Release) {
    let pair = Pair::start().await;
    pair.synchronous().await;
    let connections = CONNECTIONS.to_string();
    let own = [("default_pool_size", &*connections)];
    let pooler = PgBouncer::before(pair.primary.port(), release, &own).await;
    let pooler = pooler.unwrap();
    let variables: Vec<_> = PATIENT.iter().chain(&[TRANSACTION]).copied().collect();
    let database = Database::connect(&settings_for(&pooler.url(), &variables)).await;
    let checkpointer = PostgresCheckpointer::setup(database.unwrap()).await;
    let checkpointer = checkpointer.unwrap();
    let saved = Arc::new(watch::Sender::new(0));
    let mut agents = JoinSet::new();
    for agent in 0..AGENTS_OF_EACH {
        let thread = checkpointer.thread(&*agent.to_string()).unwrap();
        agents.spawn(work(thread, Arc::clone(&saved)));
    }
    let half = AGENTS_OF_EACH * STEPS as usize / 2;
    let mut progress = saved.subscribe();
    let _ = progress.wait_for(|saved| *saved >= half).await.unwrap();
    pair.primary.stop(Stop::Immediate).await.unwrap();
    pair.standby.promote().await.unwrap();
    pooler.lead_to(pair.standby.port()).await.unwrap();
    agents.join_all().await;
    for agent in 0..AGENTS_OF_EACH {
        check(&checkpointer, &agent.to_string()).await;
    }
}

async fn a_lost_acknowledgement_behind_a_pooler_ends_with_one_effect(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let proxy = TcpProxy::before(&pooled.pooler.url());
    let settings = settings_for(proxy.url(), &[TRANSACTION]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut thread = checkpointer.thread::<Vec<u32>>("lost").unwrap();
    thread.save(&vec![1]).await.unwrap();

    // Guarded by the head, which the first attempt has moved.
    proxy.cut_instead_of_answer_to("checkpointer::put");
    let address: CheckpointAddress = thread.save(&vec![1, 2]).await.unwrap();
    let stored: Vec<_> = thread.history().try_collect().await.unwrap();
    assert_eq!(stored.len(), 2);

    proxy.cut_instead_of_answer_to("checkpointer::put_writes");
    let task_id = TaskId::new("task").unwrap();
    let writes = [("written".to_owned(), json!(1))];
    let writes = PutWrites::new(&address, &task_id, &writes);
    checkpointer.put_writes(writes).await.unwrap();
    let listed = checkpointer.list(List::thread(thread.thread_id()).unwrap().limit(1));
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    assert_eq!(listed[0].pending_writes.len(), 1);

    let thread_id = thread.thread_id();
    let copy = ThreadId::new("copy").unwrap();
    proxy.cut_instead_of_answer_to("db_commit");
    checkpointer.copy_thread(thread_id, &copy).await.unwrap();
    assert_eq!(ids(&checkpointer, &copy).await.len(), 2);

    proxy.cut_instead_of_answer_to("db_commit");
    let prune = Prune::new(vec![copy.clone()], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    assert_eq!(ids(&checkpointer, &copy).await, [address.checkpoint_id]);

    let run = Checkpoint::new(CheckpointId::generate(None));
    let metadata = Metadata::new(Source::Loop, 1).with("run_id", "run");
    let put = Put::new(&copy, &run, &metadata);
    checkpointer.put(put).await.unwrap();
    assert_eq!(ids(&checkpointer, &copy).await.len(), 2);
    proxy.cut_instead_of_answer_to("db_commit");
    let runs = ["run".to_owned()];
    checkpointer
        .delete_for_runs(&runs)
        .await
        .and_then(Removed::complete)
        .unwrap();
    assert_eq!(ids(&checkpointer, &copy).await.len(), 1);
    assert_eq!(ids(&checkpointer, thread_id).await.len(), 2);

    proxy.cut_instead_of_answer_to("db_commit");
    let delete = DeleteThread::new(thread.thread_id()).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
    assert_eq!(thread.load().await.unwrap(), None);
    assert_eq!(proxy.sprung(), 6);
}

async fn ids(checkpointer: &PostgresCheckpointer, thread_id: &ThreadId) -> Vec<CheckpointId> {
    let listed = checkpointer.list(List::thread(thread_id).unwrap());
    let ids = listed.map_ok(|tuple| tuple.checkpoint.id);
    ids.try_collect().await.unwrap()
}

through_each_release!(
    agents_go_on_through_outages_of_the_pooler_and_of_the_server_behind_it,
    agents_go_on_when_the_pooler_is_led_to_the_new_primary,
    a_lost_acknowledgement_behind_a_pooler_ends_with_one_effect,
);
