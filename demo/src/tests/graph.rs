//! The graph runner, on a checkpointer in memory.

use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use async_trait::async_trait;
use checkpointer::{CheckpointTuple, Checkpointer, GetTuple, MemoryCheckpointer, ThreadId};
use serde_json::{Value, json};

use crate::event::Event;
use crate::graph::{Graph, Node, Outcome, Output, State, Task};
use crate::history;

/// Squares numbers, one task each.
struct Square {
    failing: Option<Value>,
}

#[async_trait]
impl Node for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn split(&self, _state: &State) -> Result<Vec<Value>> {
        Ok(vec![json!(1), json!(2), json!(3)])
    }

    async fn run(&self, task: Task) -> Result<Output> {
        if self.failing.as_ref() == Some(&task.input) {
            bail!("no answer for {}", task.input);
        }
        let number = task.input.as_u64().unwrap();
        Ok(Output::Writes(vec![(
            "squares".to_owned(),
            json!(number * number),
        )]))
    }
}

/// Writes nothing once there is a message.
struct Ask;

#[async_trait]
impl Node for Ask {
    fn name(&self) -> &'static str {
        "ask"
    }

    async fn run(&self, task: Task) -> Result<Output> {
        Ok(match task.resume {
            Some(_) => Output::Writes(Vec::new()),
            None => Output::Interrupt("go on?".into()),
        })
    }
}

/// A thread in memory, and what happens on it.
struct Fixture {
    checkpointer: Arc<dyn Checkpointer>,
    thread_id: ThreadId,
    events: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            checkpointer: Arc::new(MemoryCheckpointer::new()),
            thread_id: ThreadId::new("thread").unwrap(),
            events: Arc::default(),
        }
    }

    /// The graph as a new process would make it.
    fn graph(&self, failing: Option<Value>) -> Graph {
        let events = Arc::clone(&self.events);
        let nodes: Vec<Arc<dyn Node>> = vec![Arc::new(Square { failing }), Arc::new(Ask)];
        let report = move |event: Event| events.lock().unwrap().push(event.to_string());
        Graph::new(Arc::clone(&self.checkpointer), nodes, report)
            .parallel(2)
            .collecting(&["squares"])
    }

    /// The tasks started since the last call.
    fn started(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        let events = events.iter();
        let started = events.filter_map(|event| event.strip_prefix("started "));
        started.map(str::to_owned).collect()
    }

    async fn head(&self) -> CheckpointTuple {
        let head = self
            .checkpointer
            .get_tuple(GetTuple::head(&self.thread_id).unwrap());
        head.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_recorded_task_never_runs_again() {
    let fixture = Fixture::new();
    let first = fixture.graph(Some(json!(2)));
    first.start(&fixture.thread_id, State::new()).await.unwrap();
    let error = first.resume(&fixture.thread_id, None).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "task `square-00001` failed: no answer for 2"
    );
    assert_eq!(fixture.started().len(), 3);

    let second = fixture.graph(None);
    let outcome = second.resume(&fixture.thread_id, None).await.unwrap();
    assert!(matches!(outcome, Outcome::Interrupted(question) if question == "go on?"));
    assert_eq!(fixture.started(), ["square-00001", "ask-00000"]);
    let squares = &fixture.head().await.checkpoint.channel_values["squares"];
    assert_eq!(*squares, json!([1, 4, 9]));
}

#[tokio::test]
async fn a_question_waits_for_its_answer() {
    let fixture = Fixture::new();
    let graph = fixture.graph(None);
    graph.start(&fixture.thread_id, State::new()).await.unwrap();
    graph.resume(&fixture.thread_id, None).await.unwrap();
    fixture.started();
    let outcome = fixture.graph(None).resume(&fixture.thread_id, None).await;
    assert!(matches!(outcome.unwrap(), Outcome::Interrupted(_)));
    assert_eq!(fixture.started(), Vec::<String>::new());
    let answered = fixture
        .graph(None)
        .resume(&fixture.thread_id, Some(json!(true)))
        .await;
    assert!(matches!(answered.unwrap(), Outcome::Finished));
    assert_eq!(fixture.started(), ["ask-00000"]);
}

#[tokio::test]
async fn a_fork_leaves_the_other_branch_as_it_was() {
    let fixture = Fixture::new();
    let graph = fixture.graph(None);
    graph.start(&fixture.thread_id, State::new()).await.unwrap();
    graph.resume(&fixture.thread_id, None).await.unwrap();
    graph
        .resume(&fixture.thread_id, Some(json!(true)))
        .await
        .unwrap();
    let end = fixture.head().await;
    let history = history::list(&fixture.checkpointer, &fixture.thread_id)
        .await
        .unwrap();
    let branch = history::branch(&history, &end.address.checkpoint_id);
    let steps: Vec<_> = branch
        .iter()
        .map(|tuple| tuple.metadata.step().unwrap())
        .collect();
    assert_eq!(steps, [1, 0, -1]);

    let squared = GetTuple::at(&branch[1].address);
    let squared = fixture
        .checkpointer
        .get_tuple(squared)
        .await
        .unwrap()
        .unwrap();
    let changes = vec![("squares".to_owned(), json!(["other"]))];
    graph
        .fork(&squared, &end.address.checkpoint_id, changes)
        .await
        .unwrap();
    let outcome = graph.resume(&fixture.thread_id, None).await.unwrap();
    assert!(matches!(outcome, Outcome::Interrupted(_)));
    let other = fixture.head().await;
    assert_eq!(other.checkpoint.channel_values["squares"], json!(["other"]));
    let again = GetTuple::at(&end.address);
    assert_eq!(
        fixture.checkpointer.get_tuple(again).await.unwrap(),
        Some(end)
    );
}

#[tokio::test]
async fn a_second_start_is_refused() {
    let fixture = Fixture::new();
    let graph = fixture.graph(None);
    graph.start(&fixture.thread_id, State::new()).await.unwrap();
    let error = graph
        .start(&fixture.thread_id, State::new())
        .await
        .unwrap_err();
    assert!(matches!(
        error.downcast_ref(),
        Some(checkpointer::Error::Conflict { .. })
    ));
}
