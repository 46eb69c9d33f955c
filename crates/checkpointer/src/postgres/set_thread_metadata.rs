//! Replacing a thread's own metadata.

use serde_json::{Map, Value};

use super::engine::Engine;
use super::refusal::deleted;
use super::sql::ThreadMetadata;
use super::wire::Jsonb;
use crate::{Error, Result, ThreadId, codec};

impl Engine {
    pub(super) async fn set_thread_metadata(
        &self,
        thread_id: &ThreadId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        let mut text = Vec::new();
        codec::encode_object(&metadata, &mut text)
            .map_err(|refused| Error::refused(thread_id, "the thread's metadata", &refused))?;
        let metadata = ThreadMetadata {
            thread_id: thread_id.as_str(),
            metadata: Jsonb(&text),
        };
        let asked = self.store.sql.set_thread_metadata.with(&metadata);
        let thread = self
            .store
            .query_opt("set a thread's metadata", asked)
            .await?;
        match thread {
            None => Err(Error::ThreadNotFound {
                thread_id: thread_id.clone(),
            }),
            Some(row) if row.get("deleted") => Err(deleted(thread_id)),
            Some(_) => Ok(()),
        }
    }
}
