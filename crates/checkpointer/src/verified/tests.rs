//! Findings that are only counted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Finding, FindingKind, MAX_FINDINGS, VerifiedThread};
use crate::ThreadId;

/// A thread that has as many findings as are kept, none of them damage, and then further ones.
fn with_further(further: impl IntoIterator<Item = Finding>) -> VerifiedThread {
    let mut thread = VerifiedThread::new(ThreadId::new("support-4711").unwrap());
    let garbage = || Finding::new(FindingKind::WritesWithoutCheckpoint, "they wait");
    let kept = std::iter::repeat_with(garbage).take(MAX_FINDINGS);
    for finding in kept.chain(further) {
        thread.add(finding);
    }
    thread
}

#[test]
fn further_findings_are_damage_if_they_are_of_such_a_kind_and_were_not_repaired() {
    let garbage = Finding::new(FindingKind::ChunksUnneeded, "nothing refers to them");
    let damage = Finding::new(FindingKind::HeadMissing, "there is no head");
    let repaired = Finding {
        repaired: true,
        ..damage.clone()
    };

    let sound = with_further([garbage.clone(), repaired.clone()]);
    assert!(sound.is_sound());
    assert_eq!(sound.findings.len(), MAX_FINDINGS);
    assert_eq!((sound.further, sound.further_damage), (2, 0));

    let damaged = with_further([garbage, damage, repaired]);
    assert!(!damaged.is_sound());
    assert_eq!((damaged.further, damaged.further_damage), (3, 1));
}
