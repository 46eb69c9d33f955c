//! Every variant has a kind, and a row in `docs/errors.md`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::{CheckpointId, CheckpointNs, Error, ErrorKind, NameProblem, ThreadId};

const SOURCE: &str = include_str!("../../error.rs");
const KINDS: &str = include_str!("../kind.rs");
const PAGE: &str = include_str!("../../../../../docs/errors.md");

/// The names of the variants, as the source has them.
fn variants() -> Vec<&'static str> {
    let (_, body) = SOURCE.split_once("pub enum Error {\n").unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.trim_end_matches([',', ' ', '{']))
        .collect()
}

/// Kind and status of each variant, as the page has them.
fn rows() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`'), (cells[2], cells[3]))
    })
    .collect()
}

/// An error of each variant but `Database`.
fn examples() -> Vec<Error> {
    let thread_id = ThreadId::new("support-4711").unwrap();
    let checkpoint_id = CheckpointId::new("1").unwrap();
    vec![
        Error::InvalidName {
            kind: "thread_id",
            problem: NameProblem::Empty,
        },
        Error::unstorable(&thread_id, "channel `a`", "[0]", "too large"),
        Error::partial_checkpoint(&checkpoint_id),
        Error::MalformedCheckpoint {
            field: String::new(),
            expected: "an object",
        },
        Error::MalformedExport {
            line: 3,
            what: "has no `ts`".to_owned(),
        },
        Error::Conflict {
            thread_id: thread_id.clone(),
            checkpoint_ns: CheckpointNs::ROOT,
            expected: None,
            head: None,
        },
        Error::thread_deleted(&thread_id),
        Error::lease_held(&thread_id, SystemTime::UNIX_EPOCH),
        Error::lease_lost(&thread_id),
        Error::thread_not_found(&thread_id),
        Error::thread_exists(&thread_id),
        Error::thread_full(&thread_id, 1_100, 1_000),
        Error::CheckpointNotFound {
            thread_id: thread_id.clone(),
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id: checkpoint_id.clone(),
        },
        Error::ParentNotFound {
            thread_id: thread_id.clone(),
            checkpoint_ns: CheckpointNs::ROOT,
            parent_checkpoint_id: checkpoint_id.clone(),
            channel: "a".to_owned(),
        },
        Error::AppendMismatch {
            thread_id: thread_id.clone(),
            checkpoint_ns: CheckpointNs::ROOT,
            channel: "a".to_owned(),
            after: 1,
            found: None,
        },
        Error::unsupported("prune"),
        Error::corrupt(&thread_id, "chunk 00"),
        Error::UnstorableState {
            thread_id: thread_id.clone(),
            path: "a".to_owned(),
            reason: "a number that is not finite".to_owned(),
        },
        Error::StateMismatch {
            thread_id: thread_id.clone(),
            checkpoint_id: checkpoint_id.clone(),
            path: "a".to_owned(),
            reason: "expected u8".to_owned(),
            source: None,
        },
        Error::StateTooNew {
            thread_id: thread_id.clone(),
            checkpoint_id,
            version: 3,
            known: 2,
        },
        Error::busy(&thread_id),
        Error::Closed,
        Error::CloseFailed {
            source: Box::new(Error::Closed),
            others: Vec::new(),
        },
        Error::UnsuitableDatabase {
            reason: "too old".to_owned(),
        },
    ]
}

fn name(error: &Error) -> String {
    let debug = format!("{error:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric());
    debug[..end.unwrap_or(debug.len())].to_owned()
}

#[test]
fn every_variant_has_a_row_on_the_page() {
    let mut variants = variants();
    assert!(variants.len() > 20, "{variants:?}");
    variants.sort_unstable();
    assert_eq!(rows().into_keys().collect::<Vec<_>>(), variants);
}

#[test]
fn every_variant_has_the_kind_that_its_row_says() {
    let examples = examples();
    let mut names: Vec<_> = examples.iter().map(name).collect();
    names.push("Database".to_owned());
    names.sort_unstable();
    let mut variants = variants();
    variants.sort_unstable();
    assert_eq!(names, variants, "an example of each");
    for error in &examples {
        let kind = error.kind();
        let (kind_of_row, status) = rows()[&*name(error)];
        assert_eq!(kind_of_row, format!("`{kind}`"), "{error}");
        // The program on the page, by the name of the kind.
        let arm = match kind {
            ErrorKind::Internal => "_".to_owned(),
            kind => format!("ErrorKind::{kind:?}"),
        };
        assert!(PAGE.contains(&format!("{arm} => {status},")), "{error}");
        if error.is_transient() {
            assert_eq!(kind, ErrorKind::Unavailable, "{error}");
        }
    }
}

#[test]
fn the_program_on_the_page_is_one_that_is_compiled() {
    let (_, program) = PAGE.split_once("```rust\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let compiled: String = program
        .lines()
        .map(|line| format!("/// {line}\n"))
        .collect();
    let code = KINDS.replace("    /// ", "/// ");
    assert!(code.contains(&compiled), "{compiled}");
}

#[test]
fn a_failure_of_the_database_is_unavailable_unless_it_is_the_callers() {
    let lost = || db::Error::ConnectionLost {
        statement: "checkpointer::put".to_owned(),
        source: None,
    };
    let unknown = db::Error::OutcomeUnknown {
        statement: "checkpointer::put".to_owned(),
        source: None,
    };
    for (source, expected) in [
        (lost(), ErrorKind::Unavailable),
        (unknown, ErrorKind::Unavailable),
        (db::Error::Closed, ErrorKind::Unavailable),
        (db::Error::RuntimeEnded, ErrorKind::Unavailable),
        (db::Error::NotInitialised, ErrorKind::Internal),
        (db::Error::AlreadyInitialised, ErrorKind::Internal),
    ] {
        let error = Error::database("put a checkpoint", source);
        assert_eq!(error.kind(), expected, "{}", error.for_log());
    }
}

#[test]
fn a_log_shows_all_causes_on_one_line() {
    let upgrade = Error::database("read a checkpoint", db::Error::Closed);
    let error = Error::StateMismatch {
        thread_id: ThreadId::new("support-4711").unwrap(),
        checkpoint_id: CheckpointId::new("1").unwrap(),
        path: String::new(),
        reason: "the upgrade from version 1 failed".to_owned(),
        source: Some(Box::new(upgrade)),
    };
    let line = error.for_log().to_string();
    let causes =
        "the upgrade from version 1 failed: failed to read a checkpoint: the database is closed";
    assert!(line.contains(causes), "{line}");
}
