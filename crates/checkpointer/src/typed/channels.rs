//! A typed state as channels.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::to_value::{Top, to_value};
use crate::channels::ROOT;
use crate::codec::{self, ContentHash};
use crate::{ChannelValues, Error, Result, ThreadId};

/// The hash of each channel's value: which ones a save changes.
pub(super) type Hashes = BTreeMap<String, ContentHash>;

/// A state as channels.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) values: ChannelValues,
    pub(super) hashes: Hashes,
}

impl Channels {
    pub(super) fn of(thread_id: &ThreadId, state: &impl Serialize) -> Result<Self> {
        let unstorable = |path: String, reason: String| Error::UnstorableState {
            thread_id: thread_id.clone(),
            path,
            reason,
        };
        let top = to_value(state)
            .map_err(|refused| unstorable(refused.path.to_string(), refused.reason.to_string()))?;
        let values: ChannelValues = match top {
            Top::Fields(fields) if fields.contains_key(ROOT) => {
                let reason = "a field of this name would be taken for a state that is no struct";
                return Err(unstorable(ROOT.to_owned(), reason.to_owned()));
            }
            Top::Fields(fields) => fields.into_iter().collect(),
            Top::Root(value) => ChannelValues::from([(ROOT.to_owned(), value)]),
        };
        Ok(Self {
            hashes: hashes(&values),
            values,
        })
    }
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
