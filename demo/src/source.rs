//! What one file says about itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::language;
use crate::rust::{self, Rust};

/// Larger files are only weighed.
const MAX_BYTES: u64 = 32 << 20;

/// A file holds text if there is no NUL in its first bytes, as git has it.
const TEXT_SAMPLE: usize = 8000;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Its path below the audited folder.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// What it holds.
    pub(crate) content: Content,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// Text.
    Text(Text),
    /// Something else.
    Binary,
    /// Unknown: it couldn't be read, for this reason.
    Unread(String),
}

/// What was counted in a text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) language: String,
    pub(crate) lines: usize,
    pub(crate) blank: usize,
    pub(crate) todo: usize,
    pub(crate) fixme: usize,
    pub(crate) rust: Option<Rust>,
}

/// Audits the file `path` below `root`.
pub(crate) fn audit(root: &Path, path: &str) -> Source {
    let (bytes, content) = match read(&root.join(path)) {
        Ok((bytes, Some(read))) => (bytes, content(path, &read)),
        Ok((bytes, None)) => {
            let why = format!("larger than {} MiB", MAX_BYTES >> 20);
            (bytes, Content::Unread(why))
        }
        Err(error) => (0, Content::Unread(error.to_string())),
    };
    Source {
        path: path.to_owned(),
        bytes,
        content,
    }
}

/// Reads a file, unless it is too large, and says how large it is.
fn read(path: &Path) -> io::Result<(u64, Option<Vec<u8>>)> {
    // A pipe put here since the plan was made would block for ever.
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("no longer a regular file"));
    }
    if metadata.len() > MAX_BYTES {
        return Ok((metadata.len(), None));
    }
    let mut read = Vec::new();
    // It may grow meanwhile.
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut read)?;
    Ok((metadata.len(), Some(read)))
}

fn content(path: &str, read: &[u8]) -> Content {
    if read.iter().take(TEXT_SAMPLE).any(|byte| *byte == 0) {
        return Content::Binary;
    }
    Content::Text(count(path, &String::from_utf8_lossy(read)))
}

/// Counts what is in the text of the file `path`.
pub(crate) fn count(path: &str, text: &str) -> Text {
    let language = language::of(Path::new(path));
    let mut counted = Text {
        language: language.name.to_owned(),
        ..Text::default()
    };
    for line in text.lines().map(str::trim) {
        counted.lines += 1;
        counted.blank += usize::from(line.is_empty());
        let comment = comment(line, language.comment_signs);
        counted.todo += words(comment, "TODO");
        counted.fixme += words(comment, "FIXME");
    }
    if language == language::RUST {
        counted.rust = Some(rust::audit(text));
    }
    counted
}

/// The part of a line after its first comment sign, which stands at the line's start or after a
/// space.
fn comment<'a>(line: &'a str, signs: &[&str]) -> &'a str {
    let begins = signs.iter().filter_map(|sign| {
        let mut found = line.match_indices(sign);
        found.find(|(at, sign)| {
            // A star inside a line is more likely a multiplication.
            *at == 0 || *sign != "*" && line[..*at].ends_with(char::is_whitespace)
        })
    });
    begins
        .map(|(at, _)| &line[at..])
        .max_by_key(|rest| rest.len())
        .unwrap_or("")
}

/// How often `word` stands in a text as a word of its own.
fn words(text: &str, word: &str) -> usize {
    text.split(|char: char| !char.is_alphanumeric() && char != '_')
        .filter(|other| *other == word)
        .count()
}
