//! Two checkpoints side by side.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use checkpointer::Projection;
use serde::Deserialize;

use super::app::App;
use super::changes::Changes;
use super::document;
use super::facts::Facts;
use super::links::Place;
use super::shown::{self, Frame, Shown, show};

/// The checkpoint on the other side.
#[derive(Debug, Deserialize)]
pub(super) struct Other {
    #[serde(default)]
    with_ns: String,
    #[serde(default)]
    with: String,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    frame: Frame,
    thread: String,
    home: String,
    sides: [Side; 2],
    swapped: String,
    changes: Changes,
}

/// What is said about one side.
struct Side {
    place: Place,
    facts: Facts,
}

/// The page that shows two checkpoints of a thread side by side: `with` on the left, `at` on the right.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Query(place): Query<Place>,
    Query(other): Query<Other>,
) -> Shown {
    let left = Place {
        id: place.id.clone(),
        ns: other.with_ns,
        at: other.with,
    };
    let turn = app.turn().await?;
    let all = Projection::All;
    let before = document::read(&*turn, &left, all.clone()).await?;
    let after = document::read(&*turn, &place, all).await?;
    let sides = [&before, &after].map(|tuple| Side {
        place: Place::of(&tuple.address),
        facts: Facts::of(tuple, None),
    });
    let changes = turn.compute(move || {
        Changes::between(
            &before.checkpoint.channel_values,
            &after.checkpoint.channel_values,
        )
    });
    let changes = changes.await?;
    let [left, right] = &sides;
    show(&Page {
        frame: Frame::new("Side by side"),
        thread: shown::start(&place.id, 160),
        home: right.place.link("thread"),
        swapped: left.place.link_with(
            "compare",
            &[("with_ns", &right.place.ns), ("with", &right.place.at)],
        ),
        sides,
        changes,
    })
}
