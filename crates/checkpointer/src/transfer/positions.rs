//! The writes of a task as one call, which numbers them as they were.

use serde_json::Value;

use crate::PendingWrite;

/// The most positions that are filled with a write that stands elsewhere. It keeps a line that was made
/// up from taking all memory.
const MAX_GAPS: usize = 1 << 16;

/// Returns channels and values, each regular write at its position; none if that can't be done.
///
/// A special write has an index of its own, wherever it stands, and may stand there twice. So special
/// writes fill the positions that are missing: that is where they were.
pub(super) fn in_positions(writes: &[PendingWrite]) -> Option<Vec<(String, Value)>> {
    let (special, regular): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.idx < 0);
    let positions = regular.last().map_or(0, |last| last.idx as usize + 1);
    let gaps = positions.checked_sub(regular.len())?;
    if gaps > MAX_GAPS {
        return None;
    }
    let mut filling = special.iter().cycle();
    let mut placed: Vec<&PendingWrite> = Vec::with_capacity(positions);
    for write in regular {
        while placed.len() < write.idx as usize {
            placed.push(filling.next()?);
        }
        placed.push(write);
    }
    placed.extend(special.iter().skip(gaps));
    let writes = placed.into_iter();
    Some(
        writes
            .map(|write| (write.channel.clone(), write.value.clone()))
            .collect(),
    )
}
