//! Watching heads.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::engine::Engine;
use super::meter;
use super::sql::{LastLook, Since};
use crate::{Error, HeadChange, Result, Watch};

impl Engine {
    pub(super) async fn watch(
        &self,
        watch: Watch,
    ) -> Result<BoxStream<'static, Result<HeadChange>>> {
        // A failure is reported now; later ones are waited out.
        let (never, since) = (LastLook::default(), Since::default());
        let look = self.store.sql.watch_all.with((&never, &since));
        self.store.query("watch", look).await?;
        let watcher = self.watching.watchers.add(watch)?;
        let counted = meter::Watcher::new();
        self.watching.start(&self.store);
        if !watcher.mailbox().begun().await {
            return Err(Error::Closed);
        }
        let changes = watcher.into_stream().inspect(move |_| {
            let _ = &counted;
        });
        Ok(changes.boxed())
    }
}
