//! Hostile and damaged input, made by chance: read or refused, but never a panic, and what is
//! accepted is within the documented bounds.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::log_of;
use crate::variable::NAMES;
use crate::{Error, Result, Settings, duration};

/// Not a name, because the name of an unknown parameter may be shown.
const PASSWORD: &str = "hunter2!";

/// A URL with everything that one can have.
const FULL: &str = "postgres://app:hunter2!@db1:6432,[::1],%2Frun%2Fpostgresql:1/agents%20all\
    ?application_name=x&channel_binding=prefer&connect_timeout=3&options=-cgeqo%3Doff\
    &sslmode=verify-full&sslrootcert=%2Fca&sslcert=c&sslkey=k&target_session_attrs=read-write";

/// A change to a text, at places that are chosen by chance.
#[derive(Debug, Clone)]
enum Mutation {
    Insert(Index, String),
    Remove(Index, Index),
    Repeat(Index, Index),
    Swap(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let inserted = prop_oneof![
        "[@:/?#&=%,\\[\\]$'\"\\\\{}\r\n\0 -]",
        "%[0-9a-fA-F]{2}",
        "[0-9]{1,40}",
        any::<String>(),
        select(NAMES.to_vec()).prop_map(|name| format!("\n{name}=")),
    ];
    let place = any::<Index>;
    prop_oneof![
        3 => (place(), inserted).prop_map(|(at, text)| Mutation::Insert(at, text)),
        2 => (place(), place()).prop_map(|(at, to)| Mutation::Remove(at, to)),
        1 => (place(), place()).prop_map(|(at, to)| Mutation::Repeat(at, to)),
        1 => (place(), place()).prop_map(|(at, to)| Mutation::Swap(at, to)),
    ]
}

impl Mutation {
    fn apply(&self, text: &mut Vec<char>) {
        let between = |at: &Index, to: &Index, text: &[char]| {
            let [at, to] = [at, to].map(|place| place.index(text.len() + 1));
            at.min(to)..at.max(to)
        };
        match self {
            Self::Insert(at, inserted) => {
                let at = at.index(text.len() + 1);
                text.splice(at..at, inserted.chars());
            }
            Self::Remove(at, to) => {
                text.drain(between(at, to, text));
            }
            Self::Repeat(at, to) => {
                let range = between(at, to, text);
                let repeated = text[range.clone()].to_vec();
                text.splice(range.end..range.end, repeated);
            }
            Self::Swap(at, to) if !text.is_empty() => {
                let (at, to) = (at.index(text.len()), to.index(text.len()));
                text.swap(at, to);
            }
            Self::Swap(..) => {}
        }
    }
}

fn mutated(original: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(mutation(), 0..4).prop_map(move |mutations| {
        let mut text: Vec<char> = original.chars().collect();
        for mutation in mutations {
            mutation.apply(&mut text);
        }
        text.into_iter().collect()
    })
}

/// Checks what was accepted, or that what was refused is not shown.
fn check(result: &Result<Settings>, log: &str) -> std::result::Result<(), TestCaseError> {
    match result {
        Ok(settings) => {
            prop_assert!(!settings.hosts().is_empty());
            for host in settings.hosts() {
                prop_assert!(!host.name.is_empty() && host.port > 0);
            }
            prop_assert!(!settings.user().is_empty() && !settings.dbname().is_empty());
            prop_assert!((1..=1000).contains(&settings.pool_max()));
            prop_assert!(settings.pool_min() <= settings.pool_max());
            let hour = Duration::from_secs(3600);
            prop_assert!((Duration::from_millis(1)..=hour).contains(&settings.connect_timeout()));
            prop_assert!(settings.statement_timeout().is_none_or(|t| t <= 24 * hour));
        }
        Err(error) => {
            let is_invalid = matches!(error, Error::Invalid { problems } if !problems.is_empty());
            prop_assert!(is_invalid, "{:?}", error);
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(PASSWORD), "{}", shown);
        }
    }
    prop_assert!(!log.contains(PASSWORD), "{}", log);
    Ok(())
}

proptest! {
    #[test]
    fn a_damaged_url_is_read_or_refused(url in mutated(FULL)) {
        let mut result = None;
        let log = log_of(|| result = Some(Settings::from_url(&url)));
        check(&result.unwrap(), &log)?;
    }

    #[test]
    fn any_text_is_read_as_a_url_or_refused(url in any::<String>(), scheme in any::<bool>()) {
        let scheme = if scheme { "postgres://" } else { "" };
        check(&Settings::from_url(&format!("{scheme}{url}")), "")?;
    }

    #[test]
    fn any_environment_is_read_or_refused(
        variables in prop::collection::vec(
            (select(NAMES.to_vec()), prop_oneof![any::<String>(), "[0-9]{0,30}(ms|s|min|h|d)?"]),
            0..24,
        ),
    ) {
        let url = ("DATABASE_URL".to_owned(), FULL.to_owned());
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        check(&Settings::from_iter([url].into_iter().chain(variables)), "")?;
    }

    #[test]
    fn any_text_is_read_as_a_duration_or_refused(
        text in prop_oneof![any::<String>(), "[0-9]{0,30}(ms|s|min|h|d)?"],
    ) {
        // The longest there is doesn't overflow.
        if let Some(duration) = duration::parse(&text) {
            prop_assert_eq!(duration::parse(&duration::written(duration)).unwrap_or_default(), duration);
        }
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        text in mutated("# service\nexport DB_SCHEMA=\"agents $DB_POOL_MAX\"\nDB_POOL_MAX=${DB_POOL_MIN}1\n\
            DATABASE_URL='postgres://app:hunter2!@db/agents'\nDB_ACQUIRE_TIMEOUT=5s # patient\n\
            NOTE=\"two \\n lines\"\nDB_POOL_MIN=1\n"),
    ) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".env"), &text).unwrap();
        let mut result = None;
        let log = log_of(|| {
            result = Some(Settings::load_from(dir.path(), [], Vec::<(OsString, OsString)>::new()));
        });
        check(&result.unwrap(), &log)?;
    }
}
