//! The `.env` file: where it is, and what it says of our variables.

mod entry;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use crate::Error;
use crate::error::Problems;
use crate::given;
use crate::variable;
use entry::{Entry, Part, Wrong};

/// Reads the `.env` file of `dir` or of the nearest folder above that has one. Its values may refer
/// to variables of the environment.
///
/// The variables come in an order in which the later one of the same name counts; in the file it is
/// the first, as is usual for such files.
pub(crate) fn read(
    dir: &Path,
    environment: &[(OsString, OsString)],
    problems: &mut Problems,
) -> crate::Result<Vec<(OsString, OsString)>> {
    // A folder called `.env` is a Python environment.
    let Some(path) = dir
        .ancestors()
        .map(|dir| dir.join(".env"))
        .find(|path| path.is_file())
    else {
        return Ok(Vec::new());
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(Error::ReadDotenv { path, source }),
    };

    let mut file = File {
        environment,
        values: Vec::new(),
    };
    for entry in entry::all(text.trim_start_matches('\u{feff}')) {
        let (line, path) = (entry.line, path.display());
        if let Some(expected) = file.misspelling(entry.name) {
            problems.add(entry.name, format!("{expected} (line {line} of `{path}`)"));
        }
        if let Err((name, wrong)) = file.take(entry) {
            let expected = wrong.expected();
            problems.add(name, format!("{expected} (line {line} of `{path}`)"));
        }
    }
    Ok(file.into_variables())
}

/// The values read so far, and what they may refer to.
struct File<'a> {
    environment: &'a [(OsString, OsString)],
    /// A value is missing if its line is malformed, which matters only if it is ours or if one of
    /// ours refers to it.
    values: Vec<(&'a str, Option<String>)>,
}

impl<'a> File<'a> {
    /// Takes an entry, or says what is wrong with which of our variables.
    fn take(&mut self, entry: Entry<'a>) -> Result<(), (&'a str, Wrong)> {
        let Entry { name, .. } = entry;
        if !is_ours(name)
            && let Some(hidden) = entry.names_within().find(|name| self.counts(name))
        {
            return Err((hidden, Wrong::Hidden));
        }
        let counts = self.counts(name);
        let value = entry.parts.and_then(|parts| self.joined(parts));
        match value {
            Err(wrong) if counts => Err((name, wrong)),
            value => {
                self.values.push((name, value.ok()));
                Ok(())
            }
        }
    }

    /// What was expected in place of a name that looks like a misspelling. One that is in the
    /// environment too is reported there.
    fn misspelling(&self, name: &str) -> Option<String> {
        let is_known = is_ours(name) || self.set(name).is_some();
        (name.starts_with("DB_") && !is_known).then(|| given::misspelling(name))?
    }

    /// Whether a line with this name says what one of our variables is: neither the environment nor
    /// a line further up beats it.
    fn counts(&self, name: &str) -> bool {
        let is_known = self.values.iter().any(|(known, _)| *known == name);
        is_ours(name) && self.set(name).is_none() && !is_known
    }

    fn joined(&self, parts: Vec<Part<'a>>) -> Result<String, Wrong> {
        parts.into_iter().map(|part| self.text_of(part)).collect()
    }

    fn text_of(&self, part: Part<'a>) -> Result<String, Wrong> {
        match part {
            Part::Text(text) => Ok(text),
            Part::Variable(name) => self.find(name).map(str::to_owned).ok_or(Wrong::NotSet),
        }
    }

    /// The value of a variable: as everywhere, the environment wins over the file.
    fn find(&self, name: &str) -> Option<&str> {
        if let Some(value) = self.set(name) {
            return value.to_str();
        }
        let (_, value) = self.values.iter().find(|(known, _)| *known == name)?;
        value.as_deref()
    }

    /// The value in the environment.
    fn set(&self, name: &str) -> Option<&OsStr> {
        let is_it = |(set, _): &&(OsString, OsString)| set == name;
        let (_, value) = self.environment.iter().rfind(is_it)?;
        Some(value)
    }

    /// Those that are ours.
    fn into_variables(self) -> Vec<(OsString, OsString)> {
        let values = self.values.into_iter().rev();
        values
            .filter(|(name, _)| is_ours(name))
            .map(|(name, value)| (name.into(), value.unwrap_or_default().into()))
            .collect()
    }
}

fn is_ours(name: &str) -> bool {
    variable::NAMES.contains(&name)
}
