//! What the page may change, where that is allowed: it forks, answers questions, pins checkpoints and
//! changes the metadata of threads. Each form carries the page's key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use checkpointer::channels::RESUME;
use checkpointer::serde_json::{Map, Value};
use checkpointer::{CheckpointId, CheckpointTuple, Projection, PutWrites, TaskId};
use serde::Deserialize;

use super::app::App;
use super::links::Place;
use super::problem::Problem;
use super::{asked, document, shown};
use crate::{Pending, json, unreadable_for_langgraph};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fork", post(fork))
        .route("/answer", post(answer))
        .route("/pin", post(pin))
        .route("/metadata", post(change_metadata))
}

/// Asks to make a checkpoint that follows an earlier one.
#[derive(Deserialize)]
struct Fork {
    #[serde(flatten)]
    place: Place,
    form_key: String,
    /// The head that the person has seen.
    #[serde(default)]
    head: String,
    /// The channels that get another value, as a JSON object.
    #[serde(default)]
    changes: String,
}

async fn fork(State(app): State<Arc<App>>, Form(fork): Form<Fork>) -> Result<Response, Problem> {
    app.form_key.check(&fork.form_key)?;
    let head = CheckpointId::new(&fork.head)?;
    let changes = object(&fork.changes)?;
    let turn = app.turn().await?;
    let from = document::read(&*turn, &fork.place, Projection::All).await?;
    for (channel, value) in &changes {
        let what = || format!("the value of `{}`", shown::start(channel, 80));
        readable(&from, value, what)?;
    }
    let stored = crate::fork(&*turn, &from, &head, changes).await?;
    Ok(see(&Place::of(&stored)))
}

/// Asks to answer a task's question.
#[derive(Deserialize)]
struct Answer {
    #[serde(flatten)]
    place: Place,
    form_key: String,
    task: String,
    /// What the task had asked and been answered when the person looked.
    #[serde(default)]
    seen: String,
    answer: String,
}

async fn answer(
    State(app): State<Arc<App>>,
    Form(answer): Form<Answer>,
) -> Result<Response, Problem> {
    app.form_key.check(&answer.form_key)?;
    let task = TaskId::new(&answer.task)?;
    let given = json_or_text(&answer.answer)?;
    let turn = app.turn().await?;
    let at = document::read(&*turn, &answer.place, Projection::All).await?;
    let pending = Pending::of(&at);
    let asking = pending.tasks.iter().find(|asking| *asking.task_id == task);
    if asking.and_then(asked::seen).as_ref() != Some(&answer.seen) {
        return Err(Problem::asked_otherwise());
    }
    let answers = answers(&at, &task, given);
    readable(&at, &answers, || "the answer".to_owned())?;
    let writes = [(RESUME.to_owned(), answers)];
    // It stands among the task's other writes.
    let others = at.pending_writes.iter().find(|write| write.task_id == task);
    let path = others.map_or("", |write| &*write.task_path);
    turn.put_writes(PutWrites::new(&at.address, &task, &writes).task_path(path))
        .await?;
    Ok(see(&answer.place))
}

/// The answers that a task has, and one more.
fn answers(at: &CheckpointTuple, task: &TaskId, answer: Value) -> Value {
    let mut writes = at.pending_writes.iter();
    let given = writes.find(|write| write.task_id == *task && write.channel == RESUME);
    let mut answers = match given.map(|write| &*write.value) {
        Some(Value::Array(answers)) => answers.clone(),
        Some(answer) => vec![answer.clone()],
        None => Vec::new(),
    };
    answers.push(answer);
    answers.into()
}

/// Asks to pin a checkpoint, or to unpin it.
#[derive(Deserialize)]
struct Pin {
    #[serde(flatten)]
    place: Place,
    form_key: String,
    /// `true` or `false`.
    pinned: String,
}

async fn pin(State(app): State<Arc<App>>, Form(pin): Form<Pin>) -> Result<Response, Problem> {
    app.form_key.check(&pin.form_key)?;
    let pinned = pin.pinned.parse();
    let pinned = pinned.map_err(|_| Problem::malformed("`pinned` must be `true` or `false`"))?;
    let turn = app.turn().await?;
    let at = document::read(&*turn, &pin.place, Projection::Metadata).await?;
    turn.set_pinned(&at.address, pinned).await?;
    Ok(see(&Place::of(&at.address)))
}

/// Asks to change one key of a thread's metadata.
#[derive(Deserialize)]
struct ChangeMetadata {
    #[serde(flatten)]
    place: Place,
    form_key: String,
    key: String,
    /// JSON, or a text.
    #[serde(default)]
    value: String,
    /// Whether the key is to go.
    remove: Option<String>,
}

async fn change_metadata(
    State(app): State<Arc<App>>,
    Form(change): Form<ChangeMetadata>,
) -> Result<Response, Problem> {
    app.form_key.check(&change.form_key)?;
    if change.key.is_empty() {
        return Err(Problem::malformed("the key is empty"));
    }
    let value = match change.remove {
        Some(_) => Value::Null,
        None => json_or_text(&change.value)?,
    };
    let changes = Map::from_iter([(change.key, value)]);
    let turn = app.turn().await?;
    turn.update_thread_metadata(&change.place.thread_id()?, changes)
        .await?;
    Ok(see(&change.place))
}

/// Refuses what LangGraph couldn't read in a thread of its own.
fn readable(
    at: &CheckpointTuple,
    value: &Value,
    what: impl FnOnce() -> String,
) -> Result<(), Problem> {
    match unreadable_for_langgraph(at, value) {
        None => Ok(()),
        Some(why) => Err(Problem::malformed(format!(
            "LangGraph couldn't read {}: {why}",
            what()
        ))),
    }
}

/// Leads to where the change can be seen.
fn see(place: &Place) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, place.link("thread"))]).into_response()
}

/// A JSON object; an empty one where nothing is written.
fn object(text: &str) -> Result<Map<String, Value>, Problem> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    json::object(text).map_err(|error| Problem::malformed(format!("no JSON object: {error}")))
}

/// What a person writes: JSON, or else a text. A number that JSON would change is a text, such as that of an
/// account.
fn json_or_text(text: &str) -> Result<Value, Problem> {
    let Ok(value) = checkpointer::serde_json::from_str::<Value>(text) else {
        return Ok(text.into());
    };
    match json::changed_number(text) {
        None => Ok(value),
        Some(number) if value.is_number() => Ok(number.into()),
        Some(number) => Err(Problem::malformed(format!(
            "the number {number} would lose digits; write it as a text, in quotes"
        ))),
    }
}
