//! The values of a checkpoint's channels, which are shared instead of copied.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::iter;
use std::ops::Index;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::TrackedList;
use crate::tracked_list::Origin;

/// The values of the channels, by the channel's name.
///
/// It is a map from names to [`Value`]s, in the order of the names. The values are shared: a clone
/// copies none of them, however long they are, nor does
/// [`Checkpoint::child_of`](crate::Checkpoint::child_of). A value never changes under another holder:
/// [`get_mut`](Self::get_mut) copies one that is shared.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use checkpointer::ChannelValues;
/// use checkpointer::serde_json::json;
///
/// let mut values = ChannelValues::new();
/// values.insert("draft", json!("Dear customer"));
/// values.insert("messages", json!(["Where is my order?"]));
/// assert_eq!(values["messages"][0], "Where is my order?");
///
/// let before = values.clone();
/// values.insert("draft", json!("Dear Ann"));
/// assert_eq!(before["draft"], "Dear customer");
///
/// // The messages are there once.
/// let [old, new] = [&before, &values].map(|values| values.get_shared("messages").unwrap());
/// assert!(Arc::ptr_eq(old, new));
/// ```
#[derive(Clone, Default)]
pub struct ChannelValues {
    by_channel: BTreeMap<String, Arc<Value>>,
    /// Where values come from. One that has been replaced since isn't meant.
    origins: BTreeMap<String, Origin>,
}

/// The channels with their values, in the order of the names.
type Iter<'a> = iter::Map<
    btree_map::Iter<'a, String, Arc<Value>>,
    fn((&'a String, &'a Arc<Value>)) -> (&'a String, &'a Value),
>;

impl ChannelValues {
    /// Makes an empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_channel: BTreeMap::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Sets a channel's value. Returns the one that it had.
    pub fn insert(&mut self, channel: impl Into<String>, value: Value) -> Option<Arc<Value>> {
        self.insert_shared(channel, Arc::new(value))
    }

    /// Sets a channel's value to one that others may hold as well. Returns the one that it had.
    pub fn insert_shared(
        &mut self,
        channel: impl Into<String>,
        value: Arc<Value>,
    ) -> Option<Arc<Value>> {
        self.by_channel.insert(channel.into(), value)
    }

    /// Sets a channel's value to that of a list, of which a put looks only at the items that are new.
    /// Returns the one that it had.
    pub fn insert_list(
        &mut self,
        channel: impl Into<String>,
        list: &TrackedList,
    ) -> Option<Arc<Value>> {
        let channel = channel.into();
        self.origins.insert(channel.clone(), list.origin());
        self.insert_shared(channel, Arc::clone(list.value()))
    }

    /// The value of a channel.
    #[must_use]
    pub fn get(&self, channel: &str) -> Option<&Value> {
        self.get_shared(channel).map(Arc::as_ref)
    }

    /// The value of a channel, to be held without a copy.
    #[must_use]
    pub fn get_shared(&self, channel: &str) -> Option<&Arc<Value>> {
        self.by_channel.get(channel)
    }

    /// The value of a channel, to be changed. It is copied first if there are others who hold it.
    pub fn get_mut(&mut self, channel: &str) -> Option<&mut Value> {
        self.by_channel.get_mut(channel).map(Arc::make_mut)
    }

    /// Empties a channel. Returns the value that it had, which [`Arc::unwrap_or_clone`] takes out
    /// without a copy if it isn't shared.
    pub fn remove(&mut self, channel: &str) -> Option<Arc<Value>> {
        self.by_channel.remove(channel)
    }

    /// Empties the channels for which `keeps` says so by `false`.
    pub fn retain(&mut self, mut keeps: impl FnMut(&String, &Value) -> bool) {
        self.by_channel
            .retain(|channel, value| keeps(channel, value));
    }

    /// Empties all channels.
    pub fn clear(&mut self) {
        self.by_channel.clear();
        self.origins.clear();
    }

    /// Whether a channel has a value.
    #[must_use]
    pub fn contains_key(&self, channel: &str) -> bool {
        self.by_channel.contains_key(channel)
    }

    /// How many channels have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_channel.len()
    }

    /// Whether no channel has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_channel.is_empty()
    }

    /// The channels with their values, in the order of the names.
    pub fn iter(&self) -> Iter<'_> {
        self.by_channel
            .iter()
            .map(|(channel, value)| (channel, value))
    }

    /// The channels with their values, to be held without a copy.
    pub(crate) fn iter_shared(&self) -> btree_map::Iter<'_, String, Arc<Value>> {
        self.by_channel.iter()
    }

    /// Where a channel's value comes from, if it is that of a list.
    pub(crate) fn origin(&self, channel: &str) -> Option<&Origin> {
        let origin = self.origins.get(channel)?;
        let value = self.get_shared(channel)?;
        origin.is_of(value).then_some(origin)
    }

    /// The names of the channels, in their order.
    pub fn keys(&self) -> btree_map::Keys<'_, String, Arc<Value>> {
        self.by_channel.keys()
    }

    /// The values, in the order of the channels' names.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.by_channel.values().map(Arc::as_ref)
    }
}

impl PartialEq for ChannelValues {
    fn eq(&self, other: &Self) -> bool {
        self.by_channel == other.by_channel
    }
}

impl Eq for ChannelValues {}

impl<Channel: AsRef<str> + ?Sized> Index<&Channel> for ChannelValues {
    type Output = Value;

    /// The value of a channel.
    ///
    /// # Panics
    ///
    /// If it has none.
    fn index(&self, channel: &Channel) -> &Value {
        let channel = channel.as_ref();
        self.get(channel)
            .unwrap_or_else(|| panic!("channel `{channel}` has no value"))
    }
}

impl<Channel: Into<String>, Shared: Into<Arc<Value>>> Extend<(Channel, Shared)> for ChannelValues {
    fn extend<Values: IntoIterator<Item = (Channel, Shared)>>(&mut self, values: Values) {
        let values = values.into_iter();
        let values = values.map(|(channel, value)| (channel.into(), value.into()));
        self.by_channel.extend(values);
    }
}

impl<Channel: Into<String>, Shared: Into<Arc<Value>>> FromIterator<(Channel, Shared)>
    for ChannelValues
{
    fn from_iter<Values: IntoIterator<Item = (Channel, Shared)>>(values: Values) -> Self {
        let mut all = Self::new();
        all.extend(values);
        all
    }
}

impl<Channel: Into<String>, Shared: Into<Arc<Value>>, const N: usize> From<[(Channel, Shared); N]>
    for ChannelValues
{
    fn from(values: [(Channel, Shared); N]) -> Self {
        values.into_iter().collect()
    }
}

/// The values as one JSON object. Only those that are shared are copied.
impl From<ChannelValues> for Value {
    fn from(values: ChannelValues) -> Self {
        let values = values.into_iter();
        let values = values.map(|(channel, value)| (channel, Arc::unwrap_or_clone(value)));
        Self::Object(values.collect())
    }
}

impl IntoIterator for ChannelValues {
    type Item = (String, Arc<Value>);
    type IntoIter = btree_map::IntoIter<String, Arc<Value>>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_channel.into_iter()
    }
}

impl<'a> IntoIterator for &'a ChannelValues {
    type Item = (&'a String, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for ChannelValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl Serialize for ChannelValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> Deserialize<'de> for ChannelValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        Ok(values.into_iter().collect())
    }
}
