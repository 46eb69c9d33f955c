//! A page of a thread's checkpoints, the newest first, with their drawing.

use askama::Template;
use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, List, Projection,
};
use futures_util::TryStreamExt as _;

use super::facts::Facts;
use super::lanes::{Crossing, Lanes};
use super::links::Place;
use super::problem::Problem;
use super::shown;

/// How many checkpoints a page has.
const PAGE: usize = 100;

/// The width of a lane and the height of a row, in pixels of the drawing.
const LANE: usize = 14;
const ROW: usize = 44;

/// A page of checkpoints.
#[derive(Debug, Default, Template)]
#[template(path = "timeline.html")]
pub(super) struct Timeline {
    pub(super) rows: Vec<Row>,
    /// The link to the older ones, if there are any.
    pub(super) older: Option<String>,
    pub(super) first: bool,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) facts: Facts,
    pub(super) ns: String,
    pub(super) heads: bool,
    pub(super) selected: bool,
    pub(super) width: usize,
    pub(super) x: usize,
    pub(super) color: usize,
    pub(super) strokes: Vec<Stroke>,
}

/// A line of the drawing: its path, its colour and whether it is dotted.
#[derive(Debug)]
pub(super) struct Stroke {
    pub(super) path: String,
    pub(super) color: usize,
    pub(super) dotted: bool,
}

/// Where a page of checkpoints begins.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) before: Option<CheckpointId>,
    pub(super) lanes: Lanes,
}

impl Timeline {
    /// Reads a page. None if the thread has no checkpoint there.
    pub(super) async fn read(
        checkpointer: &dyn Checkpointer,
        of: &Place,
        from: Cursor,
    ) -> Result<Option<Self>, Problem> {
        let first = from.before.is_none();
        let mut list = List::thread(of.thread_id()?)?.limit(PAGE + 1);
        list = list.project(Projection::channels(Vec::<String>::new()));
        if let Some(before) = from.before {
            list = list.before(before);
        }
        let tuples: Vec<_> = checkpointer.list(list).try_collect().await?;
        if tuples.is_empty() && first {
            return Ok(None);
        }
        let mut lanes = from.lanes;
        let rows = tuples
            .iter()
            .take(PAGE)
            .map(|tuple| row(tuple, &tuples, &mut lanes))
            .collect();
        let older = tuples.get(PAGE).map(|_| {
            let before = tuples[PAGE - 1].address.checkpoint_id.as_str();
            let place = Place {
                ns: String::new(),
                at: String::new(),
                ..of.clone()
            };
            place.link_with(
                "history",
                &[("before", before), ("lanes", &lanes.to_text())],
            )
        });
        Ok(Some(Self { rows, older, first }))
    }

    /// Marks the checkpoint that is shown beside the list.
    pub(super) fn select(&mut self, at: &Place) {
        for row in &mut self.rows {
            row.selected = row.place.ns == at.ns && row.place.at == at.at;
        }
    }

    /// Marks the checkpoint from which the thread goes on.
    pub(super) fn mark_head(&mut self, head: Option<&CheckpointId>) {
        for row in &mut self.rows {
            row.heads =
                row.place.ns.is_empty() && head.is_some_and(|head| head.as_str() == row.place.at);
        }
    }
}

fn row(tuple: &CheckpointTuple, page: &[CheckpointTuple], lanes: &mut Lanes) -> Row {
    let parent = tuple.parent_address.as_ref();
    let parent = parent.and_then(|parent| page.iter().find(|tuple| same(&tuple.address, parent)));
    let crossing = lanes.pass(tuple);
    let ns = tuple.address.checkpoint_ns.as_str();
    Row {
        place: Place::of(&tuple.address),
        facts: Facts::of(tuple, parent),
        ns: shown::start(ns, 80),
        heads: false,
        selected: false,
        width: (columns(&crossing) + 1) * LANE,
        x: x(crossing.column),
        color: crossing.column % 8,
        strokes: strokes(&crossing),
    }
}

fn same(one: &CheckpointAddress, other: &CheckpointAddress) -> bool {
    one.checkpoint_ns == other.checkpoint_ns && one.checkpoint_id == other.checkpoint_id
}

fn columns(crossing: &Crossing) -> usize {
    let others = crossing.joining.iter().chain(&crossing.passing);
    others
        .map(|(column, _)| *column)
        .fold(crossing.column, usize::max)
}

fn x(column: usize) -> usize {
    column * LANE + LANE / 2
}

fn strokes(crossing: &Crossing) -> Vec<Stroke> {
    let (own, middle) = (x(crossing.column), ROW / 2);
    let stroke = |column: usize, path: String, dotted: bool| Stroke {
        path,
        color: column % 8,
        dotted,
    };
    let passing = crossing.passing.iter().map(|&(column, dotted)| {
        let x = x(column);
        stroke(column, format!("M{x} 0V{ROW}"), dotted)
    });
    let joining = crossing.joining.iter().map(|&(column, dotted)| {
        let x = x(column);
        stroke(
            column,
            format!("M{x} 0C{x} {middle} {x} {middle} {own} {middle}"),
            dotted,
        )
    });
    let above = crossing.above.iter();
    let above = above.map(|&dotted| stroke(crossing.column, format!("M{own} 0V{middle}"), dotted));
    let below = crossing.below.iter();
    let below =
        below.map(|&dotted| stroke(crossing.column, format!("M{own} {middle}V{ROW}"), dotted));
    passing.chain(joining).chain(above).chain(below).collect()
}
