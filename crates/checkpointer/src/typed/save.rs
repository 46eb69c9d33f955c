//! Saving a state.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;

use super::channels::Channels;
use super::lists::Lists;
use super::{Attempt, Parent, Position, SaveOptions, Thread};
use crate::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Error, Metadata,
    Result, Source,
};

impl<State: Serialize + DeserializeOwned + 'static> Thread<State> {
    /// Saves a state, after the one that was loaded or saved last.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::Error::Conflict) if another save came in between, or the thread has checkpoints and
    /// this handle has loaded none, [`ThreadDeleted`](crate::Error::ThreadDeleted) if the thread was deleted:
    /// load, and decide. [`LeaseHeld`](crate::Error::LeaseHeld) if another program has a lease on the thread,
    /// [`LeaseLost`](crate::Error::LeaseLost) if this handle's isn't the thread's any more.
    /// [`UnstorableState`](crate::Error::UnstorableState) for what JSON can't hold,
    /// [`Unstorable`](crate::Error::Unstorable) for what is too large or too deep.
    /// [`ThreadFull`](crate::Error::ThreadFull) if the checkpointer limits the bytes of a thread, and this one
    /// has no room for it. Nothing is saved then.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, or after an error whose outcome is unknown, the state may or may not
    /// have been saved. The next call finds out, and never conflicts with its own attempt.
    pub async fn save(&mut self, state: &State) -> Result<CheckpointAddress> {
        self.save_with(state, SaveOptions::default()).await
    }

    /// Saves a state as [`save`](Self::save) does, with metadata of the caller's, of the checkpoint and of
    /// the thread: see [`SaveOptions`].
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save); [`Unstorable`](crate::Error::Unstorable) for metadata that can't be stored.
    ///
    /// # Cancel safety
    ///
    /// As [`save`](Self::save).
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::SaveOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// let options = SaveOptions::new().metadata("run_id", "run-17").thread_metadata("customer", "ann");
    /// thread.save_with(&vec!["Where is my order?".to_owned()], options).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn save_with(
        &mut self,
        state: &State,
        options: SaveOptions,
    ) -> Result<CheckpointAddress> {
        self.last = None;
        self.settle().await?;
        if !options.thread_metadata.is_empty() {
            return self.save_whole(state, options).await;
        }
        let channels = Channels::of(&self.thread_id, state, self.position.lists())?;
        let is_whole = channels.longer.is_empty();
        let attempt = self.attempt(self.position.clone(), channels);
        match self.send(Arc::new(attempt.with(options.clone()))).await {
            // Another program has put the parent again, with another list.
            Err(Error::AppendMismatch { .. } | Error::ParentNotFound { .. }) if !is_whole => {
                self.save_whole(state, options).await
            }
            outcome => outcome,
        }
    }

    /// Saves all of each list. The next save does so as well.
    async fn save_whole(
        &mut self,
        state: &State,
        options: SaveOptions,
    ) -> Result<CheckpointAddress> {
        let channels = Channels::of(&self.thread_id, state, &Lists::new())?;
        let attempt = self.attempt(self.position.clone(), channels.without_lists());
        self.send(Arc::new(attempt.with(options))).await
    }
}

impl Position {
    /// What is remembered of the lists that were saved.
    fn lists(&self) -> &Lists {
        static NONE: Lists = Lists::new();
        self.parent.as_ref().map_or(&NONE, |parent| &parent.lists)
    }
}

impl<State> Thread<State> {
    /// A save of `channels`, after a position.
    pub(super) fn attempt(&self, from: Position, mut channels: Channels) -> Attempt {
        let parent = from.parent.as_ref();
        let unknown = match parent {
            Some(parent) if channels.is_struct() && !self.owns_all => parent.unknown.clone(),
            _ => Channels::default(),
        };
        channels.keep(&unknown);
        let id = CheckpointId::generate(parent.map(|parent| &parent.address.checkpoint_id));
        let mut checkpoint = Checkpoint::new(id.clone());
        let mut new_versions = ChannelVersions::new();
        for channel in channels.names() {
            let before = parent.and_then(|parent| parent.versions.get(channel));
            let same = parent.is_some_and(|parent| channels.is_same(channel, &parent.channels));
            let version = match before {
                Some(version) if same => version.clone(),
                _ => {
                    let version = self.checkpointer.next_version(before);
                    new_versions.insert(channel.clone(), version.clone());
                    version
                }
            };
            checkpoint.channel_versions.insert(channel.clone(), version);
        }
        checkpoint.updated_channels = Some(new_versions.keys().cloned().collect());
        checkpoint.channel_values = channels.values;
        let (source, step) = match parent {
            Some(parent) => (parent.source, parent.step.saturating_add(1)),
            None => (Source::Input, -1),
        };
        Attempt {
            metadata: self.shape.mark(Metadata::new(source, step)),
            thread_metadata: Map::new(),
            to: Parent {
                address: CheckpointAddress {
                    thread_id: self.thread_id.clone(),
                    checkpoint_ns: CheckpointNs::ROOT,
                    checkpoint_id: id,
                    generation: None,
                },
                step,
                versions: checkpoint.channel_versions.clone(),
                channels: channels.hashes,
                lists: channels.lists,
                unknown,
                source: Source::Update,
                is_current: true,
            },
            checkpoint,
            longer: channels.longer,
            new_versions,
            from,
        }
    }
}
