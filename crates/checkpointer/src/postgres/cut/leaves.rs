//! Where a sequence of items or members is cut into leaves.

use super::node::{Item, Node};
use super::{LEAF_BYTES, MAX_LEAF_BYTES, MIN_LEAF_BYTES, low_bits};
use crate::codec::{MAX_ORDER_KEY, max_key_bytes};
use crate::postgres::chunk::{Hasher, Kind, members_hash};

/// Cuts the first leaf off some items or members. The hash and the length of each decide whether
/// the leaf ends after it; after a longer one that is more likely.
pub(super) fn first_leaf(kind: Kind, items: &[Item]) -> Node {
    let mut hasher = Hasher::of_leaf(kind);
    let mut leaf = Node::default();
    let mut leaf_bytes = 0;
    for item in items {
        let (key, measure) = (item.key.as_deref(), item.cut.measure());
        let key_bytes = key.map_or(0, str::len);
        let bytes = key_bytes + measure.bytes;
        // A large item has a leaf to itself, so that its neighbours can change without it.
        let is_large = bytes >= LEAF_BYTES;
        if is_large && leaf.length > 0 {
            break;
        }
        let decider = if kind == Kind::Object {
            hasher.member(key, &measure.hash);
            // The key also decides, so that members with equal values aren't all cut alike.
            members_hash(std::iter::once((key, &measure.hash)))
        } else {
            hasher.item(&measure.hash);
            measure.hash
        };
        leaf.nested |= item.cut.is_tree();
        leaf.depth = leaf.depth.max(measure.depth);
        leaf.max_bytes += measure.max_bytes + most_key_bytes(kind, key);
        leaf.memory += item.memory();
        leaf.length += 1;
        leaf_bytes += bytes;
        let chance = (bytes as u64).saturating_mul(u64::MAX / (LEAF_BYTES - MIN_LEAF_BYTES) as u64);
        let by_chance = leaf_bytes >= MIN_LEAF_BYTES && low_bits(&decider) < chance;
        if by_chance || is_large || leaf_bytes >= MAX_LEAF_BYTES {
            break;
        }
    }
    leaf.hash = hasher.finish();
    leaf
}

/// What a member takes at most besides its value. The order of the keys is a member without one.
fn most_key_bytes(kind: Kind, key: Option<&str>) -> usize {
    match kind {
        Kind::Object => key.map_or(MAX_ORDER_KEY, max_key_bytes),
        _ => 0,
    }
}
