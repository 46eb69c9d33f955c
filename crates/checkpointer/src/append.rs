//! What the lists become that a put appends to.

use std::sync::Arc;

use serde_json::Value;

use crate::{Appended, ChannelValues, Checkpoint, Error, Put, Result};

impl Put<'_> {
    /// Makes the values of the channels that the put appends to, for those who write a checkpointer.
    ///
    /// `parent` is the put's parent as it is stored. `again` is what is stored under the put's own id:
    /// a put that is repeated after its parent was pruned finds its values there.
    ///
    /// # Errors
    ///
    /// [`Error::AppendMismatch`] if the parent's value isn't a list of so many items;
    /// [`Error::ParentNotFound`] if the put names a parent that isn't stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::json;
    /// use checkpointer::{Checkpoint, CheckpointId, Metadata, Put, ThreadId};
    ///
    /// let (thread_id, metadata) = (ThreadId::new("support-4711")?, Metadata::default());
    /// let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    /// let items = [json!("Where is my order?")];
    /// let put = Put::new(&thread_id, &checkpoint, &metadata).append("messages", 0, &items);
    /// assert_eq!(put.appended_values(None, None)?["messages"], json!(items));
    /// # Ok::<(), checkpointer::Error>(())
    /// ```
    pub fn appended_values(
        &self,
        parent: Option<&Checkpoint>,
        again: Option<&Checkpoint>,
    ) -> Result<ChannelValues> {
        let value = |(channel, appended): (&&str, &Appended<'_>)| {
            let value = match (self.parent, parent) {
                (None, _) => appended.to(None),
                (Some(_), Some(parent)) => appended.to(parent.channel_values.get(channel)),
                (Some(id), None) => {
                    let again = again.and_then(|again| again.channel_values.get_shared(channel));
                    let again = again.filter(|again| appended.is_end_of(again));
                    let again = again.cloned();
                    Ok(again.ok_or_else(|| Error::parent_not_found(self, id, channel))?)
                }
            };
            let value = value.map_err(|found| Error::append_mismatch(self, channel, found))?;
            Ok(((*channel).to_owned(), value))
        };
        self.appended.iter().map(value).collect()
    }
}

impl Appended<'_> {
    /// Appends to a value. Fails with the number of items that it has, if it is a list.
    fn to(&self, before: Option<&Value>) -> Result<Arc<Value>, Option<usize>> {
        let before = match before {
            None => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => return Err(None),
        };
        if before.len() != self.after {
            return Err(Some(before.len()));
        }
        Ok(Arc::new(Value::Array([before, self.items].concat())))
    }

    /// Whether a value is what it becomes by that.
    fn is_end_of(&self, value: &Value) -> bool {
        let items = value.as_array().and_then(|items| items.get(self.after..));
        items == Some(self.items)
    }
}
