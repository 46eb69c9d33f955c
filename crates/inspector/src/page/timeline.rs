//! A page of a thread's checkpoints, the newest first, with their drawing.

use std::time::Duration;

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
use super::sought::Sought;
use crate::history::search::{self, Until};

/// How many checkpoints a page has.
const PAGE: usize = 100;

/// How long a page of a search looks for them.
const PATIENCE: Duration = Duration::from_secs(4);

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
    /// How many checkpoints were looked at, if some are looked for.
    pub(super) looked_at: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    /// The link that shows the list and this checkpoint.
    pub(super) link: String,
    pub(super) facts: Facts,
    pub(super) ns: String,
    pub(super) heads: bool,
    pub(super) pinned: bool,
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
        let rows = tuples.iter().take(PAGE);
        let rows = rows.map(|tuple| row(tuple, parent(tuple, &tuples), &lanes.pass(tuple)));
        let rows = rows.collect();
        let older = tuples.get(PAGE).map(|_| {
            let before = tuples[PAGE - 1].address.checkpoint_id.as_str();
            let lanes = lanes.to_text();
            (of.thread()).link_with("history", &[("before", before), ("lanes", &lanes)])
        });
        Ok(Some(Self {
            rows,
            older,
            first,
            looked_at: None,
        }))
    }

    /// Looks for checkpoints, for a while. None if the thread has no checkpoint there.
    pub(super) async fn find(
        checkpointer: &dyn Checkpointer,
        of: &Place,
        before: Option<CheckpointId>,
        sought: &Sought,
    ) -> Result<Option<Self>, Problem> {
        let first = before.is_none();
        let mut list = List::thread(of.thread_id()?)?;
        list.before = before;
        let until = Until {
            found: PAGE,
            time: Some(PATIENCE),
        };
        let found = search::find(checkpointer, list, &sought.filter()?, until).await?;
        if found.looked_at == 0 && first {
            return Ok(None);
        }
        let rows = found.tuples.iter().map(|(tuple, parent)| {
            let row = row(tuple, parent.as_ref(), &Crossing::default());
            let link = row.place.link_with("thread", &sought.parameters());
            Row { link, ..row }
        });
        let older = found.last.map(|last| {
            let before = [("before", last.as_str())];
            let parameters = [&before[..], &sought.parameters()].concat();
            of.thread().link_with("history", &parameters)
        });
        Ok(Some(Self {
            rows: rows.collect(),
            older,
            first,
            looked_at: Some(found.looked_at),
        }))
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

/// The parent of a checkpoint, if it is on the page.
fn parent<'t>(tuple: &CheckpointTuple, page: &'t [CheckpointTuple]) -> Option<&'t CheckpointTuple> {
    let parent = tuple.parent_address.as_ref()?;
    page.iter().find(|tuple| same(&tuple.address, parent))
}

fn row(tuple: &CheckpointTuple, parent: Option<&CheckpointTuple>, crossing: &Crossing) -> Row {
    let place = Place::of(&tuple.address);
    let ns = tuple.address.checkpoint_ns.as_str();
    Row {
        link: place.link("thread"),
        place,
        facts: Facts::of(tuple, parent),
        ns: shown::start(ns, 80),
        heads: false,
        pinned: tuple.pinned,
        selected: false,
        width: (columns(crossing) + 1) * LANE,
        x: x(crossing.column),
        color: crossing.column % 8,
        strokes: strokes(crossing),
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
