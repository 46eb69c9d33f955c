//! Reading a state that another version of the program may have saved.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::stored_state::StoredState;
use crate::codec::Path;
use crate::{CheckpointAddress, Error, Metadata, Result};

/// The key of a checkpoint's metadata that holds its state's version.
pub(super) const STATE_VERSION: &str = "state_version";

/// Any error, as an upgrade returns it.
type AnyError = Box<dyn StdError + Send + Sync>;

/// Brings a state of an older version into the current shape.
type Upgrade = dyn Fn(u32, Value) -> Result<Value, AnyError> + Send + Sync;

/// The version of a state's type, and how older ones are read.
#[derive(Clone)]
pub(super) struct Shape {
    version: u32,
    upgrade: Arc<Upgrade>,
}

impl Shape {
    pub(super) fn new<E: Into<AnyError>>(
        version: u32,
        upgrade: impl Fn(u32, Value) -> Result<Value, E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            version,
            upgrade: Arc::new(move |from, state| upgrade(from, state).map_err(Into::into)),
        }
    }

    /// Says in which shape a checkpoint is saved. Version 0 needs no word.
    pub(super) fn mark(&self, metadata: Metadata) -> Metadata {
        match self.version {
            0 => metadata,
            version => metadata.with(STATE_VERSION, version),
        }
    }

    /// Whether a checkpoint's state is stored in the current shape.
    pub(super) fn is_current(&self, metadata: &Metadata) -> bool {
        version(metadata) == Some(self.version)
    }

    /// Brings a checkpoint's state into the current shape.
    pub(super) fn current(
        &self,
        address: &CheckpointAddress,
        metadata: &Metadata,
        state: StoredState,
    ) -> Result<StoredState> {
        let Some(version) = version(metadata) else {
            let reason = format!("the metadata's `{STATE_VERSION}` is no version");
            return Err(mismatch(address, &Path::default(), reason, None));
        };
        if version > self.version {
            return Err(Error::StateTooNew {
                thread_id: address.thread_id.clone(),
                checkpoint_id: address.checkpoint_id.clone(),
                version,
                known: self.version,
            });
        }
        if version == self.version {
            return Ok(state);
        }
        let upgraded = state.upgraded(|state| (self.upgrade)(version, state));
        upgraded.map_err(|error| {
            let (why, source) = why(error);
            let reason = format!("the upgrade from version {version} failed{why}");
            mismatch(address, &Path::default(), reason, source)
        })
    }
}

/// Reads a state in the current shape.
pub(super) fn read<State: DeserializeOwned>(
    address: &CheckpointAddress,
    state: &StoredState,
) -> Result<State> {
    decode(state).map_err(|(path, reason)| mismatch(address, &path, reason, None))
}

/// Reads a state in the current shape, or says where it doesn't fit, and why.
pub(super) fn decode<State: DeserializeOwned>(
    state: &StoredState,
) -> Result<State, (Path, String)> {
    let read = state.read();
    read.map_err(|error| (path(error.path()), without_values(error.inner())))
}

fn mismatch(
    address: &CheckpointAddress,
    path: &Path,
    reason: String,
    source: Option<AnyError>,
) -> Error {
    Error::StateMismatch {
        thread_id: address.thread_id.clone(),
        checkpoint_id: address.checkpoint_id.clone(),
        path: path.to_string(),
        reason,
        source,
    }
}

impl Default for Shape {
    /// Without a version there is nothing older.
    fn default() -> Self {
        Self::new(0, |_, state| Ok::<_, Infallible>(state))
    }
}

/// The version of a checkpoint's state, unless what stands for it is something else.
fn version(metadata: &Metadata) -> Option<u32> {
    match metadata.get(STATE_VERSION) {
        Some(version) => version.as_u64()?.try_into().ok(),
        None => Some(0),
    }
}

fn path(found: &serde_path_to_error::Path) -> Path {
    let mut path = Path::default();
    for segment in found.iter().rev() {
        match segment {
            Segment::Seq { index } => path.push_index(*index),
            Segment::Map { key } => path.push_key(key),
            Segment::Enum { variant } => path.push_key(variant),
            // A key that is no string, or what a map's key holds.
            Segment::Unknown => {}
        }
    }
    path
}

/// Why an upgrade failed: in words if serde says it, which may quote the state, else by its error.
fn why(error: AnyError) -> (String, Option<AnyError>) {
    match error.downcast::<serde_json::Error>() {
        Ok(error) => (format!(": {}", without_values(&error)), None),
        Err(other) => (String::new(), Some(other)),
    }
}

/// What serde says, but for the words in which it quotes the state: an error goes to logs.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let begins = |with: &&str| text.starts_with(with);
    if begins(&"missing field `") || begins(&"duplicate field `") {
        return text;
    }
    if begins(&"unknown field `") {
        return "a field that the type doesn't have".to_owned();
    }
    if begins(&"unknown variant `") {
        return "a variant that the type doesn't have".to_owned();
    }
    // The value stands before the last `expected`, whatever it holds; what follows is the type's.
    let by_serde = ["invalid type: ", "invalid value: ", "invalid length "];
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if by_serde.iter().any(begins) => format!("expected {expected}"),
        _ => "a value that the type refuses".to_owned(),
    }
}
