#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use super::{HASH_BYTES, StoredChunks};
use crate::ThreadId;
use crate::codec::{ContentHash, hash};
use crate::postgres::view::View;

const VIEW: View = View {
    generation: 1,
    gc: 0,
};

fn hashes(count: usize) -> impl Iterator<Item = ContentHash> {
    (0..count).map(|n| hash(&n.into()))
}

#[test]
fn a_thread_that_exceeds_all_room_displaces_no_other() {
    let chunks = StoredChunks::new(100 * HASH_BYTES);
    let [one, other] = ["one", "other"].map(|name| ThreadId::new(name).unwrap());
    chunks.note(&one, VIEW, hashes(10));
    chunks.note(&other, VIEW, hashes(1000));
    assert!(hashes(10).all(|hash| chunks.has(&one, VIEW, &hash)));
    // What state it is in needs no room.
    assert_eq!(chunks.view(&other), Some(VIEW));
    assert!(!hashes(1000).any(|hash| chunks.has(&other, VIEW, &hash)));
    chunks.forget(&one);
    chunks.forget(&other);
    assert_eq!(chunks.lock().bytes, 0);
}
