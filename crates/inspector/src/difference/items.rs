//! What differs between two arrays.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use checkpointer::serde_json::Value;
use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};

use super::{Change, ItemChange, values};

/// Compares two arrays. Equal items are found first; where others stand between them, those with the
/// same `id` are compared with each other, and without ids those in the same place.
pub(super) fn compare<'a>(
    before: &'a [Value],
    after: &'a [Value],
    deadline: Instant,
) -> Vec<ItemChange<'a>> {
    let mut numbers = HashMap::new();
    let mut number = |items: &'a [Value]| -> Vec<usize> {
        let numbers = items.iter().map(|item| {
            let next = numbers.len();
            *numbers.entry(item).or_insert(next)
        });
        numbers.collect()
    };
    let numbered = (number(before), number(after));
    let arrays = Arrays {
        before,
        after,
        deadline,
    };
    let mut changes = Vec::new();
    for (tag, old, new) in runs(&numbered.0, &numbered.1, deadline) {
        if tag != DiffTag::Equal {
            arrays.compare_run(old, new, &mut changes);
        }
    }
    changes
}

type Run = (DiffTag, Range<usize>, Range<usize>);

fn runs<T: std::hash::Hash + Eq + Ord>(before: &[T], after: &[T], deadline: Instant) -> Vec<Run> {
    let ops = capture_diff_slices_deadline(Algorithm::Myers, before, after, Some(deadline));
    ops.iter().map(|op| op.as_tag_tuple()).collect()
}

struct Arrays<'a> {
    before: &'a [Value],
    after: &'a [Value],
    deadline: Instant,
}

impl<'a> Arrays<'a> {
    /// Compares what stands between equal items.
    fn compare_run(&self, old: Range<usize>, new: Range<usize>, changes: &mut Vec<ItemChange<'a>>) {
        match (
            ids(&self.before[old.clone()]),
            ids(&self.after[new.clone()]),
        ) {
            (Some(before), Some(after)) => {
                for (_, run_before, run_after) in runs(&before, &after, self.deadline) {
                    let old = old.start + run_before.start..old.start + run_before.end;
                    let new = new.start + run_after.start..new.start + run_after.end;
                    let same = before[run_before] == after[run_after];
                    let paired = if same { old.len() } else { 0 };
                    self.compare_in_order(old, new, paired, changes);
                }
            }
            _ => {
                let paired = old.len().min(new.len());
                self.compare_in_order(old, new, paired, changes);
            }
        }
    }

    /// Compares the first `paired` items with each other; the others were removed and added.
    fn compare_in_order(
        &self,
        old: Range<usize>,
        new: Range<usize>,
        paired: usize,
        changes: &mut Vec<ItemChange<'a>>,
    ) {
        for (old, new) in old.clone().zip(new.clone()).take(paired) {
            changes.push(ItemChange {
                before: Some(old),
                after: Some(new),
                change: values(&self.before[old], &self.after[new], self.deadline),
            });
        }
        let removed = old.skip(paired).map(|old| ItemChange {
            before: Some(old),
            after: None,
            change: Change::Removed(&self.before[old]),
        });
        changes.extend(removed);
        let added = new.skip(paired).map(|new| ItemChange {
            before: None,
            after: Some(new),
            change: Change::Added(&self.after[new]),
        });
        changes.extend(added);
    }
}

/// The ids of items, if each is an object that has one.
fn ids(items: &[Value]) -> Option<Vec<&str>> {
    (items.iter())
        .map(|item| item.get("id").and_then(Value::as_str))
        .collect()
}
