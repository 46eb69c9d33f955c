//! A server that goes down and comes back.

use std::sync::Arc;

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, List, Metadata,
    PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId, Version,
};
use futures_util::TryStreamExt;
use rig::{PrivateServer, Stop, settings_for};
use serde_json::json;
use settings::Settings;
use tokio::sync::watch;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_server_crashed() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let settings = Settings::from_url(&server.url()).unwrap();
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut thread = checkpointer.thread::<Vec<u32>>("counter").unwrap();
    thread.save(&vec![1, 2, 3]).await.unwrap();

    server.stop(Stop::Immediate).await.unwrap();
    server.start_again().await.unwrap();

    // Over the pool that lost all its connections.
    assert_eq!(thread.load().await.unwrap(), Some(vec![1, 2, 3]));
    thread.save(&vec![1, 2, 3, 4]).await.unwrap();
}

const AGENTS: usize = 64;
const STEPS: usize = 20;

/// What an agent of the restarts does: each step is saved after what it was given before, and the
/// output of its task is stored first.
async fn agent(checkpointer: PostgresCheckpointer, number: usize, done: Arc<watch::Sender<usize>>) {
    let thread_id = ThreadId::new(format!("agent-{number}")).unwrap();
    let task = TaskId::new("task").unwrap();
    let mut last: Option<CheckpointAddress> = None;
    for step in 0..STEPS {
        let parent = last.as_ref().map(|last| &last.checkpoint_id);
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(parent));
        let (channel, version) = ("steps".to_owned(), Version::from(step as i64));
        checkpoint.channel_versions.insert(channel.clone(), version);
        let steps: Vec<_> = (0..=step).collect();
        checkpoint.channel_values.insert(channel, steps.into());
        let metadata = Metadata::new(Source::Loop, step as i64);
        let put = match &last {
            Some(last) => Put::after(last, &checkpoint, &metadata).expect_head(&last.checkpoint_id),
            None => Put::new(&thread_id, &checkpoint, &metadata).expect_no_head(),
        };
        let address = checkpointer.put(put).await.unwrap();
        let writes = [("output".to_owned(), step.into())];
        let writes = PutWrites::new(&address, &task, &writes);
        checkpointer.put_writes(writes).await.unwrap();
        last = Some(address);
        done.send_modify(|done| *done += 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_end_with_all_their_steps_and_none_twice_though_the_server_restarts() {
    for mode in ["session", "transaction"] {
        let server = PrivateServer::start(&[]).await.unwrap();
        let variables = [
            ("DB_POOL_MODE", mode),
            // However long a busy machine takes.
            ("DB_RETRY_TIMEOUT", "10min"),
            ("DB_RETRY_ATTEMPTS", "10000"),
        ];
        let settings = settings_for(&server.url(), &variables);
        let database = db::Database::connect(&settings).await.unwrap();
        let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
        let done = Arc::new(watch::Sender::new(0));
        let agents = (0..AGENTS)
            .map(|number| tokio::spawn(agent(checkpointer.clone(), number, Arc::clone(&done))));
        let agents: Vec<_> = agents.collect();
        for (quarter, stop) in [(1, Stop::Fast), (2, Stop::Immediate), (3, Stop::Immediate)] {
            let mut steps = done.subscribe();
            let enough = |steps: &usize| *steps >= AGENTS * STEPS * quarter / 4;
            steps.wait_for(enough).await.unwrap();
            server.stop(stop).await.unwrap();
            server.start_again().await.unwrap();
        }
        for agent in agents {
            agent.await.unwrap();
        }
        for number in 0..AGENTS {
            let thread_id = ThreadId::new(format!("agent-{number}")).unwrap();
            let listed = checkpointer.list(List::thread(thread_id).unwrap());
            let mut listed: Vec<_> = listed.try_collect().await.unwrap();
            listed.reverse();
            assert_eq!(listed.len(), STEPS);
            let mut parent = None;
            for (step, tuple) in listed.iter().enumerate() {
                let before = tuple.parent_address.as_ref();
                assert_eq!(before.map(|address| &address.checkpoint_id), parent);
                let steps: Vec<_> = (0..=step).collect();
                assert_eq!(tuple.checkpoint.channel_values["steps"], json!(steps));
                let [write] = &tuple.pending_writes[..] else {
                    panic!("{:?}", tuple.pending_writes);
                };
                assert_eq!(*write.value, json!(step));
                parent = Some(&tuple.address.checkpoint_id);
            }
        }
        assert_eq!(database.state().waiting, 0);
    }
}
