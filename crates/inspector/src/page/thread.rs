//! A thread: its checkpoints as a drawing, and one of them beside it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use checkpointer::{CheckpointId, GetTuple, Projection};
use serde::Deserialize;

use super::about;
use super::app::App;
use super::checkpoint::{self, Shape};
use super::lanes::Lanes;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Frame, Shown, show};
use super::sought::Sought;
use super::timeline::{Cursor, Timeline};

#[derive(Template)]
#[template(path = "thread.html")]
struct Page {
    frame: Frame,
    thread: String,
    /// The thread's metadata in a few words.
    tags: Vec<(String, String)>,
    place: Place,
    follows: bool,
    sought: Sought,
    /// The link to the whole list, if some checkpoints are looked for.
    all: Option<String>,
    timeline: String,
    /// Where to ask whether the list has changed; nowhere if some checkpoints are looked for.
    poll: String,
    /// Stands for the list.
    seen: String,
    shape: Shape,
}

/// The page of a thread. Without a checkpoint it shows the head.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Query(place): Query<Place>,
    Query(sought): Query<Sought>,
) -> Shown {
    let timeline = first(&app, &place, &sought).await?;
    let Some((mut timeline, head)) = timeline else {
        return Err(Problem::not_found("there is no such thread"));
    };
    let seen = seen(&timeline)?;
    let shown = shown_first(&place, &timeline, head.as_ref());
    let shape = checkpoint::read(&app, &shown).await?;
    let info = app.turn().await?.thread_info(&place.thread_id()?).await?;
    timeline.select(&shape.place);
    show(&Page {
        frame: Frame::new(shown::start(&place.id, 120)),
        thread: shown::start(&place.id, 520),
        tags: info.as_ref().map(about::tags).unwrap_or_default(),
        follows: place.at.is_empty() && sought.is_empty(),
        all: (!sought.is_empty()).then(|| shape.place.link("thread")),
        timeline: timeline.render()?,
        poll: match sought.is_empty() {
            true => place.link("history"),
            false => String::new(),
        },
        place,
        sought,
        seen,
        shape,
    })
}

/// The checkpoint that a page begins with: the one it names, the head of a namespace, the newest that was
/// found, or the head.
fn shown_first(place: &Place, timeline: &Timeline, head: Option<&CheckpointId>) -> Place {
    if !place.at.is_empty() || !place.ns.is_empty() {
        return place.clone();
    }
    let newest = timeline.rows.first();
    if let Some(found) = newest.filter(|_| timeline.looked_at.is_some()) {
        return found.place.clone();
    }
    match (head, newest) {
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
    Query(sought): Query<Sought>,
) -> Result<Response, Problem> {
    if !which.before.is_empty() {
        let older = older(&app, &place, &which, &sought).await;
        return older.map(IntoResponse::into_response);
    }
    let Some((mut timeline, _)) = first(&app, &place, &sought).await? else {
        return Err(Problem::not_found("there is no such thread"));
    };
    let seen = seen(&timeline)?;
    if seen == which.seen {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    timeline.select(&place);
    Ok(([("x-seen", seen)], Html(timeline.render()?)).into_response())
}

async fn older(app: &App, place: &Place, which: &Which, sought: &Sought) -> Shown {
    let before = CheckpointId::new(&which.before).map_err(Problem::from)?;
    let before = Some(before);
    let turn = app.turn().await?;
    let timeline = match sought.is_empty() {
        true => {
            let lanes = Lanes::parse(&which.lanes);
            Timeline::read(&*turn, place, Cursor { before, lanes }).await?
        }
        false => Timeline::find(&*turn, place, before, sought).await?,
    };
    show(&timeline.unwrap_or_default())
}

/// The newest checkpoints, and the head of the root graph.
async fn first(
    app: &App,
    place: &Place,
    sought: &Sought,
) -> Result<Option<(Timeline, Option<CheckpointId>)>, Problem> {
    let turn = app.turn().await?;
    let timeline = match sought.is_empty() {
        true => Timeline::read(&*turn, place, Cursor::default()).await?,
        false => Timeline::find(&*turn, place, None, sought).await?,
    };
    let Some(mut timeline) = timeline else {
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
