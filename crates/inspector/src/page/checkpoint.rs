//! A checkpoint: its questions, what changed, its conversation, its state, what its tasks have left, and
//! what is said about it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use checkpointer::channels::{ERROR, INTERRUPT, RESUME, SCHEDULED};
use checkpointer::serde_json::Value;
use checkpointer::{CheckpointTuple, Checkpointer, GetTuple, PendingWrite, Projection};
use tokio::task::spawn_blocking;

use super::app::App;
use super::asked;
use super::changes::Changes;
use super::conversation::{Conversation, messages};
use super::document;
use super::facts::Facts;
use super::lanes::enclosing;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Shown, show};
use super::tree::{self, Branch, Tree};
use super::weight::{self, Heavy};
use crate::facts::{changed_versions, is_inner};
use crate::{Pending, TaskWrites};

/// How many tasks are shown.
const TASKS: usize = 200;

/// How much of an error is shown at the top, in characters.
const LONG_ERROR: usize = 2_000;

/// A checkpoint, as it is shown beside the list of all.
#[derive(Template)]
#[template(path = "checkpoint.html")]
pub(super) struct Shape {
    pub(super) place: Place,
    pub(super) facts: Facts,
    ns: String,
    pinned: bool,
    parent: Option<Place>,
    enclosing: Option<Place>,
    questions: Vec<Question>,
    failures: Vec<Failure>,
    changes: Changes,
    conversations: Vec<(String, Conversation)>,
    size: String,
    heavy: Vec<Heavy>,
    state: Tree,
    inner: Tree,
    tasks: Vec<Task>,
    tasks_left_out: usize,
    metadata: Tree,
    versions: Vec<(String, String)>,
    /// The page's key, and the head that a fork takes the place of, if the page may write.
    writes: Option<(String, String)>,
}

/// What a task asks.
struct Question {
    task: String,
    shown_task: String,
    text: Option<String>,
    value: Tree,
    answered: bool,
    /// What a form carries that answers it.
    seen: String,
}

/// What a task has failed with.
struct Failure {
    task: String,
    text: Option<String>,
    value: Tree,
}

/// What a task has left.
struct Task {
    id: String,
    state: &'static str,
    writes: Tree,
}

/// The part of a thread's page that shows a checkpoint.
pub(super) async fn part(State(app): State<Arc<App>>, Query(place): Query<Place>) -> Shown {
    show(&read(&app, &place).await?)
}

/// Reads a checkpoint as a page shows it.
pub(super) async fn read(app: &App, place: &Place) -> Result<Shape, Problem> {
    let turn = app.turn().await?;
    let tuple = document::read(&*turn, place, Projection::All).await?;
    let parent = read_parent(&*turn, &tuple).await?;
    let writes = match app.options.allow_writes {
        true => Some((app.form_key.as_str().to_owned(), head(&*turn, place).await?)),
        false => None,
    };
    drop(turn);
    // A large state keeps a processor busy for a while.
    let shape = spawn_blocking(move || Shape::of(&tuple, parent.as_ref(), writes));
    shape.await.map_err(|_| Problem::broken())
}

/// The head of the namespace.
async fn head(checkpointer: &dyn Checkpointer, place: &Place) -> Result<String, Problem> {
    let head = Place {
        at: String::new(),
        ..place.clone()
    };
    let head = document::read(checkpointer, &head, Projection::Metadata).await?;
    Ok(head.address.checkpoint_id.to_string())
}

/// Reads of the parent what differs: the versions first, and then the values that have another one.
async fn read_parent(
    checkpointer: &dyn Checkpointer,
    tuple: &CheckpointTuple,
) -> Result<Option<CheckpointTuple>, Problem> {
    let Some(address) = &tuple.parent_address else {
        return Ok(None);
    };
    let versions = Projection::channels(Vec::<String>::new());
    let Some(parent) = checkpointer
        .get_tuple(GetTuple::at(address).project(versions))
        .await?
    else {
        return Ok(None);
    };
    let changed: Vec<_> = changed_versions(&tuple.checkpoint, &parent.checkpoint)
        .cloned()
        .collect();
    let values = GetTuple::at(address).project(Projection::Channels(changed));
    Ok(checkpointer.get_tuple(values).await?)
}

impl Shape {
    fn of(
        tuple: &CheckpointTuple,
        parent: Option<&CheckpointTuple>,
        writes: Option<(String, String)>,
    ) -> Self {
        let place = Place::of(&tuple.address);
        let (size, state, inner) = state(tuple, &place);
        let pending = Pending::of(tuple);
        let tasks = pending.tasks.iter().take(TASKS);
        let metadata = tuple.metadata.as_map();
        Self {
            facts: Facts::of(tuple, parent),
            ns: shown::start(&place.ns, 120),
            pinned: tuple.pinned,
            parent: parent.map(|parent| Place::of(&parent.address)),
            enclosing: enclosing(tuple).map(|(ns, id)| Place {
                id: place.id.clone(),
                ns: ns.to_owned(),
                at: id.to_owned(),
            }),
            questions: tasks
                .clone()
                .filter_map(|task| Question::of(task, tuple, &place))
                .collect(),
            failures: tasks
                .clone()
                .filter_map(|task| Failure::of(task, tuple, &place))
                .collect(),
            changes: parent.map_or_else(Changes::default, |parent| changes(parent, tuple)),
            conversations: conversations(tuple, &place),
            size: shown::size(size),
            heavy: weight::heavy(&tuple.checkpoint.channel_values, size),
            state,
            inner,
            tasks: tasks.map(|task| Task::of(task, tuple, &place)).collect(),
            tasks_left_out: pending.tasks.len().saturating_sub(TASKS),
            metadata: Tree::of_all(
                metadata.iter().map(|(key, value)| (key, &**key, value)),
                &place,
                "/metadata",
            ),
            versions: versions(tuple),
            writes,
            place,
        }
    }
}

/// The difference to the parent, of the channels whose versions differ.
fn changes(parent: &CheckpointTuple, tuple: &CheckpointTuple) -> Changes {
    let changed: Vec<_> = changed_versions(&tuple.checkpoint, &parent.checkpoint).collect();
    let mut after = tuple.checkpoint.channel_values.clone();
    after.retain(|channel, _| changed.contains(&channel));
    Changes::between(&parent.checkpoint.channel_values, &after)
}

fn conversations(tuple: &CheckpointTuple, place: &Place) -> Vec<(String, Conversation)> {
    let channels = tuple.checkpoint.channel_values.iter();
    let conversation = |(channel, value): (&String, &Value)| {
        let messages = messages(value)?;
        let path = tree::below("/state", channel);
        let conversation = Conversation::of(messages, messages.len(), place, &path);
        Some((shown::start(channel, 80), conversation))
    };
    channels.filter_map(conversation).collect()
}

/// The state's size in bytes, its channels, and those that the runtime keeps for itself.
fn state(tuple: &CheckpointTuple, place: &Place) -> (usize, Tree, Tree) {
    let values = &tuple.checkpoint.channel_values;
    let sizes: Vec<usize> = values.values().map(tree::bytes).collect();
    let total = sizes.iter().sum::<usize>();
    let (mut state, mut inner) = (Tree::default(), Tree::default());
    for ((channel, value), bytes) in values.iter().zip(sizes) {
        let mut branch = Branch::of(channel, value, place, "/state");
        branch.share = Some(bytes * 100 / total.max(1));
        let tree = if is_inner(channel) {
            &mut inner
        } else {
            &mut state
        };
        tree.branches.push(branch);
    }
    (total, state, inner)
}

fn versions(tuple: &CheckpointTuple) -> Vec<(String, String)> {
    let versions = tuple.checkpoint.channel_versions.iter();
    let shown = |(channel, version): (&String, &checkpointer::Version)| {
        (
            shown::start(channel, 80),
            shown::start(&version.to_string(), 80),
        )
    };
    versions.map(shown).collect()
}

impl Question {
    /// The question of a task that has no output yet.
    fn of(task: &TaskWrites<'_>, tuple: &CheckpointTuple, place: &Place) -> Option<Self> {
        let seen = asked::seen(task)?;
        let question = task.question?;
        let asked = asked(question);
        let text = asked.as_str().map(shown::lines);
        let value = match text {
            Some(_) => Tree::default(),
            None => {
                let write = written(tuple, "question", |write| is(write, task, INTERRUPT))?;
                Tree::of_all([write], place, "/writes")
            }
        };
        Some(Self {
            task: task.task_id.to_string(),
            shown_task: shown::start(task.task_id.as_str(), 120),
            text,
            value,
            answered: task.answers.is_some(),
            seen,
        })
    }
}

impl Failure {
    fn of(task: &TaskWrites<'_>, tuple: &CheckpointTuple, place: &Place) -> Option<Self> {
        let error = task.error?;
        let text = error.as_str().map(|text| shown::lines_of(text, LONG_ERROR));
        let value = match text {
            Some(_) => Tree::default(),
            None => {
                let write = written(tuple, "error", |write| is(write, task, ERROR))?;
                Tree::of_all([write], place, "/writes")
            }
        };
        Some(Self {
            task: shown::start(task.task_id.as_str(), 120),
            text,
            value,
        })
    }
}

/// What is asked: LangGraph wraps it into a list and an object.
fn asked(question: &Value) -> &Value {
    let only = match question {
        Value::Array(questions) if questions.len() == 1 => &questions[0],
        question => question,
    };
    match only.get("value") {
        Some(value) if only.get("id").is_some() || only.get("!").is_some() => value,
        _ => only,
    }
}

impl Task {
    fn of(task: &TaskWrites<'_>, tuple: &CheckpointTuple, place: &Place) -> Self {
        Self {
            id: shown::start(task.task_id.as_str(), 120),
            state: task.state.as_str(),
            writes: Tree::of_all(left(task, tuple), place, "/writes"),
        }
    }
}

/// What a task has left: what is noted of it, and its outputs.
fn left<'a>(
    task: &TaskWrites<'a>,
    tuple: &'a CheckpointTuple,
) -> impl Iterator<Item = (String, &'a str, &'a Value)> {
    let notes = [
        ("question", INTERRUPT),
        ("answers", RESUME),
        ("error", ERROR),
        ("scheduled", SCHEDULED),
    ];
    let notes = notes
        .into_iter()
        .filter_map(move |(name, channel)| written(tuple, name, |write| is(write, task, channel)));
    let outputs = task.outputs.iter().copied();
    let outputs = outputs.filter_map(move |output| {
        written(tuple, &output.channel, |write| std::ptr::eq(write, output))
    });
    notes.chain(outputs)
}

/// A pending write's place among all, the name it is shown with, and its value.
fn written<'a>(
    tuple: &'a CheckpointTuple,
    name: &'a str,
    is_meant: impl Fn(&PendingWrite) -> bool,
) -> Option<(String, &'a str, &'a Value)> {
    // By its value alone it can't be found: several writes may share theirs.
    let at = tuple.pending_writes.iter().rposition(is_meant)?;
    Some((at.to_string(), name, &tuple.pending_writes[at].value))
}

/// Whether a write is what a task has left in one of the special channels.
fn is(write: &PendingWrite, task: &TaskWrites<'_>, channel: &str) -> bool {
    write.task_id == *task.task_id && write.channel == channel
}

#[cfg(test)]
mod tests;
