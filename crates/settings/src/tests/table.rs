//! The table of variables in the docs, held to the code.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::RootCertificates;
use crate::duration::{range, written};
use crate::value::{Limit, Rule, Times, Value, Whole, Word};
use crate::variable::{
    ACQUIRE_TIMEOUT, APPLICATION_NAME, CHANNEL_BINDING, CONNECT_TIMEOUT, IDLE_TIMEOUT,
    MAX_LIFETIME, NAMES, NETWORK_TIMEOUT, POOL_MAX, POOL_MIN, POOL_MODE, RETRY_ATTEMPTS,
    RETRY_PAUSE, RETRY_TIMEOUT, SCHEMA, SSLCERT, SSLKEY, SSLMODE, SSLROOTCERT, STARTUP_TIMEOUT,
    STATEMENT_TIMEOUT, Variable,
};

/// The rows of the table of variables in a Markdown `text` or in crate docs.
fn rows(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.trim_start_matches("//! "))
        .filter(|line| line.starts_with("| `DB_") || line.starts_with("| `DATABASE_URL`"))
        .collect()
}

fn quoted(text: impl ToString) -> String {
    format!("`{}`", text.to_string())
}

/// What the table says of a type of values: its unit, a default and bounds.
trait Documented: Value {
    const UNIT: &str;

    fn default(&self) -> String;

    fn bounds(bounds: &Self::Bounds) -> String;
}

impl Documented for u32 {
    const UNIT: &str = "count";

    fn default(&self) -> String {
        quoted(self)
    }

    fn bounds(Whole { range, .. }: &Whole) -> String {
        format!("`{}` to `{}`", range.start(), range.end())
    }
}

impl Documented for Duration {
    const UNIT: &str = "duration";

    fn default(&self) -> String {
        quoted(written(*self))
    }

    fn bounds(bounds: &Times) -> String {
        let or_zero = if bounds.or_zero { ", or `0`" } else { "" };
        range(&bounds.range) + or_zero
    }
}

impl Documented for Limit {
    const UNIT: &str = "duration";

    fn default(&self) -> String {
        self.0
            .map_or_else(|| quoted("off"), |limit| quoted(written(limit)))
    }

    fn bounds(bounds: &RangeInclusive<Duration>) -> String {
        range(bounds) + ", or `off`"
    }
}

impl Documented for String {
    const UNIT: &str = "text";

    fn default(&self) -> String {
        quoted(self)
    }

    fn bounds(bounds: &Rule) -> String {
        bounds.expected.to_owned()
    }
}

impl Documented for PathBuf {
    const UNIT: &str = "path";

    fn default(&self) -> String {
        quoted(self.display())
    }

    fn bounds((): &()) -> String {
        "a file".to_owned()
    }
}

impl Documented for RootCertificates {
    const UNIT: &str = "path";

    fn default(&self) -> String {
        unreachable!("there is none")
    }

    fn bounds((): &()) -> String {
        "a file, or `system`".to_owned()
    }
}

impl<T: Word + PartialEq> Documented for T {
    const UNIT: &str = "word";

    fn default(&self) -> String {
        let word = T::WORDS.iter().find(|(_, value)| value == self);
        quoted(word.unwrap().0)
    }

    fn bounds((): &()) -> String {
        Self::expected(&())
    }
}

impl<T: Documented> Documented for Option<T> {
    const UNIT: &str = T::UNIT;

    fn default(&self) -> String {
        self.as_ref()
            .map_or_else(|| "not set".to_owned(), T::default)
    }

    fn bounds(bounds: &T::Bounds) -> String {
        T::bounds(bounds)
    }
}

/// The row of a variable but for its last column, which says in words what it means.
fn row<T: Documented>(variable: Variable<T>) -> String {
    let Variable {
        name,
        default,
        bounds,
        ..
    } = variable;
    let (unit, default, bounds) = (T::UNIT, T::default(&default), T::bounds(&bounds));
    format!("| `{name}` | {unit} | {default} | {bounds} |")
}

#[test]
fn the_table_in_the_docs_says_of_each_variable_what_the_code_does() {
    let expected = [
        "| `DATABASE_URL` | URL | required | below |".to_owned(),
        row(POOL_MIN),
        row(POOL_MAX),
        row(ACQUIRE_TIMEOUT),
        row(CONNECT_TIMEOUT),
        row(STARTUP_TIMEOUT),
        row(STATEMENT_TIMEOUT),
        row(NETWORK_TIMEOUT),
        row(RETRY_TIMEOUT),
        row(RETRY_ATTEMPTS),
        row(RETRY_PAUSE),
        row(IDLE_TIMEOUT),
        row(MAX_LIFETIME),
        row(APPLICATION_NAME),
        row(SCHEMA),
        row(SSLMODE),
        row(SSLROOTCERT),
        row(SSLCERT),
        row(SSLKEY),
        row(CHANNEL_BINDING),
        row(POOL_MODE),
    ];
    let found = rows(include_str!("../lib.rs"));
    assert_eq!(found.len(), NAMES.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            found.starts_with(expected),
            "{found}\nshould begin with\n{expected}"
        );
    }
}

#[test]
fn the_page_on_settings_has_the_same_table() {
    assert_eq!(
        rows(include_str!("../../../../docs/settings.md")),
        rows(include_str!("../lib.rs"))
    );
}
