//! `history`

use std::collections::{HashMap, HashSet};

use checkpointer::{CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer, ThreadId};
use inspector::{History, HistoryFilter, HistoryQuery, Node, Row, Steps, json};

use super::exit::{Failure, Outcome};
use super::output::Output;
use super::paint::{FAINT, ID, MARK, NAME, Text, painted};
use super::progress::Progress;
use super::value;

/// Show the checkpoints of a thread as a tree, the newest first, with forks and subgraphs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    thread: ThreadId,
    /// Only this namespace; `""` is the root graph's
    #[arg(long = "ns", value_name = "NAMESPACE", value_parser = |text: &str| CheckpointNs::new(text))]
    checkpoint_ns: Option<CheckpointNs>,
    /// Only checkpoints before this one, by id
    #[arg(long, value_name = "CHECKPOINT", value_parser = |text: &str| CheckpointId::new(text))]
    before: Option<CheckpointId>,
    #[command(flatten)]
    only: Only,
    /// Show these members of each checkpoint's metadata, such as a release that your program puts there
    #[arg(long, value_name = "KEY")]
    metadata: Vec<String>,
    /// Show so many checkpoints at most; 0 is all
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Which checkpoints are shown. One is left out unless all of these are so.
#[derive(Debug, clap::Args)]
struct Only {
    /// Only checkpoints that this node made
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only those of this source, such as `input`, `loop`, `update` or `fork`
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only those of this step, or of these: `3..7`, `3..` or `..7`
    #[arg(long, value_name = "STEPS", allow_hyphen_values = true)]
    step: Option<Steps>,
    /// Only those that changed this channel
    #[arg(long, value_name = "CHANNEL")]
    changed: Option<String>,
    /// Only those with this text in their metadata, or in a value that they changed; it reads those values
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only pinned ones
    #[arg(long)]
    pinned: bool,
}

impl Only {
    fn filter(&self) -> HistoryFilter {
        let mut filter = HistoryFilter::default();
        filter.node.clone_from(&self.node);
        filter.source.clone_from(&self.source);
        filter.steps = self.step;
        filter.changed.clone_from(&self.changed);
        filter.text.clone_from(&self.text);
        filter.pinned = self.pinned;
        filter
    }
}

impl Args {
    fn not_found(&self) -> anyhow::Error {
        let thread = &self.thread;
        let asks_for_all = self.checkpoint_ns.is_none() && self.before.is_none();
        Failure::not_found(match asks_for_all && self.only.filter().is_empty() {
            true => format!(
                "thread `{thread}` has no checkpoint (`checkpointer threads` lists the threads)"
            ),
            false => format!("thread `{thread}` has no such checkpoints"),
        })
    }
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut query = HistoryQuery::new(&args.thread)?;
    query.checkpoint_ns = args.checkpoint_ns.clone();
    query.before = args.before.clone();
    query.limit = (args.limit > 0).then_some(args.limit);
    query.filter = args.only.filter();
    let progress = Progress::begin("reading");
    let history = History::read(checkpointer, query).await?;
    drop(progress);
    let history = history.ok_or_else(|| args.not_found())?;
    if output.is_json() {
        output.json(&json::history(&history))?;
    } else {
        let printer = Printer {
            history: &history,
            calls: &calls(&history),
            keys: &args.metadata,
            output,
        };
        printer.all()?;
    }
    Ok(Outcome::Done)
}

/// The checkpoints of a subgraph that were put in one call of it.
struct Call<'a> {
    checkpoint_ns: &'a CheckpointNs,
    nodes: Vec<&'a Node>,
}

/// The calls of subgraphs, by the checkpoint from which they were made: those from each by name.
type Calls<'a> = HashMap<&'a CheckpointAddress, Vec<Call<'a>>>;

fn calls(history: &History) -> Calls<'_> {
    let mut calls = Calls::new();
    for line in &history.lines {
        for node in &line.nodes {
            let Some(caller) = &node.within else { continue };
            let calls = calls.entry(caller).or_default();
            // The lines are in the order of their names.
            match calls.last_mut() {
                Some(call) if *call.checkpoint_ns == line.checkpoint_ns => call.nodes.push(node),
                _ => calls.push(Call {
                    checkpoint_ns: &line.checkpoint_ns,
                    nodes: vec![node],
                }),
            }
        }
    }
    calls
}

/// Prints a history.
struct Printer<'a> {
    history: &'a History,
    calls: &'a Calls<'a>,
    keys: &'a [String],
    output: &'a mut Output,
}

impl Printer<'_> {
    fn all(mut self) -> anyhow::Result<()> {
        let nodes = self.history.lines.iter().flat_map(|line| &line.nodes);
        let shown: HashSet<_> = nodes.map(|node| &node.tuple.address).collect();
        for line in &self.history.lines {
            let is_below = |node: &Node| node.within.as_ref().is_some_and(|at| shown.contains(at));
            if line.nodes.iter().all(is_below) {
                continue;
            }
            if !line.checkpoint_ns.is_root() {
                self.output.line(title(&line.checkpoint_ns))?;
            }
            self.nodes(&line.nodes.iter().collect::<Vec<_>>(), "")?;
        }
        if self.history.more {
            let oldest = self.history.lines.iter().flat_map(|line| &line.nodes);
            let oldest = oldest.map(|node| node.id().as_str()).min();
            let oldest = oldest.unwrap_or_default();
            let more = format!("there are older ones: --before {oldest}");
            self.output.line(painted(FAINT, more))?;
        }
        Ok(())
    }

    /// Some checkpoints of a namespace, and below each those of the subgraphs that were called from it.
    fn nodes(&mut self, nodes: &[&Node], indent: &str) -> anyhow::Result<()> {
        for (node, row) in nodes.iter().zip(Row::of(nodes)) {
            let what = described(node, &row, self.keys);
            let drawn = Text::from(format!("{indent}{}  ", drawn(&row)));
            self.output.line(drawn.and(what))?;
            let below = format!("{indent}{}    ", passing(&row));
            let calls = self.calls.get(&node.tuple.address);
            for call in calls.into_iter().flatten() {
                let title = Text::from(&*below).and(title(call.checkpoint_ns));
                self.output.line(title)?;
                self.nodes(&call.nodes, &below)?;
            }
        }
        Ok(())
    }
}

fn title(checkpoint_ns: &CheckpointNs) -> Text {
    painted(NAME, format!("namespace {checkpoint_ns}"))
}

/// The columns of a row: the dot, the lines that pass, and those that end here.
fn drawn(row: &Row) -> String {
    let mut drawing = String::new();
    let last = row.joining.last().copied().unwrap_or(row.column);
    for at in 0..columns(row) {
        let joins = row.joining.contains(&at);
        let passes = row.passing.get(at) == Some(&true);
        drawing.push(match (at == row.column, joins, passes) {
            (true, ..) => '●',
            (_, true, _) if at == last => '╯',
            (_, true, _) => '┴',
            (_, _, true) if (row.column..last).contains(&at) => '┼',
            (_, _, true) => '│',
            _ if (row.column..last).contains(&at) => '─',
            _ => ' ',
        });
        drawing.push(if (row.column..last).contains(&at) {
            '─'
        } else {
            ' '
        });
    }
    drawing.trim_end().to_owned()
}

/// The lines that go on below a row.
fn passing(row: &Row) -> String {
    let columns = (0..columns(row)).map(|at| {
        let goes_on = row.passing.get(at) == Some(&true) || (at == row.column && row.continues);
        if goes_on { "│ " } else { "  " }
    });
    columns.collect::<String>().trim_end().to_owned()
}

fn columns(row: &Row) -> usize {
    let last = row.joining.last().copied().unwrap_or_default();
    row.passing.len().max(row.column + 1).max(last + 1)
}

/// What is known of a checkpoint, on one line.
fn described(node: &Node, row: &Row, keys: &[String]) -> Text {
    let metadata = &node.tuple.metadata;
    let mut parts = vec![painted(ID, node.id())];
    if node.is_head {
        parts.push(painted(MARK, "head"));
    }
    if node.tuple.pinned {
        parts.push(painted(MARK, "pinned"));
    }
    parts.push(Text::from(&node.tuple.checkpoint.ts));
    parts.extend(metadata.step().map(|step| format!("step {step}").into()));
    parts.extend(metadata.source().map(Text::from));
    parts.extend(metadata.run_id().map(|run| format!("run {run}").into()));
    for key in keys {
        if let Some(value) = metadata.get(key) {
            parts.push(format!("{key}={}", value::short(value, 60)).into());
        }
    }
    if node.children.len() > 1 {
        parts.push(painted(MARK, format!("{} branches", node.children.len())));
    }
    if let Some(parent) = node.parent_id().filter(|_| !row.continues) {
        parts.push(painted(
            FAINT,
            format!("follows {parent}, which isn't below"),
        ));
    }
    Text::joined(parts, "  ")
}
