//! What each request does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer, Error, HeadChange, History, Watch,
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Conversation, Failure, open};

type App = State<Arc<dyn Checkpointer>>;

/// A message.
#[derive(Deserialize)]
pub(crate) struct Message {
    text: String,
    /// The checkpoint that its author has seen last. If the conversation has gone on since, the
    /// message isn't taken.
    after: Option<String>,
}

/// Adds a message.
pub(crate) async fn say(
    State(checkpointer): App,
    Path(thread_id): Path<String>,
    Json(message): Json<Message>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let mut thread = open(&checkpointer, &thread_id)?;
    match &message.after {
        // Whatever has been said since, it fits.
        None => {
            let add = |state: &mut Conversation| state.messages.push(message.text.clone());
            thread.update(add).await?;
        }
        Some(after) => {
            let after = CheckpointId::new(after)?;
            // A save follows the checkpoint that was seen, and conflicts if there is a newer one.
            let mut state = thread.load().await?.unwrap_or_default();
            let head = thread.checkpoint_id().cloned();
            if head.as_ref() != Some(&after) {
                return Err(Failure::TooLate { head });
            }
            state.messages.push(message.text);
            thread.save(&state).await?;
        }
    }
    let saved = thread.checkpoint_id().map(CheckpointId::as_str);
    Ok((StatusCode::CREATED, Json(json!({ "checkpoint_id": saved }))))
}

/// Reads the messages, and the checkpoint to say something after.
pub(crate) async fn read(
    State(checkpointer): App,
    Path(thread_id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let mut thread = open(&checkpointer, &thread_id)?;
    let state = thread.load().await?;
    let state = state.ok_or_else(|| Error::thread_not_found(thread.thread_id()))?;
    let checkpoint_id = thread.checkpoint_id().map(CheckpointId::as_str);
    Ok(Json(
        json!({ "messages": state.messages, "checkpoint_id": checkpoint_id }),
    ))
}

/// A page of a history.
#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<String>,
    limit: Option<usize>,
}

/// Lists the checkpoints, the newest first.
pub(crate) async fn history(
    State(checkpointer): App,
    Path(thread_id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Failure> {
    let mut history = History::all().limit(page.limit.unwrap_or(20).min(100));
    if let Some(before) = page.before {
        history = history.before(CheckpointId::new(before)?);
    }
    let steps = open(&checkpointer, &thread_id)?.history_of(history);
    let steps = steps.map_ok(|step| {
        let made_at = step.checkpoint.made_at();
        let since = made_at.and_then(|made_at| made_at.duration_since(UNIX_EPOCH).ok());
        json!({
            "checkpoint_id": step.address.checkpoint_id.as_str(),
            "made_at": since.map(|since| since.as_secs()),
            "step": step.metadata.step(),
        })
    });
    let steps: Vec<Value> = steps.try_collect().await?;
    Ok(Json(json!({ "steps": steps })))
}

/// A fork into a thread of its own.
#[derive(Deserialize)]
pub(crate) struct Fork {
    checkpoint_id: String,
    into: String,
}

/// Begins another conversation where this one was.
pub(crate) async fn fork(
    State(checkpointer): App,
    Path(thread_id): Path<String>,
    Json(fork): Json<Fork>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let thread = open(&checkpointer, &thread_id)?;
    let checkpoint_id = CheckpointId::new(fork.checkpoint_id)?;
    let (forked, state) = thread.fork_into(fork.into, &checkpoint_id).await?;
    let checkpoint_id = forked.checkpoint_id().map(CheckpointId::as_str);
    let forked = json!({ "messages": state.messages, "checkpoint_id": checkpoint_id });
    Ok((StatusCode::CREATED, Json(forked)))
}

/// Tells of each new head, by its id, whichever program has saved it. The browser then reads what it
/// wants to show: it may miss an event, but not the last one.
pub(crate) async fn events(
    State(checkpointer): App,
    Path(thread_id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let watch = Watch::thread(thread_id)?.in_ns(CheckpointNs::ROOT);
    let changes = checkpointer.watch(watch).await?;
    let events = changes.take_while(|change| std::future::ready(change.is_ok()));
    let events = events.filter_map(async |change| {
        Some(Ok(match change.ok()? {
            HeadChange::Moved(CheckpointAddress { checkpoint_id, .. }) => {
                Event::default().event("head").data(checkpoint_id.as_str())
            }
            _ => Event::default().event("deleted").data(""),
        }))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
