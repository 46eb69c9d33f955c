//! The types of values that a variable can have: how each is read from a text, and what limits it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{RootCertificates, duration};

/// A value of a variable or of a parameter of the URL.
pub(crate) trait Value: Clone {
    /// What limits the values of one variable.
    type Bounds;

    /// Reads the text of a variable, which is neither empty nor has whitespace around it.
    fn parse(text: &str) -> Option<Self>;

    fn is_within(&self, bounds: &Self::Bounds) -> bool;

    /// Says which values are right, after the word "expected".
    fn expected(bounds: &Self::Bounds) -> String;
}

/// A whole number without a sign.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) what: &'static str,
    pub(crate) range: RangeInclusive<u32>,
}

impl Value for u32 {
    type Bounds = Whole;

    fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_plain)
    }

    fn is_within(&self, bounds: &Whole) -> bool {
        bounds.range.contains(self)
    }

    fn expected(Whole { what, range }: &Whole) -> String {
        format!("{what} from {} to {}", range.start(), range.end())
    }
}

/// The bounds of a duration.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) range: RangeInclusive<Duration>,
    /// Whether zero is right, too.
    pub(crate) or_zero: bool,
}

impl Value for Duration {
    type Bounds = Times;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::ZERO),
            _ => duration::parse(text),
        }
    }

    fn is_within(&self, bounds: &Times) -> bool {
        bounds.range.contains(self) || (bounds.or_zero && self.is_zero())
    }

    fn expected(bounds: &Times) -> String {
        let or_zero = if bounds.or_zero { ", or `0`" } else { "" };
        expected_duration(&bounds.range) + or_zero
    }
}

/// A duration after which something ends, or `None` if it never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Value for Limit {
    type Bounds = RangeInclusive<Duration>;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self(None)),
            _ => Duration::parse(text).map(|limit| Self((!limit.is_zero()).then_some(limit))),
        }
    }

    fn is_within(&self, bounds: &RangeInclusive<Duration>) -> bool {
        self.0.is_none_or(|limit| bounds.contains(&limit))
    }

    fn expected(bounds: &RangeInclusive<Duration>) -> String {
        expected_duration(bounds) + ", or `off`"
    }
}

fn expected_duration(range: &RangeInclusive<Duration>) -> String {
    format!(
        "a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from {}",
        duration::range(range)
    )
}

/// What makes a text right, in words and as a function.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) expected: &'static str,
    pub(crate) is_kept: fn(&str) -> bool,
}

impl Value for String {
    type Bounds = Rule;

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn is_within(&self, bounds: &Rule) -> bool {
        (bounds.is_kept)(self)
    }

    fn expected(bounds: &Rule) -> String {
        bounds.expected.to_owned()
    }
}

impl Value for PathBuf {
    type Bounds = ();

    fn parse(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }

    fn is_within(&self, (): &()) -> bool {
        is_path(self)
    }

    fn expected((): &()) -> String {
        "a file's path".to_owned()
    }
}

impl Value for RootCertificates {
    type Bounds = ();

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "system" => Self::System,
            path => Self::File(path.into()),
        })
    }

    fn is_within(&self, (): &()) -> bool {
        match self {
            Self::File(path) => is_path(path),
            Self::System => true,
        }
    }

    fn expected((): &()) -> String {
        "a file's path or `system`".to_owned()
    }
}

fn is_path(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    !bytes.is_empty() && !bytes.contains(&0)
}

/// A type that has a word for each of its values.
pub(crate) trait Word: Copy + 'static {
    const WORDS: &[(&str, Self)];
}

impl<T: Word> Value for T {
    type Bounds = ();

    fn parse(text: &str) -> Option<Self> {
        let found = T::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value)
    }

    fn is_within(&self, (): &()) -> bool {
        true
    }

    fn expected((): &()) -> String {
        let words: Vec<_> = T::WORDS
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        let (last, others) = words.split_last().expect("there are words");
        format!("{} or {last}", others.join(", "))
    }
}

impl Word for bool {
    const WORDS: &[(&str, Self)] = &[("true", true), ("false", false)];
}

/// A value that may be missing.
impl<T: Value> Value for Option<T> {
    type Bounds = T::Bounds;

    fn parse(text: &str) -> Option<Self> {
        T::parse(text).map(Some)
    }

    fn is_within(&self, bounds: &T::Bounds) -> bool {
        self.as_ref().is_none_or(|value| value.is_within(bounds))
    }

    fn expected(bounds: &T::Bounds) -> String {
        T::expected(bounds)
    }
}
