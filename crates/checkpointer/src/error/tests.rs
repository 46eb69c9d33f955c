//! The text of every error, with its causes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::{
    Checkpoint, CheckpointId, CheckpointNs, Checkpointer, Error, Loaded, MemoryCheckpointer,
    Metadata, NameProblem, Put, Source, ThreadId, Version,
};

/// Compares an error and all its causes, one a line, and what can be asked of it.
#[track_caller]
fn check(error: &Error, expected: Expect) {
    let mut text = format!("{error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!("{error}\n");
        cause = error.source();
    }
    if error.is_transient() {
        text += "(transient)\n";
    }
    if error.is_outcome_unknown() {
        text += "(outcome unknown)\n";
    }
    expected.assert_eq(&text);
}

fn thread_id() -> ThreadId {
    ThreadId::new("support-4711").unwrap()
}

#[test]
fn a_name_breaks_no_line_of_a_log() {
    let thread_id = ThreadId::new("a\nb\r\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{2029}é").unwrap();
    let line = Error::thread_not_found(&thread_id).for_log().to_string();
    let expected = r"there is no thread `a\nb\r\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{2029}é`";
    assert_eq!(line, expected);
}

fn id(id: &str) -> CheckpointId {
    CheckpointId::new(id).unwrap()
}

#[test]
fn a_name_says_what_is_wrong_with_it() {
    check(
        &ThreadId::new("").unwrap_err(),
        expect![[r#"
        the thread_id is empty
    "#]],
    );
    check(
        &CheckpointNs::new("é".repeat(1100)).unwrap_err(),
        expect![[r#"
            the checkpoint_ns has 2200 bytes, at most 2048 are allowed
        "#]],
    );
    check(
        &CheckpointId::new("a\0b").unwrap_err(),
        expect![[r#"
        the checkpoint_id contains U+0000, which PostgreSQL can't store
    "#]],
    );
    let error = Error::InvalidName {
        kind: "channel",
        problem: NameProblem::TooLong {
            bytes: 4097,
            max: 4096,
        },
    };
    check(
        &error,
        expect![[r#"
        the channel has 4097 bytes, at most 4096 are allowed
    "#]],
    );
}

#[tokio::test]
async fn what_cannot_be_stored_is_named_with_its_place() {
    let checkpointer = MemoryCheckpointer::new();
    let deep = (0..98).fold(json!(0), |inner, _| Value::Array(vec![inner]));
    let mut checkpoint = Checkpoint::new(id("1"));
    let messages = json!([0, { "by id": { "4711": deep } }]);
    checkpoint
        .channel_values
        .insert("messages".to_owned(), messages);
    let metadata = Metadata::new(Source::Input, -1);
    let thread_id = thread_id();
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    let error = checkpointer.put(put).await.unwrap_err();
    check(
        &error,
        expect![[r#"
        channel `messages` of thread `support-4711` can't be stored: at `[1]["by id"].4711[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]`: arrays and objects nested deeper than 100
    "#]],
    );

    let checkpoint = Checkpoint::new(id("1")).with_loaded(Loaded::SomeChannels);
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    let error = checkpointer.put(put).await.unwrap_err();
    check(
        &error,
        expect![[r#"
        checkpoint `1` was read in part and can't be put back; read all of it
    "#]],
    );

    let mut thread = checkpointer.thread::<Vec<f64>>("support-4711").unwrap();
    let error = thread.save(&vec![0.5, f64::NAN]).await.unwrap_err();
    check(
        &error,
        expect![[r#"
        the state of thread `support-4711` can't be saved: at `[1]`: a number that is not finite
    "#]],
    );
}

#[test]
fn a_malformed_checkpoint_names_the_field() {
    check(
        &Checkpoint::from_json(json!([])).unwrap_err(),
        expect![[r#"
            a checkpoint must be an object
        "#]],
    );
    let wrong = json!({ "v": 4, "id": "1", "ts": "", "channel_values": {}, "channel_versions": { "a": [] } });
    check(
        &Checkpoint::from_json(wrong).unwrap_err(),
        expect![[r#"
            the checkpoint's `channel_versions.a` must be a string, a float or an integer of 64 bits
        "#]],
    );
}

#[tokio::test]
async fn a_missing_parent_is_named_with_what_it_lacks() {
    let checkpointer = MemoryCheckpointer::new();
    let mut checkpoint = Checkpoint::new(id("2"));
    for channel in ["draft", "messages"] {
        let versions = &mut checkpoint.channel_versions;
        versions.insert(channel.to_owned(), Version::Int(1));
    }
    let (thread_id, parent, metadata) = (thread_id(), id("1"), Metadata::new(Source::Loop, 1));
    let put = Put::new(&thread_id, &checkpoint, &metadata).parent(&parent);
    let error = checkpointer.put(put).await.unwrap_err();
    check(
        &error,
        expect![[r#"
            a put leaves out channel `draft`, but the parent whose value it keeps, `1`, isn't in thread `support-4711`; put every value, and name empty channels in `new_versions`
        "#]],
    );
}

#[test]
fn a_conflict_names_both_heads() {
    let conflict = |checkpoint_ns, expected, head| Error::Conflict {
        thread_id: thread_id(),
        checkpoint_ns,
        expected,
        head,
    };
    check(
        &conflict(CheckpointNs::ROOT, Some(id("1")), Some(id("2"))),
        expect![[r#"
            the head of thread `support-4711` is `2`, not `1`; it has moved since it was read: load again
        "#]],
    );
    check(
        &conflict(CheckpointNs::new("sub").unwrap(), Some(id("1")), None),
        expect![[r#"
            the head of thread `support-4711`, namespace `sub` is none, not `1`; it has moved since it was read: load again
        "#]],
    );
    check(
        &conflict(CheckpointNs::ROOT, None, Some(id("2"))),
        expect![[r#"
            the head of thread `support-4711` is `2`, and none was expected; another program has begun the thread: load it
        "#]],
    );
}

#[test]
fn what_is_not_there_is_named() {
    let thread_id = thread_id();
    check(
        &Error::ThreadDeleted {
            thread_id: thread_id.clone(),
        },
        expect![[r#"
            thread `support-4711` was deleted; only a first checkpoint starts it again
        "#]],
    );
    check(
        &Error::ThreadNotFound {
            thread_id: thread_id.clone(),
        },
        expect![[r#"
            there is no thread `support-4711`
        "#]],
    );
    check(
        &Error::ThreadExists {
            thread_id: thread_id.clone(),
        },
        expect![[r#"
            thread `support-4711` exists already
        "#]],
    );
    for ns in ["", "sub"] {
        let expected = match ns {
            "" => expect![[r#"
                there is no checkpoint `1` in thread `support-4711`
            "#]],
            _ => expect![[r#"
                there is no checkpoint `1` in thread `support-4711`, namespace `sub`
            "#]],
        };
        let error = Error::CheckpointNotFound {
            thread_id: thread_id.clone(),
            checkpoint_ns: CheckpointNs::new(ns).unwrap(),
            checkpoint_id: id("1"),
        };
        check(&error, expected);
    }
}

#[test]
fn a_lease_that_refuses_says_whose_it_is() {
    let held_until = |until| Error::LeaseHeld {
        thread_id: thread_id(),
        until,
    };
    check(
        &held_until(SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_250)),
        expect![[r#"
            thread `support-4711` is leased to another program until 2026-09-21T14:13:20.250Z
        "#]],
    );
    // As SQL may have it: `infinity`.
    check(
        &held_until(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)),
        expect![[r#"
            thread `support-4711` is leased to another program until 9999-12-31T23:59:59.000Z
        "#]],
    );
    check(
        &Error::LeaseLost {
            thread_id: thread_id(),
        },
        expect![[r#"
            the lease on thread `support-4711` is lost: another program has taken one, or it was released, or not renewed in time
        "#]],
    );
}

#[tokio::test]
async fn a_state_of_another_shape_names_the_field() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Support<T> {
        orders: Vec<T>,
    }
    let checkpointer = MemoryCheckpointer::new();
    let mut thread = checkpointer.thread("support-4711").unwrap();
    let state = Support {
        orders: vec![serde_json::json!(1), "two".into()],
    };
    let saved = thread.save(&state).await.unwrap();
    let mut thread = checkpointer.thread::<Support<u8>>("support-4711").unwrap();
    match thread.load().await.unwrap_err() {
        Error::StateMismatch {
            thread_id,
            checkpoint_id,
            path,
            reason,
            source,
        } => {
            assert_eq!(checkpoint_id, saved.checkpoint_id);
            let error = Error::StateMismatch {
                thread_id,
                checkpoint_id: id("1"),
                path,
                reason,
                source,
            };
            check(
                &error,
                expect![[r#"
                    checkpoint `1` of thread `support-4711` doesn't fit the state's type: at `orders[1]`: expected u8
                "#]],
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_stored_and_cannot_be_read_is_named() {
    let error = Error::StateTooNew {
        thread_id: thread_id(),
        checkpoint_id: id("1"),
        version: 3,
        known: 2,
    };
    check(
        &error,
        expect![[r#"
        checkpoint `1` of thread `support-4711` holds a state of version 3; this program knows up to 2
    "#]],
    );
    let error = Error::Corrupt {
        thread_id: thread_id(),
        what: "chunk 00 of channel `messages` is missing".to_owned(),
    };
    check(
        &error,
        expect![[r#"
        stored content of thread `support-4711` can't be read: chunk 00 of channel `messages` is missing
    "#]],
    );
}

#[test]
fn what_a_checkpointer_cannot_do_now_says_whether_later() {
    let operation = "prune";
    check(
        &Error::Unsupported { operation },
        expect![[r#"
        this checkpointer doesn't support `prune`
    "#]],
    );
    let thread_id = thread_id();
    check(
        &Error::Busy { thread_id },
        expect![[r#"
        thread `support-4711` kept changing or stayed locked while it was written to; try again
        (transient)
    "#]],
    );
    check(
        &Error::Closed,
        expect![[r#"
        the checkpointer was closed
    "#]],
    );
    let failed = |_| Error::Database {
        operation: "put a checkpoint",
        source: db::Error::Closed,
    };
    let error = Error::CloseFailed {
        source: Box::new(failed(0)),
        others: (0..2).map(failed).collect(),
    };
    check(
        &error,
        expect![[r#"
        3 of the writes that were still to be sent failed
        failed to put a checkpoint
        the database is closed; `init_db` or `Database::connect` opens it again
    "#]],
    );
}

#[test]
fn a_failure_of_the_database_tells_its_cause() {
    let reason = "the server is PostgreSQL 13, at least 14 is needed".to_owned();
    check(
        &Error::UnsuitableDatabase { reason },
        expect![[r#"
        the database can't be used: the server is PostgreSQL 13, at least 14 is needed
    "#]],
    );
    let operation = "put a checkpoint";
    let source = db::Error::ConnectionLost {
        statement: "checkpointer::put".to_owned(),
        source: None,
    };
    check(
        &Error::Database { operation, source },
        expect![[r#"
        failed to put a checkpoint
        the connection was lost before `checkpointer::put` could take effect
        (transient)
    "#]],
    );
    let source = db::Error::OutcomeUnknown {
        statement: "checkpointer::put".to_owned(),
        source: None,
    };
    check(
        &Error::Database { operation, source },
        expect![[r#"
        failed to put a checkpoint
        the connection was lost during `checkpointer::put`; whether it took effect is unknown
        (transient)
        (outcome unknown)
    "#]],
    );
}
