//! New checkpoint ids and channel versions.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::{CheckpointId, Version};

/// 100 ns intervals between the start of the Gregorian calendar and the Unix epoch.
const GREGORIAN_OFFSET: u64 = 0x01B2_1DD2_1381_4000;

/// The time of the last id made by this process.
static LAST_TICKS: Mutex<u64> = Mutex::new(0);

/// Separates a foreign id from the UUID that makes its descendants sort after it.
const AFTER_FOREIGN: char = '~';

impl CheckpointId {
    /// Makes a new id: a UUID of version 6, greater than every id this process made before, and
    /// greater than `parent`, however wrong the clock that made the parent was.
    ///
    /// A parent that is no such UUID but sorts after every one of today's gets children that begin
    /// with the parent's own id.
    #[must_use]
    pub fn generate(parent: Option<&Self>) -> Self {
        let parent_uuid = parent.and_then(|parent| own_uuid(parent.as_str()));
        let id = next_uuid(parent_uuid.map_or(0, |uuid| ticks_of(&uuid)));
        let id = id.hyphenated().to_string();
        let id = match parent {
            Some(parent) if *id <= *parent.as_str() => after_foreign(parent.as_str(), &id),
            _ => id,
        };
        Self::trusted(id)
    }
}

/// The UUID an id made here ends with.
fn own_uuid(id: &str) -> Option<Uuid> {
    let uuid = id.rsplit(AFTER_FOREIGN).next()?;
    let uuid = Uuid::try_parse(uuid).ok()?;
    (uuid.get_version_num() == 6).then_some(uuid)
}

fn ticks_of(uuid: &Uuid) -> u64 {
    let (ticks, _) = uuid
        .get_timestamp()
        .map_or((0, 0), |timestamp| timestamp.to_gregorian());
    ticks
}

/// The next UUID of version 6 whose time is after `floor` and after the last one made.
fn next_uuid(floor: u64) -> Uuid {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| (since.as_nanos() / 100) as u64)
        + GREGORIAN_OFFSET;
    let ticks = {
        let mut last = LAST_TICKS
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A parent from a clock far ahead moves only its own children, not this process's clock.
        let ticks = if floor >= now.max(*last) {
            floor + 1
        } else {
            *last = now.max(*last + 1);
            *last
        };
        ticks & ((1 << 60) - 1)
    };
    let mut node = [0; 6];
    fastrand::fill(&mut node);
    let timestamp = uuid::Timestamp::from_gregorian_time(ticks, fastrand::u16(..) & 0x3FFF);
    Uuid::new_v6(timestamp, &node)
}

/// An id that begins like `parent` and sorts after it.
fn after_foreign(parent: &str, uuid: &str) -> String {
    let room = CheckpointId::MAX_BYTES - uuid.len() - AFTER_FOREIGN.len_utf8();
    let stem = match parent.rsplit_once(AFTER_FOREIGN) {
        Some((stem, suffix)) if own_uuid(suffix).is_some() => stem,
        _ => parent,
    };
    if stem.len() <= room {
        return format!("{stem}{AFTER_FOREIGN}{uuid}");
    }
    // No room behind it: the next string of its length's prefix sorts after everything below it.
    let mut prefix: String = stem
        .char_indices()
        .take_while(|(at, char)| at + char.len_utf8() <= room)
        .map(|(_, char)| char)
        .collect();
    while let Some(last) = prefix.pop() {
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next.filter(|next| prefix.len() + next.len_utf8() <= room) {
            prefix.push(next);
            return format!("{prefix}{AFTER_FOREIGN}{uuid}");
        }
    }
    format!("{}{AFTER_FOREIGN}{uuid}", char::MAX)
}

/// LangGraph's scheme: a counter in 32 digits and a random suffix, so that versions sort as text
/// and the versions of two forks differ.
pub(crate) fn next_version(current: Option<&Version>) -> Version {
    let counter = match current {
        None => 0,
        Some(Version::Int(n)) => (*n).max(0) as u128,
        Some(Version::Float(n)) => *n as u128,
        Some(Version::Text(text)) => text
            .split('.')
            .next()
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0),
    };
    let next = counter.saturating_add(1);
    Version::Text(format!("{next:032}.{:018}", fastrand::f64()))
}
