//! Telling new heads.

use futures_util::stream::BoxStream;

use super::Store;
use crate::{HeadChange, Result, Watch};

impl Store {
    pub(super) fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<HeadChange>>> {
        let watched = watch.thread_id.clone();
        let watcher = self.watchers.add(watch)?;
        if let Some(thread_id) = watched
            && let Some(thread) = self.live(&thread_id)
        {
            for head in thread.heads(&thread_id) {
                watcher.mailbox().add(&HeadChange::Moved(head));
            }
        }
        Ok(watcher.into_stream())
    }
}
