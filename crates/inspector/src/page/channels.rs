//! The channels of a checkpoint's state, a page of them at once.

use checkpointer::CheckpointTuple;

use super::links::Place;
use super::tree::{self, Branch, Tree};
use crate::facts::is_inner;

/// The channels of the state, and those that the runtime keeps for itself, as they are asked for.
pub(super) const STATE: &str = "/state";
pub(super) const INNER: &str = "/inner";

/// How many bytes all channels have.
pub(super) fn bytes(tuple: &CheckpointTuple) -> usize {
    let values = tuple.checkpoint.channel_values.values();
    values.map(tree::bytes).sum()
}

/// The channels of `list`, from the one at `from` on. A channel's share is of `total` bytes.
pub(super) fn page(
    tuple: &CheckpointTuple,
    list: &str,
    total: usize,
    from: usize,
    place: &Place,
) -> Tree {
    let values = tuple.checkpoint.channel_values.iter();
    let of_list: Vec<_> = values
        .filter(|(channel, _)| is_inner(channel) == (list == INNER))
        .collect();
    let shown = of_list.iter().skip(from).take(tree::PAGE);
    let branches = shown.map(|(channel, value)| {
        let mut branch = Branch::of(channel, value, place, STATE);
        branch.share = Some(tree::bytes(value) * 100 / total.max(1));
        branch
    });
    Tree {
        branches: branches.collect(),
        more: tree::more(of_list.len(), from, place, list),
    }
}
