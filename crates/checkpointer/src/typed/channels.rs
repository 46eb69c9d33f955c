//! A typed state as channels.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::checked::checked;
use super::fields;
use super::to_value::Top;
use crate::channels::ROOT;
use crate::codec::{self, ContentHash};
use crate::{ChannelValues, Error, Result, ThreadId};

/// The hash of each channel's value: which ones a save changes.
pub(super) type Hashes = BTreeMap<String, ContentHash>;

/// A state as channels.
#[derive(Debug, Clone, Default)]
pub(super) struct Channels {
    pub(super) values: ChannelValues,
    pub(super) hashes: Hashes,
}

impl Channels {
    pub(super) fn new(values: ChannelValues) -> Self {
        Self {
            hashes: hashes(&values),
            values,
        }
    }

    pub(super) fn of<State>(thread_id: &ThreadId, state: &State) -> Result<Self>
    where
        State: Serialize + DeserializeOwned + 'static,
    {
        let unstorable = |path: String, reason: String| Error::UnstorableState {
            thread_id: thread_id.clone(),
            path,
            reason,
        };
        let top = checked(state)
            .map_err(|refused| unstorable(refused.path.to_string(), refused.reason.to_string()))?;
        let values: ChannelValues = match top {
            Top::Fields(fields) if fields.contains_key(ROOT) => {
                let reason = "a field of this name would be taken for a state that is no struct";
                return Err(unstorable(ROOT.to_owned(), reason.to_owned()));
            }
            Top::Fields(fields) => fields.into_iter().collect(),
            Top::Root(value) => ChannelValues::from([(ROOT.to_owned(), value)]),
        };
        Ok(Self::new(values))
    }

    /// Whether the channels are the fields of a struct.
    pub(super) fn is_struct(&self) -> bool {
        !self.values.contains_key(ROOT)
    }

    /// Adds the channels that aren't there.
    pub(super) fn keep(&mut self, others: &Self) {
        for (channel, value) in &others.values {
            if !self.values.contains_key(channel) {
                self.values.insert(channel.clone(), value.clone());
                self.hashes.insert(channel.clone(), others.hashes[channel]);
            }
        }
    }
}

/// The fields of a state that its type doesn't read.
pub(super) fn unknown<State: DeserializeOwned>(state: &Value) -> Channels {
    let (Some(known), Value::Object(state)) = (fields::of::<State>(), state) else {
        return Channels::default();
    };
    let unknown = state
        .iter()
        .filter(|(field, _)| !known.contains(&field.as_str()));
    let unknown = unknown.map(|(field, value)| (field.clone(), value.clone()));
    Channels::new(unknown.collect())
}

pub(super) fn hashes(values: &ChannelValues) -> Hashes {
    let hashes = values.iter();
    hashes
        .map(|(channel, value)| (channel.clone(), codec::hash(value)))
        .collect()
}

/// The state that a checkpoint's channels hold.
pub(super) fn state(mut values: ChannelValues) -> Value {
    match values.remove(ROOT) {
        Some(root) => root,
        None => Value::Object(values.into_iter().collect()),
    }
}
