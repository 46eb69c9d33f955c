//! A thread: its checkpoints as a drawing, and one of them beside it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use checkpointer::{CheckpointId, GetTuple, Projection};
use serde::Deserialize;

use super::app::App;
use super::checkpoint::{self, Shape};
use super::lanes::Lanes;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Frame, Shown, show};
use super::timeline::{Cursor, Timeline};

#[derive(Template)]
#[template(path = "thread.html")]
struct Page {
    frame: Frame,
    thread: String,
    place: Place,
    follows: bool,
    timeline: String,
    /// Stands for the list, to ask whether it has changed.
    seen: String,
    shape: Shape,
}

/// The page of a thread. Without a checkpoint it shows the head.
pub(super) async fn page(State(app): State<Arc<App>>, Query(place): Query<Place>) -> Shown {
    let timeline = first(&app, &place).await?;
    let Some((mut timeline, head)) = timeline else {
        return Err(Problem::not_found("there is no such thread"));
    };
    let seen = seen(&timeline)?;
    let shown = shown_first(&place, &timeline, head.as_ref());
    let shape = checkpoint::read(&app, &shown).await?;
    timeline.select(&shape.place);
    show(&Page {
        frame: Frame::new(shown::start(&place.id, 120)),
        thread: shown::start(&place.id, 520),
        follows: place.at.is_empty(),
        place,
        timeline: timeline.render()?,
        seen,
        shape,
    })
}

/// The checkpoint that a page begins with: the one it names, the head of a namespace, or the newest.
fn shown_first(place: &Place, timeline: &Timeline, head: Option<&CheckpointId>) -> Place {
    if !place.at.is_empty() || !place.ns.is_empty() {
        return place.clone();
    }
    match (head, timeline.rows.first()) {
        (Some(head), _) => Place {
            at: head.to_string(),
            ..place.clone()
        },
        (None, Some(newest)) => newest.place.clone(),
        (None, None) => place.clone(),
    }
}

/// Which of a thread's checkpoints a request asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    before: String,
    #[serde(default)]
    lanes: String,
    /// What stands for the list that the browser has.
    #[serde(default)]
    seen: String,
}

/// Older checkpoints, or the newest ones if they have changed.
pub(super) async fn history(
    State(app): State<Arc<App>>,
    Query(place): Query<Place>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    if !which.before.is_empty() {
        return older(&app, &place, &which)
            .await
            .map(IntoResponse::into_response);
    }
    let Some((mut timeline, _)) = first(&app, &place).await? else {
        return Err(Problem::not_found("there is no such thread"));
    };
    let seen = seen(&timeline)?;
    if seen == which.seen {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    timeline.select(&place);
    Ok(([("x-seen", seen)], Html(timeline.render()?)).into_response())
}

async fn older(app: &App, place: &Place, which: &Which) -> Shown {
    let before = CheckpointId::new(&which.before).map_err(Problem::from)?;
    let cursor = Cursor {
        before: Some(before),
        lanes: Lanes::parse(&which.lanes),
    };
    let turn = app.turn().await?;
    let timeline = Timeline::read(&*turn, place, cursor).await?;
    show(&timeline.unwrap_or_default())
}

/// The newest checkpoints, and the head of the root graph.
async fn first(
    app: &App,
    place: &Place,
) -> Result<Option<(Timeline, Option<CheckpointId>)>, Problem> {
    let turn = app.turn().await?;
    let Some(mut timeline) = Timeline::read(&*turn, place, Cursor::default()).await? else {
        return Ok(None);
    };
    let head = GetTuple::head(place.thread_id()?)?.project(Projection::Metadata);
    let head = turn
        .get_tuple(head)
        .await?
        .map(|head| head.address.checkpoint_id);
    timeline.mark_head(head.as_ref());
    Ok(Some((timeline, head)))
}

/// What stands for a list in which nothing is selected.
fn seen(timeline: &Timeline) -> Result<String, Problem> {
    let hash = blake3::hash(timeline.render()?.as_bytes());
    Ok(hash.to_hex()[..16].to_owned())
}
