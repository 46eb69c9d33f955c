//! What a checkpoint holds as one document, of which the page asks for parts: `/state/CHANNEL/…`,
//! `/writes/N/…` and `/metadata/…`, or for a list of them: `/state`, `/inner`, `/writes`, `/metadata`.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use checkpointer::serde_json::Value;
use checkpointer::{CheckpointTuple, Checkpointer, GetTuple, Projection};
use serde::Deserialize;

use super::app::App;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Shown, show};
use super::tree::Tree;
use super::{channels, tasks};

/// How much of a long text is shown at once, in characters.
const TEXT: usize = 50_000;

/// The part that a request asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    path: String,
    #[serde(default)]
    from: usize,
}

#[derive(Template)]
#[template(path = "text.html")]
struct Text {
    text: String,
    more: Option<(String, usize)>,
}

/// A part of a checkpoint: what is in an array or object, or a long text.
pub(super) async fn value(
    State(app): State<Arc<App>>,
    Query(place): Query<Place>,
    Query(part): Query<Part>,
) -> Shown {
    let turn = app.turn().await?;
    let tuple = read(&*turn, &place, projection(&part.path)).await?;
    if let Some(list) = list(&tuple, &place, &part) {
        return show(&list);
    }
    let Some(value) = find(&tuple, &part.path) else {
        return Err(Problem::not_found("the checkpoint has no such value"));
    };
    match value {
        Value::String(text) => show(&Text::of(text, &place, &part)),
        value => show(&Tree::of(value, &place, &part.path, part.from)),
    }
}

impl Text {
    fn of(text: &str, place: &Place, part: &Part) -> Self {
        let all = text.chars().count();
        let rest = all.saturating_sub(part.from.saturating_add(TEXT));
        let shown: String = text.chars().skip(part.from).take(TEXT).collect();
        let more = (rest > 0).then(|| {
            let from = (part.from + TEXT).to_string();
            (
                place.link_with("value", &[("path", &part.path), ("from", &from)]),
                rest,
            )
        });
        Self {
            text: shown::lines(&shown),
            more,
        }
    }
}

/// Reads a checkpoint; the head if the place names none.
pub(super) async fn read(
    checkpointer: &dyn Checkpointer,
    place: &Place,
    projection: Projection,
) -> Result<CheckpointTuple, Problem> {
    let mut query = GetTuple::head(place.thread_id()?)?
        .in_ns(place.checkpoint_ns()?)
        .project(projection);
    if let Some(id) = place.checkpoint_id()? {
        query = query.checkpoint_id(id);
    }
    let tuple = checkpointer.get_tuple(query).await?;
    tuple.ok_or_else(|| Problem::not_found("there is no such checkpoint"))
}

/// How much of a checkpoint a path needs.
pub(super) fn projection(path: &str) -> Projection {
    let (part, rest) = split(path);
    match part.as_str() {
        "state" | "inner" if rest.is_empty() => Projection::All,
        "state" => Projection::channels([split(rest).0]),
        "writes" => Projection::All,
        _ => Projection::Metadata,
    }
}

/// All channels, pending writes or members of the metadata: the page has only the first.
fn list(tuple: &CheckpointTuple, place: &Place, part: &Part) -> Option<Tree> {
    match part.path.as_str() {
        list @ (channels::STATE | channels::INNER) => {
            let total = channels::bytes(tuple);
            Some(channels::page(tuple, list, total, part.from, place))
        }
        tasks::WRITES => Some(tasks::page(tuple, part.from, place)),
        path @ "/metadata" => {
            let metadata = tuple.metadata.as_map();
            Some(Tree::members(metadata, part.from, place, path))
        }
        _ => None,
    }
}

/// The value at a path.
pub(super) fn find<'a>(tuple: &'a CheckpointTuple, path: &str) -> Option<&'a Value> {
    let (part, rest) = split(path);
    let (name, rest) = split(rest);
    let value = match part.as_str() {
        "state" => tuple.checkpoint.channel_values.get(&name)?,
        "writes" => &tuple.pending_writes.get(name.parse::<usize>().ok()?)?.value,
        "metadata" => tuple.metadata.get(&name)?,
        _ => return None,
    };
    value.pointer(rest)
}

/// The first name of a path, and the rest.
fn split(path: &str) -> (String, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let end = path.find('/').unwrap_or(path.len());
    (
        path[..end].replace("~1", "/").replace("~0", "~"),
        &path[end..],
    )
}
