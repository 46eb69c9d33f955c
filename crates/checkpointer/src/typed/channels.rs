//! A typed state as channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::checked::checked;
use super::fields;
use super::lists::{Found, Grown, Lists};
use super::stored_state::StoredState;
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
    /// The lists that begin with what was saved last.
    pub(super) longer: BTreeMap<String, Further>,
    /// What to remember of the lists once they are saved.
    pub(super) lists: Lists,
}

/// The items of a list behind those that were saved last.
#[derive(Debug, Clone)]
pub(super) struct Further {
    /// How many were saved.
    pub(super) after: usize,
    pub(super) items: Vec<Value>,
}

impl Channels {
    pub(super) fn new(values: ChannelValues) -> Self {
        Self {
            hashes: hashes(&values),
            values,
            ..Self::default()
        }
    }

    /// Converts a state. Of the lists that were saved last, as far as they only grew, it holds the
    /// further items.
    pub(super) fn of<State>(thread_id: &ThreadId, state: &State, saved: &Lists) -> Result<Self>
    where
        State: Serialize + DeserializeOwned + 'static,
    {
        let unstorable = |path: String, reason: String| Error::UnstorableState {
            thread_id: thread_id.clone(),
            path,
            reason,
        };
        let (top, found) = checked(state, saved)
            .map_err(|refused| unstorable(refused.path.to_string(), refused.reason.to_string()))?;
        let mut values: ChannelValues = match top {
            Top::Fields(fields) if fields.contains_key(ROOT) => {
                let reason = "a field of this name would be taken for a state that is no struct";
                return Err(unstorable(ROOT.to_owned(), reason.to_owned()));
            }
            Top::Fields(fields) => fields.into_iter().collect(),
            Top::Root(value) => ChannelValues::from([(ROOT.to_owned(), value)]),
        };
        let longer = take_longer(&mut values, &found);
        let mut channels = Self {
            longer,
            ..Self::new(values)
        };
        channels.lists = channels.lists_of(found);
        Ok(channels)
    }

    /// What to remember of lists once they are saved.
    fn lists_of(&self, found: Grown) -> Lists {
        let remembered = found.into_iter().filter_map(|(channel, found)| {
            let (items, saved) = match found {
                Found::Longer { saved, .. } => (self.longer.get(&channel)?.items.as_slice(), saved),
                Found::Whole(saved) => (self.values.get(&channel)?.as_array()?.as_slice(), saved?),
                Found::Changed => return None,
            };
            let bytes = items.iter().map(codec::max_bytes);
            Some((channel, saved.with(items.len(), bytes.sum())?))
        });
        remembered.collect()
    }

    /// The same for a save that no other can append to.
    pub(super) fn without_lists(self) -> Self {
        Self {
            lists: Lists::new(),
            ..self
        }
    }

    /// Whether the channels are the fields of a struct.
    pub(super) fn is_struct(&self) -> bool {
        !self.has(ROOT)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.values.keys().chain(self.longer.keys())
    }

    fn has(&self, channel: &str) -> bool {
        self.values.contains_key(channel) || self.longer.contains_key(channel)
    }

    /// Whether a channel has the value that it had when the values had these hashes.
    pub(super) fn is_same(&self, channel: &str, before: &Hashes) -> bool {
        match self.longer.get(channel) {
            Some(further) => further.items.is_empty(),
            None => before.get(channel) == self.hashes.get(channel),
        }
    }

    /// Adds the channels that aren't there.
    pub(super) fn keep(&mut self, others: &Self) {
        for (channel, value) in others.values.clone() {
            if !self.has(&channel) {
                self.hashes.insert(channel.clone(), others.hashes[&channel]);
                self.values.insert_shared(channel, value);
            }
        }
    }
}

/// Takes out the lists that only grew.
fn take_longer(values: &mut ChannelValues, found: &Grown) -> BTreeMap<String, Further> {
    let longer = found.iter().filter_map(|(channel, found)| {
        let Found::Longer { after, .. } = *found else {
            return None;
        };
        match values.remove(channel).map(Arc::unwrap_or_clone) {
            Some(Value::Array(items)) => Some((channel.clone(), Further { after, items })),
            _ => None,
        }
    });
    longer.collect()
}

/// The fields of a state that its type doesn't read.
pub(super) fn unknown<State: DeserializeOwned>(state: &StoredState) -> Channels {
    let (Some(known), StoredState::Fields(fields)) = (fields::of::<State>(), state) else {
        return Channels::default();
    };
    let mut unknown = fields.clone();
    unknown.retain(|field, _| !known.contains(&field.as_str()));
    Channels::new(unknown)
}

pub(super) fn hashes(values: &ChannelValues) -> Hashes {
    let hashes = values.iter();
    hashes
        .map(|(channel, value)| (channel.clone(), codec::hash(value)))
        .collect()
}
