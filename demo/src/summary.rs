//! What all files together say.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rust::{Function, Rust};
use crate::source::{Content, Source, Text};
use crate::tree::{self, Tree};

/// How many functions are listed.
const FUNCTIONS: usize = 10;

/// How many files are listed by size.
const LARGEST: usize = 5;

/// Which of the audited files are summed up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// All of them.
    #[default]
    Everything,
    /// Those that aren't tests, benchmarks or examples.
    WithoutTests,
    /// All but one.
    Without(String),
}

impl Scope {
    fn holds(&self, path: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::WithoutTests => !tree::is_test(path),
            Self::Without(other) => path != other,
        }
    }
}

/// The sums over some files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) root: String,
    pub(crate) scope: Scope,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// By language, the one with the most lines first.
    pub(crate) languages: Vec<Language>,
    pub(crate) functions: usize,
    pub(crate) unsafes: usize,
    pub(crate) unwraps: usize,
    /// The longest Rust functions, each with its file.
    pub(crate) longest: Vec<(String, Function)>,
    /// The largest files and their sizes.
    pub(crate) largest: Vec<(String, u64)>,
    pub(crate) binary: usize,
    /// Rust files that don't parse, and other files that couldn't be audited, with the reason.
    pub(crate) unparsed: Vec<String>,
    pub(crate) unread: Vec<String>,
    pub(crate) links: usize,
}

/// The sums over the files of a language.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Language {
    pub(crate) name: String,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) lines: usize,
    pub(crate) blank: usize,
    pub(crate) todo: usize,
    pub(crate) fixme: usize,
}

impl Summary {
    /// Sums up the files of a tree that are in the scope.
    pub(crate) fn new(root: String, tree: &Tree, sources: Vec<Source>, scope: Scope) -> Self {
        let mut sum = Self {
            root,
            unread: tree.passed_over.clone(),
            links: tree.links,
            ..Self::default()
        };
        let mut languages = BTreeMap::new();
        for source in sources {
            if !scope.holds(&source.path) {
                continue;
            }
            sum.files += 1;
            sum.bytes += source.bytes;
            match &source.content {
                Content::Text(text) => {
                    add_text(&mut languages, source.bytes, text);
                    sum.add_rust(&source.path, text.rust.as_ref());
                }
                Content::Binary => sum.binary += 1,
                Content::Unread(why) => sum.unread.push(format!("{}: {why}", source.path)),
            }
            sum.largest.push((source.path, source.bytes));
        }
        sum.languages = languages.into_values().collect();
        sum.languages
            .sort_by_key(|language| Reverse(language.lines));
        sum.longest
            .sort_by_key(|(_, function)| Reverse(function.lines));
        sum.longest.truncate(FUNCTIONS);
        sum.largest.sort_by_key(|(_, bytes)| Reverse(*bytes));
        sum.largest.truncate(LARGEST);
        sum.scope = scope;
        sum
    }

    fn add_rust(&mut self, path: &str, rust: Option<&Rust>) {
        match rust {
            None => {}
            Some(Rust::Unparsed(why)) => self.unparsed.push(format!("{path}: {why}")),
            Some(Rust::Parsed {
                functions,
                longest,
                unsafes,
                unwraps,
            }) => {
                self.functions += functions;
                self.unsafes += unsafes;
                self.unwraps += unwraps;
                let longest = longest.iter().cloned();
                self.longest
                    .extend(longest.map(|function| (path.to_owned(), function)));
            }
        }
    }

    /// The sums over all languages.
    pub(crate) fn total(&self) -> Language {
        let mut total = Language::default();
        for language in &self.languages {
            total.add(language);
        }
        total
    }
}

impl Language {
    pub(crate) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.blank += other.blank;
        self.todo += other.todo;
        self.fixme += other.fixme;
    }
}

fn add_text(languages: &mut BTreeMap<String, Language>, bytes: u64, text: &Text) {
    let language = languages.entry(text.language.clone()).or_default();
    language.name.clone_from(&text.language);
    language.add(&Language {
        name: String::new(),
        files: 1,
        bytes,
        lines: text.lines,
        blank: text.blank,
        todo: text.todo,
        fixme: text.fixme,
    });
}
