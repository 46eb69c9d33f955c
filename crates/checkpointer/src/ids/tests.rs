//! Which names are taken, and how new ids and versions are ordered.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::{MAX_CHANNEL_BYTES, MAX_TASK_PATH_BYTES, check_channel, check_key, check_task_path};
use crate::generate::next_version;
use crate::{CheckpointId, CheckpointNs, Error, NameProblem, Result, TaskId, ThreadId, Version};

/// Names about as long as the longest, made of characters of one to four bytes, some with U+0000.
fn any_name(max: usize) -> impl Strategy<Value = String> {
    let char = prop::sample::select(vec!['a', '\'', '\\', '%', '\u{1}', 'é', '\u{FFFF}', '😀']);
    let about_the_longest = (char, 0..5_usize, any::<bool>());
    let about_the_longest = about_the_longest.prop_map(move |(char, more, nul)| {
        let nul = if nul { "\0" } else { "" };
        let chars = (max - 2) / char.len_utf8();
        format!(
            "{}{}{nul}",
            char.to_string().repeat(chars),
            "~".repeat(more)
        )
    });
    prop_oneof![Just(String::new()), any::<String>(), about_the_longest]
}

fn check<T: AsRef<str>>(name: &str, min: usize, max: usize, made: Result<T>) {
    let expected = if name.len() < min {
        Some(NameProblem::Empty)
    } else if name.len() > max {
        let bytes = name.len();
        Some(NameProblem::TooLong { bytes, max })
    } else {
        name.contains('\0').then_some(NameProblem::Nul)
    };
    match (made, expected) {
        (Ok(made), None) => assert_eq!(made.as_ref(), name),
        (Err(Error::InvalidName { problem, .. }), Some(expected)) => assert_eq!(problem, expected),
        (made, expected) => panic!("{:?}, not {expected:?}", made.map(drop)),
    }
}

proptest! {
    #[test]
    fn names_are_taken_to_their_last_byte(
        thread_id in any_name(512),
        checkpoint_ns in any_name(2048),
        other in any_name(256),
        task_path in any_name(MAX_TASK_PATH_BYTES),
    ) {
        check(&thread_id, 1, 512, ThreadId::new(&*thread_id));
        check(&checkpoint_ns, 0, 2048, CheckpointNs::new(&*checkpoint_ns));
        check(&other, 1, 256, CheckpointId::new(&*other));
        check(&other, 1, 256, TaskId::new(&*other));
        check(&other, 0, MAX_CHANNEL_BYTES, check_channel(&other).map(|()| &*other));
        check(&task_path, 0, MAX_TASK_PATH_BYTES, check_task_path(&task_path).map(|()| &*task_path));
    }
}

#[test]
fn an_id_that_others_stored_and_that_no_key_has_room_for_is_refused() {
    let id = CheckpointId::trusted("x".repeat(2200));
    let root = check_key(&CheckpointNs::ROOT, &id, None);
    assert!(root.is_ok(), "{root:?}");
    let refused = check_key(&CheckpointNs::new("child").unwrap(), &id, None);
    assert!(
        matches!(refused, Err(Error::InvalidName { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_version_after_the_greatest_counter_is_no_small_one() {
    let greatest = u128::MAX.to_string();
    for last in [Version::Float(1e39), Version::from(&*greatest)] {
        let next = next_version(Some(&last)).to_string();
        assert!(next.starts_with(&greatest), "{next}");
    }
}
