//! What is said about a checkpoint.

use std::fmt;

use serde_json::{Map, Value};

/// What made a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The input of a run.
    Input,
    /// A step of a run.
    Loop,
    /// An update from outside.
    Update,
    /// A fork of an earlier checkpoint.
    Fork,
}

impl Source {
    /// Returns LangGraph's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Loop => "loop",
            Self::Update => "update",
            Self::Fork => "fork",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is said about a checkpoint: `source`, `step`, `parents`, `run_id` and the user's own keys.
///
/// It is stored as given, and found with [`List::filter`](crate::List::filter), which takes those that
/// contain what it names. A program adds keys of its own by [`with`](Self::with).
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
/// use checkpointer::{Metadata, Source};
///
/// let metadata = Metadata::new(Source::Loop, 3)
///     .with("run_id", "run-17")
///     .with("tokens", json!({ "in": 812, "out": 64 }));
/// assert_eq!(metadata.step(), Some(3));
/// assert_eq!(metadata.run_id(), Some("run-17"));
/// assert_eq!(metadata.get("tokens"), Some(&json!({ "in": 812, "out": 64 })));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Says what made the checkpoint, and in which step; -1 is the first input.
    #[must_use]
    pub fn new(source: Source, step: i64) -> Self {
        Self::default()
            .with("source", source.as_str())
            .with("step", step)
            .with("parents", Map::new())
    }

    /// Adds or replaces a key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Returns the step, if there is one.
    pub fn step(&self) -> Option<i64> {
        self.get("step")?.as_i64()
    }

    /// Returns what made the checkpoint, in LangGraph's word.
    pub fn source(&self) -> Option<&str> {
        self.get("source")?.as_str()
    }

    /// Returns the run that put the checkpoint.
    pub fn run_id(&self) -> Option<&str> {
        self.get("run_id")?.as_str()
    }

    /// Returns the checkpoint of the enclosing graph in the namespace `checkpoint_ns`.
    pub fn parent_in(&self, checkpoint_ns: &str) -> Option<&str> {
        self.get("parents")?.get(checkpoint_ns)?.as_str()
    }

    /// Returns all of it.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns all of it, owned.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}
