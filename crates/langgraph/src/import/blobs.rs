//! The values that LangGraph's saver keeps by channel and version.

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpointer::ChannelValues;
use serde_json::Value;

use super::tables::Tables;
use crate::{Result, is_opaque};

/// The values of the checkpoint that was read last, so that only those are read whose version is
/// another.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    checkpoint_ns: String,
    by_channel: BTreeMap<String, Blob>,
}

#[derive(Debug)]
struct Blob {
    version: String,
    /// None if nothing is stored for the version.
    value: Option<Arc<Value>>,
}

impl Blobs {
    /// Reads what channels have at these versions, and returns how many of the values that were read
    /// aren't readable.
    pub(super) async fn read(
        &mut self,
        tables: &Tables,
        thread_id: &str,
        checkpoint_ns: &str,
        versions: BTreeMap<String, String>,
    ) -> Result<u64> {
        if self.checkpoint_ns != checkpoint_ns {
            self.checkpoint_ns = checkpoint_ns.to_owned();
            self.by_channel.clear();
        }
        self.by_channel
            .retain(|channel, blob| versions.get(channel) == Some(&blob.version));
        let missing = versions
            .into_iter()
            .filter(|(channel, _)| !self.by_channel.contains_key(channel));
        let missing: BTreeMap<_, _> = missing.collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let (channels, wanted): (Vec<_>, Vec<_>) = missing
            .iter()
            .map(|(channel, version)| (channel.as_str(), version.as_str()))
            .unzip();
        let found = tables
            .blobs(thread_id, checkpoint_ns, &channels, &wanted)
            .await?;
        for (channel, version) in missing {
            self.by_channel.insert(
                channel,
                Blob {
                    version,
                    value: None,
                },
            );
        }
        let mut opaque = 0;
        for (channel, value) in found {
            let form = value.to_json();
            opaque += u64::from(is_opaque(&form));
            if let Some(blob) = self.by_channel.get_mut(&channel) {
                blob.value = Some(Arc::new(form));
            }
        }
        Ok(opaque)
    }

    /// Adds the values to those that lie in the checkpoint's row, which they replace.
    pub(super) fn add_to(&self, values: &mut ChannelValues) {
        for (channel, blob) in &self.by_channel {
            if let Some(value) = &blob.value {
                values.insert_shared(channel, Arc::clone(value));
            }
        }
    }
}
