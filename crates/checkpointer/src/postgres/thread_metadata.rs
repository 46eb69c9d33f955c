//! A thread's own metadata: replaced as a whole, or changed key by key.

use serde_json::{Map, Value};

use super::engine::Engine;
use super::refusal::deleted;
use super::sql::{Bound, ChangedMetadata, OneThread, ThreadMetadata};
use super::wire::Jsonb;
use super::within::Within;
use crate::{Error, Result, ThreadId, codec};

/// What it is called in errors.
const SET: &str = "set a thread's metadata";

/// What changes, as it is sent.
pub(super) struct Changes {
    /// The keys that get a value.
    set: Vec<u8>,
    /// The others.
    removed: Vec<String>,
}

impl Engine {
    pub(super) async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        let text = encode(thread_id, &metadata)?;
        let metadata = ThreadMetadata {
            thread_id: thread_id.as_str(),
            metadata: Jsonb(&text),
        };
        let asked = self.store.sql.set_thread_metadata.with(&metadata);
        self.change_metadata(thread_id, asked).await
    }

    pub(super) async fn update_thread_metadata(
        &self,
        thread_id: &ThreadId,
        changes: Map<String, Value>,
    ) -> Result<()> {
        let changes = Changes::of(thread_id, &changes)?;
        let changes = changes.parameters(thread_id);
        let asked = self.store.sql.update_thread_metadata.with(&changes);
        self.change_metadata(thread_id, asked).await
    }

    async fn change_metadata(&self, thread_id: &ThreadId, asked: Bound<'_>) -> Result<()> {
        match self.store.query_opt(SET, asked).await? {
            None => Err(Error::thread_not_found(thread_id)),
            Some(row) if row.get("deleted") => Err(deleted(thread_id)),
            Some(_) => Ok(()),
        }
    }
}

impl Within<'_> {
    /// Locks a thread, if it is there, as the change of its metadata will: a lock that two
    /// transactions share first would keep both from it.
    pub(super) async fn lock_for_metadata(&self, thread_id: &ThreadId) -> Result<()> {
        let one = OneThread {
            thread_id: thread_id.as_str(),
        };
        let asked = self.store.sql.lock_for_metadata.with(&one);
        self.query(SET, asked).await.map(drop)
    }

    /// Changes the metadata of a thread that is there.
    pub(super) async fn update_thread_metadata(
        &self,
        thread_id: &ThreadId,
        changes: &Changes,
    ) -> Result<()> {
        let changes = changes.parameters(thread_id);
        let asked = self.store.sql.update_thread_metadata.with(&changes);
        self.query(SET, asked).await.map(drop)
    }
}

impl Changes {
    pub(super) fn of(thread_id: &ThreadId, changes: &Map<String, Value>) -> Result<Self> {
        let (removed, set): (Vec<_>, Vec<_>) =
            changes.iter().partition(|(_, value)| value.is_null());
        let set = set.into_iter();
        let set = set.map(|(key, value)| (key.clone(), value.clone()));
        let removed = removed.into_iter();
        Ok(Self {
            set: encode(thread_id, &set.collect())?,
            removed: removed
                .map(|(key, _)| codec::stored_key(key).into_owned())
                .collect(),
        })
    }

    fn parameters<'a>(&'a self, thread_id: &'a ThreadId) -> ChangedMetadata<'a> {
        ChangedMetadata {
            thread_id: thread_id.as_str(),
            set: Jsonb(&self.set),
            removed: &self.removed,
        }
    }
}

fn encode(thread_id: &ThreadId, metadata: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    codec::encode_object(metadata, &mut text)
        .map_err(|refused| Error::refused(thread_id, "the thread's metadata", &refused))?;
    Ok(text)
}
