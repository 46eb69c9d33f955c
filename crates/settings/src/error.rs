//! What can be wrong with the settings, and the list of it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::variable::DATABASE_URL;

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error from reading the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is missing or wrong.
    #[error("invalid settings:{}", lines(problems))]
    #[non_exhaustive]
    Invalid {
        /// Everything that is wrong; never empty.
        problems: Vec<Problem>,
    },
    /// A `.env` file is there, but can't be read.
    #[error("failed to read `{}`", path.display())]
    #[non_exhaustive]
    ReadDotenv {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// One thing that is wrong, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The variable.
    pub name: String,
    /// The parameter, if it is one of the URL's that is wrong.
    pub parameter: Option<&'static str>,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        if let Some(parameter) = self.parameter {
            write!(f, ", parameter `{parameter}`")?;
        }
        write!(f, ": expected {}", self.expected)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, name: impl Into<String>, expected: impl Into<String>) {
        self.push(name.into(), None, expected.into());
    }

    pub(crate) fn add_parameter(&mut self, parameter: &'static str, expected: impl Into<String>) {
        self.push(DATABASE_URL.to_owned(), Some(parameter), expected.into());
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn are_about(&self, name: &str) -> bool {
        self.0.iter().any(|problem| problem.name == name)
    }

    /// Gives `value` if there are none.
    pub(crate) fn finish<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Error::Invalid { problems: self.0 })
        }
    }

    fn push(&mut self, name: String, parameter: Option<&'static str>, expected: String) {
        let problem = Problem {
            name,
            parameter,
            expected,
        };
        // Two bad ports are one thing to put right.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }
}
