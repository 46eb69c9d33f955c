//! The lanes of a drawing of checkpoints, row by row, the newest first.
//!
//! Each lane waits for the checkpoint that its line leads to. A page of rows goes on where the one before
//! it ended: the lanes are part of the link to it.

use checkpointer::CheckpointTuple;

/// The most lanes that are drawn side by side. Lines beyond them end.
const MOST: usize = 24;

/// The lines between two rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lanes(Vec<Option<Line>>);

/// A line that leads down to a checkpoint.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    to: Key,
    /// From a subgraph to the checkpoint that it was called on, and not from a child to its parent.
    into: bool,
}

/// Stands for a namespace and an id.
type Key = String;

/// The lines of one row.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Crossing {
    /// The column of the checkpoint.
    pub(super) column: usize,
    /// Whether lines come to it from above in its own column, and whether that is from a subgraph.
    pub(super) above: Option<bool>,
    /// Whether a line goes on below it, and whether that leads out of a subgraph.
    pub(super) below: Option<bool>,
    /// The lines that end at it from other columns.
    pub(super) joining: Vec<(usize, bool)>,
    /// The lines that pass it.
    pub(super) passing: Vec<(usize, bool)>,
}

impl Lanes {
    /// Reads the lanes that a link has. What isn't one is no lane.
    pub(super) fn parse(text: &str) -> Self {
        let lane = |lane: &str| {
            let into = lane.starts_with('~');
            let to = lane.trim_start_matches('~');
            let is_key = to.len() == 16 && to.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_key.then(|| Line {
                to: to.to_owned(),
                into,
            })
        };
        match text {
            "" => Self::default(),
            text => Self(text.split('.').take(MOST).map(lane).collect()),
        }
    }

    /// The lanes for a link.
    pub(super) fn to_text(&self) -> String {
        let lane = |line: &Option<Line>| match line {
            Some(line) if line.into => format!("~{}", line.to),
            Some(line) => line.to.clone(),
            None => "-".to_owned(),
        };
        self.0.iter().map(lane).collect::<Vec<_>>().join(".")
    }

    /// Goes past a checkpoint.
    pub(super) fn pass(&mut self, tuple: &CheckpointTuple) -> Crossing {
        let address = &tuple.address;
        let own = key(
            address.checkpoint_ns.as_str(),
            address.checkpoint_id.as_str(),
        );
        let ends_here = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.to == own);
        let free = |line: &Option<Line>| line.is_none();
        // A line of its own lineage is gone on with, before one that comes out of a subgraph.
        let straight =
            |line: &Option<Line>| ends_here(line) && !line.as_ref().is_some_and(|line| line.into);
        let column = (self.0.iter().position(straight))
            .or_else(|| self.0.iter().position(free))
            .unwrap_or(self.0.len());
        if column == self.0.len() {
            self.0.push(None);
        }
        let mut crossing = Crossing {
            column,
            ..Crossing::default()
        };
        for (at, lane) in self.0.iter_mut().enumerate() {
            let ends = ends_here(lane);
            match lane {
                Some(line) if ends && at == column => crossing.above = Some(line.into),
                Some(line) if ends => crossing.joining.push((at, line.into)),
                Some(line) => crossing.passing.push((at, line.into)),
                None => {}
            }
            if ends {
                *lane = None;
            }
        }
        let below = below(tuple).filter(|_| column < MOST);
        crossing.below = below.as_ref().map(|line| line.into);
        self.0[column] = below;
        while self.0.last().is_some_and(Option::is_none) {
            self.0.pop();
        }
        crossing
    }
}

/// The line from a checkpoint to its parent, or from the first one of a subgraph to where that was called.
fn below(tuple: &CheckpointTuple) -> Option<Line> {
    let ns = tuple.address.checkpoint_ns.as_str();
    if let Some(parent) = &tuple.parent_address {
        let to = key(ns, parent.checkpoint_id.as_str());
        return Some(Line { to, into: false });
    }
    let (ns, id) = enclosing(tuple)?;
    let to = key(ns, id);
    Some(Line { to, into: true })
}

/// The nearest enclosing graph's checkpoint: its namespace and id.
pub(super) fn enclosing(tuple: &CheckpointTuple) -> Option<(&str, &str)> {
    let own = tuple.address.checkpoint_ns.as_str();
    let parents = tuple.metadata.get("parents")?.as_object()?;
    let parents = parents.iter().filter(|(ns, _)| *ns != own);
    let parents = parents.filter_map(|(ns, id)| Some((ns.as_str(), id.as_str()?)));
    parents.max_by_key(|(ns, _)| ns.len())
}

fn key(ns: &str, id: &str) -> Key {
    let mut hash = blake3::Hasher::new();
    hash.update(ns.as_bytes())
        .update(&[0])
        .update(id.as_bytes());
    hash.finalize().to_hex()[..16].to_owned()
}
